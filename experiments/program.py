"""The process around the command line: signals before there is a run, a second signal, and its end.

`identax.run.interrupt` answers a signal at the next boundary, but it comes with JAX, which takes seconds to import; and
Python's handlers wait for the main thread, which may be in the compiler for minutes. So signals are taken here before
anything is imported, and a thread hears of them at once (`signal.set_wakeup_fd`).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from experiments.streams import open_all

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_INTERRUPTED = 75  # that of identax.run.interrupt, which is not imported yet
TWICE = 0.2
"""seconds within which a second signal is the first one again: `timeout` sends it to the process and to its group; less
than that is what a loaded machine takes to hear both"""

children: set[subprocess.Popen] = set()
"""processes of this one that a second signal ends too"""
_listening = False
_aborting: Any = None  # kept alive: C code calls it


def listen() -> None:
    """Takes the signals of this process from now on; for `__main__`, first of all."""
    global _listening
    _listening = True
    open_all()
    if "--distributed" in sys.argv:  # read when JAX is imported; 4: its C++ code prints nothing, fatal errors included
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # JAX's default, which its children inherit
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "4"
    for number in SIGNALS:
        signal.signal(number, _before_the_start)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_count, args=(reading,), name="identax-signals", daemon=True).start()


def at_once() -> Callable[[int], None] | None:
    """What `StopRequest` leaves to this module: a second signal, where this process listens for it."""
    return (lambda number: None) if _listening else None


def finish(code: int) -> NoReturn:
    """Ends the process with `code`, which no signal changes any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def on_abort(act: Callable[[], None]) -> None:
    """Calls `act()`, which has to end the process, where C++ code aborts it: JAX does when its heartbeat finds nobody.

    Python's own handlers run too late for that. Called from the thread that aborts.
    """
    global _aborting
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    _aborting = kind(lambda number: act())
    take = ctypes.CDLL(None).signal
    take.argtypes, take.restype = [ctypes.c_int, kind], ctypes.c_void_p
    take(signal.SIGABRT, _aborting)


def end(code: int) -> NoReturn:
    """Ends the process from any thread, without waiting for anybody."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _before_the_start(number: int, frame: FrameType | None) -> None:
    _last_words(f"interrupted by {signal.Signals(number).name} before anything was started: give the command again")
    os._exit(EXIT_INTERRUPTED)


def _count(reading: int) -> None:
    """Waits for a second signal. JAX compiles and waits for devices without holding the interpreter's lock."""
    first = None
    while True:
        for number in os.read(reading, 64):
            if number not in SIGNALS:
                continue
            now = time.monotonic()
            if first is None:
                first = now
            elif now - first > TWICE:
                _end_at_once(number)


def _end_at_once(number: int) -> None:
    """As if killed, which costs what was done since the last checkpoint or block."""
    for process in list(children):
        process.kill()
    cursor = "\x1b[?25h\n" if os.isatty(2) else ""  # a live display hides it
    _last_words(f"{cursor}ended at once by a second {signal.Signals(number).name}; what was saved before is intact")
    os._exit(128 + number)


def _last_words(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())
