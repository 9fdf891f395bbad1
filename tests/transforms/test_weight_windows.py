"""Both operators against the law of the published program, enumerated, and against their closed forms."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.transforms import idle_window, reinitialise, reinitialise_touch, shuffle, shuffle_touch, window_coverage
from tests.eager import compiled_by_second_call

KEY = jax.random.key(20190622)
LINEAR, CONV = (12, 10), (6, 3, 5, 5)


def changed(operator, shape, p, c, draws, **options):
    """Share of calls that change each entry, from `draws` calls on distinct values."""
    w = jnp.arange(2.0, 2 + math.prod(shape)).reshape(shape)

    @jax.jit
    @jax.vmap
    def one(key):
        return operator(key, w, p, c, layout="out_in", max_c=c, **options) != w

    return np.asarray(one(jax.random.split(KEY, draws)), float)


# Counts that Monte Carlo runs of the authors' program agree with.
@pytest.mark.parametrize(
    ("touch", "shape", "mode", "p", "c", "wanted"),
    [
        (shuffle_touch, LINEAR, "released", 0.5, 0.3, 6.579),
        (shuffle_touch, CONV, "released", 0.25, 0.3, 6.633),
        (reinitialise_touch, LINEAR, "released", 0.4, 0.5, 4.100),
        (reinitialise_touch, LINEAR, "intended", 0.4, 0.5, 4.100),
        (reinitialise_touch, CONV, "released", 0.4, 0.35, 20.000),
        (reinitialise_touch, (5, 10), "released", 0.4, 0.5, 8.640 / 4),  # a gate of LSTM(10, 6), less its last row
    ],
)
def test_expected_counts(touch, shape, mode, p, c, wanted):
    found = touch(shape, p, c, mode=mode, layout="out_in")
    assert found.shape == shape and abs(found.sum() - wanted) < 6e-4
    flax = (*shape[2:], shape[1], shape[0])
    np.testing.assert_allclose(touch(flax, p, c, mode=mode).sum(), found.sum(), rtol=1e-12)


def test_released_convolution_touches_six_channels_whatever_c():
    found = reinitialise_touch((20, 10, 5, 5), 0.5, 0.2, mode="released", layout="out_in").mean((1, 2, 3))
    np.testing.assert_allclose(found, [0.02, 0.04, 0.04, 0.04, 0.04, 0.02, *[0] * 14], atol=1e-12)
    for c in (0.03, 0.35):
        again = reinitialise_touch((20, 10, 5, 5), 0.5, c, mode="released", layout="out_in").mean((1, 2, 3))
        np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize(("size", "c"), [(13, 0.6), (13, 1.0), (7, 0.3), (1, 0.5), (2, 1.0)])
def test_touch_of_a_row_is_the_mean_over_all_windows(size, c):
    longest = max(2, math.floor(c * size)) - 1
    covered, released, permuted = np.zeros((3, size))
    for start, length in itertools.product(range(size), range(1, longest + 1)):
        end = min(size, start + length)
        covered[start:end] += 1
        released[start:end] += 1 - 1 / np.arange(1, end - start + 1)
        permuted[start:end] += 1 - 1 / (end - start)
    for found, wanted in (
        (window_coverage(size, c), covered),
        (shuffle_touch((size,), 1, c, mode="released"), released),
        (shuffle_touch((size,), 1, c), permuted),
    ):
        np.testing.assert_allclose(found, wanted / size / longest, atol=1e-14)


@pytest.mark.parametrize(("size", "c"), [(11, 0.6), (9, 1.0), (3, 0.1)])
def test_touch_of_a_vector_is_the_mean_over_all_redrawn_windows(size, c):
    longest, held = max(2, math.floor(c * size)) - 1, np.zeros(size)
    for start, length in itertools.product(range(size), range(1, longest + 1)):
        held[start : start + length + 1] += 1
    np.testing.assert_allclose(reinitialise_touch((size,), 0.3, c), 0.3 * held / size / longest, atol=1e-14)


@pytest.mark.parametrize(
    ("operator", "touch", "shape", "mode"),
    [
        (shuffle, shuffle_touch, LINEAR, "permute"),
        (reinitialise, reinitialise_touch, (3, 8, 3, 3), "released"),
        pytest.param(shuffle, shuffle_touch, (3, 2, 3, 3), "released", marks=pytest.mark.slow),
        pytest.param(reinitialise, reinitialise_touch, (3, 2, 3, 3), "intended", marks=pytest.mark.slow),
    ],
)
def test_touch_agrees_with_calls(operator, touch, shape, mode):
    """The expected count within 3 standard errors, and every entry by itself within 4.5."""
    p, c, draws = 0.5, 0.5, 4000
    found = changed(operator, shape, p, c, draws, mode=mode)
    wanted = touch(shape, p, c, mode=mode, layout="out_in")
    counts = found.reshape(draws, -1).sum(axis=1)
    assert abs(counts.mean() - wanted.sum()) < 3 * counts.std(ddof=1) / math.sqrt(draws)
    assert not found[:, wanted == 0].any()
    spread = np.sqrt(wanted * (1 - wanted) / draws)
    z = (found.mean(axis=0) - wanted)[wanted > 0] / spread[wanted > 0]
    assert np.abs(z).max() < 4.5


def published(row):
    """What the published loop leaves, with the probability of each: a swap of views copies x[j] over x[i]."""
    outcomes = {}
    for picks in itertools.product(*(range(i + 1) for i in range(len(row) - 1, 0, -1))):
        x = list(row)
        for i, j in zip(range(len(row) - 1, 0, -1), picks, strict=True):
            x[i] = x[j]
        outcomes[tuple(x)] = outcomes.get(tuple(x), 0) + 1 / math.factorial(len(row))
    return outcomes


def uniform(row):
    return {order: 1 / math.factorial(len(row)) for order in itertools.permutations(row)}


@pytest.mark.parametrize(
    ("mode", "of_window", "shape", "c"),
    [
        ("permute", uniform, (5,), 1.0),
        ("released", published, (5,), 1.0),
        # Kernels [in, out], unit after unit: one whose windows may cover it, and one of which a part is read.
        ("released", published, (5, 1), 1.0),
        ("released", published, (2, 4), 0.51),
        pytest.param("permute", uniform, (2, 4), 0.51, marks=pytest.mark.slow),
    ],
)
def test_law_of_a_row(mode, of_window, shape, c):
    """All outcomes of a row of weights, in the frequencies of the enumeration: chi-square, z below 3."""
    size, p, draws = math.prod(shape), 0.7, 20000
    row, longest = tuple(range(size)), math.floor(c * size) - 1
    law = {row: 1 - p}
    for start, length in itertools.product(range(size), range(1, longest + 1)):
        end = min(size, start + length)
        for inside, weight in of_window(row[start:end]).items():
            out = (*row[:start], *inside, *row[end:])
            law[out] = law.get(out, 0) + p * weight / (size * longest)
    w = jnp.arange(float(size)).reshape(shape[::-1]).T
    one = jax.jit(jax.vmap(lambda key: shuffle(key, w, p, c, mode=mode, max_c=c).T.reshape(-1)))
    found = np.asarray(one(jax.random.split(KEY, draws)), int)
    outcomes, counts = np.unique(found, axis=0, return_counts=True)
    seen = {tuple(out.tolist()): count for out, count in zip(outcomes, counts, strict=True)}
    assert set(seen) <= set(law)
    chi2 = sum((seen.get(out, 0) - draws * weight) ** 2 / (draws * weight) for out, weight in law.items())
    assert abs(chi2 - (len(law) - 1)) < 3 * math.sqrt(2 * (len(law) - 1))


@pytest.mark.parametrize("mode", ["permute", "released"])
def test_the_derivative_is_the_transpose_of_what_was_picked(mode):
    """A shuffle is linear in the weights, for a kernel [in, out] and for one [out, in]: <v, S w> = <S' v, w>."""
    w, v = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for layout in ("in_out", "out_in"):
        made = partial(shuffle, KEY, p=1.0, c=1.0, mode=mode, layout=layout)
        value, back = jax.value_and_grad(lambda w, made=made: (v * made(w)).sum())(w)
        np.testing.assert_allclose((back * w).sum(), value, rtol=1e-4)
        assert (back != v).any()


