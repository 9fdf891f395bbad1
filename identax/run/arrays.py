"""Arrays that a run keeps beside its metrics: NumPy files with the trials leading, or memory without a folder."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jax
import jax.numpy as jnp
import numpy as np

_SAFE = " ,+-=()"  # readable in a folder and harmless in a path
_LONGEST = 240  # bytes of a file's name, of which file systems take 255


class KeptArrays:
    """The kept arrays of one run: `<folder>/<quoted name>@<step>.npy`, each [T, ...] with the trials leading.

    `write` replaces a whole array at once, so that a reader finds the old one or the new one; `write_rows` fills one
    trial after the other and `flush` forces that to the disk. Of several processes the first alone writes, and all
    read the same folder. With `folder=None` everything stays in memory. Booleans, integers, floats and complex numbers
    keep their bits; bfloat16 and other small types, which NumPy's files lack, are kept as float32 or int32.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, dict[int, np.ndarray]] = {}
        self._open: dict[Path, np.memmap] = {}
        self._digests: dict[Path, str | None] = {}  # of whole arrays that this object wrote; None: not known yet

    def write(self, step: int, arrays: Mapping[str, Any]) -> None:
        """Keeps `{name: [T, ...]}` after `step` steps. Raises `ValueError` for names and dtypes no file can have."""
        checked = _checked(arrays)
        for name, values in checked.items():
            if self._folder is None:
                self._memory.setdefault(name, {})[step] = values.copy()
            elif jax.process_index() == 0:
                path = self._path(name, step)
                temporary = path.with_name(path.name + ".tmp")
                with temporary.open("wb") as file:
                    np.save(file, values, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
                self._digests[path] = None

    def write_rows(self, step: int, total: int, first: int, rows: Mapping[str, Any]) -> None:
        """Keeps `{name: [B, ...]}` as the trials first ... first + B - 1 of `total`.

        Trials before the first rows ever written of a name are NaN (zero where there is no NaN). Raises `ValueError`
        for rows that differ in shape or dtype from those before, and for names and dtypes no file can have.
        """
        checked = _checked(rows)
        for name, values in checked.items():
            place = self._place(name, step, (total, *values.shape[1:]), values.dtype, first)
            if place is not None:
                place[first : first + len(values)] = values

    def blank_row(self, step: int, row: int) -> None:
        """Says of one trial that it has nothing to keep, in every array of `write_rows`: NaN, zero without a NaN."""
        if self._folder is None:
            places = [of_name[step] for of_name in self._memory.values() if step in of_name]
        elif jax.process_index() == 0:
            paths = [path for _, found, path in self._files() if found == step]
            places = [self._open[path] if path in self._open else _mapped(path, "r+") for path in paths]
        else:
            places = []
        for place in places:
            _blank(place[row : row + 1])

    def flush(self) -> None:
        """Forces what `write_rows` wrote to the disk."""
        for place in self._open.values():
            place.flush()

    def digests(self, *, everything: bool = False) -> dict[str, str]:
        """SHA-256 of the files that `write` wrote, by name; or of all, for arrays whose last rows are written."""
        if everything and self._folder is not None:
            self._digests |= {path: None for _, _, path in self._files()}
        for path in [path for path, known in self._digests.items() if known is None]:
            self._digests[path] = digest_of(path)
        return {path.name: str(known) for path, known in self._digests.items()}

    def load(self) -> dict[str, dict[int, np.ndarray]]:
        """Everything that is kept, `{name: {step: [T, ...]}}`; files are mapped, not read.

        Raises `ValueError` naming a file that is no NumPy array.
        """
        if self._folder is None:
            return {name: dict(sorted(of_name.items())) for name, of_name in sorted(self._memory.items())}
        found: dict[str, dict[int, np.ndarray]] = {}
        for name, step, path in self._files():
            found.setdefault(name, {})[step] = _mapped(path)
        return found

    def discard_after(self, step: int) -> None:
        """Removes what is kept of later steps: a resumed run writes it again."""
        for of_name in self._memory.values():
            for later in [found for found in of_name if found > step]:
                del of_name[later]
        self._memory = {name: of_name for name, of_name in self._memory.items() if of_name}
        if self._folder is not None and jax.process_index() == 0:
            for _, later, path in self._files():
                if later > step:
                    self._open.pop(path, None)
                    self._digests.pop(path, None)
                    path.unlink()

    def _place(
        self, name: str, step: int, shape: tuple[int, ...], dtype: np.dtype, first: int
    ) -> np.ndarray | np.memmap | None:
        """Where rows of `name` go, made if it is not there; None on a process that does not write."""
        if self._folder is None:
            of_name = self._memory.setdefault(name, {})
            if step not in of_name:
                of_name[step] = np.zeros(shape, dtype)
                _blank(of_name[step][:first])
            place, what = of_name[step], f"kept array {name!r}"
        elif jax.process_index() == 0:
            path = self._path(name, step)
            if path not in self._open:
                if not path.exists():
                    _create(path, shape, dtype, first)
                self._open[path] = _mapped(path, "r+")
            place, what = self._open[path], f"kept array {name!r} ({path.name})"
        else:
            return None
        if (place.shape, place.dtype) != (shape, dtype):
            raise ValueError(f"{what}: found {dtype} {shape}, wanted {place.dtype} {place.shape} as before")
        return place

    def _path(self, name: str, step: int) -> Path:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{quote(name, safe=_SAFE)}@{step}.npy"

    def _files(self) -> list[tuple[str, int, Path]]:
        """Name, step and path of every array, in order; anything else in the folder is left alone."""
        assert self._folder is not None
        found = []
        for path in self._folder.glob("*@*.npy"):
            if (step := step_of(path.name)) >= 0:
                found.append((unquote(path.name.removesuffix(".npy").rpartition("@")[0]), step, path))
        return sorted(found)


def step_of(file_name: str) -> int:
    """The step that a file of `KeptArrays` is of, -1 for what is none."""
    step = file_name.removesuffix(".npy").rpartition("@")[2]
    return int(step) if step.isdecimal() else -1


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype, first: int) -> None:
    temporary = path.with_name(path.name + ".tmp")
    place = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
    _blank(place[:first])
    place.flush()
    os.replace(temporary, path)


