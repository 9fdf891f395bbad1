"""The linear map itself: split R^2 against scikit-learn, singular values, rows of a head, correlation of readouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from identax.metrics import head_r2, linear_r2, pearson_readout, singular_value_error

N, DIM = 301, 4


def _data(seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, DIM)) + 2
    h = np.tanh(z @ rng.normal(size=(DIM, DIM)) - 3) + 0.1 * rng.normal(size=(N, DIM)) + 2
    return z, h


def _vectors(num, seed=0):
    v = np.random.default_rng(seed).normal(size=(num, DIM))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


_r2 = jax.jit(linear_r2, static_argnames=("fit_intercept", "split", "per_dim"))
_head = jax.jit(head_r2, static_argnames=("fit_intercept", "split"))
_error = jax.jit(singular_value_error, static_argnames="relative")


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("variant", ["healthy", "duplicated", "one dim collapsed", "badly scaled"])
def test_split_r2_is_scikit_learns_on_the_second_half(x64, variant, fit_intercept):
    z, h = _data()
    if variant == "duplicated":
        h = np.concatenate([h, h[:, :1]], axis=1)
    elif variant == "one dim collapsed":
        h[:, 2] = 0.3
    # The scales of single dims do not matter in exact arithmetic; scikit-learn drops the smallest of them.
    scales = np.array([1.0, 1e-4, 1e4, 1.0]) if variant == "badly scaled" else np.ones(h.shape[1])
    model = LinearRegression(fit_intercept=fit_intercept).fit(h[: N // 2], z[: N // 2])
    want = r2_score(z[N // 2 :], model.predict(h[N // 2 :]), multioutput="raw_values")
    got = _r2(h * scales, z, fit_intercept=fit_intercept, split="half", per_dim=True)
    np.testing.assert_allclose(got, want, atol=1e-9)
    if variant == "healthy":
        np.testing.assert_allclose(_r2(h, z, fit_intercept=fit_intercept, split="half"), want.mean(), atol=1e-9)
        assert abs(want.mean() - _r2(h, z, fit_intercept=fit_intercept)) > 1e-4


@pytest.mark.slow
def test_split_r2_in_float32_and_of_collapsed_or_broken_embeddings():
    z, h = _data()
    z32 = jnp.asarray(z, jnp.float32)
    model = LinearRegression().fit(h[: N // 2], z[: N // 2])
    want = r2_score(z[N // 2 :], model.predict(h[N // 2 :]))
    trials = jnp.asarray(np.stack([h, np.zeros_like(h), np.full_like(h, np.nan)]), jnp.float32)
    got = jax.jit(jax.vmap(lambda h: linear_r2(h, z32, split="half")))(trials)
    np.testing.assert_allclose(got[0], want, atol=2e-5)
    mean_only = r2_score(z[N // 2 :], np.tile(z[: N // 2].mean(axis=0), (N - N // 2, 1)))
    np.testing.assert_allclose(got[1], mean_only, atol=1e-5)  # slightly negative: a mean of other samples
    assert np.isnan(got[2])
    for constant, score in (("zero", 0.0), ("exact", 1.0)):
        assert linear_r2(trials[0], jnp.ones_like(z32), split="half", constant=constant) == score


def test_split_r2_sees_overfitting_that_the_score_on_all_samples_hides(x64):
    rng = np.random.default_rng(0)
    h, z = jnp.asarray(rng.normal(size=(60, 25))), jnp.asarray(rng.normal(size=(60, 2)))
    assert _r2(h, z) > 0.2 and _r2(h, z, split="half") < -0.5


@pytest.mark.slow
@pytest.mark.parametrize("intake", [DIM, DIM + 2, DIM - 1])
def test_singular_value_error_is_that_of_the_coefficients(x64, intake):
    z, h = _data()
    h = np.random.default_rng(3).normal(size=(N, intake)) + h[:, :1]
    s = np.linalg.svd(np.linalg.lstsq(h, z, rcond=None)[0], compute_uv=False)
    got = _error(h, z, target=0.3)
    np.testing.assert_allclose(got, np.abs(s - 0.3).mean(), rtol=1e-9)
    relative = _error(jnp.asarray(h), jnp.asarray(z), target=0.3, relative=True)
    np.testing.assert_allclose(relative, np.abs(s / 0.3 - 1).mean(), rtol=1e-9)
    free = _error(jnp.asarray(h), jnp.asarray(z), target=None)
    np.testing.assert_allclose(free, np.abs(s / s.mean() - 1).mean(), rtol=1e-9)


def test_singular_value_error_of_a_scaled_rotation_and_of_a_linear_map(x64):
    z = _vectors(N)
    rotation, general = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, DIM)))[0], np.diag([1.0, 2, 3, 4])
    kappa = 10.0
    error = jax.jit(jax.vmap(lambda h: singular_value_error(h, jnp.asarray(z), target=1 / kappa, relative=True)))
    got = error(jnp.stack([jnp.asarray(kappa * z @ rotation), jnp.asarray(z @ general), jnp.full(z.shape, jnp.nan)]))
    np.testing.assert_allclose(got[0], 0, atol=1e-12)
    assert got[1] > 1 and np.isnan(got[2])
    np.testing.assert_allclose(_error(jnp.asarray(3e-5 * z @ rotation), z, target=None), 0, atol=1e-10)
    tiny = jnp.asarray(1e-12 * z @ rotation, jnp.float32)
    np.testing.assert_allclose(_error(tiny, jnp.asarray(z, jnp.float32), target=None), 0, atol=1e-5)


@pytest.mark.slow
def test_head_r2_by_the_published_split_and_by_clusters_that_were_not_seen(x64):
    rng, vectors = np.random.default_rng(0), _vectors(20)
    clusters = np.arange(90) % 20  # 20 does not divide 90
    linear = vectors[clusters] @ rng.normal(size=(DIM, DIM)) + rng.normal(size=DIM)
    # Rows of one cluster are alike but lie anywhere: the published split remembers them, the other does not.
    memorised = rng.normal(size=(20, 30))[clusters]
    for split in ("half", "clusters", "none"):
        np.testing.assert_allclose(_head(jnp.asarray(linear), vectors, split=split), 1.0, atol=1e-9)
    assert _head(jnp.asarray(memorised), vectors) > 0.999
    assert _head(jnp.asarray(memorised), vectors, split="clusters") < 0.3
    noisy = linear + 0.3 * rng.normal(size=linear.shape)
    model = LinearRegression().fit(noisy[:45], vectors[clusters[:45]])
    want = r2_score(vectors[clusters[45:]], model.predict(noisy[45:]))
    np.testing.assert_allclose(_head(jnp.asarray(noisy), vectors), want, atol=1e-9)
    seen = clusters < 10
    model = LinearRegression(fit_intercept=False).fit(noisy[seen], vectors[clusters[seen]])
    want = r2_score(vectors[clusters[~seen]], model.predict(noisy[~seen]))
    got = _head(noisy, vectors, fit_intercept=False, split="clusters")
    np.testing.assert_allclose(got, want, atol=1e-9)


@pytest.mark.parametrize("columns, chunk", [(7, 8192), (7, 50), (150, 40), (400, 8192)])
def test_readout_is_the_correlation_of_the_least_squares_prediction(monkeypatch, columns, chunk):
    monkeypatch.setattr("identax.metrics.pearson._CHUNK", chunk)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, columns)) + 1
    y = np.stack([x[:, 0] + rng.normal(size=200), rng.integers(0, 4, 200)], axis=1)
    new_x, new_y = x[::2] + 0.1 * rng.normal(size=(100, columns)), y[::2]
    beta = np.linalg.pinv(x) @ ((y - y.mean(axis=0)) / y.std(axis=0))
    want = [np.corrcoef(new_x @ b, t)[0, 1] for b, t in zip(beta.T, new_y.T, strict=True)]
    got = pearson_readout(x, y, new_x, new_y)
    np.testing.assert_allclose(got, want, rtol=1e-9)
    one = pearson_readout(x, y[:, 0], new_x, new_y[:, 0])
    assert one.shape == ()
    np.testing.assert_allclose(one, want[0], rtol=1e-9)
    on_itself = [np.corrcoef(x @ b, t)[0, 1] for b, t in zip(beta.T, y.T, strict=True)]
    np.testing.assert_allclose(pearson_readout(x, y), on_itself, rtol=1e-9)


def test_the_published_solver_loses_a_factor_that_collinear_features_hold():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(40, 200)), axis=1), axis=1)
    x = rng.normal(size=(2000, 40)) @ smooth
    y = x @ rng.normal(size=200) / 200
    parts = x[:1000], y[:1000], x[1000:], y[1000:]
    assert pearson_readout(*parts) > 0.9999
    assert pearson_readout(*parts, solver="published") < 0.99
    well = rng.normal(size=(500, 5))
    published = pearson_readout(well, well[:, 0] ** 3, solver="published")
    np.testing.assert_allclose(published, pearson_readout(well, well[:, 0] ** 3), rtol=1e-5)


def test_constant_factors_and_features_score_zero():
    x = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_array_equal(pearson_readout(x, np.full((30, 1), 3.0)), [0.0])
    np.testing.assert_array_equal(pearson_readout(np.zeros((30, 2)), x), [0.0, 0.0])


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda x: linear_r2(x, x, split="halves"), "did you mean 'half'"),
        (lambda x: linear_r2(x[:3], x[:3], split="half"), "at least 2 on either side"),
        (lambda x: head_r2(x, x, split="cluster"), "did you mean 'clusters'"),
        (lambda x: head_r2(x[:3], x), "a row for every cluster"),
        (lambda x: head_r2(x[:3], x[:3], split="clusters"), "at least 2 on either side"),
        (lambda x: singular_value_error(x, x[:2]), "one number of samples"),
        (lambda x: pearson_readout(x, x, solver="svd"), "wanted one of"),
        (lambda x: pearson_readout(x, x[:3]), "wanted .N, m."),
        (lambda x: pearson_readout(x, x, x), "both or none"),
        (lambda x: pearson_readout(x, x, x[:, :1], x), "the same features"),
        (lambda x: pearson_readout(x * np.nan, x), "features with values"),
        (lambda x: pearson_readout(x, x, x, x * np.inf), "test_targets with values"),
    ],
)
def test_bad_input_is_named(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(np.ones((8, 2)))
