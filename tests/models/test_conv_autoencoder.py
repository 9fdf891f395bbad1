"""The convolutional VAE: its two convolutions against lax and its transpose, sizes, starts and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import uniform_prior
from identax.models import autoencode, conv_autoencoder, init_autoencoder
from identax.models.conv_autoencoder import DoublingConv, HalvingConv

LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def test_halving_is_a_strided_convolution(x64, getkey):
    layer, x = HalvingConv(5), jax.random.normal(getkey(), (2, 8, 6, 3))
    variables = layer.init(getkey(), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    wanted = convolution(x, kernel) + bias[None, None, None]
    np.testing.assert_allclose(layer.apply(variables, x), wanted, atol=1e-13)


def test_doubling_is_the_transpose_of_a_strided_convolution(x64, getkey):
    """ConvTranspose2d is defined as that: <conv(y), x> = <y, doubled(x)> for one kernel, here that of y -> x."""
    layer, x = DoublingConv(5), jax.random.normal(getkey(), (2, 4, 3, 7))
    variables = layer.init(getkey(), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    assert kernel.shape == (4, 4, 5, 7)
    _, transpose = jax.vjp(lambda y: convolution(y, kernel), jnp.zeros((2, 8, 6, 5)))
    wanted = transpose(x)[0] + bias[None, None, None]
    np.testing.assert_allclose(layer.apply(variables, x), wanted, atol=1e-13)


def test_doubling_by_its_definition(x64, getkey):
    """y[2i + k - 1] += x[i] kernel[k], literally."""
    layer, x = DoublingConv(1), jax.random.normal(getkey(), (1, 3, 2, 2))
    params = layer.init(getkey(), x)["params"]
    wanted = np.zeros((6 + 2, 4 + 2)) + float(params["bias"][0])
    for i, j, k, m, c in np.ndindex(3, 2, 4, 4, 2):
        wanted[2 * i + k, 2 * j + m] += x[0, i, j, c] * params["kernel"][k, m, 0, c]
    np.testing.assert_allclose(layer.apply({"params": params}, x)[0, :, :, 0], wanted[1:-1, 1:-1], atol=1e-13)


def sizes(model, side, channels=3):
    example = jnp.zeros((1, side, side, channels))
    params = jax.eval_shape(lambda key: init_autoencoder(model, key, example), jax.random.key(0))["params"]
    return [sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in ("encoder", "decoder")]


def test_parameter_counts_are_the_published_ones():
    assert sizes(conv_autoencoder(4), 64) == [249_992, 249_443]
    one = 32 * 32 * 16 + 32
    assert sizes(conv_autoencoder(4, 32), 32) == [249_992 - one, 249_443 - one]
    assert sizes(conv_autoencoder(4, 16), 16) == [249_992 - 2 * one, 249_443 - 2 * one]


def test_weights_start_as_in_pytorch_and_linear_maps_xavier_uniform():
    model, example = conv_autoencoder(4, 16), jnp.zeros((1, 16, 16, 3))
    variables = jax.jit(lambda key: init_autoencoder(model, key, example))(jax.random.key(0))["params"]
    encoder, decoder = variables["encoder"], variables["decoder"]

    def bound(leaf, wanted):
        largest = float(np.abs(leaf).max())
        assert largest <= wanted and largest > wanted * (1 - 10 / leaf.size)

    bound(encoder["HalvingConv_0"]["kernel"], 1 / np.sqrt(16 * 3))
    bound(encoder["HalvingConv_1"]["kernel"], 1 / np.sqrt(16 * 32))
    bound(encoder["HalvingConv_1"]["bias"], 1 / np.sqrt(16 * 32))
    bound(decoder["DoublingConv_1"]["kernel"], 1 / np.sqrt(16 * 3))  # of 32 -> 3: fan-in of the transposed kernel
    bound(encoder["Dense_0"]["kernel"], np.sqrt(6 / (512 + 256)))
    bound(encoder["Dense_0"]["bias"], 1 / np.sqrt(512))
    bound(decoder["Dense_2"]["kernel"], np.sqrt(6 / (256 + 512)))


@pytest.mark.slow
def test_one_pass_and_its_gradient(getkey):
    model = conv_autoencoder(2, 8, image_channels=1, channels=3, features=6)
    x = jax.random.uniform(getkey(), (4, 8, 8, 1))
    variables = jax.jit(lambda key: init_autoencoder(model, key, x[:1]))(jax.random.key(0))

    @jax.jit
    def loss(params):
        found, _ = autoencode(model, {**variables, "params": params}, x, jax.random.key(1), prior=uniform_prior())
        return jnp.square(found.reconstruction - x).sum(), found

    (_, found), slopes = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    assert found.reconstruction.shape == x.shape and found.mean.shape == (4, 2)
    assert found.reconstruction.min() < 0 or found.reconstruction.max() > 1  # no squashing
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n=0), "found n=0"),
        (dict(n=2, side=48), "found side=48, wanted a power of two"),
        (dict(n=2, side=4), "found side=4, wanted at least 8"),
        (dict(n=2, channels=0), "found channels=0"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv_autoencoder(**arguments)


def test_other_images_and_codes_are_refused():
    model = conv_autoencoder(2, 8)
    with pytest.raises(ValueError, match=r"found input \(1, 16, 16, 3\), wanted images \[N, 8, 8, C\]"):
        jax.eval_shape(model.encoder.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match=r"found codes \(1, 3\), wanted \[N, 2\]"):
        jax.eval_shape(model.decoder.init, jax.random.key(0), jnp.zeros((1, 3)))
