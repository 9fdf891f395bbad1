"""Causal de Finetti for two variables: which way the edge points, from two samples of every environment."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.causal._samples import Data
from identax.causal.front import independence_tests
from identax.checks import check_between, check_choice, check_count, shape_of
from identax.inputs import numbers

METHODS = ("g", "kci", "fisher_z")
AT_A_TIME = {"g": 256, "fisher_z": 256, "kci": 1}


class PairDecision(NamedTuple):
    """`structure`: 0 for X -> Y, 1 for Y -> X, 2 for no edge (`dgp.STRUCTURES`); `p_values` of the three tests, last;
    `settled`: whether they agree on a structure at the level, else it is that of the largest p-value."""

    structure: Int[Array, "*sets"]
    p_values: Float[Array, "*sets 3"]
    settled: Array


def decide_pair(p_values: Any, *, level: Any = 0.05) -> PairDecision:
    """The structure that three p-values [..., 3] speak for, of X1 _||_ Y2 | X2, Y1 _||_ X2 | Y2 and X1 _||_ Y1.

        p1 >= a, p2 <= a, p3 <= a: X -> Y;   p1 <= a, p2 >= a, p3 <= a: Y -> X;   all >= a: none;   else the largest,
        of p1 for X -> Y, p2 for Y -> X, p3 for none, the first of equals

    tried in this order. `level` a may be traced. Raises `ValueError` for another last axis, p-values that are NaN or
    outside [0, 1], and a level outside [0, 1]. Source: Guo et al. 2023, code.
    """
    given = numbers("decide_pair", "p_values", p_values)
    if given.ndim < 1 or given.shape[-1] != 3:
        raise ValueError(f"decide_pair: found p_values of shape {given.shape}, wanted [..., 3]")
    check_between("decide_pair", "p_values", given, 0, 1)
    check_between("decide_pair", "level", level, 0, 1, ())
    return _decided(jnp.asarray(given, float), level)


def _decided(p, level):
    high, low = p >= level, p <= level
    forward = high[..., 0] & low[..., 1] & low[..., 2]
    backward = low[..., 0] & high[..., 1] & low[..., 2]
    none = high.all(axis=-1)
    structure = jnp.where(
        forward, 0, jnp.where(backward, 1, jnp.where(none, 2, jnp.argmax(p, axis=-1)))
    ).astype(jnp.int32)  # fmt: skip
    return PairDecision(structure, p, forward | backward | none)


def causal_de_finetti_pair(
    observations: Data, *, method: str = "kci", level: Any = 0.05, chunk_size: int | None = None, **options: Any
) -> PairDecision:
    """The edge between X and Y from exchangeable environments: three tests on the first two samples of each.

        X1 _||_ Y2 | X2 holds unless Y -> X,   Y1 _||_ X2 | Y2 unless X -> Y,   X1 _||_ Y1 without an edge alone

    where theta or psi varies over environments; for i.i.d. data the direction is a coin flip, for equal variability of
    cause and effect in a linear pair too (`assumptions.second_order_dependence`). Indices are samples of one
    environment, and environments are the samples of a test.
    Args: `observations` [E, N, 2], or [B, E, N, 2] for B data sets, N >= 2, X first. `method`: "g" for categories
    (`levels=2` inside `jit`), "kci" or "fisher_z"; `options` are those of `independence_tests`, `chunk_size` its data
    sets at a time. Roles in KCI, which is not symmetric, are those of the authors' code (x := X2, y := Y1 in the second
    test). float64 for KCI near the level.
    Raises `ValueError` for other shapes, a level outside [0, 1], chunk_size < 1 and as `independence_tests`.
    Source: Guo et al. 2023; Reizinger et al. 2025 (either variability suffices).
    """
    where = "causal_de_finetti_pair"
    check_choice(where, "method", method, METHODS)
    check_between(where, "level", level, 0, 1, ())
    if chunk_size is not None:
        check_count(where, "chunk_size", chunk_size)
    shape = shape_of(observations)
    if len(shape) not in (3, 4) or shape[-1] != 2 or shape[-2] < 2 or 0 in shape:
        raise ValueError(f"{where}: found observations of shape {shape}, wanted [E, N, 2] or [B, E, N, 2] with N >= 2")
    values = numbers(where, "observations", observations)
    sets = values if len(shape) == 4 else values[None]
    (x1, y1), (x2, y2) = ((sets[:, :, sample, 0], sets[:, :, sample, 1]) for sample in (0, 1))
    how = {"method": method, "chunk_size": chunk_size or AT_A_TIME[method], **options}
    given = ((x1, y2, x2), (x2, y1, y2))
    if method == "g":  # where levels are counted, each test counts its own
        found = [independence_tests(*tested, **how).p_value for tested in given]
    else:  # one program for both
        join = np.concatenate if isinstance(sets, np.ndarray) else jnp.concatenate
        both = independence_tests(*(join(pair) for pair in zip(*given, strict=True)), **how)
        found = jnp.split(both.p_value, 2)
    decision = _decided(jnp.stack([*found, independence_tests(x1, y1, **how).p_value], axis=-1), level)
    if len(shape) == 4:
        return decision
    return PairDecision(*(leaf[0] for leaf in decision))
