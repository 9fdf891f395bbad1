"""Pieces set apart: the same results however they are mapped, and one conditional with one condition for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.numerics import apart


def parts(x, others, nothing=None):
    assert nothing is None
    return {"sum": x + others["y"], "product": x * others["y"]}


def set_apart(x, others, nothing=None):
    return apart(parts, x, others, nothing)


def test_results_are_the_same_mapped_or_not():
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    cases = [
        (lambda fn: fn, (x, y)),
        (lambda fn: jax.vmap(fn), (x, y)),
        (lambda fn: jax.vmap(fn, in_axes=(0, None)), (x, y[0])),
        (lambda fn: jax.vmap(fn, in_axes=(None, 1), out_axes=1), (x[:, 0], y)),
        (lambda fn: jax.vmap(jax.vmap(fn, in_axes=(None, 1)), in_axes=(0, None)), (x[..., 0], y[0])),
    ]
    for number, (mapped, (one, other)) in enumerate(cases):
        for function in (mapped(set_apart), jax.jit(mapped(set_apart))):
            found, wanted = function(one, {"y": other}), mapped(parts)(one, {"y": other})
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array, err_msg=f"{number} {name}")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.0, -1e38])
def test_no_value_is_lost(value):
    """Whatever stands where the condition looks, in one trial or all."""
    x = np.array([[value, 2.0], [3.0, value]], np.float32)
    for found in (apart(jnp.negative, x), jax.vmap(lambda one: apart(jnp.negative, one))(x)):
        np.testing.assert_array_equal(found, -x)


def test_arrays_of_no_elements():
    found = jax.vmap(lambda x: apart(lambda x: x + 1, x))(jnp.zeros((2, 0, 3)))
    assert found.shape == (2, 0, 3)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="nothing is set apart elsewhere")
def test_mapped_it_is_one_conditional():
    """Two trials' conditions would be a choice, for which everything is computed."""
    x = jnp.ones((2, 3))
    text = jax.jit(jax.vmap(lambda x: apart(jnp.square, x))).lower(x).compile().as_text()
    assert " conditional(" in text and " select(" not in text
