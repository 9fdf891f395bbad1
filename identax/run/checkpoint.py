"""Checkpoints of a whole trial-batched state: Orbax v1, verified by checksums, keep-last-n."""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from identax.run.records import write_json

_MANIFEST = "manifest.json"


class Checkpoints:
    """The numbered checkpoints of one run directory.

    `<directory>/<step>/tree/` is Orbax's; `<directory>/<step>/manifest.json` is written last and holds a SHA-256
    of every file. A step without a manifest, or whose files do not match it, is not a checkpoint.
    """

    def __init__(self, directory: Path, *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"Checkpoints: found keep={keep}, wanted at least 1")
        self._directory = directory
        self._keep = keep

    def steps(self) -> list[int]:
        """Steps that have a folder, newest first, complete or not."""
        if not self._directory.exists():
            return []
        return sorted((int(p.name) for p in self._directory.iterdir() if p.name.isdigit()), reverse=True)

    def save(self, step: int, tree: Any, extra: dict[str, Any]) -> None:
        """Saves `tree` (arrays) and `extra` (JSON) under `step`, then removes all but the newest `keep`."""
        folder = self._directory / str(step)
        if jax.process_index() == 0:
            shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed while saving
            folder.mkdir(parents=True)
        _barrier(f"identax-save-{step}")
        ocp.save(folder / "tree", tree)
        if jax.process_index() == 0:
            write_json(folder / _MANIFEST, {"step": step, "extra": extra, "sha256": _digests(folder)})
            for old in self.steps()[self._keep :]:
                shutil.rmtree(self._directory / str(old))
        _barrier(f"identax-saved-{step}")

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """Newest intact checkpoint as (step, extra); warns about every newer one that is not. None if there is none."""
        for step in self.steps():
            fault = self._fault(step)
            if fault is None:
                return step, json.loads((self._directory / str(step) / _MANIFEST).read_text())["extra"]
            warnings.warn(f"checkpoint {step} is unusable ({fault}); using the one before it", stacklevel=2)
        return None

    def restore(self, step: int, abstract: Any) -> Any:
        """Loads checkpoint `step` into the shapes, dtypes and shardings of `abstract`."""
        return ocp.load(self._directory / str(step) / "tree", abstract)

    def discard_after(self, step: int) -> None:
        """Removes checkpoints newer than `step`: a resumed run writes those steps again."""
        if jax.process_index() == 0:
            for newer in [s for s in self.steps() if s > step]:
                shutil.rmtree(self._directory / str(newer))

    def _fault(self, step: int) -> str | None:
        folder = self._directory / str(step)
        try:
            wanted = json.loads((folder / _MANIFEST).read_text())["sha256"]
        except FileNotFoundError:
            return "saving was not finished"
        except (ValueError, KeyError):
            return f"{_MANIFEST} is damaged"
        found = _digests(folder)
        damaged = sorted(name for name in wanted if found.get(name) != wanted[name])
        return f"{damaged[0]} is missing or damaged" if damaged else None


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != _MANIFEST)
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def disk_space_needed(tree: Any, keep: int) -> int:
    """Bytes that `keep` + 1 checkpoints of `tree` take (the newest is complete before the oldest goes)."""
    return (keep + 1) * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def free_disk_space(directory: Path) -> int:
    """Bytes free where `directory` is."""
    stats = os.statvfs(directory)
    return stats.f_bavail * stats.f_frsize
