"""Where the norms of a transformer's block stand."""

from collections.abc import Callable
from typing import Any

PLACES = ("post", "pre")
"""behind the sums, as published, or before attention and feed-forward"""


def placed(norm: str, x: Any, attended: Callable, forward: Callable, normed: Callable) -> Any:
    """A block of its parts; `normed(x, name)` is the norm "norm1" or "norm2"."""
    if norm == "post":
        x = normed(x + attended(x), "norm1")
        return normed(x + forward(x), "norm2")
    x = x + attended(normed(x, "norm1"))
    return x + forward(normed(x, "norm2"))
