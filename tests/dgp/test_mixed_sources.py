"""Laws of sources against SciPy, and worlds of mixed sources whose density integrates to 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.dgp import (
    affine_coupling,
    beta_sources,
    decoder_mixing,
    gaussian_sources,
    identity,
    laplace_sources,
    latent_log_likelihood,
    log_likelihood,
    mixed_sources,
    moebius,
    observe,
    recover,
    smooth_mlp,
    triangular_mlp,
    uniform_sources,
)
from tests.eager import compiled_by_second_call

A, B = np.array([2.0, 0.7, 1.0]), np.array([5.0, 1.3, 1.0])
SOURCES = {
    "uniform": (lambda: uniform_sources(3), [stats.uniform(-0.5, 1)] * 3),
    "uniform, other ends": (lambda: uniform_sources(3, 1, 4.0), [stats.uniform(1, 3)] * 3),
    "gaussian": (lambda: gaussian_sources(3), [stats.norm()] * 3),
    "laplace": (lambda: laplace_sources(3, scale=0.5), [stats.laplace(scale=0.5)] * 3),
    "beta": (lambda: beta_sources(A, B), [stats.beta(a, b, -0.5, 1) for a, b in zip(A, B, strict=True)]),
    "beta, other ends": (
        lambda: beta_sources(A, B, low=1.0, high=3.0),
        [stats.beta(a, b, 1, 2) for a, b in zip(A, B, strict=True)],
    ),
}


FAST = ("uniform, other ends", "beta, other ends")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SOURCES])
@pytest.mark.slow
def test_draws_and_densities_are_scipys(name, x64):
    make, laws = SOURCES[name]
    sources = make()
    drawn = np.asarray(jax.jit(sources.sample, static_argnums=1)(jax.random.key(0), 20_000))
    assert drawn.shape == (20_000, sources.n) and sources.name == name.split(",")[0]
    for column, law in zip(drawn.T, laws, strict=True):
        assert stats.kstest(column, law.cdf).pvalue > 1e-6
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 6 / np.sqrt(20_000)
    rows = np.concatenate([drawn[:50], drawn[:50] + 10, drawn[:50] - 10])
    wanted = sum(law.logpdf(column) for column, law in zip(rows.T, laws, strict=True))
    np.testing.assert_allclose(sources.log_prob(rows), wanted, atol=1e-12)
    gradient = jax.grad(lambda s: sources.log_prob(s).sum())(jnp.asarray(rows))
    assert np.isfinite(gradient).all()


def test_edges_of_bounded_sources_belong_to_them(x64):
    edges = [[-0.5, 0.5, -0.5]]
    np.testing.assert_array_equal(uniform_sources(3).log_prob(edges), [0.0])
    np.testing.assert_array_equal(uniform_sources(3).log_prob([[0.5, 0.5, 0.5000001]]), [-np.inf])
    np.testing.assert_allclose(beta_sources([1.0] * 3, [1.0] * 3).log_prob(edges), [0.0], atol=1e-14)


@pytest.mark.slow
def test_a_second_draw_of_beta_sources_compiles_nothing(getkey):
    def draw(alpha, key):
        sources = beta_sources(alpha, alpha)
        return sources.log_prob(sources.sample(key, 5))

    assert compiled_by_second_call(draw, (jnp.ones(3), getkey()), (2 * jnp.ones(3), getkey())) == 0
    jax.jit(draw)(jnp.ones(3), getkey())  # parameters may be traced


@pytest.mark.parametrize(
    "mixing, sources, center",
    [
        (triangular_mlp(2, off_diagonal=2.0), gaussian_sources(2), None),
        (moebius(2), uniform_sources(2), 1000),
        pytest.param(smooth_mlp(2), laplace_sources(2), 100, marks=pytest.mark.slow),
        pytest.param(affine_coupling(2, parity="alternating"), gaussian_sources(2), None, marks=pytest.mark.slow),
    ],
)
def test_densities_integrate_to_one(mixing, sources, center, x64):
    """By importance sampling from a wide Student's law: a sign or a constant that is wrong in log_det shows."""
    world = mixed_sources(mixing, sources, center=center)
    truth = jax.jit(world.init)(jax.random.key(5))
    x = np.asarray(jax.jit(world.sample, static_argnums=2)(truth, jax.random.key(1), 4000).observations)
    proposal = stats.multivariate_t(x.mean(axis=0), 1.5 * np.cov(x.T), df=3, seed=0)
    points = proposal.rvs(40_000)
    found = jax.jit(lambda truth, x: log_likelihood(mixing, sources, truth, x))(truth, points)
    ratio = np.exp(np.asarray(found) - proposal.logpdf(points))
    error = ratio.std() / np.sqrt(len(ratio))
    assert abs(ratio.mean() - 1) < 6 * error < 0.2, (ratio.mean(), error)


