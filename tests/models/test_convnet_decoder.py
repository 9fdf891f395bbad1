"""The decoder that mirrors KITTI Masks' encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import convnet, convnet_decoder

SIZES = {"channels": (2, 3, 4, 5), "features": 6}


def shapes(model, example):
    return jax.eval_shape(model.init, jax.random.key(0), example)["params"]


def test_its_weights_are_the_encoders_in_reverse():
    def kernels(params):
        return [np.prod(leaf.shape) for leaf in jax.tree.leaves(params) if leaf.ndim > 1]

    forth = kernels(shapes(convnet(7, **SIZES), jnp.zeros((1, 64, 64, 1))))
    back = kernels(shapes(convnet_decoder(**SIZES), jnp.zeros((1, 7))))
    assert sorted(forth) == sorted(back)


def test_every_code_moves_the_whole_image_and_dtypes_follow(x64):
    model = convnet_decoder(**SIZES, out_channels=2)
    z = jax.random.normal(jax.random.key(1), (3, 7))
    variables = jax.jit(model.init)(jax.random.key(0), z)
    image = jax.jit(lambda z: model.apply(variables, z)[0])(z)
    assert image.shape == (3, 64, 64, 2) and image.dtype == jnp.float64
    assert float((image[0] != image[1]).mean()) > 0.9  # no border is left out by the padding
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(variables["params"]))


def test_bad_input():
    with pytest.raises(ValueError, match="four positive channels"):
        convnet_decoder(channels=(1, 2, 3))
    with pytest.raises(ValueError, match="out_channels=0"):
        convnet_decoder(out_channels=0)
    with pytest.raises(ValueError, match="wanted float codes"):
        shapes(convnet_decoder(**SIZES), jnp.zeros((1, 2, 7)))
