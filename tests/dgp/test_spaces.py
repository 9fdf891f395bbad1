import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import Box, Euclidean, Sphere


@pytest.mark.parametrize("radius", [1.0, 2.5])
def test_sphere_uniform_second_moments(getkey, assert_mean, radius):
    space = Sphere(4, radius)
    x = space.uniform(getkey(), 40_000)
    assert np.asarray(space.contains(x)).all()
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), radius, rtol=1e-5)
    assert_mean(x, np.zeros(4))
    # E x_i x_j = radius^2/n delta_ij, E x_i^4 = 3 radius^4/(n(n+2))
    products = np.asarray(x)[:, :, None] * np.asarray(x)[:, None, :]
    assert_mean(products, radius**2 / 4 * np.eye(4))
    assert_mean(np.asarray(x) ** 4, 3 * radius**4 / 24)


def test_box_uniform_moments(getkey, assert_mean):
    space = Box(3, -1.0, 2.0)
    x = space.uniform(getkey(), 40_000)
    assert np.asarray(space.contains(x, 0.0)).all()
    assert_mean(x, 0.5)
    assert_mean((np.asarray(x) - 0.5) ** 2, 9 / 12)


def test_projections_and_membership():
    x = jnp.array([[3.0, 4.0], [0.1, 0.0]])
    np.testing.assert_allclose(Sphere(2, 10.0).project(x), [[6.0, 8.0], [10.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(Box(2).project(x), [[1.0, 1.0], [0.1, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(Euclidean(2).project(x), x)
    assert Sphere(2, 5.0).contains(x).tolist() == [True, False]
    assert Box(2).contains(x).tolist() == [False, True]
    assert Euclidean(2).contains(x.at[0, 0].set(jnp.inf)).tolist() == [False, True]


def test_projection_of_zero_has_a_finite_gradient():
    grad = jax.grad(lambda x: Sphere(3).project(x).sum())(jnp.zeros((2, 3)))
    assert np.isfinite(grad).all()


def test_log_volumes():
    assert Sphere(2, 3.0).log_volume() == pytest.approx(np.log(2 * np.pi * 3))
    assert Sphere(3, 2.0).log_volume() == pytest.approx(np.log(4 * np.pi * 4))
    assert Box(3, -1, 1).log_volume() == pytest.approx(np.log(8))


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: Sphere(3, 0.0), "radius=0.0"),
        (lambda: Sphere(3, -1.0), "radius=-1.0"),
        (lambda: Sphere(3, float("nan")), "radius=nan"),
        (lambda: Sphere(0), "n=0"),
        (lambda: Box(0), "n=0"),
        (lambda: Euclidean(-1), "n=-1"),
        (lambda: Box(2, 1.0, 1.0), "low=1.0"),
        (lambda: Box(2, 0.0, float("inf")), "high=inf"),
        (lambda: Euclidean(2).uniform(jax.random.key(0), 3), "uniform"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()
