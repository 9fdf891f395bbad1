"""Gaussian kernels of samples: standardised columns, bandwidths by rule, centred Gram matrices."""

import jax.numpy as jnp

from identax.causal._samples import Bandwidth
from identax.checks import check_choice, check_positive
from identax.inputs import numbers

MEDIAN_ROWS = 1000
"""rows that the median of distances is taken over"""


def standardised(columns):
    """Columns [n, d] of mean 0 and variance 1 (divisor n - 1), 0 where constant to rounding; and which vary [d].

    What is not finite varies, and leaves NaN.
    """
    num, eps = columns.shape[0], float(jnp.finfo(columns.dtype).eps)
    moved = columns - columns.mean(axis=0)[None, :]
    squares = (moved * moved).sum(axis=0) / (num - 1)
    varies = ~(squares <= (8 * eps) ** 2 * (columns * columns).mean(axis=0))
    scale = jnp.sqrt(jnp.where(varies, squares, 1.0))
    return jnp.where(varies[None, :], moved / scale[None, :], 0.0), varies


def squared_distances(columns):
    """[n, n] of the rows of [n, d], from differences: the Gram matrix's way loses half of the digits."""
    total = jnp.zeros((columns.shape[0],) * 2, columns.dtype)
    for column in columns.T:
        gap = column[:, None] - column[None, :]
        total = total + gap * gap
    return total


def gram(distances, precision):
    """exp(-precision d^2 / 2), H K H with H = I - 1 1' / n: the centred kernel matrix."""
    return centred_gram(jnp.exp(-0.5 * precision * distances))


def centred_gram(kernel):
    """H K H of a symmetric K."""
    means = kernel.mean(axis=0)
    return kernel - means[None, :] - means[:, None] + means.mean()


def median_precision(distances):
    """1 / (2 m^2), m the median distance of two different rows; 1 where all rows are equal."""
    low, high = _middle(distances[:MEDIAN_ROWS, :MEDIAN_ROWS])
    median = (jnp.sqrt(low) + jnp.sqrt(high)) / 2
    return 0.5 / (median * median)


def median_square_precision(distances):
    """2 / m, m the median squared distance of two different rows; 2 where all rows are equal."""
    low, high = _middle(distances)
    return 4 / (low + high)


def _middle(distances):
    """The two middle ones of the squared distances above rounding, both 1 where there are none.

    Not above 0: a fused program may take the two sides of the difference of a row and itself by different instructions.
    """
    ordered = jnp.sort(distances.reshape(-1))
    positive = (ordered > (64 * float(jnp.finfo(distances.dtype).eps)) ** 2).sum()
    last = ordered.shape[0] - 1
    first = ordered.shape[0] - positive
    places = jnp.stack([first + jnp.maximum(positive - 1, 0) // 2, first + positive // 2])
    found = ordered[jnp.minimum(places, last)]
    return tuple(jnp.where(positive > 0, found, 1.0))


def precisions_of(where: str, bandwidth: Bandwidth, names: tuple[str, ...], rules: tuple[str, ...]):
    """None and the rule for a rule's name; else 1 / sigma^2 per name, which may be traced, and ""."""
    if isinstance(bandwidth, str):
        check_choice(where, "bandwidth", bandwidth, rules)
        return None, bandwidth
    width = numbers(where, "bandwidth", bandwidth)
    if width.shape not in ((), (len(names),)):
        raise ValueError(
            f"{where}: found bandwidth of shape {width.shape}, wanted a rule ({', '.join(rules)}), one number, or one "
            f"each for {', '.join(names)}"
        )
    check_positive(where, "bandwidth", width)
    width = jnp.broadcast_to(jnp.asarray(width, float), (len(names),))
    return 1 / (width * width), ""