def cumulative_entropy(tensors):
    """Sum of entropies in bits of histograms of max(5, n // 20) bins."""
    total = 0.0
    for w in tensors:
        counts = np.histogram(w, max(5, w.size // 20))[0] / w.size
        total -= (counts[counts > 1e-5] * np.log2(counts[counts > 1e-5])).sum()
    return total


@pytest.mark.slow
def test_collapse_under_the_released_shuffle():
    """Entropy of an LSTM of 88 units, p = .4, c = .2, after 0, 100, 500, 1,000, 2,000 calls: one published run."""
    seeds, calls = 8, np.array([0, 100, 500, 1000, 2000])
    w = jax.random.uniform(KEY, (seeds, 8, 88, 88), minval=-(88**-0.5), maxval=88**-0.5)
    bias = np.random.default_rng(0).uniform(size=(2, 352))
    operator = jax.vmap(
        partial(shuffle, mode="released", layout="out_in", skip_last=True, max_c=0.2), (0, 0, None, None)
    )

    @jax.jit
    @jax.vmap
    def collapse(w, key):
        def call(w, key):
            return operator(jax.random.split(key, 8), w, 0.4, 0.2), None

        kept = [w]
        for number, count in enumerate(np.diff(calls)):
            keys = jax.random.split(jax.random.fold_in(key, number), int(count))
            kept.append(jax.lax.scan(call, kept[-1], keys)[0])
        return jnp.stack(kept)

    found = np.asarray(collapse(w, jax.random.split(KEY, seeds)))
    entropies = np.array([[cumulative_entropy([*at.reshape(2, -1), *bias]) for at in run] for run in found])
    spread = entropies.std(axis=0, ddof=1)
    wanted = np.array([29.21, 28.6, 25.9, 23.4, 20.1])
    # The spread of the published run, that of our mean, and its rounding.
    assert (np.abs(entropies.mean(axis=0) - wanted) < 2 * spread * math.sqrt(1 + 1 / seeds) + 0.05).all(), entropies
    distinct = len(np.unique(found[0, -1, 4:])) / found[0, -1, 4:].size
    assert 0.01 < distinct < 0.03  # .017


def test_redrawn_values_are_uniform_within_the_bound():
    w = jnp.full((30, 20), 9.0)
    one = jax.jit(jax.vmap(lambda key: reinitialise(key, w, 1.0, 1.0, layout="out_in")))
    found = np.asarray(one(jax.random.split(KEY, 200)))
    fresh = found[found != 9.0] * math.sqrt(20)
    assert fresh.size > 10000 and np.abs(fresh).max() <= 1
    assert abs(fresh.mean()) < 3 / math.sqrt(3 * fresh.size) and abs((fresh**2).mean() - 1 / 3) < 0.01
    conv = jnp.full((5, 5, 4, 6), 9.0)
    for options, limit in (({"mode": "released"}, 5**-0.5), ({"mode": "released", "bound": 3.0}, 3.0)):
        out = np.asarray(reinitialise(KEY, conv, 1.0, 1.0, **options))
        assert 0.8 * limit < np.abs(out[out != 9.0]).max() <= limit


@pytest.mark.parametrize("operator", [reinitialise, shuffle])
def test_strengths_are_traced(operator):
    w = np.random.default_rng(0).random(LINEAR, np.float32)
    assert compiled_by_second_call(operator, (KEY, w, 0.3, 0.2), (KEY, w, 0.9, 0.7)) == 0
    strengths = np.array([0, 0.5, 1], np.float32), np.array([0.5, 0.25, 0.75], np.float32)
    found = jax.jit(jax.vmap(lambda p, c: operator(KEY, w, p, c)))(*strengths)
    for out, p, c in zip(found, *strengths, strict=True):
        np.testing.assert_array_equal(out, operator(KEY, w, p, c))
    np.testing.assert_array_equal(found[0], w)  # p = 0
    assert (np.asarray(found[2]) != w).any()


def test_the_last_unit_is_skipped_and_layouts_agree():
    w = np.random.default_rng(0).random((2, 2, 4, 7), np.float32)
    out = np.asarray(shuffle(KEY, w, 1.0, 1.0, skip_last=True))
    np.testing.assert_array_equal(out[..., -1], w[..., -1])
    assert (out != w).any()
    flipped = shuffle(KEY, np.moveaxis(w, (-1, -2), (0, 1)), 1.0, 1.0, layout="out_in", skip_last=True)
    np.testing.assert_array_equal(np.moveaxis(flipped, (0, 1), (-1, -2)), out)


def test_lengths_at_whole_products():
    """floor(c n) of Python's numbers is in float64: .7 x 10 is 7, .29 x 100 is 28."""
    for size, c in ((10, 0.7), (100, 0.29), (25, 0.12)):
        top = np.flatnonzero(reinitialise_touch((size,), 1, c) > 0).size
        assert top == size
        longest = max(2, math.floor(c * size)) - 1
        np.testing.assert_allclose(window_coverage(size, c)[-1], (longest + 1) / (2 * size))


def test_windows_that_never_act_are_found():
    assert "floor(c n) <= 2, c must be at least 0.12" in str(idle_window((6, 3, 5, 5), 0.119, layout="out_in"))
    assert idle_window((5, 5, 3, 6), 0.12) is None
    assert "no window of two" in str(idle_window((2,), 1.0))
    assert shuffle_touch((6, 3, 5, 5), 1, 0.119, layout="out_in").sum() == 0


W = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shuffle(KEY, W, 1.5, 0.5), "shuffle: found p=1.5, wanted a number from 0 to 1"),
        (lambda: reinitialise(KEY, W, -0.1, 0.5), "reinitialise: found p=-0.1"),
        (lambda: shuffle(KEY, W, math.nan, 0.5), "found p=nan"),
        (lambda: shuffle(KEY, W, 0.5, 0.0), r"shuffle: found c=0.0, wanted a share in \(0, 1\]"),
        (lambda: reinitialise(KEY, W, 0.5, 1.01), "found c=1.01"),
        (lambda: shuffle(KEY, W, 0.5, 0.5, max_c=0.3), "found c=0.5 above max_c=0.3"),
        (lambda: shuffle(KEY, W, 0.5, 0.5, mode="shuffle"), "found mode='shuffle', wanted one of"),
        (lambda: shuffle(KEY, W, 0.5, 0.5, layout="torch"), "found layout='torch'"),
        (lambda: reinitialise(KEY, W, 0.5, 0.5, bound=0.0), "found bound=0.0, wanted a positive"),
        (lambda: reinitialise(KEY, W.astype(int), 0.5, 0.5), "found weights int64 of shape"),
        (lambda: shuffle(KEY, None, 0.5, 0.5), "shuffle: found w of type object, wanted real numbers"),
        (lambda: reinitialise(KEY, [[1.0], [1.0, 2.0]], 0.5, 0.5), "reinitialise: found w that is no array"),
        (lambda: shuffle(KEY, np.ones(()), 0.5, 0.5), r"of shape \(\), wanted floats of one axis"),
        (lambda: shuffle(KEY, W[:, :1], 0.5, 0.5, skip_last=True), "found a single output unit"),
        (lambda: shuffle_touch((3, 0), 0.5, 0.5), "found shape=.*wanted one or more positive"),
        (lambda: reinitialise_touch((3,), 0.5, 2.0), "found c=2.0"),
        (lambda: window_coverage(0, 0.5), "found shape"),
        (lambda: jax.jit(lambda c: shuffle_touch((3,), 0.5, c))(0.5), "found a traced p or c"),
        (lambda: jax.jit(lambda c: shuffle(KEY, W, 0.5, 0.5, max_c=c))(0.5), "found a traced max_c"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
