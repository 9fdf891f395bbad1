"""Perturbations of single weights: windows redrawn or reordered, shrunk and noisy ones, whole layers reset."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_between, check_choice, check_nonnegative, concrete
from identax.transforms._layout import LAYOUTS, check_perturbation, check_strength
from identax.transforms.perturbation import Acting, Perturbation, leafwise, perturbation
from identax.transforms.selection import select
from identax.transforms.touch import warn_idle
from identax.transforms.weight_windows import REINITIALISE_MODES, SHUFFLE_MODES, kept_units, redraw, reorder

Strength = ArrayLike | Callable[[Any], Any]
"""a number, traced or not, or a schedule: a function of the number of updates before"""
KERNELS = select("kernel")


def reinitialise_weights(
    p: Strength,
    c: ArrayLike,
    *,
    mode: str = "intended",
    layout: str = "in_out",
    bound: ArrayLike | None = None,
    skip_last: bool = False,
    max_c: ArrayLike | None = None,
    key: Any = 0,
    every: int = 1,
    on: Any = KERNELS,
) -> Perturbation:
    """`reinitialise` of every chosen leaf, by default the kernels, after every update.

    `p` may be a schedule; `max_c` is c itself where that is known, else 1. The other arguments are those of
    `reinitialise` and `perturbation`. Raises `ValueError` as they do.
    """
    check_choice("reinitialise_weights", "mode", mode, REINITIALISE_MODES)
    window: Any = {"max_c": max_c, "layout": layout, "skip_last": skip_last}
    return _windowed(
        "reinitialise_weights", redraw, p, c, mode=mode, bound=bound, key=key, every=every, on=on, **window
    )


def shuffle_weights(
    p: Strength,
    c: ArrayLike,
    *,
    mode: str = "permute",
    layout: str = "in_out",
    skip_last: bool = False,
    max_c: ArrayLike | None = None,
    key: Any = 0,
    every: int = 1,
    on: Any = KERNELS,
) -> Perturbation:
    """`shuffle` of every chosen leaf, by default the kernels, after every update.

    Arguments and errors as in `reinitialise_weights`. Warns at `init` of leaves whose windows never hold two weights.
    """
    check_choice("shuffle_weights", "mode", mode, SHUFFLE_MODES)
    window: Any = {"max_c": max_c, "layout": layout, "skip_last": skip_last}
    return _windowed("shuffle_weights", reorder, p, c, mode=mode, key=key, every=every, on=on, **window)


def shrink_and_perturb(
    shrink: ArrayLike, sigma: ArrayLike, *, key: Any = 0, every: int = 1, on: Any = None
) -> Perturbation:
    """w <- shrink w + N(0, sigma^2) for every chosen leaf, by default all, biases too.

    Once per warm start with shrink .3 and sigma .01 (Ash & Adams 2020: their `apply`, between two phases), or after
    every update with shrink near 1 (Dohare et al. 2024 shrink by weight decay instead: shrink 1 and
    `optax.add_decayed_weights`). sigma is a standard deviation. No entry counts as replaced.
    Raises `ValueError` for shrink outside [0, 1], a negative sigma, and as `perturbation` does.
    """
    check_between("shrink_and_perturb", "shrink", shrink, 0, 1, ())
    check_nonnegative("shrink_and_perturb", "sigma", sigma, ())

    def change(key, leaf, count):
        del count
        noise = jax.random.normal(key, leaf.shape, leaf.dtype)
        return jnp.asarray(shrink, leaf.dtype) * leaf + jnp.asarray(sigma, leaf.dtype) * noise

    return perturbation(Acting(leafwise(change, continues=True)), key=key, every=every, on=on)


def glorot_uniform(key: Any, shape: Any, dtype: Any = jnp.float32) -> Any:
    """U(-b, b) with b = sqrt(6 / (fan-in + fan-out)), kernels [..., in, out]; of a vector both are its length.

    As Keras draws it, whose rule for vectors `jax.nn.initializers` lack. Source: Glorot & Bengio 2010.
    """
    ahead = math.prod(shape[:-2])
    fan_in, fan_out = (shape[-1], shape[-1]) if len(shape) < 2 else (ahead * shape[-2], ahead * shape[-1])
    bound = math.sqrt(6 / (fan_in + fan_out))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def reset_weights(
    p: Strength, *, initializer: Callable[..., Any] = glorot_uniform, every: int, key: Any = 0, on: Any = None
) -> Perturbation:
    """Every entry of the chosen leaves, kernels and biases, drawn anew with probability p after `every` updates.

    `initializer(key, shape, dtype)` is called with the shape of the whole leaf; layers with different ones are
    different perturbations. Published once an epoch: `every` is the number of updates of one.
    Raises `ValueError` for p outside [0, 1], and as `perturbation` does.
    Source: Plusch et al. 2023 (Weights Reset).
    """
    check_strength("reset_weights", 0.0 if callable(p) else p, 1.0)

    def change(key, leaf, count):
        thin_key, value_key = jax.random.split(key)
        thin = jax.random.uniform(thin_key, leaf.shape) < _at(p, count)
        return jnp.where(thin, initializer(value_key, leaf.shape, leaf.dtype), leaf)

    return perturbation(Acting(leafwise(change)), key=key, every=every, on=on)


def _windowed(where, operator, p, c, *, max_c, layout, skip_last, key, every, on, **options) -> Perturbation:
    check_strength(where, 0.0 if callable(p) else p, c)
    check_choice(where, "layout", layout, LAYOUTS)
    known = concrete(c)
    largest = max_c if max_c is not None else 1.0 if known is None else float(known)

    def planned(leaf, units, count):
        strength = _at(p, count)
        check_perturbation(where, leaf, strength, c, largest, layout)
        if units is not None and layout != "in_out":
            raise ValueError(f"{where}: found layout={layout!r}, wanted 'in_out' for gates along the last axis")
        kept = kept_units(where, leaf.shape, layout, skip_last, units)
        first, number = kept
        plan, rest = operator(leaf, c, number, layout=layout, max_c=largest, **options)
        return plan, first, (strength, *rest)

    def remember(leaves):
        if operator is reorder:
            axis = -1 if layout == "in_out" else 0
            shapes = {name: list(leaf.shape) for name, leaf in leaves.items()}
            for shape in shapes.values():
                shape[axis] -= skip_last
            warn_idle(where, shapes, c, layout)
        return ()

    return perturbation(Acting(within=planned, remember=remember), key=key, every=every, on=on)


def _at(p: Any, count: Any) -> Any:
    return p(count) if callable(p) else p
