"""`trials.npz`: keys, seeds and hyper-parameters of a run's trials, whose digest stands in `config.json`."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jax
import jax.numpy as jnp
import numpy as np

from identax.run.guard import CONFIG
from identax.run.records import AGAIN, naming_damage, read_json
from identax.study import Trials

FILE = "trials.npz"
_HPARAMS = "hparams"


def describe_trials(trials: Trials) -> dict[str, Any]:
    """What `config.json` says of the trials: `{"count": T, "sha256": digest of all their numbers}`."""
    return {"count": len(trials), "sha256": _digest(_flat(trials))}


def write_trials(folder: Path, trials: Trials) -> None:
    """Writes `trials.npz` so that a reader sees all of it or nothing; dtypes are kept."""
    temporary = folder / (FILE + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **_flat(trials))  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / FILE)


def read_trials(folder: Path, *, wrap_keys: bool = True) -> Trials:
    """The trials of a run directory, hyper-parameters as dicts of NumPy arrays, nested as they were.

    Runs of before `trials.npz` have theirs in `config.json`, as lists. Without `wrap_keys`, which compiles a program,
    keys stay their data [T, n]. Raises `ValueError` naming a file that is missing, damaged or not the one that
    `config.json` speaks of.
    """
    with naming_damage(folder / CONFIG, AGAIN):
        recorded = read_json(folder / CONFIG)
        if "trials" not in recorded:
            seeds = np.array(recorded["config"]["seeds"], int)
            keys = Trials.grid(len(seeds)).keys if wrap_keys else np.zeros((len(seeds), 2), np.uint32)
            return Trials(keys, _arrays(recorded["config"][_HPARAMS]), seeds)
        digest = recorded["trials"]["sha256"]
    flat = _read(folder)
    if _digest(flat) != digest:
        raise ValueError(f"run: {folder / FILE} is not the file that {CONFIG} speaks of; {AGAIN}")
    keys = flat["keys"]
    if wrap_keys:
        keys = jax.random.wrap_key_data(jnp.asarray(keys), impl=str(flat["key_impl"]))
    return Trials(keys, _nested(flat), flat["seeds"])


def differences(folder: Path, trials: Trials) -> list[str]:
    """How `trials` differ from those of the run directory, a text for each part that does.

    None for a run of before `trials.npz`, whose `config.json` says it. A lost `trials.npz` is written again if these
    are the trials that `config.json` speaks of. Raises `ValueError` like `read_trials`.
    """
    with naming_damage(folder / CONFIG, AGAIN):
        recorded = read_json(folder / CONFIG)
        if "trials" not in recorded:
            return []
    if not (folder / FILE).exists() and recorded["trials"] == describe_trials(trials):
        write_trials(folder, trials)
    there, here = _flat(read_trials(folder)), _flat(trials)
    if len(there["seeds"]) != len(here["seeds"]):
        return [f"trials: there {len(there['seeds'])}, here {len(here['seeds'])}", *_other_kinds(there, here)]
    values = []
    for name in sorted(there.keys() & here.keys()):
        one, other = np.atleast_1d(there[name]), np.atleast_1d(here[name])
        if _kind(one) != _kind(other):
            continue
        differs = ((one != other) & ((one == one) | (other == other))).reshape(len(one), -1).any(axis=1)
        if differs.any():
            some = f"there {_text(one[differs][0])}, here {_text(other[differs][0])}"
            values.append(f"{_name(name)}: {differs.sum()} of {len(differs)} differ, the first: {some}")
    return [*_other_kinds(there, here), *values]


def _other_kinds(there: Mapping[str, np.ndarray], here: Mapping[str, np.ndarray]) -> list[str]:
    kinds = [{name: _kind(values) for name, values in flat.items()} for flat in (there, here)]
    names = sorted(kinds[0].keys() | kinds[1].keys())
    pairs = {name: [of.get(name, "absent") for of in kinds] for name in names}
    return [f"{_name(name)}: there {one}, here {other}" for name, (one, other) in pairs.items() if one != other]


def _kind(values: np.ndarray) -> str:
    """Dtype, and the shape of one trial's entry where that is no single number."""
    shape = f" {values.shape[1:]}" if values.ndim > 1 else ""
    return f"{values.dtype}{shape}"


def _name(name: str) -> str:
    return unquote(name.replace("/", "."))


def _text(value: Any) -> str:
    return np.array2string(np.asarray(value), threshold=6, separator=", ")


def _flat(trials: Trials) -> dict[str, np.ndarray]:
    found = {
        "keys": np.asarray(jax.random.key_data(trials.keys)),
        "key_impl": np.array(str(jax.random.key_impl(trials.keys))),
        "seeds": np.asarray(trials.seeds),
    }
    for path, leaf in jax.tree_util.tree_leaves_with_path(trials.hparams):
        parts = [quote(jax.tree_util.keystr((part,), simple=True), safe=" ") for part in path]
        values = np.asarray(leaf)
        # of bfloat16 and its like, which NumPy's files lack
        found["/".join([_HPARAMS, *parts])] = values.astype(np.float32) if values.dtype.kind == "V" else values
    return found


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, values in flat.items():
        first, *parts = name.split("/")
        if first == _HPARAMS and parts:
            inner = nested
            for part in parts[:-1]:
                inner = inner.setdefault(unquote(part), {})
            inner[unquote(parts[-1])] = values
    return nested


def _arrays(lists: Any) -> Any:
    """Lists as arrays; float32 if that is what was written as text."""
    if isinstance(lists, dict):
        return {name: _arrays(value) for name, value in lists.items()}
    found = np.array(lists)
    if found.dtype.kind != "f":
        return found
    with np.errstate(over="ignore"):
        single = found.astype(np.float32)
    return single if np.array_equal(single, found, equal_nan=True) else found


def _read(folder: Path) -> dict[str, np.ndarray]:
    try:
        with (folder / FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise ValueError(f"run: {folder / FILE} is missing; {AGAIN}") from error
    except Exception as error:  # zipfile, zlib, NumPy and the file system each have their own
        raise ValueError(f"run: {folder / FILE} is damaged ({error}); {AGAIN}") from error


def _digest(flat: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(flat.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
