"""Outside `jit` a second call of one shape compiles nothing."""

import jax
import jax.numpy as jnp
import pytest

from tests.eager import compiled_by_second_call
from tests.losses.public_calls import CALLS, arrays_of


@pytest.mark.parametrize("name", CALLS)
def test_second_call_compiles_nothing(name):
    first, second = ([array + 0.5 for array in arrays_of(name, seed)] for seed in (0, 1))
    if "targets" in CALLS[name][1]:
        first[1], second[1] = first[1] - 0.5, second[1] - 0.5
    assert compiled_by_second_call(CALLS[name][0], first, second) == 0


LOOPS = {
    "alignment_uniformity",
    "infonce, blocks",
    "lp_infonce",
    "lp_infonce, p array",
    "softmax_cross_entropy, blocks",
}


@pytest.mark.parametrize(
    "name", [name if name in LOOPS else pytest.param(name, marks=pytest.mark.slow) for name in CALLS]
)
def test_nor_does_a_second_gradient(name):
    function, shapes = CALLS[name]
    first, second = ([jnp.asarray(array, float) + 0.5 for array in arrays_of(name, seed)] for seed in (0, 1))
    if "targets" in shapes:
        first[1], second[1] = first[1] - 0.5, second[1] - 0.5
    numbers = tuple(number for number, key in enumerate(shapes) if key != "targets")
    gradient = jax.grad(lambda *arrays: jnp.sum(function(*arrays)), argnums=numbers)
    assert compiled_by_second_call(gradient, first, second) == 0
