"""The count of compilations sees a program that is compiled anew at every call, and one that is not."""

import jax
import jax.numpy as jnp

from tests.eager import compiled_by_second_call

_kept = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + x, x))


def test_the_count_sees_a_program():
    x, y = jnp.ones(3), jnp.zeros(3)
    assert compiled_by_second_call(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + x, x), (x,), (y,)) >= 1
    assert compiled_by_second_call(_kept, (x,), (y,)) == 0
