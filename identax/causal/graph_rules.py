"""Which tests causal de Finetti asks of more than two variables, and the graph that follows from their p-values."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from identax.causal._samples import Data
from identax.checks import check_between, check_choice, shape_of
from identax.inputs import numbers

STUCK = ("stop", "likeliest")


class GraphDecision(NamedTuple):
    """A graph, the levels it was read from, and the p-values behind both (NaN where nothing was asked).

    `levels`: 1 for sinks, 2 for sinks without those, and so on; 0 where no level was found, such variables have no
    edges. `settled`: every level was found by the tests. `sink_p_values` (v, k): v of sample 1 against k of sample 2,
    the last time it was asked; `edge_p_values` (j, k): j against k within sample 1, j on the higher level.
    """

    adjacency: Bool[Array, "*sets d d"]
    levels: Int[Array, "*sets d"]
    settled: Bool[Array, "*sets"]
    sink_p_values: Float[Array, "*sets d d"]
    edge_p_values: Float[Array, "*sets d d"]


def decide_graph(across: Data, within: Data, *, level: Any = 0.05, stuck: Any = "stop") -> GraphDecision:
    """The graph of d variables that p-values of all the tests speak for: sink levels, then edges by their gap.

        level n:  all v left (R) with p[v1 _||_ k2 | R1 \\ v1] >= a for every k in R \\ v; a single one left joins
        gap g = 1 .. d - 1, j on level n, k on level n - g:  j -> k if p[j1 _||_ k1 | C] <= a,
        C = {levels > n} + {parents of k on levels < n} + {co-parents: others on level n that share a child with j}

    v1 and k2 are variables in samples 1 and 2 of an environment. Parents and children are those found at gaps below g,
    so no answer depends on the order in which pairs are asked. With true answers edges of which an end varies over
    environments are all found (checked for d <= 4); those without may be missed, turned or lead to others. Where no v
    passes, "stop" leaves R without levels and edges, as the published code does; with `stuck` "likeliest" the v whose
    smallest p is largest joins alone, so every variable gets a level. `stuck` may also be a boolean, whether it is
    "likeliest", which may be traced: one program for both.
    Args: `across`, `within` [..., d, d, 2^d]: p of v1 against k2, resp. j1 against k1, given those m in sample 1 whose
    bit m is set in the last index; what is not asked may be anything. `level` a may be traced.
    Raises `ValueError` for other shapes, an unknown `stuck`, a level outside [0, 1].
    Source: Guo et al. 2023; the co-parents as in the notebooks of 2022, which the later code loses.
    """
    where = "decide_graph"
    likeliest = is_likeliest(where, stuck)
    check_between(where, "level", level, 0, 1, ())
    shape = shape_of(across)
    fits = len(shape) >= 3 and shape[-3] == shape[-2] >= 2 and shape[-1] == 2 ** shape[-2] and 0 not in shape
    if not fits or shape_of(within) != shape:
        raise ValueError(
            f"{where}: found across, within of shapes {shape}, {shape_of(within)}, wanted both [..., d, d, 2^d], d >= 2"
        )
    tables = [jnp.asarray(numbers(where, *named), float) for named in (("across", across), ("within", within))]
    flat = [table.reshape(-1, *shape[-3:]) for table in tables]
    found = _by_tables(*flat, jnp.asarray(level, float), likeliest)
    return GraphDecision(*(leaf.reshape(*shape[:-3], *leaf.shape[1:]) for leaf in found))


def is_likeliest(where: str, stuck: Any) -> Bool[Array, ""]:
    """Whether `stuck` is "likeliest", as an array. Raises `ValueError` for what is none of `STUCK` and no boolean."""
    if isinstance(stuck, str):
        check_choice(where, "stuck", stuck, STUCK)
        return jnp.asarray(stuck == "likeliest")
    if np.shape(stuck) or not (isinstance(stuck, bool) or getattr(stuck, "dtype", None) == np.bool_):
        raise ValueError(f"{where}: found stuck={stuck!r}, wanted one of {list(STUCK)} or a boolean")
    return jnp.asarray(stuck)


@partial(jax.jit, inline=True)
def _by_tables(across, within, level, likeliest):
    powers = 2 ** jnp.arange(across.shape[1])

    def one(across, within):
        def p_value(first, second, given, is_across):
            code = (given * powers).sum()
            return jnp.where(is_across, across[first, second, code], within[first, second, code])

        return decided(p_value, len(across), level, likeliest)

    return jax.vmap(one)(across, within)


def decided(p_value: Callable[..., Array], d: int, level: Array, likeliest: Array) -> GraphDecision:
    """`decide_graph` of p_value(j, k, given [d], is_across), which is asked in d rounds for levels, d - 1 for edges.

    One loop with traced answers: where it is not mapped over, questions that do not come up cost nothing.
    """
    nothing = jnp.full((d, d), jnp.nan, level.dtype)
    start = GraphDecision(jnp.zeros((d, d), bool), jnp.zeros(d, jnp.int32), jnp.asarray(True), nothing, nothing)
    firsts, seconds = (jnp.asarray(index) for index in np.nonzero(~np.eye(d, dtype=bool)))

    def turn(number, state):
        is_across = number < d
        chosen = partial(jnp.where, is_across)
        gap = number - d + 1
        tested, given = jax.tree.map(chosen, _sink_questions(state.levels), _edge_questions(state, gap))

        def ask(pair):
            return jax.lax.cond(
                tested[pair],
                lambda: jnp.asarray(p_value(*pair, given[pair], is_across), nothing.dtype),
                lambda: nothing[0, 0],
            )

        p = nothing.at[firsts, seconds].set(jax.lax.map(ask, (firsts, seconds)))
        joins, settled = _joining(state.levels, tested, p, level, likeliest)
        return GraphDecision(
            jnp.where(is_across, state.adjacency, state.adjacency | tested & (p <= level)),
            jnp.where(is_across & joins, number + 1, state.levels),
            state.settled & (settled | ~is_across),
            jnp.where(is_across & tested, p, state.sink_p_values),
            jnp.where(is_across | ~tested, state.edge_p_values, p),
        )

    return jax.lax.fori_loop(0, 2 * d - 1, turn, start)


def _sink_questions(levels):
    """Which (v, k) are asked across samples, and given whom: [d, d] and [d, d, d]."""
    left, same = levels == 0, jnp.eye(len(levels), dtype=bool)
    others = left[None, :] & ~same
    return left[:, None] & others, jnp.broadcast_to(others[:, None, :], (len(levels),) * 3)


def _edge_questions(state, gap):
    """Which (j, k) are asked within sample 1 at this gap between their levels, and given whom."""
    levels, edges = state.levels, state.adjacency
    difference = levels[:, None] - levels[None, :]
    placed = levels > 0
    tested = (difference == gap) & placed[:, None] & placed[None, :]
    share_child = (edges[:, None, :] & edges[None, :, :]).any(axis=-1)
    co_parents = share_child & (difference == 0) & ~jnp.eye(len(levels), dtype=bool)
    between = edges.T[None, :, :] & (difference > 0)[:, None, :]
    return tested, ((difference < 0) | co_parents)[:, None, :] | between


def _joining(levels, tested, p, level, likeliest):
    """Who is a sink of what is left, [d], and whether the tests found one (or nobody is left)."""
    left = levels == 0
    passes = left & (~tested | (p >= level)).all(axis=1)
    settled = passes.any() | ~left.any()
    least = jnp.where(left, jnp.where(tested, p, jnp.inf).min(axis=1), -jnp.inf)
    alone = left & (jnp.arange(len(levels)) == jnp.argmax(least))
    return jnp.where(settled | ~likeliest, passes, alone), settled
