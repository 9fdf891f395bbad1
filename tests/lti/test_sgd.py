"""The published training: its step against autodiff and a plain loop, its start, and where it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.lti import conditional_loglik, published_epoch, published_loglik, wls_unmixing
from identax.lti.sgd import orthonormal_rows, published_gradient
from identax.rng import permutation


@pytest.fixture
def data(getkey, x64):
    """Pairs of a two-dimensional system, flat, with the controls' means and variances at each."""
    num, rng = 150, np.random.default_rng(3)
    means = np.repeat(rng.normal(size=(3, 2)), num // 3, axis=0)
    variances = np.repeat(rng.uniform(0.2, 1.5, size=(3, 2)), num // 3, axis=0)
    controls = means + np.sqrt(variances) * rng.normal(size=(num, 2))
    first = rng.normal(size=(num, 2))
    second = first @ rng.normal(size=(2, 2)) * 0.4 + controls @ rng.normal(size=(2, 2))
    return np.concatenate([first, second], axis=1), means, variances


def test_gradient_is_that_of_the_published_objective(data, getkey):
    z, means, variances = data
    unmixing = jax.random.normal(getkey(), (2, 4))
    expected = jax.grad(lambda w: -published_loglik(w, z.reshape(-1, 2, 2), means, variances).mean())(unmixing)
    np.testing.assert_allclose(published_gradient(unmixing, z, means, 1 / variances), expected, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [64, 50], ids=["with a rest", "without"])
def test_epoch_is_the_plain_loop(data, getkey, batch_size):
    z, means, variances = data
    key, start = getkey(), orthonormal_rows(getkey(), 2, 4)
    how = {"batch_size": batch_size, "learning_rate": 0.05, "max_norm": 0.5}
    unmixing, order = np.asarray(start), np.asarray(permutation(key, len(z)))
    norms = []
    for begin in range(0, len(z), batch_size):
        rows = order[begin : begin + batch_size]
        gradient = ((z[rows] @ unmixing.T - means[rows]) / variances[rows]).T @ z[rows] / len(rows)
        norms.append(np.linalg.norm(gradient))
        unmixing = unmixing - 0.05 * gradient * min(1, 0.5 / (norms[-1] + 1e-6))
    assert max(norms) > 0.5, "the clip must be at work"
    found = jax.jit(lambda start: published_epoch(key, start, z, means, variances, **how))(start)
    np.testing.assert_allclose(found, unmixing, rtol=1e-12)
    mapped = jax.vmap(lambda start: published_epoch(key, start, z, means, variances, **how))(jnp.stack([start] * 2))
    np.testing.assert_allclose(mapped[1], unmixing, rtol=1e-12)


def test_many_epochs_end_at_the_weighted_least_squares_fit_and_not_at_the_truth(data, getkey):
    z, means, variances = data
    pairs, start = z.reshape(-1, 2, 2), orthonormal_rows(getkey(), 2, 4)

    def epoch(unmixing, number):
        return published_epoch(
            jax.random.fold_in(jax.random.key(0), number),
            unmixing, z, means, variances, batch_size=64, learning_rate=0.2 / (1 + 0.02 * number), max_norm=0.5,
        ), None  # fmt: skip

    found, _ = jax.lax.scan(epoch, start, jnp.arange(3000))
    optimum = wls_unmixing(pairs, means, variances)
    np.testing.assert_allclose(found, optimum, atol=0.02)
    objective = [published_loglik(w, pairs, means, variances).mean() for w in (found, optimum)]
    assert 0 <= objective[1] - objective[0] < 1e-3
    assert conditional_loglik(optimum, pairs, means, variances).mean() < objective[1]  # W shrinks: log|det W_1| < 0


def test_start_is_orthonormal_and_uniform(x64):
    drawn = jax.vmap(lambda key: orthonormal_rows(key, 2, 4))(jax.random.split(jax.random.key(1), 4000))
    grams = jnp.einsum("nip,njp->nij", drawn, drawn)
    np.testing.assert_allclose(grams, np.broadcast_to(np.eye(2), grams.shape), atol=1e-13)
    # On the sphere in 4 dimensions: mean 0 and variance 1/4 of every entry, fourth moment 3/24.
    for power, expected in ((1, 0.0), (2, 1 / 4), (4, 3 / 24)):
        moment = drawn.reshape(4000, 8) ** power
        assert np.all(np.abs(moment.mean(axis=0) - expected) < 6 * moment.std(axis=0) / np.sqrt(4000))


def test_bad_input(data, getkey):
    z, means, variances = data
    with pytest.raises(ValueError, match=r"rows of 4 entries"):
        orthonormal_rows(getkey(), 5, 4)
    for size in (0, 151):
        with pytest.raises(ValueError, match=rf"found batch_size={size}, wanted 1 .. 150"):
            published_epoch(getkey(), np.eye(2, 4), z, means, variances, batch_size=size, learning_rate=1e-3)
