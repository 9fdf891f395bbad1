"""Named streams and step keys: stable, distinct, and never the same as one another."""

import zlib

import jax
import numpy as np
import pytest

from identax.rng import step_key, stream


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
