"""The folder of a run: on a file system of this machine, and one run's at a time."""

import contextlib
import fcntl
import itertools
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"
_FIRST = ("premises.json", "trials.npz")  # written before the config
_UNFINISHED = [f"{name}.tmp" for name in ("experiment.json", "config.json", *_FIRST)]
LEFT_BEHIND = frozenset([LOCK, ".write-test", *_FIRST, *_UNFINISHED])
"""names that a run may leave which was killed before it had a config: a folder with nothing else is as good as empty"""

REFUSALS = (ValueError, TypeError, ImportError)
"""what ends a run because of how it was asked for"""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path makes "gs:/b" of "gs://b"
_held: set[int] = set()  # descriptors of this process's locks
os.register_at_fork(after_in_child=lambda: _forget())


def local_folder(what: str, path: str | os.PathLike) -> Path:
    """`path` with `~` expanded. Raises `ValueError`, naming `what`, for `scheme://...` and the home of nobody."""
    if _SCHEME.match(os.fspath(path)):
        raise ValueError(
            f"{what}: found {os.fspath(path)!r}, wanted a folder of a file system of this machine (mount the bucket, "
            "or copy the folder there afterwards)"
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{what}: found {os.fspath(path)!r}: {error}") from error


def make_folder(wanted: Path) -> Path:
    """Makes the folder, or `<wanted>-2` (-3, ...) where it is there already: whoever makes one has it alone."""
    for number in itertools.count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise ValueError(f"run: cannot make the folder {path}: {error.strerror}") from error
    raise AssertionError


class Lock:
    """A lock on a folder that this process holds."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder, self._descriptor = folder, descriptor

    def check(self) -> None:
        """Raises `OSError` when the folder was deleted, moved or replaced since."""
        if not _is_at(self._descriptor, self._folder / LOCK):
            raise OSError(f"run: {self._folder} was deleted or moved while a run wrote there")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Makes the folder if need be and holds it, so that no other run writes there.

    The lock is the kernel's (`flock` on the file `.lock`), which ends with the process whatever ended that: a dead one
    never blocks (a child that it forked lets go as soon as that runs). Over NFS it holds between machines where the
    server keeps locks, which is the rule; on a file system without locks nothing is held. Raises `ValueError` naming
    host and process that hold it, and for a folder that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(folder)
    except OSError as error:
        raise ValueError(f"run: cannot write to workdir {folder}: {error.strerror}") from error
    _held.add(descriptor)
    try:
        yield Lock(folder, descriptor)
    finally:
        with contextlib.suppress(OSError):
            if _is_at(descriptor, folder / LOCK):
                (folder / LOCK).unlink()
        _held.discard(descriptor)
        os.close(descriptor)


def _taken(folder: Path) -> int:
    """Descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(folder, descriptor)
            if _is_at(descriptor, folder / LOCK):  # otherwise its holder has just removed it
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 300).decode(errors="replace") or "another process"
        raise ValueError(
            f"run: workdir {folder} is being written by {holder}; wait until that has ended, or name another folder"
        ) from error
    except OSError:
        pass  # a file system without locks


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _forget() -> None:
    """In a forked child: the lock is its parent's, and would outlive that."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()
