"""Weights seen as their authors' code sees them: output units first, whatever their layout."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from identax.checks import check_between, check_choice, check_real, check_shape, concrete

LAYOUTS = ("in_out", "out_in")
"""kernels [..., in, out] as Flax has them, and [out, in, ...] as PyTorch has them"""


def output_first(w: Any, layout: str) -> Any:
    """[..., in, out] -> [out, in, ...] where that is not the layout already; vectors stay."""
    return jnp.moveaxis(w, (-1, -2), (0, 1)) if layout == "in_out" and w.ndim > 1 else w


def output_back(w: Any, layout: str) -> Any:
    """The inverse of `output_first`."""
    return jnp.moveaxis(w, (0, 1), (-1, -2)) if layout == "in_out" and w.ndim > 1 else w


def output_first_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape that `output_first` gives to one of `shape`."""
    return (shape[-1], shape[-2], *shape[:-2]) if layout == "in_out" and len(shape) > 1 else tuple(shape)


def longest_window(size: int, c: Any) -> Any:
    """max(2, floor(c size)) - 1, the largest length that is drawn on an axis of this size.

    The product is taken in the type of `c`: float64 for a number of Python. A traced or float32 `c` may lose one where
    c size is a whole number only up to rounding (0.7 x 10).
    """
    known = concrete(c)
    if known is None:
        return jnp.maximum(2, jnp.floor(c * size).astype(jnp.int32)) - 1
    return max(2, int(np.floor(known * known.dtype.type(size)))) - 1


def check_perturbation(where: str, w: Any, p: Any, c: Any, max_c: Any, layout: str) -> None:
    """Raises `ValueError` for what no window acts on: see `reinitialise` and `shuffle`."""
    check_choice(where, "layout", layout, LAYOUTS)
    if w.ndim < 1 or 0 in w.shape or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"{where}: found weights {w.dtype} of shape {w.shape}, wanted floats of one axis or more")
    check_strength(where, p, c)
    check_coverage(where, "max_c", max_c)
    known, most = concrete(c), concrete(max_c)
    if most is None:
        raise ValueError(f"{where}: found a traced max_c, wanted a number: it is the size of a buffer")
    if known is not None and known > most:
        raise ValueError(f"{where}: found c={c} above max_c={max_c}, wanted at most that")


def check_strength(where: str, p: Any, c: Any) -> None:
    """Raises `ValueError` for p outside [0, 1] and c outside (0, 1]."""
    check_between(where, "p", p, 0, 1, ())
    check_coverage(where, "c", c)


def check_coverage(where: str, name: str, c: Any) -> None:
    """Raises `ValueError` for a share of an axis outside (0, 1]."""
    check_shape(where, name, c, ())
    check_real(where, name, c)
    known = concrete(c)
    if known is not None and not 0 < known <= 1:
        raise ValueError(f"{where}: found {name}={known}, wanted a share in (0, 1]")
