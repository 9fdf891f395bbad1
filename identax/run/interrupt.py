"""Asks for a stop without losing work: SIGTERM and SIGINT are remembered until the next boundary."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

import jax
import numpy as np

EXIT_INTERRUPTED = 75
"""Exit code after an interruption that was saved (the shell's EX_TEMPFAIL: run again, with --resume)."""


class Interrupted(SystemExit):
    """Raised at a boundary, with everything saved, because of a signal; exits with code 75.

    `step`: the step it saved, or how many trials are done where trials have no steps; then `trials` is their number.
    `where`: in words, where that is neither.
    """

    def __init__(self, step: int, saved: bool, trials: int | None = None, where: str | None = None) -> None:
        super().__init__(EXIT_INTERRUPTED)
        self.step, self.saved, self.trials = step, saved, trials
        steps = f"at step {step}" if trials is None else f"after {step} of {trials} trials"
        self.where = steps if where is None else where

    def __str__(self) -> str:
        what = "saved; continue with --resume (resume=True)" if self.saved else "nothing saved (no workdir)"
        return f"interrupted {self.where}: {what}"


class StopRequest:
    """Context manager that turns SIGTERM/SIGINT into a flag, for as long as the outermost one is open.

    One inside another is the other: an experiment holds it over all its arms, the command line over everything, and a
    signal between two of them stays known. Only the main thread can take signals; elsewhere nobody asks, unless the
    main thread holds one. Leaving the outermost gives the handlers back, and raises `Interrupted` for a signal that
    nothing has answered.

    `tell()` is called when a stop is asked for. `at_once(number)` is what a second signal does; by default it
    interrupts at once.
    """

    _active: ClassVar["StopRequest | None"] = None

    def __init__(self, *, tell: Callable[[], Any] | None = None, at_once: Callable[[int], Any] | None = None) -> None:
        self._asked = False
        self._outer: StopRequest | None = None
        self._own, self._at_once = tell, at_once
        self._tell = [] if tell is None else [tell]
        self._previous: dict[int, Any] = {}
        self._last = Interrupted(0, saved=False, where="before anything was started")

    def __enter__(self) -> "StopRequest":
        self._outer = StopRequest._active
        if self._outer is not None:
            self._outer._add(self._own)
            return self._outer
        if threading.current_thread() is threading.main_thread():
            StopRequest._active = self
            self.listen()
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        if self._outer is not None:
            if self._own is not None:
                self._outer._tell.remove(self._own)
            return
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if StopRequest._active is self:
            StopRequest._active = None
        if self._asked and error_type is None:  # it came after the last boundary
            raise self._last

    def listen(self) -> None:
        """Takes the signals; again, after something else took them (`jax.distributed.initialize` does)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.signal(number, self._remember)
            self._previous.setdefault(number, before)

    def _add(self, tell: Callable[[], Any] | None) -> None:
        if tell is not None:
            self._tell.append(tell)
            if self._asked:
                tell()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if not self._asked:
            self._asked = True
            for tell in list(self._tell):
                tell()
        elif self._at_once is None:
            raise KeyboardInterrupt(f"second signal {signal.Signals(number).name}")
        else:
            self._at_once(number)

    def asked(self) -> bool:
        """Whether any process was asked to stop; every process gets the same answer."""
        if jax.process_count() == 1:
            return self._asked
        from jax.experimental import multihost_utils

        return bool(multihost_utils.process_allgather(np.array([self._asked]), tiled=True).any())

    def answer(self, step: int = 0, *, saved: bool, trials: int | None = None, where: str | None = None) -> None:
        """Raises `Interrupted` if any process was asked to stop; to be called by all, where everything is saved."""
        self._last = Interrupted(step, saved, trials, where)
        if self.asked():
            raise self._last
