"""The digits decoder and its cache. Trained for a few steps only: how good it is, the experiment measures."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.aninfonce import digits_decoder
from experiments.aninfonce.digits_decoder import DecoderConfig, trained_decoder

TINY = DecoderConfig(dim=3, hidden=(8,), batch_size=16, num_steps=4)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache folder with one decoder, and that decoder."""
    folder = tmp_path_factory.mktemp("cache") / "made" / "on" / "demand"
    return folder, trained_decoder.__wrapped__(TINY, cache_dir=folder)


def fresh(config=TINY, **options):
    return trained_decoder.__wrapped__(config, **options)


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x, y), (a.weights, a.quality), (b.weights, b.quality)))


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(digits_decoder, "_train", lambda *_: pytest.fail("trained although cached"))


def test_second_call_reads_the_cache(filled, no_training):
    folder, decoder = filled
    assert [path.suffix for path in folder.iterdir()] == [".npz"]  # no temporary file is left
    assert same(fresh(cache_dir=folder), decoder)
    images = decoder.mixing.apply((), jnp.eye(3))
    assert images.shape == (3, 784) and (images > 0).all() and (images < 1).all()
    assert decoder.quality["kl_per_dim"].shape == (3,)


def test_another_config_has_another_file(filled):
    checksums = "a", "b"
    configs = TINY, dataclasses.replace(TINY, beta=0.25), dataclasses.replace(TINY, seed=1)
    assert len({digits_decoder._key(config, checksum) for config in configs for checksum in checksums}) == 6


def truncate(content):
    return content[: len(content) // 2]


def flip_a_weight(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncate, flip_a_weight, lambda content: b"", lambda content: b"not an archive"])
def test_damaged_cache_is_named_and_replaced(filled, tmp_path, damage):
    folder, decoder = filled
    (good,) = folder.iterdir()
    damaged = tmp_path / good.name
    damaged.write_bytes(damage(good.read_bytes()))
    with pytest.warns(RuntimeWarning, match=rf"{good.name} is damaged .* training the decoder again"):
        again = fresh(cache_dir=tmp_path)
    assert same(again, decoder)  # training is deterministic
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(fresh(cache_dir=tmp_path), decoder)


@pytest.mark.parametrize(("shape", "value"), [((8, 784), np.nan), ((8, 783), 0.0)])
def test_weights_that_do_not_fit_or_are_not_finite_are_not_used(filled, tmp_path, shape, value):
    folder, decoder = filled
    (good,) = folder.iterdir()
    arrays = dict(np.load(good))
    (name,) = [name for name, array in arrays.items() if array.shape == (8, 784)]
    np.savez(tmp_path / good.name, **(arrays | {name: np.full(shape, value, np.float32)}))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert same(fresh(cache_dir=tmp_path), decoder)


def test_cache_that_cannot_be_written_is_a_warning(filled, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="the digits decoder is not cached"):
        assert same(fresh(cache_dir=tmp_path / "file" / "cache"), filled[1])


def test_cache_lies_where_the_desktop_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert digits_decoder.default_cache_dir() == tmp_path / "identax" / "decoders"
