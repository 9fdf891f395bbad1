"""Score differences against their closed forms, and what interventions identify."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.assumptions import intervention_report, score_difference
from identax.dgp import intervened_densities
from tests.eager import compiled_by_second_call

PARENTS, WEIGHTS = ((), (0,)), np.array([[0.0, 0.8], [0.0, 0.0]])
EDGE = np.array([[0, 1], [0, 0]])
SINGLE = np.array([[0, 0], [1, 0], [0, 1]])
SAMPLES = np.random.default_rng(0).normal(size=(50, 2))


def test_the_difference_of_two_normal_laws_is_that_of_their_scores():
    before, after = intervened_densities(PARENTS, WEIGHTS, 1, shift=1.5, scale=0.5)
    found = score_difference(before, after, SAMPLES, 1)
    z0, z1 = SAMPLES.T
    np.testing.assert_allclose(found.values, -(z1 - 1.5) / 0.25 + (z1 - 0.8 * z0), rtol=2e-5, atol=1e-5)
    assert found.share == 1
    np.testing.assert_allclose(after(jnp.array([9.0, 1.5])), -0.5 * np.log(2 * np.pi * 0.25), rtol=1e-6)


def test_what_moves_no_score_has_share_0_and_a_law_that_moves_it_for_half_a_half():
    unmoved = intervened_densities(PARENTS, np.zeros((2, 2)), 1, shift=0.0, scale=1.0)
    assert score_difference(*unmoved, SAMPLES, 1).share == 0
    # a Laplace law of other scale differs everywhere, one that is folded on one side there alone
    kink = score_difference(lambda z: -jnp.abs(z[0]), lambda z: -jnp.maximum(z[0], 0.0), SAMPLES, 0)
    np.testing.assert_allclose(kink.share, (SAMPLES[:, 0] < 0).mean(), rtol=1e-6)
    np.testing.assert_allclose(kink.values, np.where(SAMPLES[:, 0] < 0, -1.0, 0.0), atol=1e-6)
    loose = score_difference(lambda z: -jnp.abs(z[0]), lambda z: -1.5 * jnp.abs(z[0]), SAMPLES, 0, tolerance=0.6)
    assert loose.share == 0


def test_one_intervention_on_every_mechanism_identifies_and_less_does_not():
    full = intervention_report(EDGE, SINGLE, [1.0, 1.0], mixing_is_invertible=True)
    assert full.covered and full.prediction("latents").value == "up to a function of each variable"
    imperfect = intervention_report(EDGE, SINGLE, perfect=False)
    assert imperfect.covered and "ancestors" in imperfect.prediction("latents").value
    for failing, name in (
        (intervention_report(EDGE, SINGLE[:2]), "every mechanism intervened on by itself"),
        (intervention_report(EDGE, [[0, 0], [1, 0], [1, 1]]), "every mechanism intervened on by itself"),
        (intervention_report(EDGE, SINGLE[1:]), "an environment without interventions"),
        (intervention_report(EDGE, SINGLE, [1.0, 0.5]), "interventional discrepancy"),
        (intervention_report(EDGE, SINGLE, mixing_is_invertible=False), "invertible mixing"),
    ):
        assert [premise.name for premise in failing.premises if premise.holds is False] == [name]
        assert failing.prediction("latents").value == "not identified"


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: score_difference(jnp.sum, jnp.sum, SAMPLES, 2), "variable=2"),
        (lambda: score_difference(jnp.sum, jnp.sum, SAMPLES[0], 0), "samples"),
        (lambda: score_difference(jnp.sum, jnp.sum, SAMPLES * np.nan, 0), "samples"),
        (lambda: score_difference(jnp.sum, jnp.square, SAMPLES, 0), r"after of shape \(2,\)"),
        (lambda: score_difference(jnp.sum, jnp.sum, SAMPLES, 0, tolerance=-1), "tolerance"),
        (lambda: intervention_report([[0, 1], [1, 0]], SINGLE), "cycle"),
        (lambda: intervention_report(EDGE, SINGLE[:, :1]), "targets"),
        (lambda: intervention_report(EDGE, 0.5 * SINGLE), "known 0 and 1"),
        (lambda: intervention_report(EDGE, SINGLE, [1.0, 2.0]), "shares"),
        (lambda: intervened_densities(PARENTS, WEIGHTS, 2), "variable=2"),
        (lambda: intervened_densities(PARENTS, WEIGHTS, 1, scale=0.0), "scale"),
        (lambda: intervened_densities(PARENTS, WEIGHTS[:1], 1), "weights"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_second_call_compiles_nothing():
    def call(seed):
        samples = np.random.default_rng(seed).normal(size=(7, 2))
        return score_difference(*intervened_densities(PARENTS, WEIGHTS + seed, 1), samples, 1)

    assert compiled_by_second_call(call, (0,), (1,)) == 0


def test_it_differentiates_and_maps():
    def share(scale):
        return score_difference(*intervened_densities(PARENTS, WEIGHTS, 0, scale=scale), SAMPLES, 0).values.mean()

    scales = jnp.array([0.5, 2.0])
    z0 = SAMPLES[:, 0].mean()
    np.testing.assert_allclose(jax.vmap(share)(scales), -(z0 - 2) / scales**2 + z0, rtol=1e-4)
