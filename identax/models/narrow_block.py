"""A block of the transformer for narrow heads and few columns on a CPU: features first, rows last.

Norms, attention and sums run over vectors of rows; the hidden units alone stay last, as their products want them. What
JAX would derive turns arrays of hidden units round and sums over few features in many calls, so that the norm and the
feed-forward layers give their own derivatives.
"""

from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp

from identax.models.narrow_attention import narrow_attention, tiles
from identax.models.norm_places import placed
from identax.numerics import apart


def shapes_kept(heads: int, width: int, hidden: int, columns: int, rows: int) -> list[tuple[int, ...]]:
    """What a block drops out: weights of each tile, what attention gives, hidden units, what the last layer gives."""
    of_columns = (width, columns, rows)
    weights = [(heads, stop - start, stop, rows) for start, stop in tiles(columns)]
    return [*weights, of_columns, (columns, rows, hidden), of_columns]


@partial(jax.jit, static_argnames=("rescaled", "heads", "epsilon", "norm"))
def narrow_block(
    params: Any, x: Any, shown: Any, masks: Any, *, rescaled: float, heads: int, epsilon: float, norm: str
) -> Any:
    """`x` [d, T, N] through attention and feed-forward layers with the norms where `norm` says, see `placed`.

    `shown` [T, N]: keys that may be attended to. `masks`: what is kept, arrays of `shapes_kept`, and the factor
    `rescaled` on it; None for no dropout. `params`: those of the block in the other form. Equal layers are traced once.
    """
    pairs, (after, mask, last) = (None, [None] * 3) if masks is None else (masks[:-3], masks[-3:])
    width, length, num = x.shape

    def dropped(x, mask):
        return x if mask is None else jnp.where(mask, x * rescaled, 0)

    def normed(x, name):
        return _normed(epsilon, x, params[name]["scale"], params[name]["bias"])

    def attended(x):
        packed, out = params["attention"]["in_proj"], params["attention"]["out_proj"]
        query, key, value = (one.reshape(heads, -1, length, num) for one in jnp.split(_linear(x, packed), 3))
        scale = (width // heads) ** -0.5
        read = narrow_attention(query * scale, key, value * rescaled, shown, pairs)
        return dropped(_linear(read.reshape(width, length, num), out), after)

    def forward(x):
        first, second = params["linear1"], params["linear2"]
        within = None if mask is None else mask.reshape(-1, mask.shape[-1])
        found: Any = _layers(rescaled, x.reshape(width, -1), first["kernel"], first["bias"], second["kernel"], within)
        return dropped(found.reshape(x.shape) + second["bias"][:, None, None], last)

    return placed(norm, x, attended, forward, normed)


def _linear(x: Any, layer: Any) -> Any:
    """[i, T, N] to [o, T, N]."""
    found = jnp.einsum("io,ic->oc", layer["kernel"], x.reshape(len(x), -1)) + layer["bias"][:, None]
    return found.reshape(-1, *x.shape[1:])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normed(epsilon: float, x: Any, scale: Any, bias: Any) -> Any:
    """(x - mean) / sqrt(var + epsilon) * scale + bias over the first axis, with the biased variance."""
    return _norm_forwards(epsilon, x, scale, bias)[0]


def _norm_forwards(epsilon, x, scale, bias):
    mean = apart(_mean, x)
    inverse = jax.lax.rsqrt(apart(_variance, x, mean) + epsilon)
    found = (x - mean) * inverse * scale[:, None, None] + bias[:, None, None]
    return found, (x, mean, inverse, scale)


def _norm_backwards(epsilon, residuals, slope):
    del epsilon
    x, mean, inverse, scale = residuals
    x, inner = (x - mean) * inverse, slope * scale[:, None, None]
    level, along = apart(_means, inner, x)
    return inverse * (inner - level - x * along), (slope * x).sum(axis=(1, 2)), slope.sum(axis=(1, 2))


_normed.defvjp(_norm_forwards, _norm_backwards)


def _mean(x: Any) -> Any:
    """Over the first axis, written out: a few vectors of rows are added."""
    return reduce(add, x)[None] / len(x)


def _variance(x: Any, mean: Any) -> Any:
    return _mean(jnp.square(x - mean))


def _means(inner: Any, x: Any) -> tuple[Any, Any]:
    return _mean(inner), _mean(inner * x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layers(rescaled: float, x: Any, first: Any, bias: Any, second: Any, mask: Any) -> Any:
    """W2 Drop(ReLU(W1 x + b1)) for `x` [d, C], columns and rows as one axis; `mask` [C, h]: what is kept, or None."""
    return _layers_forwards(rescaled, x, first, bias, second, mask)[0]


# Products of the hidden units have few features. Those are turned round, apart: left to itself XLA turns the units.
def _layers_forwards(rescaled, x, first, bias, second, mask):
    hidden = jax.nn.relu(jnp.einsum("ic,ih->ch", x, first) + bias[None])
    if mask is not None:
        hidden = jnp.where(mask, hidden * rescaled, 0)
    return apart(partial(jnp.einsum, "ch,ho->co"), hidden, second).T, (x, hidden, first, second, mask)


def _layers_backwards(rescaled, residuals, slope):
    """What was dropped or below zero is 0 in `hidden`: it says where slopes end."""
    x, hidden, first, second, mask = residuals
    factor = 1.0 if mask is None else rescaled
    inner = jnp.where(hidden > 0, jnp.einsum("oc,ho->ch", slope, second) * factor, 0)
    return (
        apart(partial(jnp.einsum, "ch,ih->ci"), inner, first).T,
        jnp.einsum("ic,ch->ih", x, inner),
        inner.sum(axis=0),
        apart(partial(jnp.einsum, "oc,ch->oh"), slope, hidden).T,
        None,
    )


_layers.defvjp(_layers_forwards, _layers_backwards)
