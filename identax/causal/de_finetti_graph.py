"""Causal de Finetti for any number of variables: levels of sinks across samples, edges within one."""

from typing import Any

import jax.numpy as jnp

from identax.causal._samples import Data, codes_of, columns_of
from identax.causal.de_finetti import AT_A_TIME, METHODS
from identax.causal.front import by_chunks, chosen_method
from identax.causal.g_test import DEGREES, MOST_CELLS, g_of
from identax.causal.graph_rules import GraphDecision, decided, is_likeliest
from identax.causal.outcomes import chi2_tail
from identax.checks import check_between, check_choice, check_count, check_finite, shape_of
from identax.inputs import numbers


def causal_de_finetti(
    observations: Data,
    *,
    method: str = "kci",
    level: Any = 0.05,
    stuck: Any = "stop",
    chunk_size: int | None = None,
    **options: Any,
) -> GraphDecision:
    """The directed acyclic graph of d variables from exchangeable environments, by the first two samples of each.

    `decide_graph` with the tests made as they are asked for: sinks by v1 _||_ k2 | the others left in sample 1, edges
    between levels by tests within sample 1. Environments are the samples of a test. Every edge needs an end whose
    mechanism varies; of i.i.d. data no edge is found (`causal_de_finetti_pair` tells that there is one, of two).
    Args: `observations` [E, N, d], or [B, E, N, d] for B data sets, d >= 2, N >= 2. `method`: "g" for categories
    (`levels`, one number or d, inside `jit`; `degrees`), "kci" or "fisher_z", with the options of `independence_test`;
    x is the variable that may be a sink, resp. the one on the higher level, y the other. `level` and a boolean
    `stuck` may be traced. `chunk_size` data sets at a time in one program; at 1 only tests that are asked for are made,
    beyond that, and under `vmap`, all d (d - 1) in each of 2 d - 1 rounds. float64 for KCI near the level.
    Raises `ValueError` for other shapes, non-finite entries, what is no category with "g", tables beyond 1e7 cells, an
    unknown method, option or `stuck`, a level outside [0, 1], chunk_size < 1, too few environments for the method.
    Source: Guo et al. 2023 (algorithm for more variables; code).
    """
    where = "causal_de_finetti"
    check_choice(where, "method", method, METHODS)
    likeliest = is_likeliest(where, stuck)
    check_between(where, "level", level, 0, 1, ())
    chosen_method(where, method, options)
    if chunk_size is not None:
        check_count(where, "chunk_size", chunk_size)
    values = numbers(where, "observations", observations)
    shape = shape_of(values)
    if len(shape) not in (3, 4) or shape[-1] < 2 or shape[-2] < 2 or 0 in shape:
        raise ValueError(
            f"{where}: found observations of shape {shape}, wanted [E, N, d] or [B, E, N, d] with N >= 2, d >= 2"
        )
    check_finite(where, "observations", values)
    sets = (values if len(shape) == 4 else values[None])[:, :, :2]
    if method == "g":
        samples, of_test, test = _categories(where, sets, **options)
    else:
        samples, of_test, test = _columns(where, method, sets, options)
    shared = of_test, jnp.asarray(level, float), likeliest
    found = by_chunks(_graph_of, test, chunk_size or AT_A_TIME[method], samples, shared)
    return found if len(shape) == 4 else GraphDecision(*(leaf[0] for leaf in found))


def _categories(where, sets, levels=None, degrees="full"):
    """Codes [B, d, E] of both samples, how many categories each variable has, and their test."""
    check_choice(where, "degrees", degrees, DEGREES)
    num, environments, _, d = sets.shape
    codes, counts = codes_of(where, "observations", sets.reshape(num, 2 * environments, d), levels, batched=True)
    most = max(counts)
    if most ** (d + 1) > MOST_CELLS:
        raise ValueError(f"{where}: found tables of {most ** (d + 1)} cells, wanted at most {MOST_CELLS}")
    first, second = codes.reshape(num, environments, 2, d).transpose(2, 0, 3, 1)
    return [first, second], jnp.asarray(counts), (g_of, ((most, most), (most,) * (d - 1), degrees))


def _columns(where, method, sets, options):
    """Columns [B, d, E] of both samples, the options of the test as it prepares them, and the test."""
    chosen, first, second = chosen_method(where, method, options), sets[:, :, 0], sets[:, :, 1]
    found = chosen.prepared(where, first[..., 0], second[..., 0], first[..., 1:], batched=True, **options)
    columns = columns_of(where, first, second, batched=True)[:2]
    return [each.swapaxes(1, 2) for each in columns], found.options, (chosen.of, found.static)


def _graph_of(sample, shared, static):
    (first, second), (of_test, level, likeliest), (of, how) = sample, shared, static
    d = len(first)

    def p_value(one, other, given, is_across):
        others = (one + 1 + jnp.arange(d - 1)) % d
        # A column of zeros is no condition to Fisher's z and KCI: they neither use nor count it.
        z = jnp.where(given[others][:, None], first[others], 0).T
        x, y = first[one][:, None], jnp.where(is_across, second[other], first[other])[:, None]
        if of is not g_of:
            return of([x, y, z], of_test, how).p_value
        found = of([x, y, z], (), how)
        if how[2] == "observed":
            return found.p_value
        # The table has strata of all others; those of a column of zeros are empty and count for no degrees.
        degrees = jnp.where(given, of_test, 1).prod() * (of_test[one] - 1) * (of_test[other] - 1)
        return chi2_tail(found.statistic, degrees.astype(found.statistic.dtype))

    return decided(p_value, d, level, likeliest)
