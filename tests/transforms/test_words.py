"""Random words and what is made of them, against JAX's own cipher and integers of arbitrary size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry2x32_p

from identax.numerics import threefry
from identax.transforms import shuffle
from identax.transforms._windows import _permuted
from identax.transforms._words import below, folded, unit_interval, words


def test_the_cipher_is_that_of_jax():
    key, high, low = np.random.default_rng(0).integers(0, 2**32, (3, 2), dtype=np.uint32)
    found = jax.jit(threefry)(tuple(key), high, low)
    wanted = threefry2x32_p.bind(jnp.full(2, key[0]), jnp.full(2, key[1]), high, low)
    np.testing.assert_array_equal(found, wanted)


def test_numbers_are_folded_in_as_jax_does():
    numbers = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
    for key in (jax.random.key(5), jax.random.key(5, impl="rbg")):
        wanted = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        np.testing.assert_array_equal(jax.random.key_data(folded(key, numbers)), jax.random.key_data(wanted))
        one = jax.random.fold_in(key, 7)
        np.testing.assert_array_equal(jax.random.key_data(folded(key, 7)), jax.random.key_data(one))


def test_words_are_distinct_and_of_the_key_and_never_those_of_jax():
    one, other = (np.asarray(words(jax.random.key(seed), 1001)) for seed in (0, 1))
    taken = np.concatenate([one, other, jax.random.bits(jax.random.key(0), (1001,), jnp.uint32)])
    assert len(np.unique(taken)) == len(taken) and one.dtype == np.uint32  # 3,003 words: a pair in common: p = .001
    bits = np.unpackbits(one.view(np.uint8)).mean()
    assert abs(bits - 0.5) < 4 * 0.5 / np.sqrt(32 * 1001)


def test_integers_below_are_the_exact_product():
    word = np.array([0, 1, 2**31, 2**32 - 1, 123456789], np.uint32)
    for bound in (1, 2, 7656, 2**16 - 1):
        wanted = [int(w) * bound // 2**32 for w in word]
        np.testing.assert_array_equal(below(word, bound, 2**16 - 1), wanted)
    np.testing.assert_array_equal(below(word, 70000, 70000), word % 70000)
    np.testing.assert_array_equal(unit_interval(word), (word >> 8) / 2.0**24)


def test_a_tie_is_drawn_again_and_places_outside_stay():
    """All words equal: without the second sort nothing would move."""
    offset, part = jnp.arange(20) - 4, jnp.arange(20.0)
    draw = jax.jit(jax.vmap(lambda key: _permuted(key, jnp.full(20, 2**31, jnp.uint32), part, offset, 10)))
    found = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_array_equal(
        found[:, [*range(4), *range(14, 20)]], np.tile([*range(4), *range(14, 20)], (4000, 1))
    )
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(part, (4000, 1)))
    # Each of the ten values in each of the ten places: chi-square with 81 degrees of freedom.
    counts = np.array([[(found[:, 4 + i] == 4 + j).sum() for j in range(10)] for i in range(10)])
    assert abs(((counts - 400) ** 2 / 400).sum() - 81) < 4 * np.sqrt(2 * 81)


@pytest.mark.slow
def test_long_rows_and_other_generators():
    """Windows of more than 2^16 places sort pairs; keys of another generator permute as well."""
    w = np.arange(70000, dtype=np.float32)
    for key in (jax.random.key(0), jax.random.key(3, impl="rbg")):
        found = np.asarray(shuffle(key, w, 1.0, 1.0))
        assert (found != w).any()
        np.testing.assert_array_equal(np.sort(found), w)
