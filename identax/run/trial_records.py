"""What trials without steps return, `records.jsonl` with a row for each, and `blocks.json`: how much of it is done."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from identax.run.records import Row, check_same_file, make_row, read_json, write_json
from identax.run.values import flat_metrics, is_weighted

RECORDS, BLOCKS = "records.jsonl", "blocks.json"


class Outcome(NamedTuple):
    """What one trial returned: metrics by flat name, arrays to keep [1, ...]; or why it failed."""

    metrics: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]
    failed: str = ""
    error: Exception | None = None


def outputs(returned: Any, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat metrics and arrays to keep of what a trial returned, which is metrics or a pair of both.

    Raises `ValueError` for metrics that rows cannot hold, and for arrays without names.
    """
    metrics, arrays = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, {})
    flat = flat_metrics(metrics, where)
    for name, value in flat.items():
        if is_weighted(value):
            raise ValueError(f"{where}: metric {name!r}: found a pair, wanted a number: there are no steps to weigh")
    if not isinstance(arrays, Mapping):
        raise ValueError(f"{where}: found arrays to keep as {type(arrays).__name__}, wanted a dict of arrays by name")
    return flat, dict(arrays)


def trial_row(number: int, seed: int, outcome: Outcome) -> Row:
    """`{"kind": "trial", "trial": i, "seed": s, "metrics": {name: value}}`, with "failed" (why) of one that has."""
    row = {"kind": "trial", "trial": number, "seed": seed, "metrics": make_row("trial", 0, outcome.metrics)["metrics"]}
    return row | {"failed": outcome.failed} if outcome.failed else row


def trial_history(rows: Iterable[Row]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows of trials as an evaluation after no steps: `([0], {name: values [T, 1, ...]})`, of failed ones NaN."""
    chosen = [row for row in rows if row["kind"] == "trial"]
    shapes = {name: np.shape(value) for name, value in first_metrics(chosen).items()}

    def values(row: Row, name: str) -> np.ndarray:
        # NumPy turns None into NaN when it is asked for floats.
        return np.full(shapes[name], np.nan) if "failed" in row else np.array(row["metrics"][name], float)

    return np.zeros(1, int), {name: np.stack([values(row, name) for row in chosen])[:, None] for name in shapes}


def first_metrics(rows: Iterable[Row]) -> dict[str, Any]:
    """Metrics of the first trial that did not fail."""
    return next((row["metrics"] for row in rows if "failed" not in row), {})


def read_done(folder: Path) -> dict[str, Any] | None:
    """What `blocks.json` says was done: `{"done": trials, "bytes": ..., "sha256": ..., ...}`; None without the file.

    Raises `ValueError` when it is damaged, or `records.jsonl` does not begin with the rows that it speaks of.
    """
    if not (folder / BLOCKS).exists():
        return None
    again = f"put back the file that the run wrote, or delete {BLOCKS} to compute every trial again"
    try:
        found = read_json(folder / BLOCKS)
        done, size, digest = found["done"], found["bytes"], found["sha256"]
        names = found["arrays"]
        whole = all(type(number) is int and number >= 0 for number in (done, size, found["block_size"]))
        whole = whole and isinstance(found.setdefault("sealed", {}), dict)
        if not whole or not (names is None or (isinstance(names, list) and all(type(name) is str for name in names))):
            raise ValueError("wanted whole numbers, and names of arrays")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"run: {folder / BLOCKS} is damaged; {again}") from error
    rows = _beginning(folder, size)
    if len(rows) != size or hashlib.sha256(rows).hexdigest() != digest or rows.count(b"\n") != done:
        raise ValueError(f"run: the first {done} rows of {folder / RECORDS} are not those that were written; {again}")
    return found


def _beginning(folder: Path, size: int) -> bytes:
    path = folder / RECORDS
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return file.read(size)


class TrialRecords:
    """Rows of one run: kept in memory and, where there is a folder, appended to `records.jsonl` by process 0.

    `found` is what `read_done` says of a run that goes on: rows behind it are cut off at the first new one, since
    their trials run again.
    """

    def __init__(self, folder: Path | None, found: Mapping[str, Any] | None) -> None:
        begun = b"" if folder is None or found is None else _beginning(folder, found["bytes"])
        self.rows: list[Row] = [json.loads(line) for line in begun.split(b"\n") if line]
        self._folder, self._file = folder if jax.process_index() == 0 else None, None
        self._digest, self._bytes = hashlib.sha256(begun), len(begun)

    def append(self, row: Row) -> None:
        """Adds one row; it is in the operating system's hands when this returns."""
        self.rows.append(row)
        if self._folder is not None:
            line = (json.dumps(row, allow_nan=False) + "\n").encode()
            file = self._opened(self._folder)
            check_same_file(file, self._folder / RECORDS)
            file.write(line)
            file.flush()
            self._digest.update(line)
            self._bytes += len(line)

    def commit(self, **more: Any) -> None:
        """Forces the rows to disk, then says in `blocks.json` that they are done, beside `more`."""
        if self._folder is not None:
            file = self._opened(self._folder)
            check_same_file(file, self._folder / RECORDS)
            os.fsync(file.fileno())
            done = {"done": len(self.rows), "bytes": self._bytes, "sha256": self._digest.hexdigest()}
            write_json(self._folder / BLOCKS, done | more)

    def _opened(self, folder: Path) -> BinaryIO:
        if self._file is None:
            self._file = (folder / RECORDS).open("ab")
            self._file.truncate(self._bytes)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
