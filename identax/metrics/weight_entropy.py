"""Entropy of the histogram of weights: how spread out the values of a network's matrices are."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import shape_of
from identax.inputs import centred, numbers
from identax.metrics._trees import Tree, leaves_of

_RAREST = 1e-5
"""shares of bins up to this are left out"""


def weight_entropy(weights: Any, *, correct_bias: bool = False) -> Float[Array, ""]:
    """Entropy in bit of the histogram of all entries of one array of weights, whatever its shape.

        H = - sum_b q_b log2 q_b,    q_b the shares in B = max(5, floor(n / 20)) bins of equal width from min to max

    0 for a constant array, at most log2 B; bins with q <= 1e-5 are left out. Free of shift, scale and order, so that a
    permutation keeps it. Every bin holds about 20 entries, whose scatter takes (B - 1) / (2 n ln 2), some .036 bit, off
    the entropy of the law binned like this: `correct_bias` adds (K - 1) / (2 n ln 2) of the K bins that are not empty
    (Miller & Madow 1955), which may exceed log2 B. NaN for entries that are not finite.
    Raises `ValueError` for an array without entries and for what is no real number.
    Source: Reizinger & Gyires-Toth 2019, code.
    """
    return _of_leaves("weight_entropy", "weights", numbers("weight_entropy", "weights", weights), correct_bias)


def cumulative_entropy(params: Tree, *, correct_bias: bool = False) -> Float[Array, ""]:
    """Sum of `weight_entropy` over all arrays of `params`: weights, biases, scales and shifts of normalisations.

    Constant arrays, such as scales before training, add 0. It depends on how the parameters are cut into arrays: four
    gates in one matrix, as PyTorch has them, count once. Args and errors as in `weight_entropy`, and `ValueError` for a
    tree without arrays. Source: Reizinger & Gyires-Toth 2019, code.
    """
    return _of_leaves("cumulative_entropy", "params", params, correct_bias)


def _of_leaves(where: str, name: str, tree: Tree, correct_bias: bool) -> Float[Array, ""]:
    flat = []
    for leaf in leaves_of(where, name, tree):
        entries = leaf.reshape(int(np.prod(shape_of(leaf))))
        flat += centred(where, scaled=True, **{name: entries})
    return _sum_of_entropies(tuple(flat), correct_bias)


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _sum_of_entropies(arrays, correct_bias):
    return sum(_entropy(array, correct_bias) for array in arrays)


def _entropy(values, correct_bias):
    num = values.size
    num_bins = max(5, num // 20)
    low, high = values.min(), values.max()
    constant = high == low
    width = jnp.where(constant, 1.0, high - low)
    place = jnp.floor((values - low) / width * num_bins).astype(jnp.int32)
    counts = jnp.zeros(num_bins, jnp.int32).at[jnp.clip(place, 0, num_bins - 1)].add(1)
    share = counts / num
    kept = share > _RAREST
    entropy = -jnp.sum(jnp.where(kept, share * jnp.log2(jnp.where(kept, share, 1.0)), 0.0))
    if correct_bias:
        entropy = entropy + (jnp.sum(counts > 0) - 1) / (2 * num * np.log(2))
    entropy = jnp.where(constant, 0.0, entropy)
    return jnp.where(jnp.isfinite(low) & jnp.isfinite(high), entropy, jnp.nan).astype(values.dtype)
