"""What the metrics take as samples: checked by name, a warning where there are too few, exact on the way to floats."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from identax.checks import concrete, shape_of
from identax.inputs import centred, float_type, kept, numbers, ranks

# Not narrower: arrays of NumPy and JAX, lists and pandas' tables are read, all else is refused by its name.
Samples = Any


def matrices(where: str, **arrays: Samples) -> list[Any]:
    """Returns the arrays, those of the host in NumPy, all [N, ...] with one N >= 2 and at least one dim.

    Raises `ValueError` as `numbers`, and for other shapes.
    """
    found = {name: numbers(where, name, array) for name, array in arrays.items()}
    check_samples(where, **found)
    return list(found.values())


def warn_of_few(where: str, *, fits: int = 0, stacklevel: int = 3, **arrays: Any) -> None:
    """Warns of fewer samples than dims, or no more than the `fits` coefficients per target: noise scores high then.

    Only where values are known: in a compiled program the number of samples is the program's, and nobody would read
    the warning at the call that it is about.
    """
    shapes = {name: shape_of(array) for name, array in arrays.items()}
    num, most = next(iter(shapes.values()))[0], max(shape[1] for shape in shapes.values())
    if num > max(most, fits) or any(concrete(array) is None for array in arrays.values()):
        return
    meaning = "any targets are fitted exactly, R^2 = 1 says nothing" if num <= fits else "scores are high by chance"
    warnings.warn(
        f"{where}: found {named(shapes)}, {num} samples of up to {most} dims: {meaning}; wanted more samples than "
        "dims, as [samples, dims] (are these [dims, samples]?)",
        stacklevel=stacklevel,
    )


def warn_of_unmatched(where: str, latents: Any, estimates: Any, *, stacklevel: int = 3) -> None:
    """Warns of unequal numbers of latents and estimates, where values are known: some are left out of the mean."""
    num_latents, num_estimates = shape_of(latents)[-1], shape_of(estimates)[-1]
    if num_latents == num_estimates or concrete(latents) is None or concrete(estimates) is None:
        return
    left = "latents are never scored" if num_latents > num_estimates else "best estimates are picked"
    warnings.warn(
        f"{where}: found {num_latents} latents and {num_estimates} estimates: the mean is over "
        f"{min(num_latents, num_estimates)} pairs, {left}; wanted as many of either (padded_mcc scores spare dims)",
        stacklevel=stacklevel,
    )


def check_samples(where: str, **arrays: Samples) -> None:
    """Raises `ValueError` unless all arrays are [N, ...] with one N >= 2 and at least one dim."""
    shapes = {name: shape_of(array) for name, array in arrays.items()}
    if any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
        raise ValueError(
            f"{where}: found {named(shapes)}, wanted matrices [samples, dims] with dims >= 1 and samples, at least 2"
        )
    if len({shape[0] for shape in shapes.values()}) != 1 or next(iter(shapes.values()))[0] < 2:
        raise ValueError(f"{where}: found {named(shapes)}, wanted one number of samples, at least 2")


def named(shapes: Mapping[str, Sequence[int]]) -> str:
    """The names with their shapes, for messages."""
    return " and ".join(f"{name} of shape {tuple(shape)}" for name, shape in shapes.items())


def apart(where: str, *, axis: int = 0, ranked: bool = False, **arrays: Samples) -> list[Any]:
    """Returns every array as floats of the common type, each less its own mean: for scores free of shift and scale.

    `ranked`: for scores of ranks, which the host takes before digits go.
    """
    dtype = float_type(*arrays.values())
    if ranked:
        arrays = {name: ranks(where, name, array) for name, array in arrays.items()}
    return [centred(where, axis=axis, scaled=True, dtype=dtype, **{name: array})[0] for name, array in arrays.items()]


def unmoved(where: str, **arrays: Samples) -> list[Any]:
    """Returns the arrays as floats of the common type; raises `ValueError` where that loses digits (`kept`)."""
    dtype = float_type(*arrays.values())
    return [kept(where, name, array, dtype) for name, array in arrays.items()]
