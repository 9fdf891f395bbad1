"""Linear R^2 against scikit-learn, on healthy, rank-deficient, collapsed and constant data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from identax.metrics import block_r2, linear_r2

N, DIM = 300, 4
_r2 = jax.jit(linear_r2, static_argnames=("fit_intercept", "per_dim", "constant"))


def _data(seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, DIM)) + 5
    h = np.tanh(z @ rng.normal(size=(DIM, DIM)) - 3) + 0.1 * rng.normal(size=(N, DIM)) + 2
    return z, h


def _variant(h, name):
    h = h.copy()
    if name == "rank deficient":
        h[:, 1] = 2 * h[:, 0] - h[:, 2] + 1
    elif name == "duplicated":
        h = np.concatenate([h, h[:, :2]], axis=1)
    elif name == "one dim collapsed":
        h[:, 2] = 0.3
    elif name == "collapsed":
        h[:] = 0.1
    elif name == "zero":
        h[:] = 0.0
    elif name == "badly scaled":
        h = h * np.array([1.0, 1e-4, 1e4, 1.0])
    elif name == "few samples":
        h = np.random.default_rng(1).normal(size=(N, N + 20))
    return h


VARIANTS = ["healthy", "rank deficient", "duplicated", "one dim collapsed", "collapsed", "zero", "few samples"]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_scikit_learn(x64, variant, fit_intercept):
    z, h = _data()
    h = _variant(h, variant)
    model = LinearRegression(fit_intercept=fit_intercept).fit(h, z)
    want = r2_score(z, model.predict(h), multioutput="raw_values")
    got = _r2(jnp.asarray(h), jnp.asarray(z), fit_intercept=fit_intercept, per_dim=True)
    np.testing.assert_allclose(got, want, atol=1e-9)
    if variant == "healthy":
        mean = linear_r2(jnp.asarray(h), jnp.asarray(z), fit_intercept=fit_intercept)
        np.testing.assert_allclose(mean, want.mean(), atol=1e-9)


def test_is_invariant_to_affine_maps_of_the_embedding_and_scales_of_single_dims(x64):
    z, h = _data()
    want = _r2(jnp.asarray(h), jnp.asarray(z))
    mixed = h @ np.random.default_rng(1).normal(size=(DIM, DIM)) + 7
    for other in (mixed, h * np.array([1.0, 1e-12, 1e12, -1.0])):
        np.testing.assert_allclose(_r2(jnp.asarray(other), jnp.asarray(z)), want, atol=1e-9)
    np.testing.assert_allclose(_r2(jnp.asarray(z), jnp.asarray(z @ mixed[:DIM])), 1.0, atol=1e-12)
    # Negative control: not invariant to a non-linear map.
    assert abs(_r2(jnp.asarray(np.sin(3 * h)), jnp.asarray(z)) - want) > 0.05


@pytest.mark.parametrize("variant", ["healthy", "rank deficient", "collapsed", "badly scaled"])
def test_float32_keeps_four_digits(variant):
    z, h = _data()
    # The scales of single dims do not matter in exact arithmetic; scikit-learn drops the smallest of them.
    reference = h if variant == "badly scaled" else _variant(h, variant)
    want = r2_score(z, LinearRegression().fit(reference, z).predict(reference))
    h = _variant(h, variant)
    got = _r2(jnp.asarray(h, jnp.float32), jnp.asarray(z, jnp.float32), per_dim=True)
    np.testing.assert_allclose(got.mean(), want, atol=2e-5)


def test_float32_finds_a_latent_that_is_mixed_in_at_a_thousandth_of_the_scale():
    z, _ = _data()
    small = z * np.array([1, 1, 1, 1e-3])
    rotated = small @ np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0]
    got = _r2(jnp.asarray(rotated, jnp.float32), jnp.asarray(z, jnp.float32), per_dim=True)
    assert got.min() > 0.999


def test_directions_of_the_size_of_rounding_explain_nothing(x64):
    # A column that repeats another up to 1e-9 would otherwise add a random direction, worth about 1/N.
    z, h = _data()
    h[:, 1] = h[:, 0] + 1e-9 * z[:, 3]
    want = r2_score(z, LinearRegression().fit(h, z).predict(h))
    np.testing.assert_allclose(_r2(jnp.asarray(h), jnp.asarray(z)), want, atol=1e-6)
    step = np.nextafter(np.float32(0.7), np.float32(1)) - np.float32(0.7)
    collapsed = np.float32(0.7) + step * np.sign(z - z.mean(0)).astype(np.float32)
    assert _r2(jnp.asarray(collapsed, jnp.float32), jnp.asarray(z, jnp.float32)) == 0.0


def test_a_constant_target_scores_zero_unless_exact_predictions_are_to_count():
    z, h = _data()
    z[:, 1], z[:, 2] = 0.1, 0.0
    z, h = jnp.asarray(z, jnp.float32), jnp.asarray(h, jnp.float32)
    np.testing.assert_array_equal(_r2(h, z, per_dim=True)[1:3], [0.0, 0.0])
    np.testing.assert_array_equal(_r2(h, z, per_dim=True, constant="exact")[1:3], [1.0, 1.0])
    np.testing.assert_array_equal(_r2(h, z, fit_intercept=False, per_dim=True, constant="exact")[1:3], [0.0, 1.0])
    np.testing.assert_array_equal(linear_r2(h, z, split="half", per_dim=True)[1:3], [0.0, 0.0])
    np.testing.assert_array_equal(block_r2(h, z, [[1]], constant="exact"), [1.0])


def test_vmap_over_trials_and_one_broken_trial_stays_alone():
    z, h = _data()
    z = jnp.asarray(z, jnp.float32)
    trials = jnp.asarray(np.stack([h, np.full_like(h, np.nan), np.zeros_like(h)]), jnp.float32)
    got = jax.jit(jax.vmap(linear_r2, in_axes=(0, None)))(trials, z)
    np.testing.assert_allclose(got[0], _r2(trials[0], z), atol=1e-6)
    assert np.isnan(got[1])
    np.testing.assert_allclose(got[2], 0.0, atol=1e-6)


def test_block_r2_is_the_mean_over_the_dims_of_a_block(x64):
    z, h = _data()
    per_dim = linear_r2(jnp.asarray(h), jnp.asarray(z), per_dim=True)
    got = block_r2(jnp.asarray(h), jnp.asarray(z), [(0, 3), (1, 2)])
    np.testing.assert_allclose(got, [per_dim[jnp.array([0, 3])].mean(), per_dim[1:3].mean()])


@pytest.mark.slow
def test_block_r2_restricted_to_dims_of_the_same_rank_tells_block_rotations_from_full_ones(x64):
    z = np.random.default_rng(0).normal(size=(2000, 4))
    true = jnp.array([25.0, 25.0, 5.0, 5.0])
    rng = np.random.default_rng(1)
    rotation = np.zeros((4, 4))
    rotation[:2, :2], rotation[2:, 2:] = (np.linalg.qr(rng.normal(size=(2, 2)))[0] for _ in range(2))
    order = np.array([2, 0, 3, 1])  # embedding dims come in any order
    estimated = jnp.asarray(np.array([24.0, 26.0, 5.5, 5.0])[order])
    kwargs = {"estimated_precision": estimated, "true_precision": true}
    blocks = [(0, 1), (2, 3)]
    got = jax.jit(lambda h: block_r2(h, jnp.asarray(z), blocks, **kwargs))(jnp.asarray((z @ rotation)[:, order]))
    np.testing.assert_allclose(got, 1.0, atol=1e-9)
    full = z @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    np.testing.assert_allclose(block_r2(jnp.asarray(full), jnp.asarray(z), blocks), 1.0, atol=1e-9)
    assert block_r2(jnp.asarray(full), jnp.asarray(z), blocks, **kwargs).max() < 0.95


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda z: linear_r2(z, z[:3]), "one number of samples"),
        (lambda z: linear_r2(z[:1], z[:1]), "at least 2"),
        (lambda z: linear_r2(z, z, constant="one"), "constant='one'"),
        (lambda z: linear_r2(z[:, :0], z), "dims >= 1"),
        (lambda z: block_r2(z, z, []), "no blocks"),
        (lambda z: block_r2(z, z, [(0,), ()]), "wanted indices between 0 and 3"),
        (lambda z: block_r2(z, z, [(4,)]), "wanted indices between 0 and 3"),
        (lambda z: block_r2(z, z, [(0,)], true_precision=z[0]), "both or none"),
        (
            lambda z: block_r2(z[:, :2], z, [(0,)], estimated_precision=z[0, :2], true_precision=z[0]),
            "at least as many",
        ),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(jnp.ones((N, DIM)))
