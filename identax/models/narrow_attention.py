"""Attention for narrow heads and few columns: every product a sum of elementwise terms, side by side for many rows."""

from collections.abc import Iterable
from functools import partial, reduce
from itertools import pairwise
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.numerics import apart, exponential

MOST_COLUMNS, MOST_WIDTH = 72, 4
"""columns and width of a head up to which this form is compiled: its terms are written out"""
_TILE = 12
_HIDDEN, _LEAST = -1e30, -1e20


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
    the weights are computed again, so that no array [H, T, S, N] is stored. What would be computed again for each of
    its uses stands `apart`.
    """
    return _forwards(query, key, value, shown, kept)[0]


def _forwards(query, key, value, shown, kept):
    found = []
    for number, edges in enumerate(tiles(query.shape[2])):
        visible = _visible(edges, shown)
        most = apart(partial(_most, edges), query, key, visible)
        found.append((*apart(partial(_read, edges), query, key, value, visible, kept and kept[number], most), most))
    read, total, most = (jnp.concatenate(parts, axis=-2) for parts in zip(*found, strict=True))
    total = jnp.where(total > 0, total, 1)
    read = read / total[:, None]
    return read, (query, key, value, shown, kept, read, most, total)


def _visible(edges, shown):
    """Whether a query may attend to a key, [T, S, N]."""
    start, stop = edges
    later = jnp.arange(stop)[None] > jnp.arange(start, stop)[:, None]
    return shown[None, :stop] & ~later[:, :, None]


def _most(edges, query, key, visible):
    """The largest score of every query [H, T, N]: nothing larger goes through an exponential."""
    query, most = query[:, :, slice(*edges)], _LEAST
    for s in range(edges[1]):
        score = _sum(query[:, e] * key[:, e, s, None] for e in range(query.shape[1]))
        most = jnp.maximum(most, jnp.where(visible[None, :, s], score, _LEAST))
    return most


def _read(edges, query, key, value, visible, kept, most):
    """Sums over s of the values by their weights, and of the weights."""
    weights, each = _weights(edges, query, key, visible, most), range(edges[1])
    dropped = [_dropped(weights[:, :, s], None if kept is None else kept[:, :, s])[:, None] for s in each]
    return _sum(dropped[s] * value[:, :, None, s] for s in each), _sum(weights[:, :, s] for s in each)


def _backwards(residuals, slope):
    query, key, value, shown, kept, read, most, total = residuals
    columns = query.shape[2]
    slope = slope / total[:, None]  # instead of the weights, which are many more
    mean = _sum(slope[:, e] * read[:, e] for e in range(slope.shape[1]))
    moves, keys, values = [], [], []
    for number, edges in enumerate(tiles(columns)):
        mask = kept and kept[number]
        both = apart(partial(_slopes, edges), query, key, value, _visible(edges, shown), mask, most, slope, mean)
        move, *others = apart(partial(_products_of, edges), query, key, mask, slope, *both)
        moves.append(move)
        for all_, other in zip((keys, values), others, strict=True):
            all_.append(jnp.pad(other, ((0, 0), (0, 0), (0, columns - edges[1]), (0, 0))))
    return jnp.concatenate(moves, axis=2), _sum(keys), _sum(values), None, None


narrow_attention.defvjp(_forwards, _backwards)


def _slopes(edges, query, key, value, visible, kept, most, slope, mean):
    """The weights, not yet divided by their sum, and the loss's slopes of the scores."""
    own = slice(*edges)
    weights = _weights(edges, query, key, visible, most[:, own])
    slopes = _dropped(_products(slope[:, :, own], value[:, :, : edges[1]]), kept)
    return weights, weights * (slopes - mean[:, own, None])


def _products_of(edges, query, key, kept, slope, weights, moved):
    """Slopes of a tile's queries, and of the keys and values that it reads."""
    start, stop = edges
    own = range(stop - start)
    dropped = [_dropped(weights[:, t], None if kept is None else kept[:, t])[:, None] for t in own]
    return (
        _sum(moved[:, None, :, s] * key[:, :, None, s] for s in range(stop)),
        _sum(moved[:, None, t] * query[:, :, start + t, None] for t in own),
        _sum(dropped[t] * slope[:, :, start + t, None] for t in own),
    )


def _weights(edges: tuple[int, int], query: Any, key: Any, visible: Any, most: Any) -> Array:
    """exp(score - most), 0 where a key is hidden: exp(hidden - least) = 0 too."""
    scores = _products(query[:, :, slice(*edges)], key[:, :, : edges[1]])
    return exponential(jnp.where(visible[None], scores, _HIDDEN) - most[:, :, None])


def _products(left: Any, right: Any) -> Array:
    """sum_e left[h, e, t, n] right[h, e, s, n], [H, T, S, N]."""
    return _sum(left[:, e, :, None] * right[:, e, None] for e in range(left.shape[1]))


def _dropped(x: Any, kept: Any) -> Array:
    return x if kept is None else jnp.where(kept, x, 0)


def _sum(terms: Iterable[Any]) -> Any:
    return reduce(add, terms)
