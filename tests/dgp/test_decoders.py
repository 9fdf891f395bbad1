"""A decoder as the mixing of a world of pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import anisotropic_pairs, decoder_mixing

DIM, PIXELS = 2, 36
WEIGHTS = {"slope": np.random.default_rng(0).normal(size=(DIM, PIXELS)), "bias": np.linspace(-1, 1, PIXELS)}


def decode(weights, z):
    return jnp.sin(z @ weights["slope"].astype(z.dtype)) + weights["bias"].astype(z.dtype)[None]


MIXING = decoder_mixing(decode, WEIGHTS, DIM)


def test_decoder_is_sigmoid_of_logits_at_radius_sqrt_n(getkey):
    z = jax.random.normal(getkey(), (8, DIM))
    logits = np.sin(np.sqrt(DIM) * np.asarray(z) @ WEIGHTS["slope"]) + WEIGHTS["bias"]
    np.testing.assert_allclose(MIXING.apply((), z), 1 / (1 + np.exp(-logits)), rtol=1e-4)
    with pytest.raises(ValueError, match="wanted a mixing that has one"):
        MIXING.inverse((), jnp.zeros((1, PIXELS)))
    with pytest.raises(ValueError, match=r"wanted \[N, 2\]"):
        MIXING.apply((), jnp.zeros((8, 3)))


@pytest.mark.slow
def test_pairs_of_images_share_one_decoder_over_trials():
    world = anisotropic_pairs(DIM, mixing=MIXING, precision=jnp.array([25.0, 5.0]))
    keys = jax.random.split(jax.random.key(0), 3)
    truths = jax.vmap(world.init)(keys)
    assert jax.tree.leaves(truths["mixing"]) == []  # no copy of the weights per trial
    drawn = jax.jit(jax.vmap(lambda truth, key: world.sample(truth, key, 16)))(truths, keys)
    for latents, images in zip(drawn.latents, drawn.observations, strict=True):
        assert images.shape == (3, 16, PIXELS)
        assert (images > 0).all() and (images < 1).all()
        np.testing.assert_allclose(images[1], MIXING.apply((), latents[1]), rtol=1e-5)


def test_decoder_serves_float64(x64):
    assert decoder_mixing(decode, WEIGHTS, DIM).apply((), jnp.array([[0.6, -0.8]])).dtype == jnp.float64
