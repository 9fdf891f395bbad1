"""Models that hold a loop, called outside `jit`: the second call of a shape compiles nothing, nor does its gradient."""

import jax
import jax.numpy as jnp
import pytest

from identax.models import gru, lstm, micro_batched
from tests.eager import compiled_by_second_call


@pytest.mark.parametrize("make", [lstm, gru])
def test_a_recurrent_model(make, getkey):
    model, x = make(2), jnp.ones((2, 3, 2))
    variables = model.init(getkey(), x)

    def value(variables, x):
        return model.apply(variables, x, resets=jnp.zeros((2, 3), bool))[0][0].sum()

    for function in (value, jax.grad(value)):
        assert compiled_by_second_call(function, (variables, x), (variables, x + 1)) == 0


def test_micro_batches():
    embed = micro_batched(lambda params, batch: batch @ params, micro_batch=2)
    params, batch = jnp.ones((3, 2)), jnp.ones((4, 3))
    for function in (embed, jax.grad(lambda params, batch: embed(params, batch).sum())):
        assert compiled_by_second_call(function, (params, batch), (params, batch + 1)) == 0
