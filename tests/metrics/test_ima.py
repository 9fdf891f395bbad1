"""The IMA contrast and its relatives against closed forms, determinants of NumPy and the double loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.metrics import (
    amari_distance,
    c_ima,
    chance_mcc,
    column_norms,
    conformal_contrast,
    dead_dims,
    epoch_mcc,
    mcc,
    mean_jacobian_c_ima,
    self_consistency,
)

THREE = np.array([[1, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 1]])
RNG = np.random.default_rng(0)
WIDE = 1 + 1e-9 * RNG.normal(size=(3, 4, 2))


def _by_determinant(jacobian):
    gram = np.swapaxes(jacobian, -1, -2) @ jacobian
    return 0.5 * (np.log(np.diagonal(gram, axis1=-2, axis2=-1)).sum(axis=-1) - np.linalg.slogdet(gram)[1])


def _moebius(s):
    away = s - jnp.array([1.74481176, -0.7612069, 1.46210794])
    return away / jnp.sum(away**2)


@pytest.mark.parametrize(
    ("jacobian", "value"),
    [
        ([[1, 1], [0, 1]], 0.34657359027997),
        ([[1, 0], [2, 1]], 0.80471895621705),
        (THREE, 1.05003041444129),
        (THREE * [2, 0.1, 7], 1.05003041444129),
        ([[1, 0], [1, 1], [0, 2]], 0.05268025782891),
        ([[3], [4]], 0.0),
        ([[0, 2], [-3, 0]], 0.0),
        ([[1, 1], [0, 1e-6]], 0.5 * np.log1p(1e12)),
    ],
)
def test_known_contrasts(x64, jacobian, value):
    np.testing.assert_allclose(c_ima(jacobian), value, atol=1e-10, rtol=1e-10)


def test_maps_of_the_class_have_none(x64):
    polar = jax.jacfwd(lambda z: z[0] * jnp.array([jnp.cos(z[1]), jnp.sin(z[1])]))(jnp.array([2.0, 0.7]))
    inversion = jax.jacfwd(_moebius)(jnp.array([0.1, -0.2, 0.3]))
    for jacobian, conformal in ((polar, False), (inversion, True)):
        assert 0 <= c_ima(jacobian) < 1e-15
        for side in ("rows", "columns"):
            assert (conformal_contrast(jacobian, side=side) < 1e-15) == conformal


def test_against_the_determinant_and_its_invariances(x64):
    jacobian = RNG.normal(size=(5, 3, 7, 4))
    wanted = _by_determinant(jacobian)
    np.testing.assert_allclose(c_ima(jacobian), wanted, rtol=1e-12)
    scales = np.array([-1e-150, 1e150, 1.0, -3.0])
    np.testing.assert_allclose(c_ima(jacobian[..., [2, 0, 3, 1]] * scales), wanted, rtol=1e-12)
    turn = np.linalg.qr(RNG.normal(size=(7, 7)))[0]
    np.testing.assert_allclose(c_ima(turn @ jacobian), wanted, rtol=1e-12)
    assert np.abs(c_ima(jacobian @ turn[:4, :4]) - wanted).min() > 1e-3  # a rotation of z is no symmetry


def test_float32_does_not_square_the_condition_number():
    value = c_ima(np.array([[1, 1], [0, 1e-4]], np.float32))
    np.testing.assert_allclose(value, 0.5 * np.log1p(1e8), rtol=1e-4)
    many = RNG.normal(size=(3000, 4))
    np.testing.assert_allclose(c_ima(many), _by_determinant(many), atol=1e-5)
    np.testing.assert_allclose(c_ima(1e300 * THREE), 1.05003041, rtol=1e-5)


def test_gradient_of_the_shear(x64):
    # c([[1, t], [0, 1]]) = 1/2 log(1 + t^2)
    function = jax.jit(lambda t: c_ima(jnp.array([[1.0, t], [0.0, 1.0]])))
    for t in (0.0, 1e-9, 0.7):
        np.testing.assert_allclose(jax.grad(function)(t), t / (1 + t * t), rtol=1e-12)


def test_dependent_columns_are_refused_or_infinite():
    # Two columns 1e-9 apart are one in float32; three times 12,288 pixels with a copy.
    image = RNG.normal(size=(12_288, 3))[:, [0, 1, 0]]
    for singular in (WIDE, np.ones((2, 2)), image, [[0.0, 1.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match=r"c_ima: found \d of \d Jacobians with linearly dependent columns"):
            c_ima(singular)
    with pytest.raises(ValueError, match="mean_jacobian_c_ima: found 1 of 1 Jacobians with linearly"):
        mean_jacobian_c_ima(WIDE, batch_size=3)
    stack = jnp.stack([jnp.ones((2, 2)), jnp.eye(2), jnp.full((2, 2), jnp.nan), jnp.array([[0.0, 1.0], [0.0, 1.0]])])
    np.testing.assert_array_equal(jax.jit(c_ima)(stack), [np.inf, 0.0, np.nan, np.inf])
    slope = jax.jit(jax.grad(lambda t: jnp.where(jnp.isfinite(value := c_ima(t)), value, 0.0).sum()))(stack)
    assert np.isfinite(slope[:2]).all() and np.isfinite(slope[3]).all()
    assert np.isnan(c_ima(np.full((2, 2), np.nan)))


def test_full_rank_that_float64_sees(x64):
    np.testing.assert_allclose(c_ima(WIDE), _exactly(WIDE), rtol=1e-6)


def _exactly(jacobian):
    """Columns v and v + e: 1 - cos^2 from the part of e that is orthogonal to v, without cancellation."""
    v, w = jacobian[..., 0], jacobian[..., 1]
    e = w - v
    rest = e - v * (np.sum(e * v, axis=-1) / np.sum(v * v, axis=-1))[..., None]
    return -np.log(np.linalg.norm(rest, axis=-1) / np.linalg.norm(w, axis=-1))


def test_batch_means_weigh_by_their_size(x64):
    jacobian = RNG.normal(size=(7, 4, 2))
    parts = [jacobian[:3], jacobian[3:6], jacobian[6:]]
    wanted = np.average([_by_determinant(part.mean(axis=0)) for part in parts], weights=[3, 3, 1])
    np.testing.assert_allclose(mean_jacobian_c_ima(jacobian, batch_size=3), wanted, rtol=1e-12)
    np.testing.assert_allclose(
        mean_jacobian_c_ima(jacobian, batch_size=None), _by_determinant(jacobian.mean(axis=0)), rtol=1e-12
    )
    assert abs(wanted - c_ima(jacobian).mean()) > 1e-3


def test_moebius_is_orthogonal_at_every_point_but_not_on_average(x64):
    """5e-4 for the exact map at uniform sources: known for the published mixing."""
    s = RNG.uniform(-0.5, 0.5, size=(6400, 3))
    jacobian = jax.vmap(jax.jacfwd(_moebius))(s)
    np.testing.assert_allclose(mean_jacobian_c_ima(jacobian), 5e-4, atol=1e-4)
    assert np.max(c_ima(jacobian)) < 1e-14


def test_norms_and_conformal_contrast(x64):
    jacobian = RNG.normal(size=(6, 5, 3))
    np.testing.assert_allclose(column_norms(jacobian), np.linalg.norm(jacobian, axis=1), rtol=1e-14)
    np.testing.assert_allclose(column_norms(1e-200 * jacobian), 1e-200 * np.linalg.norm(jacobian, axis=1), rtol=1e-14)
    np.testing.assert_array_equal(column_norms(np.zeros((2, 1))), [0.0])
    for side, square in (("rows", jacobian), ("columns", np.swapaxes(jacobian, 1, 2)), ("rows", jacobian[:, :3])):
        given = np.swapaxes(square, 1, 2) if side == "columns" else square
        gram = square @ np.swapaxes(square, 1, 2)
        largest = np.abs(np.diagonal(gram, axis1=1, axis2=2)).max(axis=1)
        wanted = 0.5 * ((gram / largest[:, None, None] - np.eye(gram.shape[-1])) ** 2).sum(axis=(1, 2))
        np.testing.assert_allclose(conformal_contrast(given, side=side), wanted, rtol=1e-12)
    assert conformal_contrast(jacobian).min() >= 1.0  # (D - d)/2


def test_self_consistency_and_dead_dimensions(x64):
    predicted = RNG.uniform(0.1, 1, size=(20, 3))
    x = RNG.normal(size=(20, 2))
    found = self_consistency(predicted * [[1.0, 10.0, 100.0]], predicted, x + 1e9, x + 1e9 + 0.25)
    np.testing.assert_allclose(found["log10_ratio"], 1.0)
    np.testing.assert_allclose(found["log10_ratio_sd"], np.sqrt(2 / 3))
    np.testing.assert_allclose(found["mse"], 0.0625, rtol=1e-6)
    assert set(self_consistency(predicted, predicted)) == {"log10_ratio", "log10_ratio_sd"}
    variance = np.array([[3.0, 0.2, 1.4], [3.1, 0.1, 0.9]])
    assert dead_dims(variance) == 2 and dead_dims(variance, threshold=2) == 1 and dead_dims(variance, threshold=9) == 0
    assert dead_dims(variance * [[1.0, np.nan, 1.0]], threshold=2) == 2  # one that diverged carries nothing either


def test_amari_of_squares(x64):
    product = RNG.normal(size=(4, 4))
    a = product**2
    wanted = ((a.sum(1) / a.max(1) - 1).sum() + (a.sum(0) / a.max(0) - 1).sum()) / 8
    np.testing.assert_allclose(amari_distance(product, squared=True), wanted, rtol=1e-12)
    np.testing.assert_allclose(amari_distance(np.ones((4, 4)), squared=True), 3.0)
    np.testing.assert_allclose(amari_distance(np.eye(4)[[2, 0, 3, 1]] * [1, -2, 3, 4], squared=True), 0.0)
    stack = jnp.asarray(RNG.normal(size=(3, 4, 4)))
    mapped = jax.vmap(lambda p: amari_distance(p, squared=True))(stack)
    np.testing.assert_allclose(mapped, [amari_distance(p, squared=True) for p in stack], rtol=1e-12)


@pytest.mark.parametrize(("dim", "num", "mean", "spread"), [(3, 64, 0.151, 0.039), (4, 512, 0.058, None)])
def test_the_published_mcc_has_these_values_by_chance(dim, num, mean, spread):
    """Of batches of samples, not of everything: the values of the published runs in which nothing was learned."""
    found, sd = chance_mcc(jax.random.key(0), dim, num, num_draws=400)
    assert abs(found - mean) < 6 * float(sd) / np.sqrt(400) + 5e-4
    assert spread is None or abs(sd - spread) < 6 * spread / np.sqrt(800)


def test_the_published_mcc_is_the_mean_over_batches(x64):
    latents, noisy = RNG.normal(size=(2, 128, 3))
    noisy = latents[:, ::-1] + noisy
    halves = [mcc(latents[rows], noisy[rows]) for rows in (slice(64), slice(64, 128))]
    np.testing.assert_allclose(epoch_mcc(latents, noisy, 64), np.mean(halves), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: c_ima(np.ones((2, 3))), r"c_ima: found jacobian of shape \(2, 3\), 2 observed dims of 3 latents"),
        (lambda: c_ima(np.ones(3)), r"found jacobian of shape \(3,\), wanted \[..., D, d\]"),
        (lambda: c_ima(np.ones((0, 2, 2))), r"found jacobian of shape \(0, 2, 2\)"),
        (lambda: c_ima(np.eye(2) * 1j), "c_ima: found jacobian of type complex128"),
        (lambda: mean_jacobian_c_ima(np.eye(2)), r"wanted \[N, D, d\]"),
        (lambda: mean_jacobian_c_ima(np.eye(2)[None], batch_size=2), "found batch_size=2, wanted at most the 1"),
        (lambda: mean_jacobian_c_ima(np.eye(2)[None], batch_size=True), "found batch_size=True"),
        (lambda: column_norms(np.ones((1, 2))), "column_norms: found jacobian of shape"),
        (lambda: conformal_contrast(np.eye(2), side="row"), "did you mean 'rows'"),
        (lambda: conformal_contrast(np.zeros((2, 2))), "found 1 Jacobians of zeros"),
        (lambda: self_consistency([[1.0]], [[0.0]]), "found predicted down to 0"),
        (lambda: self_consistency([[1.0]], [[1.0, 2.0]]), "self_consistency: found variance of shape"),
        (lambda: self_consistency([[1.0]], [[1.0]], [[1.0]]), "found one of observations and reconstructions"),
        (lambda: dead_dims([1.0]), r"dead_dims: found variance of shape \(1,\)"),
        (lambda: dead_dims([[1.0]], threshold=0), "found threshold=0"),
        (lambda: dead_dims([[1.0, -1.0]]), "dead_dims: found 1 variances below 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
