"""Attention for narrow heads and few columns: every product a sum of elementwise terms, side by side for many rows."""

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MOST_COLUMNS, MOST_WIDTH = 72, 4
"""columns and width of a head up to which this form is compiled: its terms are written out"""
_TILE = 12
_HIDDEN, _LEAST, _NEVER = -1e30, -1e20, 1e30


def tiles(columns: int) -> list[tuple[int, int]]:
    """Queries [start, stop) that are read together, with the keys below `stop`: what comes later is not computed.

    At most `_TILE` of them, of equal numbers: three tiles leave out a third of all pairs, more of them little more.
    """
    num = -(-columns // _TILE)
    edges = [columns * place // num for place in range(num + 1)]
    return list(pairwise(edges))


@jax.custom_vjp
def narrow_attention(query: Any, key: Any, value: Any, shown: Any, kept: Any) -> Float[Array, "H E T N"]:
    """o_t = sum_{s <= t} kept_ts softmax_s(q_t . k_s) v_s over the shown s; 0 for a query that sees none.

    * `query`, `key`, `value` [H, E, T, N]: heads, width of a head, columns, rows; the query is scaled already
    * `shown` [T, N]: keys that may be attended to; `kept`: per tile [H, stop - start, stop, N], booleans; None for no
      dropout

    Products of matrices [T, E] with E = 2 leave most of a processor idle, and one call for each head and row costs more
    than its work. With the rows on the last axis all sums, over s as well, run over whole vectors of them. Backwards
    the weights are computed again from the logarithm of their sum, so that no array [H, T, S, N] is stored.
    """
    return _forwards(query, key, value, shown, kept)[0]


def _forwards(query, key, value, shown, kept):
    found = []
    for number, (start, stop) in enumerate(tiles(query.shape[2])):

        def attend(query, key, value, shown, kept, start=start, stop=stop):
            scores = _scores(query, key, shown, start)
            # A query that sees nothing has weights exp(hidden - least) = 0.
            most = reduce(jnp.maximum, (scores[:, :, s] for s in range(stop)), jnp.asarray(_LEAST, scores.dtype))
            weights = jnp.exp(scores - most[:, :, None])
            total = _sum(weights[:, :, s] for s in range(stop))
            total = jnp.where(total > 0, total, 1)
            dropped = _dropped(weights, kept)
            found = _sum(dropped[:, None, :, s] * value[:, :, None, s] for s in range(stop))
            return found / total[:, None], most + jnp.log(total)

        seen = (key[:, :, :stop], value[:, :, :stop], shown[:stop])
        found.append(_kept_apart(attend, query[:, :, start:stop], *seen, kept and kept[number]))
    read, level = (jnp.concatenate(parts, axis=-2) for parts in zip(*found, strict=True))
    return read, (query, key, value, shown, kept, read, level)


def _backwards(residuals, slope):
    query, key, value, shown, kept, read, level = residuals
    columns = query.shape[2]
    mean = jnp.sum(slope * read, axis=1)
    moves, keys, values = [], [], []
    for number, (start, stop) in enumerate(tiles(columns)):

        def slopes(query, key, value, shown, kept, level, slope, mean, start=start, stop=stop):
            weights = jnp.exp(_scores(query, key, shown, start) - level[:, :, None])
            dropped = _dropped(weights, kept)
            moved = weights * (_dropped(_products(slope, value), kept) - mean[:, :, None])
            return (
                _sum(moved[:, None, :, s] * key[:, :, None, s] for s in range(stop)),
                _sum(moved[:, None, t] * query[:, :, t, None] for t in range(stop - start)),
                _sum(dropped[:, None, t] * slope[:, :, t, None] for t in range(stop - start)),
            )

        seen, own = (key[:, :, :stop], value[:, :, :stop], shown[:stop]), slice(start, stop)
        parts = (level[:, own], slope[:, :, own], mean[:, own])
        move, *others = _kept_apart(slopes, query[:, :, own], *seen, kept and kept[number], *parts)
        moves.append(move)
        for all_, other in zip((keys, values), others, strict=True):
            all_.append(jnp.pad(other, ((0, 0), (0, 0), (0, columns - stop), (0, 0))))
    return jnp.concatenate(moves, axis=2), _sum(keys), _sum(values), None, None


narrow_attention.defvjp(_forwards, _backwards)


def _scores(query: Any, key: Any, shown: Any, start: int) -> Array:
    """Of queries that begin at column `start`; hidden where the key comes later or is not shown."""
    later = jnp.arange(key.shape[2])[None] > start + jnp.arange(query.shape[2])[:, None]
    return jnp.where(shown[None] & ~later[:, :, None], _products(query, key), _HIDDEN)


def _products(left: Any, right: Any) -> Array:
    """sum_e left[h, e, t, n] right[h, e, s, n], [H, T, S, N]."""
    return _sum(left[:, e, :, None] * right[:, e, None] for e in range(left.shape[1]))


def _dropped(x: Any, kept: Any) -> Array:
    return x if kept is None else jnp.where(kept, x, 0)


def _sum(terms: Iterable[Any]) -> Any:
    return reduce(add, terms)


def _kept_apart(function: Callable, first: Any, *others: Any) -> Any:
    """`function(first, *others)`, whose results are computed once.

    XLA on a CPU has no barrier: sums written out are cheap in its eyes, so that it puts them into everything they go
    into and computes them again for every element of that. What a loop returns it leaves alone. This one runs once, or
    twice with the same result where the first number is beyond all use, which XLA cannot know; and what it
    computes depends on the round, so that nothing can be taken out of it.
    """
    shapes = jax.eval_shape(function, first, *others)
    rounds = 1 + (first.reshape(-1)[0] > _NEVER).astype(jnp.int32)
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.fori_loop(0, rounds, lambda i, _: function(first + 0 * i.astype(first.dtype), *others), start)
