"""Decisions from three p-values against the rules written out, and directions of exact and of drawn worlds."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.causal import causal_de_finetti_pair, decide_pair, independence_test
from identax.dgp import binary_pair, laplace_pair


def _by_the_rules(p, level):
    if p[0] >= level and p[1] <= level and p[2] <= level:
        return 0, True
    if p[0] <= level and p[1] >= level and p[2] <= level:
        return 1, True
    if min(p) >= level:
        return 2, True
    return int(np.argmax(p)), False


@pytest.mark.parametrize("level", [0.05, 0.3])
def test_decisions_follow_the_rules_in_their_order(level):
    values = (0.0, 0.01, level, 0.04, 0.3, 0.31, 1.0)
    every = np.array(list(itertools.product(values, repeat=3)), np.float32)
    level = np.float32(level)
    found = jax.jit(lambda p: decide_pair(p, level=level))(every)
    wanted = [_by_the_rules(p, level) for p in every]
    np.testing.assert_array_equal(found.structure, [structure for structure, _ in wanted])
    np.testing.assert_array_equal(found.settled, [settled for _, settled in wanted])
    assert set(np.asarray(found.structure)) == {0, 1, 2} and not np.all(found.settled)


def test_the_tests_are_those_of_the_formula_and_roles_those_of_the_code(x64):
    drawn = laplace_pair(jax.random.key(0), 40, structure=0).observations
    (x1, y1), (x2, y2) = (drawn[:, sample].T for sample in (0, 1))
    found = causal_de_finetti_pair(drawn)
    tests = ((x1, y2, x2), (x2, y1, y2), (x1, y1))
    np.testing.assert_allclose(found.p_values, [independence_test(*test).p_value for test in tests], rtol=1e-9)
    assert np.ptp(found.p_values) > 0.01


def _pairs(variability, num, structure):
    keys = jax.random.split(jax.random.key(1), num)
    draw = jax.jit(jax.vmap(lambda key: binary_pair(key, 2000, variability=variability, structure=structure)))
    return draw(keys).observations


@pytest.mark.parametrize("variability", ["cause", "mechanism"])
def test_either_variability_gives_the_direction(variability):
    for structure in (0, 1):
        found = causal_de_finetti_pair(_pairs(variability, 40, structure), method="g", levels=2)
        assert found.structure.shape == (40,) and found.p_values.shape == (40, 3)
        assert np.mean(found.structure == structure) > 0.8
        assert np.mean(found.structure == 1 - structure) < 0.1


def test_without_variability_there_is_an_edge_and_no_direction():
    found = causal_de_finetti_pair(_pairs("none", 60, 0), method="g", levels=2)
    assert np.mean(found.structure == 2) < 0.2 and 0.25 < np.mean(found.structure == 0) < 0.75


def test_one_data_set_is_the_first_of_many_and_maps():
    many = _pairs("both", 3, 1)
    one = causal_de_finetti_pair(many[0], method="g", levels=2)
    mapped = jax.vmap(lambda each: causal_de_finetti_pair(each, method="g", levels=2))(many)
    for found, several in zip(one, mapped, strict=True):
        np.testing.assert_allclose(found, several[0], rtol=1e-6)
    assert one.structure.shape == ()


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: causal_de_finetti_pair(np.zeros((9, 1, 2))), r"found observations of shape \(9, 1, 2\).*N >= 2"),
        (lambda: causal_de_finetti_pair(np.zeros((9, 2, 3))), r"\(9, 2, 3\)"),
        (lambda: causal_de_finetti_pair(np.zeros((0, 2, 2))), r"\(0, 2, 2\)"),
        (lambda: causal_de_finetti_pair(np.full((9, 2, 2), 0.5), method="g"), "not whole numbers"),
        (lambda: causal_de_finetti_pair(np.zeros((9, 2, 2)), method="hsic"), "method"),
        (lambda: decide_pair(jnp.ones(2)), r"\(2,\)"),
        (lambda: decide_pair(jnp.ones(3), level=2.0), "level"),
        (lambda: decide_pair([0.5, np.nan, 0.5]), "found p_values from nan"),
        (lambda: decide_pair([[0.5, 3, 0.5]]), "p_values from 0.5 to 3.0, wanted 0 to 1"),
        (lambda: causal_de_finetti_pair(np.zeros((9, 2, 2)), chunk_size=0), "chunk_size=0"),
        (lambda: causal_de_finetti_pair(np.zeros((9, 2, 2)), level=-1), "causal_de_finetti_pair: found level=-1"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
