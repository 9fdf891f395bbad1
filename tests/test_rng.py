"""Named streams and step keys: stable, distinct, and never the same as one another."""

import zlib

import jax
import numpy as np
import pytest
from scipy import stats

from identax.rng import normals_and_uniforms, permutation, step_key, stream


def _bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_stream_is_the_documented_fold_in(getkey):
    # The crc32 of "data" has its top bit set anyway, that of "truth" has not.
    key = getkey()
    for name in ("data", "truth"):
        expected = jax.random.fold_in(key, zlib.crc32(name.encode()) | 1 << 31)
        assert _bits(stream(key, name)) == _bits(expected)


def test_step_key_is_the_documented_fold_in(getkey):
    key = getkey()
    assert _bits(step_key(key, 7)) == _bits(jax.random.fold_in(key, 7))
    assert _bits(step_key(key, 7)) == _bits(jax.jit(step_key)(key, np.int32(7)))


def test_steps_and_names_never_collide(getkey):
    key = getkey()
    steps = [_bits(k) for k in jax.vmap(step_key, (None, 0))(key, np.arange(1000))]
    names = [_bits(stream(key, name)) for name in ("data", "loss", "truth", "params", "eval", "augment")]
    assert len({*steps, *names, _bits(key)}) == 1007


def test_streams_are_independent(getkey):
    # 6-sigma band of the correlation of two independent samples: 6 / sqrt(n).
    n, key = 20_000, getkey()
    draws = [jax.random.normal(stream(key, name), (n,)) for name in ("data", "loss")]
    draws.append(jax.random.normal(step_key(key, 0), (n,)))
    correlations = np.corrcoef(np.stack(draws))[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 6 / np.sqrt(n)


def test_an_empty_name_is_refused(getkey):
    with pytest.raises(ValueError, match="empty name"):
        stream(getkey(), "")


# ---- both words of every block


def _draw(key, size=20_000, **options):
    return normals_and_uniforms(key, 2, 2, size, **options)


@pytest.mark.parametrize("impl, dtype", [("threefry2x32", "float32"), ("threefry2x32", "float64"), ("rbg", "float32")])
def test_normals_and_uniforms_follow_their_laws(x64, impl, dtype):
    normals, uniforms = jax.jit(_draw, static_argnames="dtype")(jax.random.key(3, impl=impl), dtype=dtype)
    assert normals.dtype == uniforms.dtype == dtype
    for row in np.asarray(normals, float):
        assert stats.kstest(row, "norm").pvalue > 1e-4
    for row in np.asarray(uniforms, float):
        assert stats.kstest(row, "uniform").pvalue > 1e-4
    assert (uniforms >= 0).all() and (uniforms < 1).all()
    rows = np.concatenate([normals, uniforms]).astype(float)
    off_diagonal = np.corrcoef(rows) - np.eye(4)
    assert abs(off_diagonal).max() < 6 / 20_000**0.5
    # the two words of one block lie half the array apart: neither pairs nor neighbours go together
    flat = rows[:2].ravel()
    for lag in (1, len(flat) // 2, 20_000):
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 6 / (len(flat) - lag) ** 0.5


def test_normals_and_uniforms_do_not_depend_on_how_they_are_mapped():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: _draw(key, 5)))(keys)
    for index, key in enumerate(keys):
        for ours, alone in zip(together, _draw(key, 5), strict=True):
            np.testing.assert_array_equal(ours[index], alone)
    assert len(np.unique(np.asarray(together[0]))) == together[0].size


@pytest.mark.parametrize("wide", [True, False], ids=["64 bits", "32 bits"])
def test_permutation_is_one_and_every_order_is_as_likely(wide):
    with jax.enable_x64(wide):
        one = np.asarray(permutation(jax.random.key(0), 1000))
        assert one.dtype == np.int32 and np.abs(one - np.arange(1000)).mean() > 250
        np.testing.assert_array_equal(np.sort(one), np.arange(1000))
        orders = np.asarray(jax.vmap(lambda key: permutation(key, 4))(jax.random.split(jax.random.key(1), 24_000)))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 23 + 6 * np.sqrt(2 * 23)  # chi-squared of 23 degrees of freedom
    np.testing.assert_array_equal(permutation(jax.random.key(0), 1), [0])
    with pytest.raises(ValueError, match="found size=0"):
        permutation(jax.random.key(0), 0)
