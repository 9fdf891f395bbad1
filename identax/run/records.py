"""`records.jsonl`: one row per logged step, every trial kept apart; a reader that survives a killed writer."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def make_row(kind: str, step: int, metrics: Mapping[str, np.ndarray]) -> Row:
    """One row: `{"kind": "train" | "eval", "step": s, "metrics": {name: values [T, ...]}}`.

    Values that are not finite become null, because JSON has no NaN.
    """
    return {
        "kind": kind,
        "step": int(step),
        "metrics": {name: _to_json(np.asarray(values)) for name, values in sorted(metrics.items())},
    }


def _to_json(values: np.ndarray) -> Any:
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


def read_rows(path: Path, *, last_step: int | None = None) -> list[Row]:
    """Reads the complete rows up to `last_step`; an incomplete last line is left out.

    Raises `ValueError` for a broken line anywhere else, because then something else wrote to the file.
    """
    if not path.exists():
        return []
    rows = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # no newline behind it: the writer died here
                break
            raise ValueError(f"{path.name} line {number}: found {line[:40]!r}, wanted one JSON object") from error
        if last_step is None or row["step"] <= last_step:
            rows.append(row)
    return rows


class Records:
    """Rows of one run: kept in memory and, where a path is given, appended to disk.

    `last_step` (None for a new run) is the step of the checkpoint that a resumed run starts from: later rows
    are cut off the file, since their steps will run again. Processes with `write=False` only keep their rows.
    """

    def __init__(self, path: Path | None, *, last_step: int | None = None, write: bool = True) -> None:
        self.rows: list[Row] = [] if path is None or last_step is None else read_rows(path, last_step=last_step)
        self._file = None
        if path is not None and write:
            temporary = path.with_name(path.name + ".tmp")
            with temporary.open("w") as file:
                file.writelines(_line(row) for row in self.rows)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            self._file = path.open("a")

    def append(self, row: Row) -> None:
        """Adds one row; it is in the operating system's hands when this returns."""
        self.rows.append(row)
        if self._file is not None:
            self._file.write(_line(row))
            self._file.flush()

    def sync(self) -> None:
        """Forces the rows to disk; a checkpoint is committed only after this."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def history(rows: Iterable[Row], kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Turns rows of one kind into `(steps [L], {name: values [T, L, ...]})`; null becomes NaN."""
    chosen = [row for row in rows if row["kind"] == kind]
    steps = np.array([row["step"] for row in chosen], dtype=int)
    names = chosen[0]["metrics"] if chosen else {}
    # NumPy turns None into NaN when it is asked for floats.
    return steps, {
        name: np.stack([np.array(row["metrics"][name], dtype=float) for row in chosen], axis=1) for name in names
    }
