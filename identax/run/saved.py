"""Where a run goes on: the newest checkpoint whose rows are intact, and what becomes of a folder that has none."""

import warnings
from pathlib import Path
from typing import Any

from identax.run.arrays import digest_of, step_of
from identax.run.checkpoint import Checkpoints
from identax.run.records import Intact, Row, naming_damage, read_intact, read_json, read_rows, write_json
from identax.run.trial_records import BLOCKS, RECORDS, read_done

CHECKPOINTS, ARRAYS, SAVED = "checkpoints", "arrays", "saved.json"
"""what a run writes beside its config; `saved.json` says how far it was saved, so that a loss is seen"""


def holds_work(folder: Path) -> bool:
    """Whether anything was recorded there, a row or more."""
    rows = folder / RECORDS
    others = (CHECKPOINTS, ARRAYS, SAVED, BLOCKS)
    return (rows.exists() and rows.stat().st_size > 0) or any((folder / name).exists() for name in others)


def note_saved(folder: Path, step: int, extra: dict[str, Any], arrays: dict[str, str], *, finished: bool) -> None:
    """Writes `saved.json`, after the checkpoint that it speaks of; `arrays` are digests of newly kept ones."""
    still = {name: digest for name, digest in _sealed_arrays(folder).items() if (folder / ARRAYS / name).exists()}
    saved = {"step": step, "rows": extra["rows"], "digest": extra["digest"], "finished": finished}
    write_json(folder / SAVED, saved | {"arrays": still | arrays})


def check_arrays(folder: Path, digests: dict[str, str], where: str = "report") -> None:
    """Raises `ValueError` for the first kept array that is missing or not as its digest says."""
    for name in _damaged(folder, digests):
        raise ValueError(
            f"{where}: {folder / ARRAYS / name} is missing or not as the run wrote it; put it back, or delete {folder} "
            "and run with --resume, which computes this arm again"
        )


def _damaged(folder: Path, digests: dict[str, str]) -> list[str]:
    paths = {name: folder / ARRAYS / name for name in digests}
    return [name for name, path in paths.items() if not path.exists() or digest_of(path) != digests[name]]


def _sealed_arrays(folder: Path) -> dict[str, str]:
    """The digests that `saved.json` has; none where it is missing or damaged."""
    try:
        return {str(name): str(digest) for name, digest in read_json(folder / SAVED)["arrays"].items()}
    except (OSError, ValueError, LookupError, AttributeError):
        return {}  # a run that has just begun, or was begun by an earlier version


def newest(folder: Path, checkpoints: Checkpoints) -> tuple[int, dict[str, Any]] | None:
    """The newest usable checkpoint as (step, extra); None for a run that starts over, of which nothing was saved.

    Usable is one that is intact and whose rows and kept arrays are. Where there was one and none is usable, what is
    there is moved into a folder `set-aside-1` (2, ...), so that nothing new is mistaken for it or removed with it.
    Raises `ValueError`
    where rows are there and the checkpoints are gone: those rows would be lost; and where a kept array is damaged and
    no checkpoint from before it is there.
    """
    read = read_intact(folder / RECORDS)
    digests = _sealed_arrays(folder)
    damaged = {name: step_of(name) for name in _damaged(folder, digests)}
    for_arrays = []

    def fault(step: int, extra: dict[str, Any]) -> str | None:
        lost = [name for name, kept_at in damaged.items() if kept_at <= step]
        found = _fault(read, step, extra)
        if found is None and lost:
            for_arrays.append(lost[0])
            return f"{ARRAYS}/{lost[0]} is missing or not as the run wrote it"
        return found

    found = checkpoints.latest(fault)
    if found is not None:
        return found
    if for_arrays:
        check_arrays(folder, {for_arrays[0]: digests[for_arrays[0]]}, "run")
    was_saved = (folder / SAVED).exists()
    if not checkpoints.steps():
        sealed = any(read.digests)  # of older rows nobody knows whether they were saved
        if read.rows and (was_saved or not sealed):
            raise ValueError(
                f"run: {folder / RECORDS} has rows up to step {read.rows[-1].get('step')}, but {folder / CHECKPOINTS} "
                f"holds no checkpoint to go on from; put the checkpoints back, or move {RECORDS} away to train from "
                "the beginning"
            )
    elif was_saved or checkpoints.any_complete():
        _warn_of(_set_aside(folder))
    return None


