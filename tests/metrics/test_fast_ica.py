"""FastICA against scikit-learn from the same start, its refusals, and what it is for."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from identax.metrics import fast_ica, mcc
from identax.metrics.fast_ica import CONTRASTS

RNG = np.random.default_rng(0)
SOURCES = RNG.laplace(size=(600, 4)) * np.array([1.0, 3.0, 0.5, 2.0])
X = SOURCES @ RNG.normal(size=(4, 4)) + np.array([5.0, -2.0, 0.0, 100.0])


def theirs(x, start, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return FastICA(len(start), w_init=start, **options).fit(x)


@pytest.mark.parametrize(
    ("contrast", "num"),
    [("logcosh", 4), *(pytest.param(name, 2, marks=pytest.mark.slow) for name in CONTRASTS)],
)
def test_equals_scikit_learn(x64, contrast, num):
    start = np.random.default_rng(1).normal(size=(num, num))
    found = fast_ica(X, num_components=num, start=start, contrast=contrast, max_steps=40)
    reference = theirs(X, start, fun=contrast, max_iter=40)
    np.testing.assert_allclose(found.components, reference.components_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.sources, reference.transform(X), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.whitening / 600**0.5, reference.whitening_, rtol=1e-9, atol=1e-12)
    assert found.num_steps == reference.n_iter_ > 3


@pytest.mark.slow
def test_equals_scikit_learn_with_other_options_and_tiny_components(x64):
    """Columns of very different scale and nearly dependent: a covariance matrix in float64 has lost the last."""
    x = X * np.array([1e6, 1.0, 1.0, 1e-3])
    x[:, 1] = 3 * x[:, 2] + 1e-4 * x[:, 1]
    start = np.random.default_rng(2).normal(size=(4, 4))
    found = fast_ica(x, start=start, alpha=1.5, tolerance=1e-9, max_steps=300)
    reference = theirs(x, start, fun_args={"alpha": 1.5}, tol=1e-9, max_iter=300)
    np.testing.assert_allclose(found.sources, reference.transform(x), atol=1e-7)
    assert found.change < 1e-9 and found.num_steps == reference.n_iter_


@pytest.mark.slow
def test_fewer_samples_than_columns(x64):
    x, start = X[:4] + RNG.normal(size=(4, 4)), np.eye(3)
    found = fast_ica(x, num_components=3, start=start, max_steps=5)
    reference = theirs(x, start, max_iter=5)
    np.testing.assert_allclose(found.sources, reference.transform(x), atol=1e-8)


@pytest.mark.slow
def test_separates_and_maps_over_trials():
    xs = jnp.stack([jnp.asarray(X, jnp.float32), jnp.asarray(X[::-1, ::-1], jnp.float32) * 2])
    keys = jax.random.split(jax.random.key(1), 2)
    found = jax.jit(jax.vmap(lambda x, key: fast_ica(x, key=key)))(xs, keys)
    for k, truth in enumerate((SOURCES, SOURCES[::-1])):
        assert mcc(truth, found.sources[k]) > 0.98 > mcc(truth, xs[k])
        alone = fast_ica(xs[k], key=keys[k])
        np.testing.assert_allclose(found.sources[k], alone.sources, atol=1e-3)
    np.testing.assert_allclose(jnp.std(found.sources, axis=1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_an_offset_of_the_host_costs_nothing():
    x = np.round(X, 2)
    near, far = fast_ica(x, max_steps=3), fast_ica(x + 1e9, max_steps=3)
    np.testing.assert_allclose(far.sources, near.sources, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-100, 100])
def test_units_whose_squares_are_no_floats_change_nothing(exponent):
    x, scale = np.asarray(X - X.mean(axis=0), np.float32), np.float32(2.0**exponent)
    near, far = fast_ica(jnp.asarray(x)), fast_ica(jnp.asarray(x * scale))
    np.testing.assert_allclose(far.sources, near.sources, atol=1e-4)
    np.testing.assert_allclose(far.components * scale, near.components, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_too_small_a_rank_is_nan_in_compiled_programs():
    low = jnp.asarray(X[:, [0, 1, 1]], jnp.float32)
    assert np.isnan(jax.jit(fast_ica)(low).sources).all()
    assert np.isnan(jax.jit(fast_ica)(low.at[0, 0].set(jnp.nan)).sources).all()
    assert np.isfinite(jax.jit(lambda x: fast_ica(x, num_components=2))(low).sources).all()


@pytest.mark.parametrize(
    ("change", "options", "wanted"),
    [
        (lambda x: x[:, [0, 1, 1]], {}, "rank 2 after centring, wanted at least num_components=3"),
        (lambda x: x[:3], {}, "rank 2 after centring, wanted at least num_components=4"),
        (lambda x: np.where([[True, True, False, True]], x, 0.1), {}, "a constant column 2 of x"),
        (lambda x: np.where([[True, True, False, True]], x, 1e9 + 1e-8 * x), {}, "a constant column 2"),
        (lambda x: x[:1], {}, "samples, at least 2"),
        (lambda x: x[:, 0], {}, r"x of shape \(600,\)"),
        (lambda x: x * 1j, {}, "x of type complex128"),
        (lambda x: np.where(x > 100, np.nan, x), {}, "non-finite entries in x"),
        (lambda x: x, {"num_components": 5}, "num_components=5 for 4 columns"),
        (lambda x: x, {"num_components": 0}, "num_components=0"),
        (lambda x: x, {"start": np.eye(3)}, r"start of shape \(3, 3\)"),
        (lambda x: x, {"start": np.eye(4), "key": jax.random.key(0)}, "both key and start"),
        (lambda x: x, {"contrast": "logcos"}, "did you mean 'logcosh'"),
        (lambda x: x, {"alpha": 3}, "alpha=3"),
        (lambda x: x, {"tolerance": -1}, "tolerance=-1"),
        (lambda x: x, {"max_steps": 0}, "max_steps=0"),
    ],
)
def test_refusals(change, options, wanted):
    with pytest.raises(ValueError, match=f"fast_ica: .*{wanted}"):
        fast_ica(change(X), **options)
