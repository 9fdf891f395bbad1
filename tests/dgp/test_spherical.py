import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

from identax.dgp import Box, Euclidean, Sphere, VonMisesFisher

KAPPAS = np.array([0.05, 1.0, 10.0, 300.0])


def _cosines(n, num, radius=1.0):
    """Cosines [kappas, num] for random anchors, and the draws themselves; kappa is vmapped."""
    space = Sphere(n, radius)
    anchor = space.uniform(jax.random.key(n), num)

    @jax.jit
    @jax.vmap
    def draw(kappa, key):
        return VonMisesFisher(kappa).sample(key, anchor, space)

    drawn = draw(jnp.asarray(KAPPAS), jax.random.split(jax.random.key(7), len(KAPPAS)))
    return (drawn * anchor[None]).sum(axis=-1) / radius**2, drawn, anchor


@pytest.mark.slow
@pytest.mark.parametrize("n, radius", [(2, 1.0), (10, 2.0)])
def test_moments_of_the_cosine(assert_mean, x64, n, radius):
    cosines, drawn, anchor = _cosines(n, 20_000, radius)
    np.testing.assert_allclose(jnp.linalg.norm(drawn, axis=-1), radius, rtol=1e-12)
    for kappa, cosine, points in zip(KAPPAS, cosines, drawn, strict=True):
        mean = ive(n / 2, kappa) / ive(n / 2 - 1, kappa)  # A_n(kappa)
        variance = 1 - mean**2 - (n - 1) * mean / kappa
        assert_mean(cosine, mean)
        assert_mean((cosine - mean) ** 2, variance)
        # the tangential part is uniform about the anchor: none of its components prefers a side
        tangent = points / radius - cosine[:, None] * anchor / radius
        assert_mean(tangent, np.zeros(n))


def test_extreme_concentrations_in_float32(assert_mean):
    n, num = 3, 10_000
    anchor = Sphere(n).uniform(jax.random.key(0), num)
    draw = jax.jit(lambda kappa: VonMisesFisher(kappa).sample(jax.random.key(1), anchor))
    assert_mean((draw(1e-8) * anchor).sum(axis=-1), 0.0)
    tight = np.asarray(draw(1e6)) - np.asarray(anchor)
    # n-1 tangential directions of variance 1/kappa each
    assert_mean(1e6 * (tight.astype(float) ** 2).sum(axis=-1), 2.0)
    assert np.isfinite(draw(1e15)).all()


def test_density_is_the_law_up_to_a_constant(x64):
    anchor = Sphere(3, 2.0).uniform(jax.random.key(0), 4)
    value = Sphere(3, 2.0).uniform(jax.random.key(1), 4)
    got = VonMisesFisher(3.0).log_prob(value, anchor, Sphere(3, 2.0))
    cosine = (np.asarray(value) * np.asarray(anchor)).sum(axis=1) / 4
    np.testing.assert_allclose(got, 3 * cosine, rtol=1e-12)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: VonMisesFisher(0.0), "kappa=0.0"),
        (lambda: VonMisesFisher(np.array([1.0, -2.0])), "kappa"),
        (lambda: VonMisesFisher(1.0).check(Box(2)), "Box"),
        (lambda: VonMisesFisher(1.0).check(Euclidean(2)), "Euclidean"),
        (lambda: VonMisesFisher(1.0).check(Sphere(1)), "n=1"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()
