"""The library's refusals: what passes, what does not, in which words, and what is unknown while tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.checks import (
    check_between,
    check_choice,
    check_count,
    check_finite,
    check_nonnegative,
    check_positive,
    check_shape,
    check_type,
    concrete,
    sizes_of,
)


@pytest.mark.parametrize(
    ("check", "values", "words"),
    [
        (check_choice, ("sphree", ("box", "sphere")), r"found x='sphree', wanted one of .*; did you mean 'sphere'"),
        (check_count, (0,), "found x=0, wanted at least 1"),
        (check_count, (1, 2), "found x=1, wanted at least 2"),
        (check_count, (2**31,), "found x=2147483648, wanted at most 2147483647"),
        (check_count, (10**30, 0), "wanted at most 2147483647"),
        (sizes_of, ([4, 10**30],), "wanted one or more positive integers of 32 bits"),
        (check_count, (2.5,), "found x=2.5, wanted an integer of at least 1"),
        (check_count, (2.0, 2), "found x=2.0, wanted an integer of at least 2"),
        (check_count, (True,), "found x=True, wanted an integer"),
        (check_count, (np.bool_(True),), "found x=.*True.*, wanted an integer"),
        (check_count, (float("nan"),), "found x=nan, wanted an integer"),
        (check_count, (None,), "found x=None, wanted an integer"),
        (check_count, ("3",), "found x='3', wanted an integer"),
        (check_count, (3 + 0j,), "found x=.*3.*, wanted an integer"),
        (check_count, (np.array([3]),), "found x=array.*, wanted an integer"),
        (sizes_of, ((),), r"found x=\(\), wanted one or more positive integers"),
        (sizes_of, ((4, 2.5),), r"found x=\(4, 2.5\), wanted one or more positive integers"),
        (sizes_of, ((4, True),), r"found x=\(4, True\)"),
        (sizes_of, ([4, 0],), r"found x=\(4, 0\)"),
        (sizes_of, ("32",), "found x='32'"),
        (sizes_of, (32,), "found x=32"),
        (sizes_of, (np.array(32),), r"found x=array\(32\)"),
        (check_shape, (np.ones((2, 3)), ("N", 2)), r"found x of shape \(2, 3\), wanted \[N, 2\] with N >= 1"),
        (check_shape, (np.ones((0, 2)), ("N", 2)), r"shape \(0, 2\)"),
        (check_shape, (np.ones(2), ()), r"found x of shape \(2,\), wanted a scalar"),
        (check_finite, (np.inf,), "found x=inf, wanted a finite number"),
        (check_finite, ([1.0, np.nan],), "found 1 non-finite entries in x, wanted finite entries"),
        (check_positive, (0.0,), "found x=0.0, wanted a positive finite number"),
        (check_positive, (jnp.array([2.0, -1.0]),), "found x down to -1, wanted positive finite entries"),
        (check_positive, (1.0, (1,)), r"found x of shape \(\), wanted \[1\]"),
        (check_nonnegative, (-0.5, ()), "found x=-0.5, wanted a non-negative finite number"),
        (check_nonnegative, (np.inf,), "found x=inf"),
        (check_between, (10**400, 0, 1), "found x with an integer beyond 1e308, wanted real numbers"),
        (check_type, ("line", dict), "found x of type str, wanted one of type dict"),
        (check_between, (1.5, 0, 1), "found x=1.5, wanted a number from 0 to 1"),
        (check_between, (np.nan, 0, 1), "found x=nan"),
        (check_between, (np.array([-1, 4]), 0, 3), "found x from -1 to 4, wanted 0 to 3"),
    ],
)
def test_refusals_say_what_was_found_and_wanted(check, values, words):
    with pytest.raises(ValueError, match=f"^here: {words}" if words.startswith("found") else words):
        check("here", "x", *values)


def test_what_fits_passes():
    check_choice("here", "x", "box", ("box", "sphere"))
    check_count("here", "x", 2, 2)
    check_shape("here", "x", np.ones((4, 2)), ("N", 2))
    check_finite("here", "x", [-1, 0, 1], (3,))
    check_positive("here", "x", 1e-30, ())
    check_nonnegative("here", "x", np.zeros(2))
    check_between("here", "x", np.array([0.0, 1.0]), 0, 1)


def test_unknown_values_pass_but_their_shapes_are_known():
    @jax.jit
    def traced(x):
        assert concrete(x) is None
        check_positive("here", "x", x, (2,))
        check_between("here", "x", x, 0, 1)
        with pytest.raises(ValueError, match=r"wanted \[3\]"):
            check_finite("here", "x", x, (3,))
        return x

    np.testing.assert_array_equal(traced(-jnp.ones(2)), -1)
    np.testing.assert_array_equal(concrete(jnp.arange(3)), [0, 1, 2])


def test_integers_of_every_kind_are_counts():
    for one in (3, np.int64(3), np.uint8(3), np.array(3), jnp.array(3)):
        check_count("f", "x", one, 3)
        assert sizes_of("f", "x", [one, 1]) == (3, 1)
