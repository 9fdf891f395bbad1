"""Asks for a stop without losing work: SIGTERM and SIGINT are remembered until the next boundary."""

import signal
import threading
from types import FrameType

import jax
import numpy as np

EXIT_INTERRUPTED = 75
"""Exit code after an interruption that was saved (the shell's EX_TEMPFAIL: run again, with --resume)."""


class Interrupted(SystemExit):
    """Raised by `run` after it saved at a chunk or block boundary because of a signal; exits with code 75.

    `step`: the step it saved, or how many trials are done where trials have no steps; then `trials` is their number.
    """

    def __init__(self, step: int, saved: bool, trials: int | None = None) -> None:
        super().__init__(EXIT_INTERRUPTED)
        self.step, self.saved, self.trials = step, saved, trials

    def __str__(self) -> str:
        what = "saved; continue with --resume" if self.saved else "nothing saved (no workdir)"
        where = f"at step {self.step}" if self.trials is None else f"after {self.step} of {self.trials} trials"
        return f"interrupted {where}: {what}"


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
