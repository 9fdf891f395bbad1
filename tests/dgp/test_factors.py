"""Factor grids: the stored order, values and their ranges, and uniform draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.factors import Factor, FactorGrid, grid_values

GRID = FactorGrid(
    (
        Factor("kind", (1, 2, 5)),
        Factor("constant", (7.0,)),
        Factor("angle", grid_values(0, 3, 4), (0, 3), periodic=True),
        Factor("size", (0.5, 1.0), (0.25, 1)),
    )
)


def test_the_last_factor_runs_fastest():
    every = np.array(list(itertools.product(*(range(size) for size in GRID.factor_sizes))))
    assert GRID.factor_sizes == (3, 1, 4, 2) and len(GRID) == 24
    found = GRID.index(every)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, np.arange(24))
    np.testing.assert_array_equal(GRID.codes(np.arange(24)), every)
    np.testing.assert_array_equal(found, np.ravel_multi_index(tuple(every.T), GRID.factor_sizes))
    np.testing.assert_array_equal(jax.jit(GRID.index)(jnp.asarray(every)), found)
    np.testing.assert_array_equal(jax.vmap(GRID.codes)(jnp.arange(24).reshape(4, 6)), every.reshape(4, 6, 4))
    assert GRID.index((2, 0, 3, 1)) == 23 and GRID.codes(9).tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(GRID.values(GRID.codes(23)), [5, 7, 3, 1])


def test_named_values_become_one_array():
    found = GRID.vector({"size": 0.5, "kind": 2, "angle": jnp.array([0.0, 1.5])})
    np.testing.assert_allclose(found, [[2, 7, 0, 0.5], [2, 7, 1.5, 0.5]])
    with pytest.raises(ValueError, match=r"found name='angel', .*did you mean 'angle'"):
        GRID.vector({"size": 0.5, "kind": 2, "angel": 1})
    with pytest.raises(ValueError, match=r"found no \['angle'\]"):
        GRID.vector({"size": 0.5, "kind": 2})


def test_draws_are_uniform_on_the_grid_and_between(getkey, assert_mean):
    num = 4000
    codes = np.asarray(GRID.sample_codes(getkey(), num))
    for k, size in enumerate(GRID.factor_sizes):
        assert_mean(codes[:, [k]] == np.arange(size), 1 / size)
    assert_mean((codes[:, 0] - 1) * (codes[:, 2] - 1.5), 0)
    on_grid = np.asarray(GRID.sample(getkey(), num, continuous=False))
    for k, factor in enumerate(GRID.factors):
        assert set(on_grid[:, k].tolist()) == set(factor.values)
    between = np.asarray(GRID.sample(getkey(), num, fixed={"kind": 2}))
    assert set(between[:, 0].tolist()) == {2} and set(between[:, 1].tolist()) == {7}
    assert len(np.unique(between[:, 2])) > num / 2
    assert_mean(between[:, 2:], [1.5, 0.625])
    assert_mean((between[:, 2:] - [1.5, 0.625]) ** 2, [9 / 12, 0.75**2 / 12])
    GRID.check(between)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GRID.index([0, 0, 4, 0]), r"found codes \[0, 0, 4, 0\]"),
        (lambda: GRID.index([0, 0, -1, 0]), r"found codes \[0, 0, -1, 0\]"),
        (lambda: GRID.index([0, 0, 1]), r"shape \(3,\), wanted \[..., 4\]"),
        (lambda: GRID.index([0.5, 0, 0, 0]), "found float64, wanted integers"),
        (lambda: GRID.codes([3, 24]), "found index 24, wanted 0 to 23"),
        (lambda: GRID.codes(-1), "found index -1"),
        (lambda: GRID.check([1, 7, 3.1, 1]), "factor angle: found 3.1, wanted 0 to 3"),
        (lambda: GRID.check([1, 7, float("nan"), 1]), "factor angle: found nan"),
        (lambda: GRID.check([3, 7, 0, 1]), r"factor kind: found 3.0, wanted one of \[1, 2, 5\]"),
        (lambda: GRID.check([1, 0, 1]), r"shape \(3,\), wanted \[..., 4\] \(kind, constant, angle, size\)"),
        (lambda: GRID.sample(jax.random.key(0), 3, fixed={"size": 2}), "factor size: found 2.0"),
        (lambda: GRID.sample(jax.random.key(0), 0), "found num=0"),
        (lambda: GRID["sizes"], "did you mean 'size'"),
        (lambda: Factor("a", (1, 1)), "wanted at least one, increasing"),
        (lambda: Factor("a", (1, 2), (0, 1)), r"found values \(1, 2\) outside the bounds \(0, 1\)"),
        (lambda: FactorGrid((Factor("a", (1,)), Factor("a", (1,)))), "of different names"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_values_that_are_traced_are_not_looked_at():
    jax.jit(lambda factors: GRID.check(factors))(jnp.full(4, jnp.nan))
