"""MLP encoders: start, heads, dtype, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import mlp, normalize


def test_parameters_start_uniform_in_fan_in(getkey):
    model = mlp([400, 5])
    params = model.init(getkey(), jnp.zeros((1, 100)))["params"]
    kernel, bias = params["Dense_0"]["kernel"], params["Dense_0"]["bias"]
    assert kernel.shape == (100, 400)
    for leaf in (kernel, bias):
        # U(-b, b) with b = 1/sqrt(100): the largest of 400 or more draws is within 3 % of b, sd is b/sqrt(3)
        assert 0.097 < np.abs(leaf).max() <= 0.1
        assert abs(leaf.std() - 0.1 / 3**0.5) < 0.005
    assert np.abs(params["Dense_1"]["bias"]).max() <= 0.05


def test_matches_the_formula(x64, getkey):
    model = mlp([7, 3])
    x = jax.random.normal(getkey(), (4, 5))
    variables = model.init(getkey(), x)
    first, second = variables["params"]["Dense_0"], variables["params"]["Dense_1"]
    hidden = np.asarray(x @ first["kernel"]) + np.asarray(first["bias"])[None]
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    wanted = hidden @ np.asarray(second["kernel"]) + np.asarray(second["bias"])[None]
    output, _ = model.apply(variables, x)
    assert output.dtype == jnp.float64
    np.testing.assert_allclose(output, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("head", "check"),
    [
        ("sphere", lambda y, p: np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)),
        ("learnable_sphere", lambda y, p: np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 2.5, rtol=1e-6)),
        ("box", lambda y, p: np.testing.assert_array_less(np.abs(y - 0.5), 0.5)),
        ("learnable_box", lambda y, p: np.testing.assert_array_less(np.abs(y - 1.25), 1.25)),
    ],
)
def test_heads(head, check, getkey):
    model = mlp([8, 3], head=head)
    x = jax.random.normal(getkey(), (6, 4))
    variables = model.init(getkey(), x)
    trainable = set(variables["params"]) - {"Dense_0", "Dense_1"}
    assert trainable == {"learnable_sphere": {"radius"}, "learnable_box": {"size"}}.get(head, set())
    for name in trainable:
        variables["params"][name] = 2.5 * variables["params"][name]
    check(np.asarray(model.apply(variables, x)[0]), variables)


def test_normalize_survives_a_zero_row():
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    value, grad = jax.value_and_grad(lambda x: normalize(x).sum())(x)
    np.testing.assert_allclose(value, 1.4, rtol=1e-6)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(widths=[]), "widths"),
        (dict(widths=[3, 0]), "widths"),
        (dict(widths=[3], head="spher"), "did you mean 'sphere'"),
        (dict(widths=[3], activation="leaky_rely"), "did you mean 'leaky_relu'"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        mlp(**arguments)
