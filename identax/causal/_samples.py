"""What the independence tests take as samples: columns with one row per sample, checked by name, exact as floats."""

import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_finite, concrete, is_integer, shape_of
from identax.inputs import centred, float_type, numbers

# Loose on purpose: what is no array of numbers is refused with a message that says what is wanted.
if TYPE_CHECKING:
    Data = ArrayLike | Sequence[Any]
    Bandwidth = str | ArrayLike | Sequence[Any]
else:
    Data = Bandwidth = object


class Prepared(NamedTuple):
    """Checked arguments of a test: arrays of the samples, arrays common to all data sets, and what is no array."""

    samples: Any
    options: Any
    static: Any


LEAST, FEW = 6, 20
"""samples below which a test by the gamma approximation is refused, and below which it warns"""


def shapes_of(where: str, x: Data, y: Data, z: Data | None, least: int, batched: bool = False) -> list[tuple[int, ...]]:
    """Shapes of what is given; raises `ValueError` unless all are [n] or [n, d] with one n >= `least`.

    `batched`: [B, n] or [B, n, d].
    """
    try:
        shapes = [shape_of(value) for value in (x, y, *(() if z is None else (z,)))]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    lead = 2 if batched else 1
    fits = all(len(shape) in (lead, lead + 1) and shape[:lead] == shapes[0][:lead] for shape in shapes)
    if not fits or shapes[0][lead - 1] < least or any(0 in shape for shape in shapes[:2]):
        front, least_words = ("B, " if batched else ""), f"n >= {least}"
        raise ValueError(
            f"{where}: found x, y{', z' * (len(shapes) > 2)} of shapes {', '.join(map(str, shapes))}, wanted x "
            f"[{front}n] or [{front}n, p], y [{front}n] or [{front}n, q] and z None, [{front}n] or [{front}n, k] with "
            f"{least_words}"
        )
    return shapes


def columns_of(where: str, x: Data, y: Data, z: Data | None = None, *, least: int = LEAST, batched: bool = False):
    """x, y and z as floats [n, d] (or [B, n, d]), each less its means where the host knows them; z None: no columns.

    Raises `ValueError` as `shapes_of`, and for complex, non-finite and other entries that are no numbers.
    """
    shapes = shapes_of(where, x, y, z, least, batched)
    values = {"x": x, "y": y} | ({} if z is None else {"z": z})
    values = {name: numbers(where, name, value) for name, value in values.items()}
    for name, value in values.items():
        check_finite(where, name, value)
    dtype, axis = float_type(*values.values()), int(batched)
    found = []
    for shape, (name, given) in zip(shapes, values.items(), strict=True):
        moved = centred(where, axis=axis, scaled=True, dtype=dtype, **{name: given})[0]
        found.append(jnp.asarray(moved, dtype).reshape(shape[: axis + 1] + (*shape[axis + 1 :], 1)[:1]))
    if z is None:
        found.append(jnp.zeros((*shapes[0][: axis + 1], 0), dtype))
    return found


def warn_of_few(where: str, x: Data, num: int, *, stacklevel: int = 4) -> None:
    """Warns where the gamma approximation has few samples to stand on; only outside `jit`, where it is read."""
    if num < FEW and concrete(x) is not None:
        warnings.warn(
            f"{where}: found {num} samples; the gamma law of the statistic is an approximation for many, wanted at "
            f"least {FEW}",
            stacklevel=stacklevel,
        )


def codes_of(where: str, name: str, value: Any, levels: Any, batched: bool = False):
    """Integer codes [n, d] from 0 and how many each column has; without `levels` they are numbered as they occur.

    Raises `ValueError` for what is not whole numbers, for codes outside 0..levels-1 where they are known, and for
    traced values without `levels`.
    """
    given = numbers(where, name, value)
    lead = 1 + batched
    shape = (*given.shape[:lead], int(np.prod(given.shape[lead:])))
    known = concrete(given)
    if known is not None:
        check_finite(where, name, known)
        if (known != np.floor(known)).any():
            raise ValueError(f"{where}: found {name} with values that are not whole numbers, wanted categories")
        known = known.reshape(shape)
    if levels is None:
        if known is None:
            raise ValueError(f"{where}: found traced {name} without levels, wanted levels=, the number of categories")
        numbered = [np.unique(known[..., k], return_inverse=True) for k in range(shape[-1])]
        codes = [inverse.reshape(shape[:lead]) for _, inverse in numbered]
        stacked = np.stack(codes, axis=-1) if codes else np.zeros(shape, int)
        return jnp.asarray(stacked, jnp.int32), tuple(len(found) for found, _ in numbered)
    counts = _counts_of(where, name, levels, shape[-1])
    if known is not None and known.size and ((known < 0) | (known >= np.array(counts))).any():
        raise ValueError(f"{where}: found {name} from {known.min()} to {known.max()}, wanted codes 0 .. levels - 1")
    codes = jnp.asarray(given).reshape(shape)
    if known is None and jnp.issubdtype(codes.dtype, jnp.floating):
        codes = jnp.where(jnp.isfinite(codes), codes, -1.0)  # the conversion would make a category of it
    return codes.astype(jnp.int32), counts


def _counts_of(where, name, levels, num):
    """`levels` as one integer for each of the `num` columns of a variable."""
    try:
        counts = (levels,) * num if np.ndim(levels) == 0 else tuple(levels)
    except ValueError:
        counts = None
    if counts is None or len(counts) != num or not all(is_integer(count) and count >= 1 for count in counts):
        raise ValueError(f"{where}: found levels={levels!r} for {name} of {num} columns, wanted one count >= 1 each")
    return tuple(operator.index(count) for count in counts)
