"""Density of projected noise against quadrature by SciPy, its normalisation, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from identax.dgp import GeneralizedNormal, Laplace, Normal, Sphere, VonMisesFisher, projected_log_prob
from tests.eager import compiled_by_second_call

LAWS = {
    "normal": (Normal(0.3), lambda x: stats.norm.logpdf(x, scale=0.3), 1e-5),
    "wide normal": (Normal(1.0), stats.norm.logpdf, 1e-5),
    "laplace": (Laplace(1.0), stats.laplace.logpdf, 2e-3),
    "generalized normal": (GeneralizedNormal(1.5, 0.5), lambda x: stats.gennorm.logpdf(x, 1.5, scale=0.5), 1e-3),
}
_log_prob = jax.jit(projected_log_prob)


@pytest.mark.parametrize("dim", [2, 5, 20])
@pytest.mark.parametrize("name", LAWS)
def test_against_quadrature(x64, name, dim):
    law, log_density, tolerance = LAWS[name]
    u, z = Sphere(dim).uniform(jax.random.key(0), 6), Sphere(dim).uniform(jax.random.key(1), 6)
    u = u.at[0].set(z[0]).at[1].set(-z[1])
    want = []
    for a, b in zip(np.asarray(u), np.asarray(z), strict=True):
        grid = np.linspace(0, 100, 400_001)[1:]
        logs = (dim - 1) * np.log(grid) + sum(log_density(grid * x - y) for x, y in zip(a, b, strict=True))
        want.append(logs.max() + np.log(integrate.trapezoid(np.exp(logs - logs.max()), grid)))
    np.testing.assert_allclose(_log_prob(law, u, z), want, atol=tolerance)


@pytest.mark.parametrize("name", LAWS)
def test_integrates_to_one_over_the_circle_and_is_the_law_of_the_draws(name):
    law, _, _ = LAWS[name]
    angles = np.linspace(-np.pi, np.pi, 721)
    points = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1), jnp.float32)
    center = jnp.broadcast_to(jnp.array([0.6, 0.8]), points.shape)
    density = np.exp(np.asarray(_log_prob(law, points, center), float))
    below = integrate.cumulative_trapezoid(density, angles, initial=0)
    np.testing.assert_allclose(below[-1], 1.0, atol=2e-3)
    drawn = np.asarray(law.sample(jax.random.key(0), jnp.broadcast_to(center[:1], (5000, 2)), Sphere(2)))
    at = np.arctan2(drawn[:, 1], drawn[:, 0])
    assert stats.kstest(np.interp(at, angles, below / below[-1]), "uniform").pvalue > 1e-4


def test_other_laws_and_shapes_are_refused():
    with pytest.raises(ValueError, match="wanted a Normal"):
        projected_log_prob(VonMisesFisher(1.0), jnp.ones((2, 3)), jnp.ones((2, 3)))


def test_a_second_call_outside_jit_compiles_nothing():
    law, u, z = Laplace(0.5), jnp.eye(3), jnp.eye(3)[::-1]
    assert compiled_by_second_call(projected_log_prob, (law, u, z), (law, z, u)) == 0
