"""Instrumental variables against least squares under observation noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.lti.instruments import instrumental_regression


def _noisy(seed=0, dim=3, steps=6000, noise=0.316):
    """F = C A C^-1 and y_t = s_t + noise: random systems as published, noise of variance 0.1 (nominal 1e-2)."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((dim, dim))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    B, C = rng.standard_normal((2, dim, dim))
    F = C @ A @ np.linalg.inv(C)
    variances = np.abs(rng.standard_normal((dim + 1, dim))) / 2
    means = rng.standard_normal((dim + 1, dim))
    u = means[:, None] + np.sqrt(variances)[:, None] * rng.standard_normal((dim + 1, steps, dim))
    driven = u @ (C @ B).T
    states = np.zeros_like(driven)
    for t in range(steps - 1):
        states[:, t + 1] = states[:, t] @ F.T + driven[:, t]
    return F, states + noise * rng.standard_normal(states.shape)


def _least_squares(y):
    now, after = y[:, :-1], y[:, 1:]
    now, after = now - now.mean(axis=1, keepdims=True), after - after.mean(axis=1, keepdims=True)
    return np.linalg.lstsq(now.reshape(-1, y.shape[2]), after.reshape(-1, y.shape[2]), rcond=None)[0].T


def _error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_the_error_is_below_that_of_least_squares_and_the_bias_is_gone(x64):
    ratios, errors, biased = [], [], []
    for seed in range(7):
        F, y = _noisy(seed, steps=12_000)
        errors.append(_error(instrumental_regression(y), F))
        biased.append(_error(_least_squares(y), F))
        ratios.append(errors[-1] / biased[-1])
    assert np.median(ratios) < 0.5, (errors, biased)
    assert np.median(errors) < 0.05, errors


def test_four_times_the_data_cut_the_error_and_leave_the_bias_of_least_squares(x64):
    errors = []
    for seed in range(5):
        for steps in (6000, 24_000):
            F, y = _noisy(seed, steps=steps)
            errors.append([_error(instrumental_regression(y, lags=3), F), _error(_least_squares(y), F)])
    short, long = np.swapaxes(np.reshape(errors, (5, 2, 2)), 0, 1)
    consistent, biased = np.median(long / short, axis=0)
    assert consistent < 0.8, errors  # 1/2 is expected; single systems scatter widely
    assert 0.9 < biased < 1.1, errors


def test_one_lag_solves_the_moment_equation(x64):
    _, y = _noisy(2, steps=40)
    parts = [y[:, start : start + 38] for start in range(3)]
    before, now, after = (part - part.mean(axis=1, keepdims=True) for part in parts)
    residual = after - now @ np.asarray(instrumental_regression(y)).T
    np.testing.assert_allclose(np.einsum("eti,etj->ij", residual, before), 0.0, atol=1e-9)


def test_more_lags_are_two_stage_least_squares(x64):
    _, y = _noisy(3, steps=40)
    parts = [y[:, start : start + 37] for start in range(4)]
    first, second, now, after = ((part - part.mean(axis=1, keepdims=True)).reshape(-1, 3) for part in parts)
    instruments = np.hstack([first, second])
    fitted = instruments @ np.linalg.lstsq(instruments, now, rcond=None)[0]
    wanted = np.linalg.lstsq(fitted, after, rcond=None)[0].T
    np.testing.assert_allclose(instrumental_regression(y, lags=2), wanted, rtol=1e-8, atol=1e-9)


def test_units_and_offsets_of_the_observations_do_not_matter(x64):
    _, y = _noisy(4, steps=200)
    units = np.array([1e3, 1.0, 1e-3])
    offsets = np.random.default_rng(0).standard_normal((4, 1, 3))
    np.testing.assert_allclose(
        instrumental_regression((y + offsets) * units),
        np.asarray(instrumental_regression(y)) * units[:, None] / units[None, :],
        rtol=1e-7,
    )


def test_float32_under_jit_and_vmap():
    _, y = _noisy(5, steps=300)
    y = y.astype(np.float32)
    found = jax.jit(jax.vmap(instrumental_regression))(jnp.stack([y, 2 * y]))
    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        wanted = np.asarray(instrumental_regression(y.astype(float)))
    np.testing.assert_allclose(found, np.stack([wanted, wanted]), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("observations", "lags", "message"),
    [
        (np.ones((5, 2)), 1, "wanted .E, T, d_y."),
        (np.ones((2, 3, 2)), 2, "lags=2"),
        (np.ones((2, 9, 2)), 0, "lags=0"),
        (np.full((2, 9, 2), np.nan), 1, "non-finite"),
        (np.random.default_rng(0).normal(size=(2, 9, 3)) * [1, 0, 1] + 0.1, 1, r"variables \[1\] .* constant"),
    ],
)
def test_bad_input_is_refused(observations, lags, message):
    with pytest.raises(ValueError, match=message):
        instrumental_regression(observations, lags=lags)
