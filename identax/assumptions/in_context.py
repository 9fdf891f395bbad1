"""A model as close as one likes to a mixture of hidden Markov models that has not its in-context learning."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_between, check_count, check_nonnegative, check_positive
from identax.dgp.base import compiled
from identax.dgp.ginc import DELIMITER
from identax.dgp.hmm_mixture import HmmMixture
from identax.inputs import numbers


def mixed_divergence(mass: Any, conditionals: Any, wrong: Any, weight: Any) -> float:
    """KL(p || q) in nats of two models of strings that differ on a set S of prefixes alone, by the chain rule.

        q(. | s) = (1 - w) p(. | s) + w r(. | s) for s in S, else p;   KL = sum over S of p(s) KL(p(. | s) || q(. | s))

    `mass` p(s) [P], `conditionals` p(. | s) and `wrong` r(. | s) [P, V], `weight` w in [0, 1). Exact, in float64.
    Raises `ValueError` for other shapes, negative entries and w outside [0, 1).
    Source: Reizinger et al. 2024, case study 2; by the chain rule: own.
    """
    where = "mixed_divergence"
    given = {"mass": mass, "conditionals": conditionals, "wrong": wrong}
    mass, conditionals, wrong = (numbers(where, name, value) for name, value in given.items())
    check_nonnegative(where, "mass", mass, ("P",))
    check_nonnegative(where, "conditionals", conditionals, (len(mass), "V"))
    check_nonnegative(where, "wrong", wrong, np.shape(conditionals))
    _check_weight(where, weight)
    p, r = (np.asarray(value, float) for value in (conditionals, wrong))
    q = (1 - weight) * p + weight * r
    terms = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, q, 1.0))), 0.0)
    return float(np.asarray(mass, float) @ terms.sum(axis=1))


def divergence_bound(mass: Any, weight: Any) -> float:
    """KL(p || q) <= -ln(1 - w) sum over S of p(s), whatever r is, in nats: `mixed_divergence` without conditionals.

    Raises `ValueError` for negative masses and w outside [0, 1). Source: own.
    """
    mass = numbers("divergence_bound", "mass", mass)
    check_nonnegative("divergence_bound", "mass", mass)
    _check_weight("divergence_bound", weight)
    return float(-np.log1p(-float(weight)) * np.asarray(mass, float).sum())


def pattern_mass(
    mixture: HmmMixture, num_examples: int, length: int, *, delimiter: int = DELIMITER
) -> Float[Array, " n"]:
    """P(a document has the delimiter behind its first `length` tokens, behind the next, ...) for 1..n examples.

    The mass of all documents that look like a prompt of so many examples; tokens between are free. A forward recursion,
    which may be traced; masses below the smallest number of the type are 0.
    Raises `ValueError` for counts < 1, examples of more than 2^24 tokens together, and a delimiter that is no token.
    """
    check_count("pattern_mass", "num_examples", num_examples)
    check_count("pattern_mass", "length", length)
    check_between("pattern_mass", "num_examples * length", num_examples * length, 1, 2**24)
    check_count("pattern_mass", "delimiter", delimiter, 0)
    check_between("pattern_mass", "delimiter", delimiter, 0, mixture.emission.shape[-1] - 1)
    return _pattern_mass(mixture, num_examples, length, delimiter)


def examples_needed(mass: Any, weight: Any, epsilon: Any) -> int | None:
    """The least n0 with -ln(1 - w) sum over n >= n0 of mass_n <= epsilon, for masses [n] of 1, 2, ... examples.

    None where not even the last one alone is so rare. In float64, on the host.
    Raises `ValueError` for no masses, negative ones, w outside [0, 1) and epsilon <= 0.
    """
    mass = np.asarray(numbers("examples_needed", "mass", mass), float)
    found = int(_num_rare("examples_needed", mass, weight, epsilon))
    return found if found <= len(mass) else None


def rare_examples(mass: Any, weight: Any, epsilon: Any) -> Int[Array, ""]:
    """`examples_needed` of masses that may be traced: n + 1 where that is None.

    Raises `ValueError` as `examples_needed`.
    """
    return jnp.asarray(_num_rare("rare_examples", numbers("rare_examples", "mass", mass), weight, epsilon))


def in_context_report(
    mixture: HmmMixture,
    *,
    length: int,
    num_examples: int,
    first: int | None = None,
    weight: float | int,
    epsilon: float | int,
) -> Report:
    """Is there a model within `epsilon` of the mixture that fails every prompt of `first` and more examples?

    Prompts are of up to `num_examples` examples of `length` tokens; q errs with `weight` on documents that look like
    one. More than half of the weight on another label decides the likeliest token, whatever p says. `first`: None for
    `examples_needed`, or `num_examples` where not even those are rare enough.
    Raises `ValueError` as `pattern_mass` and `divergence_bound`, and for first outside 1..num_examples.
    Source: Reizinger et al. 2024, case study 2; the statement by the chain rule: own.
    """
    if first is not None:
        check_count("in_context_report", "first", first)
        check_between("in_context_report", "first", first, 1, num_examples)
    mass = np.asarray(pattern_mass(mixture, num_examples, length), float)
    needed = examples_needed(mass, weight, epsilon)
    if first is None:
        first = num_examples if needed is None else needed
    bound = divergence_bound(mass[first - 1 :], weight)
    seen = mass[mass > 0]  # the rest is below the smallest number
    ratio = (seen[-1] / seen[0]) ** (1 / (len(seen) - 1)) if len(seen) > 1 else 0.0
    premises = (
        Premise(
            "KL below epsilon",
            bound <= epsilon,
            f"at most {bound:.2e} nats per document, epsilon {epsilon:g}",
            "the loss cannot tell the two models apart beyond that",
        ),
        Premise(
            "wrong label decides",
            weight > 0.5,
            f"weight {weight:g}",
            "above 1/2 the likeliest token is the wrong one on every prompt concerned",
        ),
        Premise(
            "prompts rare in documents",
            bool(ratio < 1),
            f"a document that looks like n + 1 examples is {ratio:.3g} as likely as one of n",
            "the mass falls geometrically, so that some n0 is enough for any epsilon",
        ),
    )
    predictions = (
        Prediction("KL bound", bound, "nats per document, by the chain rule"),
        Prediction(
            "examples needed", "more than asked for" if needed is None else needed, f"least n0 for epsilon {epsilon:g}"
        ),
        Prediction("accuracy of q from n0 on", 0.0, "of prompts whose label is not q's wrong one"),
    )
    return Report(premises, predictions)


@functools.partial(compiled, static=(1, 2, 3))
def _pattern_mass(mixture, num_examples, length, delimiter):
    def moved(state, _=None):
        return jnp.einsum("js,jst->jt", state, mixture.transition, precision="highest"), None

    def example(state, _):
        state, _ = jax.lax.scan(moved, state, None, length)
        state = state * mixture.emission[:, :, delimiter]
        return moved(state)[0], mixture.weights @ state.sum(axis=1)

    return jax.lax.scan(example, mixture.start, None, num_examples)[1]


def _num_rare(where, mass, weight, epsilon):
    check_positive(where, "epsilon", epsilon, ())
    _check_weight(where, weight)
    check_nonnegative(where, "mass", mass, ("n",))
    xp = jnp if isinstance(mass, jax.Array) else np
    bounds = -math.log1p(-float(weight)) * xp.cumsum(mass[::-1])[::-1]
    return 1 + (~(bounds <= epsilon)).sum()  # bounds fall: what is not small comes first


def _check_weight(where, weight):
    check_between(where, "weight", weight, 0, 1, ())
    if not float(weight) < 1:
        raise ValueError(f"{where}: found weight={weight}, wanted less than 1: the divergence is infinite there")
