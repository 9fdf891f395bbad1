"""Image encoders: sizes, batch statistics, precision, rematerialisation, errors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models.batch_norm import BatchNorm
from identax.models.mlp import from_linen
from identax.models.projector import projector
from identax.models.resnet import _ResNet, resnet18, resnet50
from identax.models.small_convnet import small_convnet


def num_parameters(model, shape):
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def output_shape(model, shape):
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    return jax.eval_shape(lambda v, x: model.apply(v, x, train=True)[0], variables, jnp.zeros(shape)).shape


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        (resnet18(num_classes=10), (1, 32, 32, 3), 11_173_962),
        (resnet18(), (1, 32, 32, 3), 11_173_962 - 5130),
        (resnet18(stem="imagenet", num_classes=1000), (1, 224, 224, 3), 11_689_512),
        (resnet50(num_classes=1000), (1, 224, 224, 3), 25_557_032),
        (small_convnet((16, 32), features=8), (1, 28, 28, 1), 16 * 9 + 32 * 16 * 9 + 49 * 32 * 8 + 2 * (16 + 32 + 8)),
        (projector((7, 5)), (1, 3), 3 * 7 + 2 * 7 + 7 * 5 + 5),
    ],
)
def test_published_numbers_of_parameters(model, shape, count):
    assert num_parameters(model, shape) == count


@pytest.mark.parametrize(
    ("model", "shape", "wanted"),
    [
        (resnet18(), (2, 32, 32, 3), (2, 512)),
        (resnet50(width=8), (2, 33, 47, 3), (2, 256)),
        (small_convnet(), (2, 28, 28, 1), (2, 128)),
        (small_convnet((4,), features=3), (2, 7, 9, 3), (2, 3)),
    ],
)
def test_shapes(model, shape, wanted):
    assert output_shape(model, shape) == wanted


TINY = small_convnet((3, 4), features=5)


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(1), (8, 9, 8, 2))


@pytest.mark.slow
def test_the_patch_product_is_a_convolution(x64, images):
    images = images.astype(jnp.float64)
    variables = TINY.init(jax.random.key(0), images)
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(variables))
    x = images
    for number in range(2):
        kernel = variables["params"][f"_PatchConv_{number}"]["Dense_0"]["kernel"]
        kernel = kernel.reshape(3, 3, x.shape[-1], -1)
        x = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x / jnp.sqrt(1 + 1e-5))  # running statistics at their start: mean 0, variance 1
    x = x.reshape(8, -1) @ variables["params"]["Dense_0"]["kernel"] / jnp.sqrt(1 + 1e-5)
    np.testing.assert_allclose(TINY.apply(variables, images)[0], jax.nn.relu(x), rtol=1e-10)


def test_batch_norm_against_its_formula(x64, getkey):
    model = from_linen(BatchNorm(momentum=0.8))
    x = 3 + 2 * jax.random.normal(getkey(), (6, 4, 5, 3))
    variables = model.init(getkey(), x)
    output, state = model.apply(variables, x, train=True)
    values = np.asarray(x)
    mean, var = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
    np.testing.assert_allclose(output, (values - mean) / np.sqrt(var + 1e-5), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state["mean"], 0.2 * mean, rtol=1e-12)
    np.testing.assert_allclose(state["var"], 0.8 + 0.2 * var, rtol=1e-12)
    again, unchanged = model.apply({**variables, "state": state}, x)
    np.testing.assert_allclose(again, (values - 0.2 * mean) / np.sqrt(0.8 + 0.2 * var + 1e-5), rtol=1e-10, atol=1e-12)
    assert unchanged == state


def test_batch_norm_is_accurate_far_from_zero(getkey):
    """Two passes: E[x^2] - E[x]^2 would leave nothing of a variance of 1 at a mean of 10,000 in float32."""
    model = from_linen(BatchNorm())
    x = 1e4 + jax.random.normal(getkey(), (512, 2))
    output, _ = model.apply(model.init(getkey(), x), x, train=True)
    np.testing.assert_allclose(output.std(axis=0), 1, atol=0.01)


def test_statistics_are_over_the_global_batch(images):
    """A batch on 8 devices, one image on each, gives the output and the statistics of one device."""
    variables = TINY.init(jax.random.key(0), images)
    step = jax.jit(lambda v, x: TINY.apply(v, x, train=True))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    output, state = step(variables, jax.device_put(images, sharding))
    wanted, wanted_state = step(variables, images)
    np.testing.assert_allclose(output, wanted, atol=1e-5)
    # float32 means of numbers of size 1: one near 0 has lost the digits that rtol asks for (1.5e-8 off without AVX-512)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state, wanted_state)
    local = step(variables, images[:1])[0]
    assert np.abs(local - wanted[:1]).max() > 0.01  # an image alone is normalised otherwise


def test_half_precision_keeps_parameters_statistics_and_output(images):
    half = small_convnet((3, 4), features=5, compute="bfloat16")
    variables = half.init(jax.random.key(0), images)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    output, state = half.apply(variables, images, train=True)
    assert output.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    exact = TINY.apply(variables, images, train=True)[0]
    difference = np.abs(output - exact).max()
    assert 1e-4 < difference < 0.15  # bfloat16 has 8 bits: not equal, not far
    text = str(jax.make_jaxpr(lambda v, x: half.apply(v, x, train=True)[0])(variables, images))
    products = re.findall(r":(\w+)\[[\d,]*\] = dot_general", text)
    assert products == ["bf16"] * 3  # both convolutions and the linear layer


@pytest.mark.slow
def test_rematerialised_resnet_has_the_same_numbers(images):
    x = images[:4, :, :, :1]
    # two blocks: eight would compile for half a minute
    models = [from_linen(_ResNet((1, 1), False, 2, "cifar", None, None, remat, False)) for remat in (False, True)]
    variables = models[0].init(jax.random.key(0), x)
    assert jax.tree.structure(variables) == jax.tree.structure(jax.eval_shape(models[1].init, jax.random.key(0), x))

    def loss(params, model):
        output, state = model.apply({**variables, "params": params}, x, train=True)
        return jnp.sum(jnp.sin(output)), state

    found = [
        jax.jit(jax.value_and_grad(lambda p, model=model: loss(p, model), has_aux=True))(variables["params"])
        for model in models
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *found)
    texts = [str(jax.make_jaxpr(lambda p, m=m: loss(p, m)[0])(variables["params"])) for m in models]
    assert [text.count("prevent_cse") for text in texts] == [0, 2]


def test_zero_initialised_residuals_start_as_the_identity(images):
    model = from_linen(_ResNet((1, 1), False, 2, "cifar", None, None, False, True))
    values = jax.jit(model.init)(jax.random.key(0), images)["params"]
    for name in ("stage1_block1", "stage2_block1"):
        np.testing.assert_array_equal(values[name]["BatchNorm_1"]["scale"], 0)
        np.testing.assert_array_equal(values[name]["BatchNorm_0"]["scale"], 1)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: resnet18(stem="imagnet"), "did you mean 'imagenet'"),
        (lambda: resnet50(compute="float16"), "compute='float16'"),
        (lambda: resnet18(width=0), "width=0"),
        (lambda: resnet18(num_classes=0), "num_classes=0"),
        (lambda: resnet18().init(jax.random.key(0), jnp.zeros((4, 32, 32))), r"wanted float images \[N, H, W, C\]"),
        (lambda: TINY.apply({}, jnp.zeros((4, 8, 8, 1), jnp.uint8)), "found uint8 input"),
        (lambda: small_convnet(()), "channels"),
        (lambda: small_convnet((4, 0)), "channels"),
        (lambda: small_convnet(features=0), "features=0"),
        (lambda: small_convnet(compute="half"), "compute='half'"),
        (lambda: projector(()), "widths"),
        (lambda: projector((4,), compute="half"), "compute='half'"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