@pytest.mark.parametrize("center", [None, 500])
def test_observing_and_recovering_undo_each_other(center, x64, getkey):
    mixing, sources = moebius(3), uniform_sources(3)
    world = mixed_sources(mixing, sources, center=center)
    truth = world.init(getkey())
    sample = world.sample(truth, getkey(), 3000)
    np.testing.assert_allclose(observe(mixing, truth, sample.latents), sample.observations, atol=1e-14)
    np.testing.assert_allclose(recover(mixing, truth, sample.observations), sample.latents, atol=1e-12)
    np.testing.assert_allclose(
        log_likelihood(mixing, sources, truth, sample.observations),
        latent_log_likelihood(mixing, sources, truth, sample.latents),
        atol=1e-10,
    )
    mean, error = sample.observations.mean(axis=0), sample.observations.std(axis=0)
    centred = np.abs(mean) < 6 * error * np.sqrt(1 / 3000 + 1 / 500)
    assert centred.all() == (center is not None)
    if center is None:
        np.testing.assert_array_equal(truth["mean"], 0)


def test_rounding_at_an_edge_costs_no_likelihood(getkey):
    """In float32 some inverses of points at the edge of the cube lie outside of it by rounding."""
    mixing, sources = moebius(3), uniform_sources(3)
    truth = mixed_sources(mixing, sources).init(getkey())
    s = jax.random.uniform(getkey(), (3000, 3), minval=-0.5, maxval=0.5).at[:, 0].set(0.5)
    x = observe(mixing, truth, s)
    assert (np.asarray(recover(mixing, truth, x))[:, 0] > 0.5).any()
    assert np.isfinite(log_likelihood(mixing, sources, truth, x)).all()
    outside = observe(mixing, truth, s.at[:, 0].set(0.51))
    assert (np.asarray(log_likelihood(mixing, sources, truth, outside)) == -np.inf).all()


@pytest.mark.slow
def test_worlds_map_over_trials_and_are_called_in_notebooks(getkey):
    world = mixed_sources(smooth_mlp(2), gaussian_sources(2), center=50)

    def draw(key):
        truth = world.init(key)
        sample = world.sample(truth, key, 20)
        return sample.observations, log_likelihood(smooth_mlp(2), gaussian_sources(2), truth, sample.observations)

    key = getkey()
    assert compiled_by_second_call(draw, (getkey(),), (key,)) == 0
    for mapped, alone in zip(jax.jit(jax.vmap(draw))(key[None]), draw(key), strict=True):
        np.testing.assert_allclose(mapped[0], alone, atol=1e-4)


def test_the_identity_keeps_the_sources(getkey):
    sources = laplace_sources(2)
    world = mixed_sources(identity(), sources)
    truth = world.init(getkey())
    sample = world.sample(truth, getkey(), 10)
    np.testing.assert_array_equal(sample.observations, sample.latents)
    np.testing.assert_array_equal(
        log_likelihood(identity(), sources, truth, sample.observations), sources.log_prob(sample.latents)
    )


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: uniform_sources(0), "n=0"),
        (lambda: uniform_sources(2, 1.0, 1.0), "low=1.0 and high=1.0"),
        (lambda: laplace_sources(2, scale=0.0), "scale"),
        (lambda: beta_sources([1.0, 0.0], [1.0, 1.0]), "alpha down to 0"),
        (lambda: beta_sources([1.0, 2.0], [1.0, -1.0]), "beta down to -1"),
        (lambda: beta_sources([1.0, 2.0], [1.0]), r"beta of shape \(1,\)"),
        (lambda: beta_sources([1 + 1j], [1.0]), "beta_sources: found alpha of type complex"),
        (lambda: recover(identity(), {"mixing": (), "mean": jnp.zeros(3)}, np.ones((5, 1))), r"wanted \[N, 3\]"),
        (lambda: gaussian_sources(2).sample(jax.random.key(0), 0), "num=0"),
        (lambda: gaussian_sources(2).log_prob(jnp.zeros((3, 3))), r"shape \(3, 3\), wanted \[N, 2\]"),
        (lambda: gaussian_sources(2).log_prob(jnp.zeros((3, 2), complex)), "complex"),
        (lambda: mixed_sources(identity(), gaussian_sources(2), center=0), "center=0"),
        (
            lambda: latent_log_likelihood(
                decoder_mixing(lambda w, z: z, (), 2), gaussian_sources(2), {"mixing": ()}, jnp.zeros((1, 2))
            ),
            "without log_det",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
