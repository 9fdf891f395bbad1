"""Which errors refuse what was given, and which nobody foresaw.

Both are often a `ValueError`: ours says what was found and what was wanted, that of NumPy, JAX or Python itself says
what went wrong inside. What raised it tells them apart: a `raise` in code that is no library's is a refusal, that of
the user's own experiment too.
"""

import dis
import sysconfig
from pathlib import Path
from types import TracebackType

_RAISES = dis.opmap["RAISE_VARARGS"]
_LIBRARIES = {"site-packages", "dist-packages"}
_STANDARD = Path(sysconfig.get_path("stdlib"))
_OURS = ("identax", "experiments")


class Unforeseen(ValueError):
    """Raised on every process for a `ValueError` of one of them that was no refusal."""


def is_refusal(error: BaseException) -> bool:
    """Whether this `ValueError` was raised to refuse something: by a `raise` of ours or of a user's code.

    False for what a library raised, and for what Python or compiled code raised in a line of ours: `int("x")`. JAX
    takes its own frames out of a traceback, so that the file alone would not tell.
    """
    last = error.__traceback__
    if isinstance(error, Unforeseen) or last is None:
        return not isinstance(error, Unforeseen)
    while last.tb_next is not None:
        last = last.tb_next
    return _raises(last) and not _of_a_library(last)


def _raises(traceback: TracebackType) -> bool:
    """Whether the instruction it ended at is a `raise`, not a call into what has no frames."""
    return traceback.tb_frame.f_code.co_code[traceback.tb_lasti] == _RAISES


def _of_a_library(traceback: TracebackType) -> bool:
    frame = traceback.tb_frame
    if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _OURS:
        return False  # installed, we lie among the libraries
    file = Path(frame.f_code.co_filename)
    return bool(_LIBRARIES & set(file.parts)) or file.is_relative_to(_STANDARD) or str(file).startswith("<frozen")
