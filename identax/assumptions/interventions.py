"""Latent causal variables from interventions: do they change every mechanism's score, and what do they identify?"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_between, check_count, check_finite, check_nonnegative, check_shape, concrete
from identax.dgp.exchangeable import topological_order
from identax.inputs import float_type, numbers


class ScoreDifference(NamedTuple):
    """The interventional discrepancy of one mechanism: `values` at every sample, `share` of them that are not 0."""

    values: Float[Array, " N"]
    share: Float[Array, ""]


def score_difference(
    before: Callable[[Array], Array],
    after: Callable[[Array], Array],
    samples: Any,
    variable: int,
    *,
    tolerance: float | int = 1e-6,
) -> ScoreDifference:
    """d/dz_i [log p~_i(z_i | z_pa(i)) - log p_i(z_i | z_pa(i))] at every sample: what an intervention on i does to it.

    CauCA asks that it is other than 0 almost everywhere; `share` is that of the samples with |difference| > tolerance.
    By automatic differentiation, so that normalisers which do not depend on z_i may be left out.
    Args: `before`, `after`: log p_i and log p~_i as functions of one z [d] (`dgp.intervened_densities`), `samples` z
    [N, d] of any law with the support of both, `variable` i.
    Raises `ValueError` for samples that are not finite [N, d], i outside 0..d-1, tolerance < 0, and log densities
    other than scalars. Source: Wendong et al. 2023 (interventional discrepancy).
    """
    where = "score_difference"
    given = numbers(where, "samples", samples)
    check_shape(where, "samples", given, ("N", "d"))
    check_finite(where, "samples", given)
    check_count(where, "variable", variable, 0)
    check_nonnegative(where, "tolerance", tolerance, ())
    z = jnp.asarray(given, float_type(given))
    if variable >= z.shape[1]:
        raise ValueError(f"{where}: found variable={variable}, wanted one of the {z.shape[1]} in samples")
    for name, density in (("before", before), ("after", after)):
        shape = jax.eval_shape(density, z[0]).shape
        if shape:
            raise ValueError(f"{where}: found {name} of shape {shape} at one sample, wanted a scalar")
    values = jax.vmap(jax.grad(lambda one: after(one) - before(one)))(z)[:, variable]
    return ScoreDifference(values, (jnp.abs(values) > tolerance).mean())


def intervention_report(
    adjacency: Any, targets: Any, shares: Any = None, *, perfect: bool = True, mixing_is_invertible: bool | None = None
) -> Report:
    """Do these interventions identify latent causal variables of a known graph behind one mixing, and up to what?

    `adjacency` [d, d], entry (i, j) of i -> j; `targets` [E, d]: which mechanisms environment e intervenes on;
    `shares` [d]: of `score_difference`, 1 where the discrepancy holds at every sample (None: not checked); `perfect`:
    whether an intervention cuts the variable from its parents. One environment without interventions and one for every
    variable by itself are enough; others do no harm.
    Raises `ValueError` for cyclic graphs, targets other than known 0 and 1 in [E, d], and shares outside [0, 1].
    Source: Wendong et al. 2023 (CauCA), as a case of exchangeable mechanisms Reizinger et al. 2025.
    """
    where = "intervention_report"
    topological_order(adjacency)
    d = len(np.asarray(adjacency))
    check_shape(where, "targets", targets, ("E", d))
    known = concrete(targets)
    if known is None or not np.isin(known, (0, 1)).all():
        raise ValueError(f"{where}: found targets other than known 0 and 1, wanted a flag per environment and variable")
    premises = _premises(known.astype(bool), _discrepancy(where, shares, d), mixing_is_invertible)
    covered = all(premise.holds is not False for premise in premises)
    up_to = "a function of each variable" if perfect else "functions of each variable and its ancestors"
    why = "scores of two environments differ in one entry alone" if covered else "outside the theorem"
    predictions = (
        Prediction("latents", f"up to {up_to}" if covered else "not identified", why),
        Prediction("MCC", "high" if covered and perfect else "not identified", "1 where the functions are linear"),
    )
    return Report(premises, predictions)


def _premises(targets, differs, mixing_is_invertible):
    d = targets.shape[1]
    alone = targets[targets.sum(axis=1) == 1].any(axis=0)
    base = bool((~targets.any(axis=1)).any())
    words = {True: "invertible", False: "not invertible", None: "not checked"}
    return (
        Premise("known acyclic graph", True, f"{d} variables", "CauCA is told the graph; to find it is another task"),
        Premise(
            "an environment without interventions",
            base,
            "there is one" if base else "none",
            "the discrepancy compares each intervened mechanism with the one left alone",
        ),
        Premise(
            "every mechanism intervened on by itself",
            bool(alone.all()),
            f"{int(alone.sum())} of {d}",
            "a mechanism that never changes is the degenerate prior: nothing tells its variable from others",
        ),
        differs,
        Premise(
            "invertible mixing",
            mixing_is_invertible,
            words[mixing_is_invertible],
            "it must lose no variable",
        ),
    )


def _discrepancy(where, shares, d):
    name, why = "interventional discrepancy", "an intervention that leaves the score as it was moves nothing"
    if shares is None:
        return Premise(name, None, "not checked", why)
    check_between(where, "shares", shares, 0, 1, (d,))
    found = np.asarray(shares, float)
    words = f"scores differ at {', '.join(f'{share:.0%}' for share in found)} of the samples"
    # Almost everywhere: the score of a shifted and scaled normal law crosses the old one at a point.
    return Premise(name, bool((found > 0.99).all()), words, why)
