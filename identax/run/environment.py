"""Where a run took place, the flag that keeps the CPU backend from hanging, and the compilation cache."""

import datetime
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax

from identax.cache_folder import cache_folder

CACHE_VARIABLE = "IDENTAX_COMPILATION_CACHE"
_OFF = {"off", "0", "false", "no", "none"}
_PACKAGES = ("identax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_MIN_COMPILE_SECONDS = 0.5
SCHEDULER = "xla_cpu_enable_concurrency_optimized_scheduler"
# An unknown word in XLA_FLAGS ends the process, so only versions of jaxlib that were seen to know it get it.
_KNOWN_SINCE, _KNOWN_UNTIL = (0, 10, 0), (0, 12, 0, 1)
_SAFE_SINCE = (0, 11, 2)
_warned = False


def describe_environment() -> dict[str, Any]:
    """Says what a run ran on, as a JSON-able dict without paths, host or user names.

    Keys: `time_utc` (ISO 8601), `python`, `packages` (name -> version or None), `platform`, `cpu_count`,
    `backend`, `devices` (kind -> count, over all processes), `process_count`, `x64`, `matmul_precision`,
    `commit` (of the source tree, None for an installed copy or without git), `dirty` (tracked files differ
    from that commit; None when there is no commit).
    """
    kinds = [device.device_kind for device in jax.devices()]
    commit, dirty = _commit_of_this_process()
    return {
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "process_count": jax.process_count(),
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
        "matmul_precision": jax.config.jax_default_matmul_precision,  # pyright: ignore[reportAttributeAccessIssue]
        "commit": commit,
        "dirty": dirty,
    }


def avoid_cpu_hang(*, warn: bool = True) -> None:
    """Switches off XLA's CPU scheduler for independent operations, with which programs can stop for ever.

    Adds `--xla_cpu_enable_concurrency_optimized_scheduler=false` to XLA_FLAGS, unless they name that flag (the user's
    value wins), JAX was told to use other platforms only, or this jaxlib is newer than those known to have the flag.
    The flags are read when the first device is asked for, so this has to come earlier; importing `identax.run` does
    it. Afterwards nothing can be done: with `warn`, that is one `RuntimeWarning` per process, on a CPU with jaxlib
    older than 0.11.2. Backends of other platforms know the flag and ignore it. `docs/reliability.md` has the counts.
    """
    global _warned
    flags, jaxlib = os.environ.get("XLA_FLAGS", ""), _version("jaxlib") or ""
    version = _numbers(jaxlib)
    if SCHEDULER in flags or not _KNOWN_SINCE <= version <= _KNOWN_UNTIL:
        return
    if not _backend_runs():
        platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        if not platforms or "cpu" in platforms.split(","):
            os.environ["XLA_FLAGS"] = f"{flags} --{SCHEDULER}=false".strip()
    elif warn and not _warned and version < _SAFE_SINCE and jax.default_backend() == "cpu":
        _warned = True
        warnings.warn(
            f"JAX's CPU backend was started before identax.run was imported, and jaxlib {jaxlib} can stop "
            f"for ever: import identax.run before the first array is made, or set XLA_FLAGS=--{SCHEDULER}=false",
            RuntimeWarning,
            stacklevel=3,
        )


def _backend_runs() -> bool:
    """Says whether a device has been asked for in this process: JAX then refuses to change this setting."""
    name = "jax_cpu_get_local_topology_timeout_minutes"
    before = getattr(jax.config, name)
    try:
        jax.config.update(name, before + 1)
    except RuntimeError:
        return True
    jax.config.update(name, before)
    return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def enable_compilation_cache(directory: str | os.PathLike | None = None) -> Path | None:
    """Turns on JAX's persistent compilation cache for programs that take >= 0.5 s to compile.

    Where it lies, first match wins:
    1. nowhere, if the environment variable IDENTAX_COMPILATION_CACHE is `off` (or 0, false, no, none);
    2. where JAX was told already (`jax_compilation_cache_dir`, JAX_COMPILATION_CACHE_DIR): all left as it is;
    3. `directory`; 4. the path in IDENTAX_COMPILATION_CACHE;
    5. `$XDG_CACHE_HOME/identax/jax`, by default `~/.cache/identax/jax`.
    Returns the directory in use, or None when off. A directory that cannot be written is a `RuntimeWarning`
    and the run goes on without a cache. The cache may be shared by different machines: JAX's key holds
    the processor's instruction set, the compiler's version and its flags.
    """
    setting = os.environ.get(CACHE_VARIABLE, "").strip()
    if setting.lower() in _OFF:
        return None
    chosen_before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if chosen_before:
        return Path(chosen_before)
    try:
        path = Path(directory or setting or cache_folder() / "jax").expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        warnings.warn(
            f"compilation cache: {error}; going on without it. Set {CACHE_VARIABLE} to a writable directory, or to off",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS)
    return path


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _commit_of_this_process() -> tuple[str | None, bool | None]:
    # Once: what runs is what was imported, and an experiment asks for every arm.
    return _source_commit()


def _source_commit() -> tuple[str | None, bool | None]:
    """The commit of the tree this file is tracked in; a copy inside somebody else's repository has none."""
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None, None
    commit = _git(here.parent, "rev-parse", "HEAD")
    status = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return commit, None if commit is None or status is None else bool(status)


def _git(directory: Path, *arguments: str) -> str | None:
    # Inside a git hook GIT_DIR and its like would answer for another repository.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=directory, env=variables, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
