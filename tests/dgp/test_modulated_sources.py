"""Non-stationary sources: two readings of one data set, controls that are what they say, conditioned mixings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from identax.assumptions import parameter_rank
from identax.dgp import (
    condition_threshold,
    conditioned_invertible_mlp,
    identity,
    modulated_sources,
    modulated_world,
    orthogonal,
)
from tests.eager import compiled_by_second_call

KEY = jax.random.key(0)
MIXING = conditioned_invertible_mlp(3)


def _draw(key=KEY, num_segments=6, mixing=MIXING, length=50, **choices):
    return modulated_sources(key, mixing, 3, num_segments, length, **choices)


def _equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("family", ["laplace", "gaussian"])
@pytest.mark.parametrize("compiled", [pytest.param(False, marks=pytest.mark.slow), True])
def test_both_readings_are_the_same_bit_for_bit(family, compiled):
    def both(key):
        return tuple(
            _draw(key, mixing=orthogonal(3), family=family, reading=reading) for reading in ("cause", "mechanism")
        )

    cause, mechanism = [jax.jit(lambda k, n=n: both(k)[n])(KEY) for n in (0, 1)] if compiled else both(KEY)
    _equal(cause, mechanism)
    assert cause.observations.shape == (6, 50, 3)
    other = both(jax.random.key(1))[0]
    assert not np.isclose(cause.observations, other.observations).any()


def test_the_network_is_what_the_observations_come_from():
    drawn = _draw()
    seen = MIXING.apply(drawn.weights, drawn.modulated.reshape(-1, 3)).reshape(6, 50, 3)
    np.testing.assert_allclose(drawn.observations, seen, rtol=1e-6)
    scale = -np.sqrt(2) / np.asarray(drawn.natural_parameters)
    np.testing.assert_allclose(drawn.modulated, scale[:, None] * drawn.base, rtol=1e-5)
    back = MIXING.inverse(drawn.weights, drawn.observations.reshape(-1, 3)).reshape(6, 50, 3)
    np.testing.assert_allclose(back, drawn.modulated, atol=1e-4)


@pytest.mark.parametrize(
    "family, law", [("laplace", scipy.stats.laplace(scale=0.5**0.5)), ("gaussian", scipy.stats.norm)]
)
def test_the_base_has_one_law_of_unit_variance(family, law):
    drawn = _draw(mixing=identity(), length=3000, family=family)
    for segment in np.asarray(drawn.base):
        for column in segment.T:
            assert scipy.stats.kstest(column, law.cdf).pvalue > 1e-6
    scale = np.asarray(drawn.modulated).std(axis=1)
    wanted = {"laplace": lambda p: -np.sqrt(2) / p, "gaussian": lambda p: (-0.5 / p) ** 0.5}[family]
    np.testing.assert_allclose(scale, wanted(np.asarray(drawn.natural_parameters)), rtol=0.12)


def test_modulations_are_uniform():
    drawn = modulated_sources(KEY, identity(), 20, 256, 2)
    scale = -np.sqrt(2) / np.asarray(drawn.natural_parameters)
    assert scipy.stats.kstest(scale.ravel(), "uniform").pvalue > 1e-6 and scale.min() > 0 and scale.max() <= 1
    assert np.abs(np.corrcoef(scale.T) - np.eye(20)).max() < 6 / 16


def test_controls_take_away_what_they_say():
    ranks = {}
    for control in ("none", "const", "tied", "rotated"):
        drawn = _draw(mixing=identity(), reading="mechanism", control=control)
        ranks[control] = parameter_rank(drawn.natural_parameters)
        if control != "rotated":
            _equal(drawn, _draw(mixing=identity(), control=control))
    assert ranks == {"none": 3, "const": 0, "tied": 1, "rotated": 0}
    const = _draw(mixing=identity(), control="const")
    _equal(const.modulated, const.base)


@pytest.mark.slow
def test_rotations_change_the_mechanism_and_not_by_component(getkey):
    drawn = _draw(mixing=identity(), reading="mechanism", control="rotated", num_segments=400, length=8)
    lengths = [np.linalg.norm(part, axis=-1) for part in (drawn.base, drawn.observations)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    # every segment by one orthogonal matrix, another one in the next
    maps = np.stack([np.linalg.lstsq(b, o)[0] for b, o in zip(drawn.base, drawn.observations, strict=True)])
    np.testing.assert_allclose(maps @ np.swapaxes(maps, 1, 2), np.broadcast_to(np.eye(3), maps.shape), atol=1e-3)
    # Haar: entries have mean 0 and variance 1/n, and both orientations occur
    assert np.abs(maps.mean(axis=0)).max() < 6 * np.sqrt(1 / 3 / 400)
    np.testing.assert_allclose((maps**2).mean(axis=0), 1 / 3, atol=6 * 0.3 / 20)
    assert 0.3 < (np.linalg.det(maps) > 0).mean() < 0.7
    _equal(drawn.base, _draw(mixing=identity(), control="const", num_segments=400, length=8).base)


def test_the_world_says_which_mechanism_varies():
    modulation = jnp.array([[0.1, 0.5], [0.3, 0.5], [0.2, 0.9]])
    cause = modulated_world(identity(), (), modulation)
    dual = modulated_world(identity(), (), modulation, reading="mechanism")
    assert cause.varies == (True, True) and cause.observation.prior.varies is False
    assert dual.varies == (False, False) and dual.observation.prior.varies is True
    tied = modulated_world(identity(), (), modulation.at[:, 1].set(0.5))
    assert tied.varies == (True, False)


@pytest.mark.parametrize("n, wanted", [(2, 1.49), (3, 2.9), (5, 6.47), (10, 16.0)])
def test_thresholds_are_the_stated_percentiles(n, wanted):
    # 10,000 draws: a percentile of a heavy-tailed law, two fixed sets apart
    np.testing.assert_allclose(condition_threshold(n), wanted, rtol=0.04)
    assert condition_threshold(n, 100) > condition_threshold(n, 50) > condition_threshold(n, 25)


@pytest.mark.slow
def test_every_layer_is_a_draw_below_the_threshold():
    init = jax.jit(jax.vmap(conditioned_invertible_mlp(3, num_layers=2, percentile=25).init))
    weights = np.stack(init(jax.random.split(KEY, 300)), axis=1).reshape(-1, 3, 3)
    conditions = np.linalg.cond(weights)
    threshold = condition_threshold(3)
    assert conditions.max() <= threshold * (1 + 1e-5)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-5)
    # the law is that of the pool below its quarter, not that of its best
    pool = np.random.default_rng(5).uniform(-1, 1, (20_000, 3, 3))
    reference = np.linalg.cond(pool / np.linalg.norm(pool, axis=1, keepdims=True))
    assert scipy.stats.ks_2samp(conditions, reference[reference <= threshold]).pvalue > 1e-6
    assert len(np.unique(conditions)) == 600


def test_one_source_and_one_layer():
    single = conditioned_invertible_mlp(1, num_layers=1)
    np.testing.assert_allclose(np.abs(single.init(KEY)[0]), [[1.0]])
    linear = conditioned_invertible_mlp(2, num_layers=1)
    (weight,) = linear.init(KEY)
    np.testing.assert_allclose(linear.apply((weight,), jnp.eye(2)), weight.T, rtol=1e-6)


@pytest.mark.slow
def test_a_second_draw_compiles_nothing():
    for choices in ({}, {"reading": "mechanism", "control": "rotated"}):
        call = lambda key, choices=choices: _draw(key, **choices)  # noqa: E731
        assert compiled_by_second_call(call, (KEY,), (jax.random.key(1),)) == 0


def test_too_few_segments_are_named():
    with pytest.warns(UserWarning, match="found 3 segments for 3 sources, fewer than n \\+ 1"):
        drawn = _draw(num_segments=3)
    assert parameter_rank(drawn.natural_parameters) == 2


BAD = {
    "found family='laplacian'": lambda: _draw(family="laplacian"),
    "found reading='effect'": lambda: _draw(reading="effect"),
    "found control='rot'": lambda: _draw(control="rot"),
    "wanted reading='mechanism'": lambda: _draw(control="rotated"),
    "segment_length=1, wanted at least 2": lambda: _draw(length=1),
    "found percentile=0": lambda: conditioned_invertible_mlp(3, percentile=0),
    "found num_layers=0": lambda: conditioned_invertible_mlp(3, num_layers=0),
    "found modulation down to 0, wanted positive": lambda: modulated_world(identity(), (), np.array([[1.0], [0.0]])),
    "1 non-finite entries in modulation": lambda: modulated_world(identity(), (), [[1.0], [np.nan]]),
    "found rotations with": lambda: modulated_world(identity(), (), jnp.ones((2, 1)), rotations=jnp.ones((2, 1, 1))),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
