"""Partial correlations against regressed residuals and the precision matrix; Fisher's z against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.causal import fisher_z_test, partial_correlation


def _data(getkey, num=200, p=2, q=3, k=4):
    """Mixed so that everything depends on everything."""
    draw = jax.random.normal(getkey(), (num, p + q + k)) @ jax.random.normal(getkey(), (p + q + k,) * 2) + 3.0
    return draw[:, :p], draw[:, p : p + q], draw[:, p + q :]


def _by_regression(x, y, given):
    design = np.column_stack([np.ones(len(x)), given])
    rx, ry = (np.asarray(v) - design @ np.linalg.lstsq(design, np.asarray(v), rcond=None)[0] for v in (x, y))
    return np.corrcoef(rx.T, ry.T)[: x.shape[1], x.shape[1] :]


def test_equals_the_correlation_of_residuals(x64, getkey):
    x, y, given = _data(getkey)
    np.testing.assert_allclose(partial_correlation(x, y, given), _by_regression(x, y, given), atol=1e-12)
    np.testing.assert_allclose(partial_correlation(x, y), np.corrcoef(x.T, y.T)[:2, 2:], atol=1e-12)
    assert np.abs(partial_correlation(x, y) - partial_correlation(x, y, given)).max() > 0.05


def test_of_single_variables_it_is_an_entry_of_the_precision_matrix(x64, getkey):
    x, y, given = _data(getkey, p=1, q=1)
    P = np.linalg.inv(np.cov(np.column_stack([x, y, given]).T))
    found = partial_correlation(x[:, 0], y[:, 0], given)
    assert found.shape == ()
    np.testing.assert_allclose(found, -P[0, 1] / np.sqrt(P[0, 0] * P[1, 1]), atol=1e-12)


def test_axes_follow_the_arguments(getkey):
    x, y, given = _data(getkey)
    whole = partial_correlation(x, y, given)
    np.testing.assert_allclose(partial_correlation(x[:, 0], y, given), whole[0], atol=1e-5)
    np.testing.assert_allclose(partial_correlation(x, y[:, 1], given), whole[:, 1], atol=1e-5)
    np.testing.assert_allclose(partial_correlation(x, y, given[:, :0]), partial_correlation(x, y), atol=1e-5)


def test_in_float32_with_nearly_collinear_columns(getkey):
    """Normal equations would lose all digits here."""
    x, y, given = _data(getkey)
    given = given.at[:, 1].set(given[:, 0] + 1e-3 * given[:, 1])
    wanted = _by_regression(*(np.asarray(v, np.float64) for v in (x, y, given)))
    np.testing.assert_allclose(partial_correlation(x, y, given), wanted, atol=2e-3)


def test_repeated_columns_and_units_change_nothing(x64, getkey):
    x, y, given = _data(getkey)
    wanted = partial_correlation(x, y, given)
    twice = jnp.concatenate([given, given.sum(axis=1, keepdims=True), given[:, :1]], axis=1)
    np.testing.assert_allclose(partial_correlation(1e12 * x, 1e-12 * y, 1e-9 * twice), wanted, atol=1e-9)


def test_what_given_determines_has_no_correlation(x64, getkey):
    x, y, given = _data(getkey)
    x = x.at[:, 0].set(given[:, 0] - 2 * given[:, 1] + 1)
    y = y.at[:, 2].set(0.1)
    found = np.asarray(partial_correlation(x, y, given))
    assert np.isnan(found[0]).all() and np.isnan(found[:, 2]).all() and np.isfinite(found[1, :2]).all()
    assert np.isnan(fisher_z_test(found, 200, 4)[0]).all()


def test_compiles_maps_and_differentiates(x64, getkey):
    x, y, given = _data(getkey, num=40)
    stack = [jnp.stack([v, v[::-1] ** 2]) for v in (x, y, given)]
    mapped = jax.jit(jax.vmap(partial_correlation))(*stack)
    np.testing.assert_allclose(mapped[1], partial_correlation(*(v[1] for v in stack)), atol=1e-12)

    def p_value(x):
        return fisher_z_test(partial_correlation(x, y, given), 40, 4).sum()

    grad, step = jax.grad(p_value)(x), jax.random.normal(getkey(), x.shape)
    numeric = (p_value(x + 1e-6 * step) - p_value(x - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose((grad * step).sum(), numeric, rtol=1e-5)


def test_p_values_are_two_normal_tails(x64):
    r = np.array([[0.0, 0.1, -0.3], [0.9, -0.9999, 0.6]])
    wanted = 2 * stats.norm.sf(np.sqrt(103 - 2 - 3) * np.arctanh(np.abs(r)))
    np.testing.assert_allclose(fisher_z_test(r, 103, 2), wanted, rtol=1e-10)
    assert fisher_z_test(0.0, 103) == 1 and fisher_z_test(-1.0, 103) == 0


@pytest.mark.parametrize("num", [12, 100])
def test_p_values_are_uniform_under_conditional_independence(num):
    """x and y share the causes in `given` alone; without these the test must see the dependence."""
    keys = jax.random.split(jax.random.key(3), 2000)

    def one(key):
        noise = jax.random.normal(key, (5, num)).T
        given = noise[:, :3]
        x, y = given.sum(axis=1) + noise[:, 3], 2 * given[:, 0] - given[:, 1] + noise[:, 4]
        plain = fisher_z_test(partial_correlation(x, y), num)
        return fisher_z_test(partial_correlation(x, y, given), num, 3), plain

    conditional, plain = jax.jit(jax.vmap(one))(keys)
    # of 2000 uniforms: Kolmogorov-Smirnov at 1e-4; at num = 12 Fisher's approximation itself is off by 0.01
    assert np.abs(np.sort(conditional) - np.arange(2000) / 2000).max() < 0.05
    assert abs((conditional < 0.05).mean() - 0.05) < 6 * np.sqrt(0.05 * 0.95 / 2000)
    if num == 100:
        assert (plain < 0.05).mean() > 0.4


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: partial_correlation(np.zeros((5, 1)), np.zeros((4, 1))), "wanted x"),
        (lambda: partial_correlation(np.zeros((5, 1)), np.zeros(5), np.zeros((4, 2))), "wanted x"),
        (lambda: partial_correlation(np.zeros((5, 1, 1)), np.zeros(5)), "wanted x"),
        (lambda: partial_correlation(np.zeros(1), np.zeros(1)), "N >= 2"),
        (lambda: fisher_z_test(0.1, 6, 3), "at least 4 samples more"),
        (lambda: fisher_z_test(0.1, 6, -1), "num_given >= 0"),
        (lambda: fisher_z_test(0.1, float("nan")), "num_samples=nan"),
        (lambda: fisher_z_test(np.array([0.1, 1.5]), 10), "wanted them in"),
    ],
)
def test_bad_input(call, part):
    with pytest.raises(ValueError, match=part):
        call()


def test_offsets_of_the_host_cost_no_digits():
    """Seconds since 1970 and integers: float32 keeps 128 s of the one and nothing of the other's spread."""
    rng = np.random.default_rng(3)
    x, y, given = rng.normal(size=(300, 1)), rng.normal(size=300), rng.normal(size=(300, 2))
    y = y + given @ [1.0, -0.5]
    wanted = partial_correlation(x, y, given)
    np.testing.assert_allclose(partial_correlation(1e9 + 3 * x, 1e9 + y, 1e8 + given), wanted, atol=1e-5)
    steps = np.arange(300)
    assert partial_correlation(10**12 + steps, 10**10 - steps) == -1.0
    assert np.isnan(partial_correlation(np.full(300, 1e9 + 0.1), y))
    for args in ((x + 1j, y), (x, y + 0j), (x, y, given + 0j)):
        with pytest.raises(ValueError, match="of type complex128"):
            partial_correlation(*args)
    with pytest.raises(ValueError, match="correlation of type complex"):
        fisher_z_test([0.1 + 0j], 20)
    np.testing.assert_allclose(fisher_z_test([0, 1], 20), [1.0, 0.0])