def begin_over(folder: Path) -> None:
    """Sets aside the rows of trials without steps of which `blocks.json` is gone."""
    if not (folder / BLOCKS).exists() and read_intact(folder / RECORDS).rows:
        _warn_of(_set_aside(folder))


def _warn_of(place: Path) -> None:
    text = f"{place.parent} starts over; what it had is in {place.name}/"
    warnings.warn(text, RuntimeWarning, stacklevel=3)


def _fault(read: Intact, step: int, extra: dict[str, Any]) -> str | None:
    """What the rows of a checkpoint lack, None if nothing."""
    wanted = extra["rows"]
    there = sum(row["step"] <= step for row in read.rows)
    if there == wanted and (not there or extra.get("digest", "") in ("", read.digests[there - 1])):
        return None
    where = "" if read.fault is None else f" ({read.fault})"
    return f"{RECORDS} has {there} of its {wanted} rows{where}"


def _set_aside(folder: Path) -> Path:
    number = 1
    while (folder / f"set-aside-{number}").exists():
        number += 1
    place = folder / f"set-aside-{number}"
    place.mkdir()
    for name in (CHECKPOINTS, RECORDS, ARRAYS, SAVED):
        if (folder / name).exists():
            (folder / name).rename(place / name)
    return place


def finished_rows(folder: Path, num_steps: int, total: int, stopped: tuple[Any, Any] | None = None) -> list[Row]:
    """The rows of a run of `total` trials that is finished, all of them as they were written.

    `stopped` is (stopped_at [T], failed_at [T]) of a study that may stop early. Rows without digests, which earlier
    versions wrote, are told in a warning: nobody can see a change in them. Raises `ValueError` for rows that are
    changed or missing, naming the file and the way out.
    """
    rows = read_rows(folder / RECORDS)
    again = "put the file back, or run with --resume"
    if any(row["kind"] == "trial" for row in rows) or (folder / BLOCKS).exists():
        done = read_done(folder)
        check_arrays(folder, (done or {}).get("sealed", {}))
        there = [row for row in rows if row["kind"] == "trial"][: None if done is None else done["done"]]
        if len(there) != total:
            raise ValueError(f"report: {folder / RECORDS} has {len(there)} of {total} trials; {again}")
        sealed = done is not None
    else:
        there, sealed = rows, _check_end(folder, num_steps, stopped, again)
    if not sealed:
        warnings.warn(
            f"report: {folder / RECORDS} has no digests (an earlier version wrote it); a change in it cannot be seen",
            RuntimeWarning,
            stacklevel=3,
        )
    return there


def _check_end(folder: Path, num_steps: int, stopped: tuple[Any, Any] | None, again: str) -> bool:
    """Refuses rows that end too early; returns whether they have digests."""
    rows, digests, _ = read_intact(folder / RECORDS)
    if (folder / SAVED).exists():
        with naming_damage(folder / SAVED, "delete it"):
            saved = read_json(folder / SAVED)
            wanted, digest, finished = int(saved["rows"]), str(saved["digest"]), bool(saved["finished"])
            arrays = dict(saved.get("arrays", {}))
        check_arrays(folder, arrays)
        if len(rows) < wanted or (wanted and digests[wanted - 1] != digest):
            raise ValueError(
                f"report: {folder / RECORDS} has {len(rows)} rows, wanted the {wanted} that were saved; {again}"
            )
        if finished:
            return True
    last = max((row["step"] for row in rows if row["kind"] == "eval"), default=-1)
    early = stopped is not None and all((stopped[0] > 0) | (stopped[1] > 0)) and last >= max(stopped[0])
    if last != num_steps and not early:
        raise ValueError(
            f"report: {folder / RECORDS} has its last evaluation at step {last}, wanted it at {num_steps}; {again}"
        )
    return any(digests)
