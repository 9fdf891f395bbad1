"""MLP encoders: start, heads, dtype, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import mlp, normalize
from identax.models.mlp import uniform_fan_in

# First row of the first kernel and bias of the second layer of mlp([3, 2]) for jax.random.key(7), before `kernel_init`.
DRAWN = [-0.66120124, 0.01576629, -0.06542843], [-0.20786007, 0.04292565]


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


@pytest.mark.parametrize("activation", ["leaky_relu", "smooth_leaky_relu"])
def test_slope_is_that_of_either_leaky_relu(x64, activation):
    """Slope a at -inf, 1 at +inf; the smooth one passes (1 - a) log 2 at 0."""
    model = mlp([1, 1], activation=activation, slope=0.2)
    one = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    variables = {"params": {"Dense_0": one, "Dense_1": one}, "state": {}}

    def value(x):
        return model.apply(variables, jnp.reshape(x, (1, 1)))[0][0, 0]

    slopes = jax.vmap(jax.grad(value))(jnp.array([-40.0, 40.0]))
    np.testing.assert_allclose(slopes, [0.2, 1.0], rtol=1e-12)
    np.testing.assert_allclose(value(-40.0), -8.0, rtol=1e-12)
    np.testing.assert_allclose(value(0.0), 0.8 * np.log(2) if activation == "smooth_leaky_relu" else 0.0, atol=1e-15)


def test_xavier_uniform_weights_and_biases_uniform_in_fan_in(getkey):
    params = mlp([400, 5], kernel_init="xavier_uniform").init(getkey(), jnp.zeros((1, 100)))["params"]
    kernel, bias = params["Dense_0"]["kernel"], params["Dense_0"]["bias"]
    bound = np.sqrt(6 / 500)
    assert 0.99 * bound < np.abs(kernel).max() <= bound and abs(kernel.std() - bound / 3**0.5) < 0.001
    assert 0.097 < np.abs(bias).max() <= 0.1
    plain = mlp([400, 5]).init(getkey(), jnp.zeros((1, 100)))["params"]["Dense_0"]["kernel"]
    assert np.abs(plain).max() <= 0.1 < np.abs(kernel).max()


def test_the_default_start_draws_what_it_drew():
    """Callers from before there was a choice: their keys give their numbers."""
    params = mlp([3, 2]).init(jax.random.key(7), jnp.zeros((1, 2)))["params"]
    np.testing.assert_allclose(params["Dense_0"]["kernel"][0], DRAWN[0], atol=1e-6)
    np.testing.assert_allclose(params["Dense_1"]["bias"], DRAWN[1], atol=1e-6)


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
        (dict(widths=[3], kernel_init="xavier"), "did you mean 'xavier_uniform'"),
        (dict(widths=[3], activation="relu", slope=0.2), "found slope=0.2 for 'relu'"),
        (dict(widths=[3], slope=1.5), "found slope=1.5, wanted a number from 0 to 1"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        mlp(**arguments)


def test_batch_norm_before_every_activation_with_running_statistics(x64, getkey):
    """Training normalises with the batch's biased variance, the buffer gathers the unbiased one, evaluation uses it."""
    model = mlp([7, 6, 3], batch_norm=True)
    x = jax.random.normal(getkey(), (9, 5))
    variables = model.init(getkey(), x)
    params = variables["params"]
    assert set(params) == {"Dense_0", "Dense_1", "Dense_2", "BatchNorm_0", "BatchNorm_1"}

    def forward(statistics):
        hidden, found = np.asarray(x), []
        for number in range(2):
            layer = params[f"Dense_{number}"]
            hidden = hidden @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])[None]
            found.append((hidden.mean(axis=0), hidden.var(axis=0)))
            mean, var = found[-1] if statistics is None else statistics[number]
            hidden = (hidden - mean[None]) / np.sqrt(var + 1e-5)[None]
            hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        last = params["Dense_2"]
        return hidden @ np.asarray(last["kernel"]) + np.asarray(last["bias"])[None], found

    wanted, batch = forward(None)
    output, state = model.apply(variables, x, train=True)
    np.testing.assert_allclose(output, wanted, rtol=1e-10)
    running = [(0.1 * mean, 0.9 + 0.1 * var * 9 / 8) for mean, var in batch]
    for number, (mean, var) in enumerate(running):
        np.testing.assert_allclose(state[f"BatchNorm_{number}"]["mean"], mean, rtol=1e-10)
        np.testing.assert_allclose(state[f"BatchNorm_{number}"]["var"], var, rtol=1e-10)
    output, unchanged = model.apply({"params": params, "state": state}, x)
    np.testing.assert_allclose(output, forward(running)[0], rtol=1e-10)
    assert unchanged is state


def test_parameter_counts_of_the_published_encoders(getkey):
    """Reizinger et al. 2025: 10d, 4 x 50d, 10d hidden units for d latents."""
    for d, count in ((5, 216_305), (10, 858_610)):
        model = mlp([10 * d, *[50 * d] * 4, 10 * d, d], batch_norm=True)
        params = jax.eval_shape(model.init, getkey(), jnp.zeros((1, d)))["params"]
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    features = mlp([4, 4], activation="relu", activate_last=True, batch_norm=True)
    variables = features.init(getkey(), jnp.zeros((1, 3)))
    assert "BatchNorm_1" in variables["params"]
    assert features.apply(variables, jnp.ones((2, 3)))[0].min() >= 0


@pytest.mark.parametrize("widths", [(4, 2.5), (4, True), "42", 4, (), (4, 0), (4, None)], ids=str)
def test_widths_are_whole_numbers(widths):
    with pytest.raises(ValueError, match=r"mlp: found widths=.*, wanted one or more positive integers"):
        mlp(widths)


def test_integers_are_inputs_like_any_other(getkey):
    model, key, x = mlp((4, 2), head="sphere"), getkey(), np.array([[0, 1, 250], [3, 4, 5]])
    wanted = model.init(key, jnp.asarray(x, float))
    for given in (jnp.asarray(x, jnp.uint8), jnp.asarray(x)):
        jax.tree.map(np.testing.assert_array_equal, model.init(key, given), wanted)
        found = model.apply(wanted, given)[0]
        np.testing.assert_array_equal(found, model.apply(wanted, jnp.asarray(x, float))[0])
    with pytest.raises(ValueError, match=r"mlp: found input of type complex.*, wanted real numbers"):
        model.init(key, jnp.ones((2, 3), complex))


@pytest.mark.parametrize(("shape", "fan_in"), [((0, 3), None), ((), None), ((3,), 0), ((3,), -1), ((3,), 2.5)])
def test_a_start_needs_inputs(shape, fan_in, getkey):
    with pytest.raises(ValueError, match="uniform_fan_in: found fan_in="):
        uniform_fan_in(getkey(), shape, fan_in=fan_in)
