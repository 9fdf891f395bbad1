"""MCC inside environments, in batches and by chance, against plain loops over the definition."""

import jax
import numpy as np
import pytest
from scipy.special import gamma

from identax.metrics import batch_mcc, chance_mcc, epoch_mcc, mcc, within_mcc


@pytest.fixture
def shifted(x64):
    """Latents and noisy estimates of three environments with very different means: [E, P, 2]."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(3, 70, 2)) + np.array([-5.0, 0.0, 5.0])[:, None, None]
    return latents, latents[..., ::-1] * [1.0, -2.0] + rng.normal(size=(3, 70, 2))


def test_within_is_the_mean_over_environments(shifted):
    latents, estimates = shifted
    expected = np.mean([mcc(z, found) for z, found in zip(latents, estimates, strict=True)])
    np.testing.assert_allclose(within_mcc(latents, estimates), expected, rtol=1e-12)
    assert within_mcc(latents, estimates) < mcc(latents.reshape(-1, 2), estimates.reshape(-1, 2)) - 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("size", "rest"), [(64, 18), (70, 0), (11, 1)])
def test_epoch_weighs_consecutive_batches_by_their_size(shifted, size, rest):
    latents, estimates = (values.reshape(-1, 2) for values in shifted)
    parts = [slice(begin, begin + size) for begin in range(0, 210, size)]
    assert len(latents[parts[-1]]) % size == rest
    if rest == 1:  # has no correlation
        parts.pop()
    weights = [len(latents[part]) for part in parts]
    expected = np.average([mcc(latents[part], estimates[part]) for part in parts], weights=weights)
    np.testing.assert_allclose(epoch_mcc(latents, estimates, size), expected, rtol=1e-12)


@pytest.mark.slow
def test_batches_are_an_expectation_over_random_ones(shifted):
    latents, estimates = (values.reshape(-1, 2) for values in shifted)
    rng = np.random.default_rng(1)
    draws = [mcc(latents[rows], estimates[rows]) for rows in rng.integers(0, 210, size=(100, 16))]
    found = batch_mcc(jax.random.key(0), latents, estimates, 16, num_batches=400)
    assert abs(found - np.mean(draws)) < 6 * np.std(draws) * np.sqrt(1 / 100 + 1 / 400)
    assert found > epoch_mcc(latents, estimates, 16) + 0.1  # mixed environments: their means count


def test_chance_of_one_dimension_is_the_mean_absolute_correlation(x64):
    mean, spread = chance_mcc(jax.random.key(0), 1, 8, num_draws=4000)
    # Independent samples: r^2 ~ Beta(1/2, (n - 2) / 2), so that E|r| = G((n - 1)/2) / (sqrt(pi) G(n/2)).
    assert abs(mean - gamma(3.5) / (np.sqrt(np.pi) * gamma(4))) < 6 * spread / np.sqrt(4000)


def test_bad_input():
    z = np.zeros((10, 2))
    for function in (lambda a, b, n: epoch_mcc(a, b, n), lambda a, b, n: batch_mcc(jax.random.key(0), a, b, n)):
        with pytest.raises(ValueError, match=r"wanted \[N, n\] and \[N, m\]"):
            function(z, z[:9], 4)
        for size in (1, 11):
            with pytest.raises(ValueError, match=f"found batch_size={size}, wanted 2 <= size <= 10"):
                function(z, z, size)
    with pytest.raises(ValueError, match="found num_batches=0"):
        batch_mcc(jax.random.key(0), z, z, 4, num_batches=0)
    with pytest.raises(ValueError, match=r"wanted .E, P, n. and .E, P, m."):
        within_mcc(z, z)
    with pytest.raises(ValueError, match="found dim=0"):
        chance_mcc(jax.random.key(0), 0, 8)
