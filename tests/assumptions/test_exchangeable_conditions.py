"""Ranks that nonlinear ICA asks for, the unfaithful linear pair, and reports about worlds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.assumptions import (
    gcl_variability,
    parameter_rank,
    second_order_dependence,
    source_report,
    special_case,
    structure_report,
)
from identax.dgp import (
    ExchangeableMechanisms,
    binary_world,
    identity,
    intervened_world,
    laplace_pair,
    linear_world,
    modulated_world,
    pair_world,
)

RNG = np.random.default_rng(0)


def test_the_parameter_rank_is_that_of_the_differences():
    for shape in ((5, 3), (9, 3), (3, 3), (2, 4)):
        values = RNG.normal(size=shape)
        assert parameter_rank(values) == np.linalg.matrix_rank(values - values[:1]) == min(shape[0] - 1, shape[1])
    tied = np.repeat(RNG.normal(size=(9, 1)), 3, axis=1)
    assert parameter_rank(tied) == 1 and parameter_rank(tied * 1e-8 + 5) == 1
    assert parameter_rank(np.full((9, 3), -np.sqrt(2))) == 0 and parameter_rank(np.ones((1, 3))) == 0
    # units of the sources play no part
    assert parameter_rank(RNG.normal(size=(9, 3)) * [1.0, 1e-9, 1e9]) == 3
    assert parameter_rank(RNG.normal(size=(9, 3, 2))) == 6 and parameter_rank([[0, 1], [1, 1], [2, 5]]) == 2


def _gaussian_derivatives(mean, variance, s):
    def log_density(point, m, v):
        return -((point - m) ** 2) / (2 * v) - jnp.log(v) / 2

    first, second = jax.grad(log_density), jax.grad(jax.grad(log_density))
    return [np.asarray(jax.vmap(jax.vmap(f, (0, 0, 0)), (None, 0, 0))(s, mean, variance)) for f in (first, second)]


def test_gcl_needs_more_than_one_statistic():
    s, variance = jnp.array([0.3, -1.2]), jnp.asarray(RNG.uniform(0.3, 2, size=(7, 2)))
    assert gcl_variability(*_gaussian_derivatives(jnp.zeros((7, 2)), variance, s)) == 2
    means = jnp.asarray(RNG.normal(size=(7, 2)))
    assert gcl_variability(*_gaussian_derivatives(means, variance, s)) == 4
    assert gcl_variability(*_gaussian_derivatives(means[:4], variance[:4], s)) == 3
    # a Laplace law has no second derivative
    assert gcl_variability(-np.sqrt(2) / np.asarray(variance) * np.sign(s), np.zeros((7, 2))) == 2


COVARIANCES = jax.jit(
    lambda key, spreads: laplace_pair(key, 400_000, spreads=spreads, structure=0),
)


@pytest.mark.parametrize("cause, mechanism", [(4.0, 0.0), (0.0, 4.0), (4.0, 4.0), (6.0, 1.0), (0.0, 0.0)])
def test_second_order_dependence_by_monte_carlo(cause, mechanism):
    drawn = COVARIANCES(jax.random.key(0), jnp.array([cause, mechanism]))
    a, b, _ = np.asarray(drawn.coefficients, float)
    x, y = np.moveaxis(np.asarray(drawn.observations, float), -1, 0)
    y1, x2, y2 = y[:, 0], x[:, 1], y[:, 1]
    residuals = [v - v.mean() - np.cov(v, y2)[0, 1] / y2.var() * (y2 - y2.mean()) for v in (y1, x2)]
    products = residuals[0] * residuals[1]
    error = products.std() / np.sqrt(len(products))
    found = second_order_dependence(a, b, cause, mechanism)
    assert abs(products.mean() - found) < 6 * error
    assert (found == 0) == (cause == mechanism) and (cause == mechanism or abs(found) > 20 * error)


def test_second_order_dependence_is_elementwise():
    a = np.arange(1, 10)[:, None]
    found = second_order_dependence(a, 2, [4.0, 0.0, 3.0], [0.0, 4.0, 3.0])
    assert found.shape == (9, 3) and (found[:, 0] > 0).all() and (found[:, 1] < 0).all() and (found[:, 2] == 0).all()


def test_the_source_report_follows_the_rank():
    values = -np.sqrt(2) / RNG.uniform(size=(9, 3))
    report = source_report(values, mixing_is_invertible=True, segment_length=512)
    assert report.covered and report.prediction("directions of q identified").value == 3
    assert report.prediction("q of modulated latents").value.startswith("|s| up to order")
    tied = source_report(np.repeat(values[:, :1], 3, axis=1))
    const = source_report(np.ones((9, 3)))
    assert [r.prediction("directions of q identified").value for r in (tied, const)] == [1, 0]
    assert all(r.prediction("q of modulated latents").value == "not identified" for r in (tied, const))
    assert const.prediction("segments distinguishable").value.startswith("no")
    assert tied.prediction("segments distinguishable").value == "yes"
    rotated = source_report(np.ones((9, 3)), componentwise=False)
    assert not rotated.premise("modulation by component").holds
    assert rotated.prediction("segments distinguishable").value == "yes"


def test_too_few_segments_are_said_to_be():
    report = source_report(RNG.normal(size=(3, 3)))
    assert not report.premise("segments enough").holds and report.premise("segments enough").found == "K = 3 for n = 3"
    assert not report.premise("parameter differences of rank n").holds
    assert source_report(RNG.normal(size=(4, 3))).premise("segments enough").holds


def test_special_cases_are_told_from_layers_and_priors():
    modulation = jnp.asarray(RNG.uniform(size=(4, 2)), jnp.float32)
    sources = modulated_world(identity(), (), modulation)
    dual = modulated_world(identity(), (), modulation, reading="mechanism")
    chain, key = ((), (0,)), jax.random.key(0)
    found = {
        "causal structure": [binary_world(chain, [True, False]), pair_world((1, 2, 3), (0.0, 4.0))],
        "i.i.d.": [
            binary_world(chain).fixed(key),
            binary_world(chain, [False, False]),
            linear_world(chain, np.ones((2, 2)), np.ones(2), [0.0, 0.0]),
            modulated_world(identity(), (), jnp.ones((4, 2))),
        ],
        "nonlinear ICA, sources vary": [sources],
        "nonlinear ICA, mixing varies": [dual],
        "nonlinear ICA, both vary": [ExchangeableMechanisms(sources.sources, (), dual.observation)],
        "causal representation": [intervened_world(chain, np.ones((2, 2)), identity(), ())],
    }
    for name, worlds in found.items():
        assert [special_case(world) for world in worlds] == [name] * len(worlds)


def test_a_world_speaks_for_itself():
    world = pair_world((1, 2, 3), (4.0, 0.0))
    report = structure_report(world.adjacency, world.varies)
    assert report.prediction("decision").value == "X->Y" and "the cause of 1" in report.as_text()
    halves = pair_world((1, 2, 3), (0.0, 0.0), quadratic_share=0.5)
    assert halves.varies == (False, True)


BAD = {
    r"wanted \[K, n\] or \[K, n, k\]": lambda: parameter_rank(np.ones(3)),
    "1 non-finite entries in natural_parameters": lambda: parameter_rank([[1.0, np.inf]]),
    "found rtol=nan": lambda: parameter_rank(np.ones((3, 2)), rtol=np.nan),
    "found a of type complex128": lambda: second_order_dependence(1j, 1, 1, 0),
    "found rtol=1": lambda: parameter_rank(np.ones((3, 2)), rtol=1),
    "type complex128": lambda: parameter_rank(np.ones((3, 2)) * 1j),
    r"wanted both \[K, n\]": lambda: gcl_variability(np.ones((3, 2)), np.ones((3, 3))),
    "found cause_spread=-1": lambda: second_order_dependence(1, 1, -1, 0),
    r"found \|b\|=0": lambda: second_order_dependence(1, 0, 1, 0),
    "found statistic='s'": lambda: source_report(np.ones((3, 2)), statistic="s"),
    "segment_length=1, wanted at least 2": lambda: source_report(np.ones((3, 2)), segment_length=1),
    r"natural parameters \(3, 2, 2\)": lambda: source_report(np.ones((3, 2, 2))),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
