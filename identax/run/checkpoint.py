"""Checkpoints of a whole trial-batched state: Orbax v1, verified by checksums, keep-last-n."""

import hashlib
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable
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
        found = [path for path in self._directory.iterdir() if path.name.isdecimal() and path.is_dir()]
        return sorted((int(path.name) for path in found), reverse=True)

    def any_complete(self) -> bool:
        """Whether one was ever saved to the end, damaged since or not."""
        return any((self._directory / str(step) / _MANIFEST).exists() for step in self.steps())

    def save(self, step: int, tree: Any, extra: dict[str, Any]) -> None:
        """Saves `tree` (arrays) and `extra` (JSON) under `step`, then removes those before it but for `keep` - 1."""
        folder = self._directory / str(step)
        if jax.process_index() == 0:
            shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed while saving
            folder.mkdir(parents=True)
        _barrier(f"identax-save-{step}")
        ocp.save(str(folder / "tree"), tree)
        if jax.process_index() == 0:
            digests = _digests(folder)
            manifest = {"extra": extra, "sha256": digests, "own_sha256": _seal(step, extra, digests)}
            write_json(folder / _MANIFEST, manifest)
            for old in [found for found in self.steps() if found < step][self._keep - 1 :]:
                shutil.rmtree(self._directory / str(old))
        _barrier(f"identax-saved-{step}")

    def latest(
        self, fault_of: Callable[[int, dict[str, Any]], str | None] = lambda step, extra: None
    ) -> tuple[int, dict[str, Any]] | None:
        """Newest usable checkpoint as (step, extra), None if there is none.

        Unusable is one that is not intact, or of which `fault_of(step, extra)` says what it lacks; each is
        named in a warning.
        """
        steps = self.steps()
        for step, older in itertools.zip_longest(steps, steps[1:]):
            fault, extra = self._fault(step)
            fault = fault or fault_of(step, extra)
            if fault is None:
                return step, extra
            instead = "starting from the beginning" if older is None else f"trying checkpoint {older}"
            warnings.warn(f"checkpoint {step} is unusable: {fault}; {instead}", RuntimeWarning, stacklevel=2)
        return None

    def restore(self, step: int, abstract: Any) -> Any:
        """Loads checkpoint `step` into the shapes, dtypes and shardings of `abstract`."""
        tree = ocp.load(str(self._directory / str(step) / "tree"), abstract)
        # Orbax may spell an equivalent sharding another way, and programs are cached by its spelling.
        return jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), tree, abstract)

    def discard_after(self, step: int) -> None:
        """Removes checkpoints newer than `step`: a resumed run writes those steps again."""
        if jax.process_index() == 0:
            for newer in [s for s in self.steps() if s > step]:
                shutil.rmtree(self._directory / str(newer))

    def _fault(self, step: int) -> tuple[str | None, dict[str, Any]]:
        folder = self._directory / str(step)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            wanted, extra, own = manifest["sha256"], manifest["extra"], manifest["own_sha256"]
        except FileNotFoundError:
            return "it was not saved to the end", {}
        except (ValueError, KeyError, TypeError, RecursionError, OSError):
            return f"{_MANIFEST} is damaged", {}
        if own != _seal(step, extra, wanted):
            return f"{_MANIFEST} is damaged", {}
        found = _digests(folder)
        damaged = sorted(name for name in wanted if found.get(name) != wanted[name])
        return (f"{damaged[0]} is missing or damaged" if damaged else None), extra


def _seal(step: int, extra: dict[str, Any], digests: dict[str, str]) -> str:
    """The manifest's own checksum; it also ties the folder to its step."""
    content = json.dumps([step, extra, digests], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


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
