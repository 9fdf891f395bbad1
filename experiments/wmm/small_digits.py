"""Digits as vectors, made smaller where a quick version needs it."""

from typing import Any

import numpy as np
from jaxtyping import Float


def pooled(images: Any, factor: int) -> Float[np.ndarray, "N d"]:
    """Means of squares of factor x factor pixels of images [N, S, S], as vectors [N, (S / factor)^2].

    Raises `ValueError` for a factor that does not divide the side.
    """
    num, side = images.shape[:2]
    if factor < 1 or side % factor:
        raise ValueError(f"pooled: found factor={factor} for images of side {side}, wanted a divisor of it")
    squares = np.asarray(images, np.float32).reshape(num, side // factor, factor, side // factor, factor)
    return squares.mean(axis=(2, 4)).reshape(num, -1)
