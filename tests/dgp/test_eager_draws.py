"""What loops compiles once per shape where a person calls it, as in a notebook, and keeps its numbers inside jit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import (
    Box,
    FisherBingham,
    GeneralizedNormal,
    ShellProjectedNormal,
    Sphere,
    VonMisesFisher,
    beta_images,
    correlated_beta,
    inverse_beta_cdf,
    polygon_sprites,
    random_invertible_mlp,
)
from tests.eager import compiled_by_second_call

POINTS = jnp.eye(2)
LAWS = {
    "vMF": (VonMisesFisher, 3.0, 5.0, Sphere(2)),
    "shell": (ShellProjectedNormal, jnp.full(2, 3.0), jnp.full(2, 5.0), Sphere(2)),
    "Fisher-Bingham": (FisherBingham, jnp.full(2, 3.0), jnp.full(2, 5.0), Sphere(2)),
    "box": (GeneralizedNormal, 3.0, 5.0, Box(2)),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_second_draw_compiles_nothing(law, getkey):
    make, one, other, space = LAWS[law]

    def draw(parameter, key, mean):
        return make(parameter).sample(key, mean, space)

    key = getkey()
    assert compiled_by_second_call(draw, (one, getkey(), POINTS), (other, key, 0.5 * POINTS + 0.1)) == 0
    np.testing.assert_allclose(draw(one, key, POINTS), jax.jit(draw)(one, key, POINTS), atol=1e-6)


def test_a_second_mixing_compiles_nothing(getkey):
    mixing, key = random_invertible_mlp(3, pool_size=4), getkey()
    assert compiled_by_second_call(mixing.init, (getkey(),), (key,)) == 0
    jax.tree.map(
        lambda *both: np.testing.assert_allclose(*both, atol=1e-6), mixing.init(key), jax.jit(mixing.init)(key)
    )


@pytest.mark.slow
def test_a_radius_that_is_an_array_draws_the_same(getkey):
    key, law, space = getkey(), VonMisesFisher(3.0), Sphere(2)
    object.__setattr__(space, "radius", jnp.float32(1))  # as without run-time types: it cannot be hashed
    found = law.sample(key, POINTS, space)
    np.testing.assert_allclose(found, law.sample(key, POINTS, Sphere(2)), atol=1e-6)


def test_a_second_inverse_and_a_second_copula_compile_nothing(getkey):
    keys, (p, q), alpha = (getkey(), getkey()), jax.random.uniform(getkey(), (2, 5)), jnp.array([2.0, 3.0])
    assert compiled_by_second_call(inverse_beta_cdf, (p, 2.0, 3.0), (q, 4.0, 2.0)) == 0
    first, second = (
        (key, 9, factor * alpha, alpha, 0.1 * factor) for key, factor in zip(keys, (1.0, 2.0), strict=True)
    )
    assert compiled_by_second_call(correlated_beta, first, second) == 0


def test_a_second_set_of_images_compiles_nothing(getkey):
    dgp = beta_images(polygon_sprites(size=8), correlation=0.3)
    keys = getkey(), getkey()
    truths = [dgp.init(key) for key in keys]
    first, second = ((truth, key, 300) for truth, key in zip(truths, keys, strict=True))
    assert compiled_by_second_call(dgp.sample, first, second) == 0
