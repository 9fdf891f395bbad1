"""Standard streams that never end a program: closed, full, or without the characters that it prints."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

PLAIN = str.maketrans(
    {"±": "+-", "✓": "", "✗": "", "≥": ">=", "≤": "<=", "…": "...", "—": "-", "·": "*", "−": "-", "×": "x"}
)
"""for terminals and files that know ASCII only; any other character becomes a question mark"""


class Steady:
    """A text stream that plays `stream`, in plain characters where it knows no others, until it breaks; then nothing.

    What a run measured lies in its folder; that nobody reads its table is no reason to end it otherwise. `on_break`
    hears of the first `OSError` (a closed pipe, a full disk).
    """

    def __init__(self, stream: Any, on_break: Any = lambda error: None) -> None:
        self._stream, self._on_break = stream, on_break
        self._broken = stream is None

    def write(self, text: str) -> int:
        """Writes what can be written; raises nothing."""
        if not self._broken:
            with self._guarded():
                try:
                    self._stream.write(text)
                except UnicodeEncodeError as error:
                    self._stream.write(text.translate(PLAIN).encode(error.encoding, "replace").decode(error.encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hands on what waits; raises nothing."""
        if not self._broken:
            with self._guarded():
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person sees it."""
        return not self._broken and self._stream.isatty()

    @property
    def encoding(self) -> str:
        """The stream's own; UTF-8 where it says none."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a closed file
            self._broken = True
            if self._stream in (sys.__stdout__, sys.__stderr__):
                _discard(self._stream)
            self._on_break(error)


def _discard(stream: Any) -> None:
    """Python flushes its streams at the end, and would end with 120 if that failed."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """stdout and stderr are steady inside; a full disk behind stdout is said on stderr, a reader that left is not."""

    def told(error: Exception) -> None:
        if not isinstance(error, BrokenPipeError):
            print(f"stdout: {error}; going on without it", file=sys.stderr)

    before = sys.stdout, sys.stderr
    sys.stderr = Steady(sys.stderr)
    sys.stdout = Steady(sys.stdout, told)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def open_all() -> None:
    """Opens what was closed before this process began, before another file gets its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