def _blank(rows: np.ndarray) -> None:
    if np.issubdtype(rows.dtype, np.inexact):
        rows[...] = np.nan


def _mapped(path: Path, mode: Any = "r") -> Any:
    try:
        return np.load(path, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no NumPy array ({error}); wanted what a run keeps there") from error


def _checked(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays as NumPy's, whose files can hold them; nothing is written before all are checked."""
    return {name: as_kept(name, values) for name, values in arrays.items()}


def as_kept(name: Any, values: Any) -> np.ndarray:
    """An array [T, ...] as it is kept. Raises `ValueError` for a name or dtype that no file can have."""
    if not hasattr(values, "dtype"):
        try:
            values = np.asarray(values)
        except ValueError as error:  # rows of unequal lengths
            raise ValueError(f"kept array {name!r}: found no array ({error})") from error
    dtype = kept_dtype(name, values.dtype)  # before NumPy sees random keys, which it does not take
    values = np.asarray(values).astype(dtype, copy=False)
    if values.ndim == 0:
        raise ValueError(f"kept array {name!r}: found a single number, wanted the trials leading")
    return values


def kept_dtype(name: Any, dtype: Any) -> np.dtype:
    """The dtype that the file of an array has. Raises `ValueError` for a name or dtype that no file can have."""
    if not isinstance(name, str) or not name or len(quote(name, safe=_SAFE)) > _LONGEST:
        raise ValueError(f"kept arrays: found the name {name!r}, wanted a text of 1 to {_LONGEST} characters")
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        raise ValueError(f"kept array {name!r}: found {dtype}, wanted numbers (of keys, jax.random.key_data)")
    if dtype.kind in "biufc":
        return dtype
    for kind, wide in ((jnp.floating, np.float32), (jnp.integer, np.int32)):
        if jnp.issubdtype(dtype, kind):
            return np.dtype(wide)
    raise ValueError(f"kept array {name!r}: found dtype {dtype}, wanted numbers or booleans")
