"""Encoders of agents against XLA's convolutions, the law of their start, the published counts; the gate by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import curiosity_module, policy_network
from identax.models import conv_block, flat_encoder, small_image_encoder, softmax_gate
from identax.models.orthogonal import orthogonal

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 21, 18, 3)).astype(np.uint8)


def _convolved(x, kernel, stride, padding):
    """Frames [N, H, W, C] by a kernel [9 C, F] whose rows run over (row, column, channel)."""
    kernel = kernel.reshape(3, 3, x.shape[-1], -1)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=layout)


@pytest.mark.usefixtures("x64")
def test_the_published_stack_is_four_convolutions_and_a_mean():
    model = conv_block()
    variables = jax.jit(model.init)(jax.random.key(0), FRAMES)
    found, _ = jax.jit(model.apply)(variables, FRAMES)
    x = FRAMES / 255
    for layer in variables["params"].values():
        x = _convolved(jnp.asarray(x), layer["kernel"], 2, 1) + layer["bias"].reshape(1, 1, 1, -1)
        x = np.where(x > 0, x, 0.01 * x)
    assert x.shape == (2, 2, 2, 32)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2)), rtol=1e-8)
    wide = jnp.zeros((1, 84, 84, 4))
    assert jax.eval_shape(lambda x: model.apply(jax.jit(model.init)(jax.random.key(0), x), x)[0], wide).shape == (
        1,
        288,
    )


@pytest.mark.usefixtures("x64")
def test_features_are_flattened_channel_by_channel():
    frames = np.random.default_rng(1).random((1, 50, 50, 1))  # 50 -> 25 -> 13 -> 7 -> 4 -> 2
    model = conv_block()
    params = jax.jit(model.init)(jax.random.key(0), frames)["params"]
    silent = {"kernel": jnp.zeros_like(params["conv4"]["kernel"]), "bias": jnp.arange(32.0)}
    found, _ = model.apply({"params": params | {"conv4": silent}}, frames)
    np.testing.assert_array_equal(found[0], np.repeat(np.arange(32.0), 4))


@pytest.mark.usefixtures("x64")
def test_weights_start_orthogonal():
    params = jax.jit(conv_block().init)(jax.random.key(3), np.zeros((1, 84, 84, 4)))["params"]
    for name, layer in params.items():
        w = np.asarray(layer["kernel"]).T  # [32, 36 or 288]
        np.testing.assert_allclose(w @ w.T, 2 / (1 + 1e-4) * np.eye(32), atol=1e-9, err_msg=name)
        assert not layer["bias"].any()
    # Uniform among those: over many starts the mean of every entry is 0 and that of its square the same for all.
    many = jax.vmap(lambda key: orthogonal(key, 4, 3, 1.0, float))(jax.random.split(jax.random.key(0), 2000))
    assert np.abs(many.mean(axis=0)).max() < 6 * np.sqrt(1 / 4 / 2000)
    np.testing.assert_allclose((many**2).mean(axis=0), 1 / 4, atol=6 * 0.25 * np.sqrt(2 / 2000))


def test_starts_ask_no_factorisation_of_lapack():
    # Batched over trials it can stop for ever on a CPU.
    for init in (conv_block().init, flat_encoder((5,)).init):
        program = str(jax.make_jaxpr(init)(jax.random.key(0), np.zeros((1, 84, 84, 4))))
        assert "qr[" not in program
    assert "qr[" in str(jax.make_jaxpr(lambda key: jax.random.orthogonal(key, 4))(jax.random.key(0)))


@pytest.mark.parametrize("make", [small_image_encoder, pytest.param(conv_block, marks=pytest.mark.slow)])
def test_layouts_and_numbers_are_taken_alike(make):
    first, last = jax.jit(make(layout="channels_first").apply), jax.jit(make().apply)
    variables = jax.jit(make().init)(jax.random.key(0), FRAMES)
    found = last(variables, FRAMES)[0]
    np.testing.assert_array_equal(first(variables, np.moveaxis(FRAMES, -1, 1))[0], found)
    np.testing.assert_allclose(last(variables, FRAMES / np.float32(255))[0], found, atol=1e-6)


def test_booleans_are_numbers():
    frames = np.ones((1, 10, 10, 4), bool)
    model = small_image_encoder(8)
    made = jax.eval_shape(lambda: model.apply(model.init(jax.random.key(0), frames), frames)[0])
    assert made.dtype == jnp.float32


@pytest.mark.usefixtures("x64")
def test_the_small_encoder_is_a_convolution_and_a_linear_map():
    frames = np.random.default_rng(2).random((3, 10, 10, 4))
    model = small_image_encoder(12)
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    conv, dense = variables["params"]["conv"], variables["params"]["dense"]
    x = np.maximum(_convolved(frames, conv["kernel"], 1, 0), 0).reshape(3, -1)
    wanted = np.maximum(x @ np.asarray(dense["kernel"]), 0)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, frames)[0], wanted, rtol=1e-8, atol=1e-12)


def test_the_flat_encoder_takes_any_shape():
    model = flat_encoder((5, 3))
    x = jnp.ones((2, 4, 4))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    kernels = [np.asarray(layer["kernel"]) for layer in variables["params"].values()]
    wanted = np.tanh(np.tanh(np.ones((2, 16)) @ kernels[0]) @ kernels[1])
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x)[0], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "x", "part"),
    [
        (lambda: conv_block(layout="NHWC"), FRAMES, "layout"),
        (conv_block, FRAMES[0], "frames with channels"),
        (conv_block, FRAMES[:, :10], "17 x 17"),
        (small_image_encoder, FRAMES[:, :2], "3 x 3"),
        (lambda: small_image_encoder(0), FRAMES, "features=0"),
        (lambda: flat_encoder(()), FRAMES, "widths"),
        (flat_encoder, FRAMES * 1j, "real numbers"),
    ],
)
def test_encoders_refuse(make, x, part):
    with pytest.raises(ValueError, match=part):
        model = make()
        model.apply(jax.jit(model.init)(jax.random.key(0), x), x)


@pytest.mark.parametrize(
    ("make", "x", "part"),
    [
        (conv_block, FRAMES[..., :2], "conv_block: found frames of 2 channels, wanted 3 as at the start"),
        (small_image_encoder, FRAMES[..., :2], "small_image_encoder: found frames of 2 channels, wanted 3"),
        (small_image_encoder, FRAMES[:, :20], "linear: found an input of 4608 entries, wanted 4864"),
        (flat_encoder, FRAMES[:, :20], "linear: found an input of 1080 entries, wanted 1134 as at the start"),
        (
            lambda: policy_network(3, conv_block()),
            np.tile(FRAMES, (1, 4, 4, 1)),
            "linear: found an input of 32 entries, wanted",
        ),
    ],
)
def test_observations_of_other_sizes_than_at_the_start_are_refused(make, x, part):
    made = make()
    with pytest.raises(ValueError, match=part):
        if hasattr(made, "unroll"):
            params = jax.eval_shape(made.init, jax.random.key(0), x)
            jax.eval_shape(lambda params: made.step(params, made.start(params, 2), FRAMES), params)
        else:
            jax.eval_shape(lambda x: made.apply(made.init(jax.random.key(0), FRAMES), x), x)


@pytest.mark.usefixtures("x64")
def test_a_gate_is_a_softmax_over_the_features():
    rng = np.random.default_rng(0)
    x, source = rng.normal(size=(2, 4, 6))
    gate = softmax_gate()
    variables = jax.jit(gate.init)(jax.random.key(0), x)
    kernel, bias = (np.asarray(variables["params"][name]) for name in ("kernel", "bias"))
    assert np.abs(kernel).max() < 6**-0.5 and np.abs(bias).max() < 6**-0.5 and np.abs(bias).max() > 0
    for given, seen in ((None, x), (source, source)):
        weights = np.exp(seen @ kernel + bias)
        weights /= weights.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(jax.jit(gate.apply)(variables, x, given)[0], x * weights, rtol=1e-10)
    wide = np.random.default_rng(1).normal(size=(3, 288)) / 17
    started = jax.jit(gate.apply)(jax.jit(gate.init)(jax.random.key(1), wide), wide)[0]
    np.testing.assert_allclose(started, wide / 288, rtol=0.2, atol=1e-5)
    with pytest.raises(ValueError, match="found an input of 5 entries, wanted 6"):
        jax.jit(gate.apply)(variables, x[:, :5])
    with pytest.raises(ValueError, match=r"found a source of shape \(4, 6\), wanted \(4, 5\) as the input has"):
        gate.apply(variables, x[:, :5], source)
    for nothing in (0.0, "x", None):
        with pytest.raises(ValueError, match="softmax_gate: found input of type"):
            gate.apply(variables, nothing)


COUNTS = {
    "baseline": (327_718, 696_807, {}, {}),
    "AttA2C": (327_718, 863_271, {"attention": True}, {}),
    "ICM single": (746_800, 696_807, {}, {"attention": "single"}),
    "ICM double": (577_456, 696_807, {}, {"attention": "double"}),
    "RCM": (410_950, 696_807, {}, {"rational": True}),
    "ICM single, released": (327_718, 696_807, {}, {"attention": "single", "wiring": "released"}),
    "ICM double, released": (327_718, 696_807, {}, {"attention": "double", "wiring": "released"}),
    "RCM, released": (327_718, 696_807, {}, {"rational": True, "wiring": "released"}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name):
    for_icm, for_policy, policy, icm = COUNTS[name]
    frames = jax.ShapeDtypeStruct((1, 84, 84, 4), jnp.uint8)
    for made, wanted in (
        (policy_network(6, conv_block(), **policy), for_policy),
        (curiosity_module(6, conv_block(), **icm), for_icm),
    ):
        found = jax.eval_shape(lambda x, made=made: made.init(jax.random.key(0), x), frames)
        assert sum(leaf.size for leaf in jax.tree.leaves(found)) == wanted
