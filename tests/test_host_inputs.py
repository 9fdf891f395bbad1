"""What leaves the host for float32 has its digits, or is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.inputs import centred, float_type, kept, numbers, ranks

SMALL = np.array([[0.0, 1.0], [1.0, -2.0], [2.5, 4.0], [0.5, 1.0]])


@pytest.mark.parametrize("offset", [0.0, 1.7e9, -1e12])
def test_an_offset_of_the_host_costs_no_digit(offset):
    wanted = SMALL - SMALL.mean(axis=0)
    pd = pytest.importorskip("pandas")
    for given in (SMALL + offset, (SMALL + offset).tolist(), pd.DataFrame(SMALL + offset)):
        (found,) = centred("f", x=given)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-3 if abs(offset) > 1e10 else 1e-6)
    # Red without it: this is what the cast alone leaves of 1e12.
    if offset < 0:
        assert np.ptp(np.float32(SMALL + offset)[:, 0]) == 0


@pytest.mark.parametrize("top", [10**9, 2**62, -(2**62)])
def test_integers_of_any_size(top):
    steps = np.array([0, 1, 3, 7])
    (found,) = centred("f", x=(top + steps)[:, None])
    np.testing.assert_allclose(np.ravel(found), steps - steps.mean())
    if abs(top) < 2**31:
        for function in (lambda x: centred("f", x=x)[0], jax.jit(lambda x: centred("f", x=x)[0])):
            device = np.ravel(function(jnp.asarray(top + steps, jnp.int32)[:, None]))
            np.testing.assert_array_equal(device - device[0], steps)
    ends = jnp.array([[-(2**31)], [2**31 - 1]], jnp.int32)
    np.testing.assert_allclose(np.ptp(centred("f", x=ends)[0]), 2.0**32)


def test_arrays_that_go_together_are_moved_together():
    test = SMALL[::-1] * 3
    for other in (test + 1e9, jnp.asarray(test)):
        offset = 1e9 if isinstance(other, np.ndarray) else 0.0
        found = centred("f", scaled=True, x=SMALL + offset, y=other)
        np.testing.assert_allclose(np.abs(found[0]).max(axis=0), [0.75, 0.75])
        scale = np.array([0.5, 0.25])
        np.testing.assert_allclose(found[1], (test - SMALL.mean(axis=0)) * scale, rtol=1e-6, atol=1e-6)
    traced = jax.jit(lambda y: centred("f", scaled=True, x=SMALL, y=y)[1])(test)
    np.testing.assert_allclose(traced, found[1], rtol=1e-6, atol=1e-6)


def test_constants_become_zero_and_the_device_keeps_its_floats():
    (found,) = centred("f", x=np.full((7, 1), 0.1))
    np.testing.assert_array_equal(found, 0.0)
    x = jnp.asarray(SMALL, jnp.float32) + 3
    assert centred("f", x=x)[0] is x
    found = centred("f", x=np.array([[np.nan, 1.0], [1.0, 2.0]]))[0]
    np.testing.assert_array_equal(np.isnan(found), [[True, False], [True, False]])


def test_what_needs_its_offset_is_refused_by_name():
    with pytest.raises(ValueError, match=r"f: found head around an offset of 1e\+09 with a spread of 2.5"):
        kept("f", "head", SMALL + 1e9)
    for fine in (SMALL, SMALL + 1e3, np.full((5, 1), 0.1), 2.0**24 + 2 * SMALL.round(), jnp.asarray(SMALL)):
        np.testing.assert_allclose(kept("f", "head", fine), fine, rtol=1e-6)
    with pytest.raises(ValueError, match="f: found x up to 1e\\+300"):
        kept("f", "x", SMALL * 0 + 1e300)


def test_types(x64):
    assert float_type(np.zeros(2, int)) == float_type(np.zeros(2)) == jnp.float64
    assert float_type(np.zeros(2, np.float32), jnp.zeros(2, jnp.int32)) == jnp.float32
    assert kept("f", "x", SMALL + 1e9).dtype == jnp.float64


def test_ranks_of_the_host_are_exact():
    x = np.array([[3.0], [1.0], [3.0], [2.0], [np.inf]]) + 1e9
    np.testing.assert_array_equal(ranks("f", "x", x), [[3.5], [1.0], [3.5], [2.0], [np.inf]])
    device = jnp.asarray(x, jnp.float32)
    assert ranks("f", "x", device) is device


@pytest.mark.parametrize(
    "value, wanted",
    [
        (np.zeros(2, complex), "found x of type complex128"),
        ([[1.0], [1.0, 2.0]], "found x that is no array"),
        (["a"], "found x of type"),
        ([object(), 1.0], "found x of type object"),
        (np.array(["1.5", 2], object), "found x of type object"),
        (np.array(["2020"], "datetime64[D]"), "found x of type datetime64"),
        (np.ma.array([1.0, 2.0], mask=[True, False]), "found x with masked"),
    ],
)
def test_what_is_no_number_is_refused(value, wanted):
    with pytest.raises(ValueError, match=f"f: {wanted}"):
        numbers("f", "x", value)
