"""What an error ends the process with, and the line that says it."""

from identax.run.refusals import is_refusal

EXIT_BAD_INPUT, EXIT_SOFTWARE = 2, 70
OURS = (ValueError, ImportError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""with PermissionError bad input: they say what was found and what was wanted, a `ValueError` where it is a refusal"""
_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused")


def code_of(error: Exception) -> int:
    """2 for bad input, 70 for what nobody foresaw, a `ValueError` of a library among that."""
    if isinstance(error, ValueError) and not is_refusal(error):
        return EXIT_SOFTWARE
    return EXIT_BAD_INPUT if isinstance(error, (*OURS, PermissionError)) else EXIT_SOFTWARE


def is_lost_peer(error: Exception) -> bool:
    """Whether a collective met a connection whose other end is gone, which may be known here before JAX says so."""
    text = str(error)
    return "Gloo" in text and any(words in text for words in _GONE)


def in_a_line(error: Exception) -> str:
    """What it says; of what nobody foresaw, also its kind, and how to see where it came from."""
    text = " ".join(str(error).split())
    if code_of(error) == EXIT_BAD_INPUT:
        return text
    short = text if len(text) <= 300 else f"{text[:300]}..."
    saved = "" if isinstance(error, OSError) else "; what was saved is intact"  # a folder may be gone, or its disk
    return f"{type(error).__name__}: {short} (--debug shows where{saved})"
