import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import (
    Box,
    Euclidean,
    Laplace,
    Normal,
    Sphere,
    Uniform,
    VonMisesFisher,
    anisotropic_pairs,
    bimodal_precision,
    contrastive_anchors,
    contrastive_pairs,
    identity,
    linear_precision,
    orthogonal,
    random_invertible_mlp,
)

MIXING = random_invertible_mlp(4, pool_size=32)


def test_precisions_follow_the_published_order():
    np.testing.assert_allclose(bimodal_precision(5), [25, 25, 5, 5, 5])
    np.testing.assert_allclose(bimodal_precision(4, high=50, low=2), [50, 50, 2, 2])
    np.testing.assert_allclose(linear_precision(3), [5, 15, 25])


@pytest.mark.parametrize("exact", [False, True])
def test_anisotropic_pairs(exact):
    mixing = identity() if exact else MIXING
    dgp = anisotropic_pairs(4, mixing=mixing, precision=bimodal_precision(4, 50, 2), exact=exact)
    truth = jax.jit(dgp.init)(jax.random.key(0))
    assert set(truth) == {"mixing", "precision"}
    sample = jax.jit(dgp.sample, static_argnums=2)(truth, jax.random.key(1), 4000)
    (z, z_pos), (x, x_pos) = sample.latents, sample.observations
    for latent in (z, z_pos):
        np.testing.assert_allclose(jnp.linalg.norm(latent, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(x, mixing.apply(truth["mixing"], z), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x_pos, mixing.apply(truth["mixing"], z_pos), rtol=1e-5, atol=1e-6)
    moved = np.asarray(((z - z_pos) ** 2).mean(axis=0))
    assert moved[:2].max() < 0.3 * moved[2:].min()  # content moves less than style


def test_the_precision_is_a_leaf_that_a_sweep_can_trace():
    dgp = anisotropic_pairs(4, mixing=identity())
    precisions = jnp.stack([bimodal_precision(4), linear_precision(4)])

    @jax.jit
    @jax.vmap
    def trial(precision):
        truth = dgp.init(jax.random.key(0), precision=precision)
        return truth, dgp.sample(truth, jax.random.key(1), 16)

    truth, sample = trial(precisions)
    np.testing.assert_array_equal(truth["precision"], precisions)
    z, z_pos = sample.latents
    np.testing.assert_array_equal(z[0], z[1])  # same seed: the worlds differ in the precision only
    assert not np.allclose(z_pos[0], z_pos[1])


@pytest.mark.parametrize(
    "space, marginal, conditional",
    [
        (Sphere(4, 2.0), Uniform(), VonMisesFisher(10.0)),
        (Sphere(4), Normal(1.0), Laplace(0.05)),
        (Box(4), Uniform(), Normal(0.05)),
        (Euclidean(4), Normal(1.0), Laplace(1.0)),
    ],
)
def test_contrastive_pairs(space, marginal, conditional):
    mixing = orthogonal(4)
    dgp = contrastive_pairs(space, marginal, conditional, mixing)
    truth = dgp.init(jax.random.key(0))
    draw = jax.jit(dgp.sample, static_argnums=2)
    sample = draw(truth, jax.random.key(1), 64)
    for latent, observed in zip(sample.latents, sample.observations, strict=True):
        assert latent.shape == (64, 4) and np.asarray(space.contains(latent)).all()
        np.testing.assert_allclose(observed, mixing.apply(truth["mixing"], latent), rtol=1e-5, atol=1e-6)
    other = draw(truth, jax.random.key(2), 64).latents[0]
    assert not np.allclose(other, sample.latents[0])


ANY = [(Sphere(4), Normal(1.0)), (Box(4), Uniform()), (Euclidean(4), Laplace(1.0))]


@pytest.mark.parametrize("space, marginal", ANY)
def test_anchors_alone_are_those_of_the_pairs(space, marginal):
    mixing = orthogonal(4)
    pairs, alone = contrastive_pairs(space, marginal, Normal(0.1), mixing), contrastive_anchors(space, marginal, mixing)
    truth = pairs.init(jax.random.key(0))
    both, anchors = (world.sample(truth, jax.random.key(1), 32) for world in (pairs, alone))
    np.testing.assert_array_equal(anchors.latents, both.latents[0])
    np.testing.assert_allclose(anchors.observations, both.observations[0], rtol=1e-5, atol=1e-6)
    own = alone.init(jax.random.key(0))
    assert set(own) == {"mixing", "marginal"}
    np.testing.assert_array_equal(own["mixing"], truth["mixing"])


def test_concentrations_sweep_through_init():
    dgp = contrastive_pairs(Box(2), Uniform(), Laplace(0.05), identity())

    @jax.jit
    @jax.vmap
    def spread(scale):
        truth = dgp.init(jax.random.key(0), conditional=Laplace(scale))
        z, z_pos = dgp.sample(truth, jax.random.key(1), 2000).latents
        return jnp.abs(z - z_pos).mean()

    small, large = spread(jnp.array([0.001, 0.02]))
    assert large == pytest.approx(20 * float(small), rel=0.05)


def test_a_centre_moves_the_marginal():
    dgp = contrastive_pairs(Euclidean(2), Normal(0.1), Normal(0.1), identity(), center=jnp.array([5.0, -5.0]))
    z, _ = dgp.sample(dgp.init(jax.random.key(0)), jax.random.key(1), 500).latents
    np.testing.assert_allclose(z.mean(axis=0), [5.0, -5.0], atol=0.05)


KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: contrastive_pairs(Box(3), Uniform(), VonMisesFisher(1.0), identity()), "VonMisesFisher"),
        (lambda: contrastive_pairs(Euclidean(3), Uniform(), Normal(1.0), identity()), "Uniform"),
        (lambda: contrastive_pairs(Euclidean(3), Normal(1.0), VonMisesFisher(1.0), identity()), "Euclidean"),
        (lambda: contrastive_pairs(Box(3), Uniform(), Normal(1.0), identity(), center=jnp.ones(2)), r"\(2,\)"),
        (
            lambda: contrastive_pairs(Box(3), Uniform(), Normal(1.0), identity()).init(KEY, conditional=Laplace(1.0)),
            "Laplace",
        ),
        (lambda: contrastive_anchors(Euclidean(3), Uniform(), identity()), "Uniform"),
        (lambda: contrastive_anchors(Box(3), Uniform(), identity(), center=jnp.ones(2)), r"\(2,\)"),
        (lambda: contrastive_anchors(Box(3), Uniform(), identity()).init(KEY, marginal=Normal(1.0)), "Normal"),
        (lambda: anisotropic_pairs(1, mixing=identity()), "n=1"),
        (lambda: anisotropic_pairs(4, mixing=identity(), threshold=-0.1), "threshold=-0.1"),
        (lambda: anisotropic_pairs(4, mixing=identity(), precision=np.ones(3)), r"\(3,\)"),
        (lambda: anisotropic_pairs(4, mixing=identity()).init(KEY), "no precision"),
        (lambda: anisotropic_pairs(4, mixing=identity()).init(KEY, precision=np.array([1.0, 1, 1, -1])), "precision"),
        (
            lambda: anisotropic_pairs(4, mixing=identity()).sample({"mixing": (), "precision": jnp.ones(4)}, KEY, 0),
            "num=0",
        ),
        (lambda: bimodal_precision(4, low=0.0), "low=0.0"),
        (lambda: linear_precision(1), "n=1"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()
