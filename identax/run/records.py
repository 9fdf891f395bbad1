"""`records.jsonl`: one row per logged step, every trial kept apart; each row seals those before it.

A line ends with a digest of itself and of the line before, so that a changed digit and a lost, doubled or moved line
are found where they are. Readers survive a killed writer.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

Row = dict[str, Any]


def make_row(kind: str, step: int, metrics: Mapping[str, np.ndarray]) -> Row:
    """One row: `{"kind": "train" | "eval", "step": s, "metrics": {name: values [T, ...]}}`.

    Values that are not finite become null, because JSON has no NaN. Raises `ValueError` for complex values.
    """
    return {
        "kind": kind,
        "step": int(step),
        "metrics": {name: _to_json(name, np.asarray(values)) for name, values in sorted(metrics.items())},
    }


def _to_json(name: str, values: np.ndarray) -> Any:
    if np.iscomplexobj(values):
        raise ValueError(f"metric {name!r}: found {values.dtype}, wanted real values")
    if values.dtype.kind not in "biuf":  # bfloat16 and its like
        values = values.astype(float)
    return np.where(np.isfinite(values), values.astype(object), np.array(None)).tolist()


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        json.dump(content, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises `ValueError` for anything else, and `OSError`."""
    try:
        content = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("nested without end") from error
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__}, wanted an object")
    return content


@contextlib.contextmanager
def naming_damage(path: Path, way_out: str) -> Iterator[None]:
    """What is wrong with the content of a file, read inside, becomes a `ValueError` that names it and the way out."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; {way_out}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else error
        raise ValueError(f"{path} is damaged, or not what a run writes there ({what}); {way_out}") from error


AGAIN = "put it back, or delete it and run with --resume and the same options: it is written anew"
"""what to do about a damaged file that a resumed run writes again"""


class Intact(NamedTuple):
    """What is intact in a file of rows: `rows` in order, what each is sealed with, and where the first damage is.

    `digests` are empty for rows of before there were any. `fault` is None or "line 3: found ..., wanted ...".
    """

    rows: list[Row]
    digests: list[str]
    fault: str | None


def read_intact(path: Path) -> Intact:
    """Reads the rows that follow each other without a gap; a line that is not one of them is skipped.

    An incomplete last line is left out without a fault: its writer was killed.
    """
    rows, digests, fault, last = [], [], None, ""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    sealed = any(_SEAL.search(line) for line in lines)
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        row = _parsed(line)
        found = _SEAL.search(line)
        if sealed and row is not None:
            if found is None or found[1].decode() != _digest(last, line[: found.start()] + b"}"):
                row = None
            else:
                last = row.pop("digest")
        if row is not None:
            rows.append(row)
            digests.append(last)
        elif fault is None and number < len(lines):  # a newline is behind it: no writer died here
            fault = f"line {number}: found {line[:40]!r}, wanted the row that the run wrote there"
    return Intact(rows, digests, fault)


def read_rows(path: Path, *, last_step: int | None = None) -> list[Row]:
    """Reads the complete rows up to `last_step`; an incomplete last line is left out.

    Raises `ValueError` for a line that is broken, changed or in another place than it was written.
    """
    rows, _, fault = read_intact(path)
    if fault is not None:
        raise ValueError(
            f"{path} {fault}; put the file back, or run with --resume, which goes on from the newest checkpoint whose "
            "rows are intact"
        )
    return [row for row in rows if last_step is None or row["step"] <= last_step]


_SEAL = re.compile(rb', "digest": "([0-9a-f]{16})"\}$')


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("kind"), str) else None


def _digest(previous: str, line: bytes) -> str:
    return hashlib.sha256(previous.encode() + line).hexdigest()[:16]


class Records:
    """Rows of one run: kept in memory and, where a path is given, appended to disk.

    `last_step` (None for a new run) is the step of the checkpoint that a resumed run starts from: later rows
    are cut off the file, since their steps will run again, and so is what is no row. Processes with `write=False` only
    keep their rows. `digest` seals all rows on disk.
    """

    def __init__(self, path: Path | None, *, last_step: int | None = None, write: bool = True) -> None:
        found = [] if path is None or last_step is None else read_intact(path).rows
        self.rows: list[Row] = [row for row in found if last_step is None or row["step"] <= last_step]
        self.digest, self._path, self._file = "", path, None
        if path is not None and write:
            temporary = path.with_name(path.name + ".tmp")
            with temporary.open("w") as file:
                file.writelines(self._line(row) for row in self.rows)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            self._file = path.open("a")

    def append(self, row: Row) -> None:
        """Adds one row; it is in the operating system's hands when this returns.

        Raises `OSError` when the file, or its folder, was deleted, moved or replaced.
        """
        self.rows.append(row)
        if self._file is not None:
            check_same_file(self._file, self._path)
            self._file.write(self._line(row))
            self._file.flush()

    def _line(self, row: Row) -> str:
        text = json.dumps(row, allow_nan=False)
        self.digest = _digest(self.digest, text.encode())
        return f'{text[:-1]}, "digest": "{self.digest}"}}\n'

    def sync(self) -> None:
        """Forces the rows to disk; a checkpoint is committed only after this."""
        if self._file is not None:
            check_same_file(self._file, self._path)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def check_same_file(file: IO, path: Path | None) -> None:
    """Raises `OSError` when `path` is no longer the open file: what is written there would be lost without a word."""
    try:
        same = path is not None and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        same = False
    if not same:
        raise OSError(f"run: {path} was deleted, moved or replaced while the run wrote there")


def history(rows: Iterable[Row], kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Turns rows of one kind into `(steps [L], {name: values [T, L, ...]})`; null becomes NaN."""
    chosen = [row for row in rows if row["kind"] == kind]
    steps = np.array([row["step"] for row in chosen], dtype=int)
    names = chosen[0]["metrics"] if chosen else {}
    # NumPy turns None into NaN when it is asked for floats.
    return steps, {
        name: np.stack([np.array(row["metrics"][name], dtype=float) for row in chosen], axis=1) for name in names
    }
