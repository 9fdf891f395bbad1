"""Asks for a stop without losing work: SIGTERM and SIGINT are remembered until the next chunk boundary."""

import signal
import threading
from types import FrameType

import jax
import numpy as np

EXIT_INTERRUPTED = 75
"""Exit code after an interruption that was saved (the shell's EX_TEMPFAIL: run again, with --resume)."""


class Interrupted(SystemExit):
    """Raised by `run` after it saved at a chunk boundary because of a signal; exits with code 75."""

    def __init__(self, step: int, saved: bool) -> None:
        super().__init__(EXIT_INTERRUPTED)
        self.step, self.saved = step, saved

    def __str__(self) -> str:
        what = "saved; continue with --resume" if self.saved else "nothing saved (no workdir)"
        return f"interrupted at step {self.step}: {what}"


class StopRequest:
    """Context manager that turns SIGTERM/SIGINT into a flag; a second signal interrupts at once."""

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt(f"second signal {signal.Signals(number).name}")
        self._asked = True

    def asked(self) -> bool:
        """Whether any process was asked to stop; every process gets the same answer."""
        if jax.process_count() == 1:
            return self._asked
        from jax.experimental import multihost_utils

        return bool(multihost_utils.process_allgather(np.array([self._asked]), tiled=True).any())
