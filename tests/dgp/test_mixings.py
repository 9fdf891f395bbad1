import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import identity, orthogonal, random_invertible_mlp
from identax.dgp.mixings import column_normalized, condition_numbers

ACTIVATIONS = {
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "smooth_leaky_relu": lambda x: 0.2 * x + 0.8 * np.log1p(np.exp(x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
}

INIT = jax.jit(random_invertible_mlp(4, pool_size=300).init)
POOL = jax.jit(jax.vmap(column_normalized, (0, None)), static_argnums=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_the_formula_and_inverse_undoes_it(x64, activation):
    mixing = random_invertible_mlp(4, activation=activation, pool_size=300)
    weights = INIT(jax.random.key(1))  # does not depend on the activation
    z = jax.random.normal(jax.random.key(0), (200, 4))
    x = jax.jit(mixing.apply)(weights, z)
    first, second, third = map(np.asarray, weights)
    act = ACTIVATIONS[activation]
    np.testing.assert_allclose(x, act(act(np.asarray(z) @ first.T) @ second.T) @ third.T, atol=1e-12)
    if activation == "relu":
        with pytest.raises(ValueError, match="relu"):
            mixing.inverse(weights, x)
    else:
        np.testing.assert_allclose(jax.jit(mixing.inverse)(weights, x), z, atol=1e-8)


def test_inverse_in_float32():
    mixing = random_invertible_mlp(4, activation="smooth_leaky_relu", pool_size=300)
    weights = INIT(jax.random.key(1))
    z = jax.random.uniform(jax.random.key(0), (200, 4), minval=-1)
    round_trip = jax.jit(lambda weights, z: mixing.inverse(weights, mixing.apply(weights, z)))
    np.testing.assert_allclose(round_trip(weights, z), z, atol=1e-4)


def test_weights_are_the_best_conditioned_of_the_pool(x64):
    n, pool = 5, 2500
    init = jax.jit(random_invertible_mlp(n, num_layers=2, pool_size=pool).init)
    weights = np.stack(init(jax.random.key(4)))
    np.testing.assert_array_equal(weights, np.stack(init(jax.random.key(4))))
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-12)  # columns
    draws = POOL(jax.random.split(jax.random.key(9), pool), n)
    conditions = np.sort(np.linalg.cond(np.asarray(draws)))
    first, second = np.linalg.cond(weights)
    assert first <= second < conditions[int(0.01 * pool)]


def test_pool_quantiles_of_the_published_recipe():
    """Condition numbers at 1, 5, 25, 50 % for n = 4: 1.97, 2.60, 4.62, 8.16, as measured with the authors' code."""
    draws = POOL(jax.random.split(jax.random.key(9), 20_000), 4)
    got = np.quantile(np.linalg.cond(np.asarray(draws)), [0.01, 0.05, 0.25, 0.5])
    np.testing.assert_allclose(got, [1.97, 2.60, 4.62, 8.16], rtol=0.04)


def test_init_vmaps_over_seeds(x64):
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(INIT)(keys)
    alone = [INIT(key) for key in keys]
    for layer in range(3):
        np.testing.assert_allclose(together[layer], np.stack([w[layer] for w in alone]), rtol=1e-12)


def test_orthogonal_is_haar(assert_mean):
    mixing = orthogonal(3)
    matrices = np.asarray(jax.jit(jax.vmap(mixing.init))(jax.random.split(jax.random.key(0), 20_000)))
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-5
    )
    assert_mean(matrices, np.zeros((3, 3)))
    assert_mean(matrices**2, np.full((3, 3), 1 / 3))
    assert_mean(matrices**4, np.full((3, 3), 3 / 15))
    assert_mean(np.linalg.det(matrices), 0.0)
    z = jax.random.normal(jax.random.key(1), (5, 3))
    x = mixing.apply(jnp.asarray(matrices[0]), z)
    np.testing.assert_allclose(mixing.inverse(jnp.asarray(matrices[0]), x), z, atol=1e-5)


def test_identity():
    mixing, z = identity(), jnp.ones((2, 3))
    weights = mixing.init(jax.random.key(0))
    assert jax.tree.leaves(weights) == []
    assert mixing.apply(weights, z) is z and mixing.inverse(weights, z) is z


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: random_invertible_mlp(3, activation="leakyrelu"), "did you mean 'leaky_relu'"),
        (lambda: random_invertible_mlp(3, activation="xyz"), "wanted one of"),
        (lambda: random_invertible_mlp(0), "n=0"),
        (lambda: random_invertible_mlp(3, num_layers=0), "num_layers=0"),
        (lambda: random_invertible_mlp(3, pool_size=2), "pool_size=2"),
        (lambda: orthogonal(0), "n=0"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()


@pytest.mark.parametrize("n", [1, 2, 6, 10])
def test_condition_numbers_are_those_of_the_svd(n, x64, getkey):
    matrices = jax.vmap(lambda key: column_normalized(key, n))(jax.random.split(getkey(), 40))
    np.testing.assert_allclose(condition_numbers(matrices), np.linalg.cond(np.asarray(matrices)), rtol=1e-8)


_ON_ALL_DEVICES = """
import identax.run
import jax
from identax.dgp import random_invertible_mlp
mixing = random_invertible_mlp(10, pool_size=1000)
program = jax.jit(identax.run.map_trials(mixing.init, identax.run.make_mesh()))
for i in range(12):
    jax.block_until_ready(program(jax.random.split(jax.random.key(i), jax.device_count())))
print(jax.device_count())
"""


def test_pools_are_drawn_on_all_devices_at_once():
    """Each device factorises batches in the thread pool that all share: without the flag 12 of 12 processes hung."""
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-c", _ON_ALL_DEVICES]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=100)
    assert done.stdout == "8\n", done.stderr


@pytest.mark.parametrize("make", [random_invertible_mlp, orthogonal])
@pytest.mark.parametrize("z", [np.ones((4, 3)), np.ones(2), np.ones((4, 2)) * 1j, [["a", "b"]]], ids=str)
def test_points_that_do_not_fit_are_refused(make, z, getkey):
    mixing = make(2) if make is orthogonal else make(2, pool_size=8)
    weights = mixing.init(getkey())
    for function in (mixing.apply, mixing.inverse):
        with pytest.raises(ValueError, match=f"{make.__name__}: found [zx] of"):
            function(weights, z)
    whole = np.array([[1, -2], [3, 0]])
    np.testing.assert_allclose(mixing.apply(weights, whole.tolist()), mixing.apply(weights, whole * 1.0), rtol=1e-6)
