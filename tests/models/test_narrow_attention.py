"""Attention written out for narrow heads against the plain one, and short draws of dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.models import narrow_attention as narrow
from identax.models import transformer
from identax.models.short_dropout import ShortDropout, kept, short_bits
from identax.models.transformer import _Block
from identax.numerics import threefry
from tests.models.sequence_cases import PAD, VOCABULARY, drawn, rows_of_tokens


def plain(query, key, value, visible, kept):
    """Softmax over the visible keys, by JAX's own derivatives."""
    scores = jnp.where(visible[None], jnp.einsum("hetn,hesn->htsn", query, key), -jnp.inf)
    shown = visible.any(axis=1, keepdims=True)[None]
    weights = jax.nn.softmax(jnp.where(shown, scores, 0), axis=2) * shown
    return jnp.einsum("htsn,hesn->hetn", weights * kept, value)


def test_products_written_out_are_the_plain_ones(x64):
    """Value and all gradients, with weights dropped; a query that sees nothing reads zeros."""
    rng = np.random.default_rng(0)
    columns = narrow._TILE + 3
    query, key, value = 2 * rng.standard_normal((3, 2, 3, columns, 4))
    shown = rng.random((columns, 4)) < 0.6
    shown[:3, 1], shown[0, 0] = False, True
    visible = np.tril(np.ones((columns, columns), bool))[:, :, None] & shown[None]
    mask = rng.random((2, columns, columns, 4)) < 0.7
    parts = [mask[:, start:stop, :stop] for start, stop in narrow.tiles(columns)]
    assert len(parts) == 2
    slope = rng.standard_normal(query.shape)

    def both(attention, *given):
        return jax.jit(
            lambda *parts: jax.value_and_grad(
                lambda *parts: (attention(*parts, *given) * slope).sum(), argnums=(0, 1, 2)
            )(*parts)
        )(query, key, value)

    wanted, found = both(plain, visible, mask), both(narrow.narrow_attention, shown, parts)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    read = jax.jit(lambda *parts: narrow.narrow_attention(*parts, shown, None))(query, key, value)
    assert (np.asarray(read)[:, :, 2, 1] == 0).all() and (np.asarray(read)[:, :, 2, 0] != 0).all()


@pytest.mark.parametrize("norm", ["post", pytest.param("pre", marks=pytest.mark.slow)])
def test_a_narrow_transformer_is_the_wide_one(norm, x64, monkeypatch):
    """Values and gradients with the products of matrices and without, in chunks too; among the rows one that begins
    with padding."""
    options = {"width": 6, "heads": 3, "layers": 2, "hidden": 7, "norm": norm, "pad": PAD, "identical": False}
    tokens = rows_of_tokens(5, 6)
    tokens[1, :2] = PAD
    asked = []

    def results(narrowly, chunk=None):
        model = transformer(VOCABULARY, chunk=chunk, **options)
        monkeypatch.setattr(_Block, "_is_narrow", lambda *_: asked.append(narrowly) or narrowly)
        weights = jnp.asarray(np.random.default_rng(1).standard_normal((*tokens.shape, VOCABULARY)))
        return jax.jit(jax.value_and_grad(lambda one: (model.apply(one, tokens)[0] * weights).sum()))(drawn(model))

    wanted = results(False)
    for chunk in (None, 2):
        found = results(True, chunk)
        np.testing.assert_allclose(found[0], wanted[0], rtol=0, atol=1e-12)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found[1], wanted[1])
    assert set(asked) == {False, True}


def test_narrow_are_few_columns_of_narrow_heads():
    def is_narrow(heads, columns, size=None):
        block = _Block(heads, 8, 0.1, 6e-3, "post")
        span = type("Span", (), {"size": size})
        return block._is_narrow(jnp.zeros((1, columns, 8)), span)

    assert is_narrow(2, narrow.MOST_COLUMNS) and not is_narrow(2, narrow.MOST_COLUMNS + 1)
    assert not is_narrow(1, 3) and not is_narrow(2, 3, size=4)


def test_threefry_has_the_published_words():
    """Known answers of Salmon et al.'s Random123 for 20 rounds."""
    cases = {
        (0, 0, 0, 0): (0x6B200159, 0x99BA4EFE),
        (2**32 - 1,) * 4: (0x1CB996FC, 0xBB002BE7),
        (0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3): (0xC4923A9C, 0x483DF7A0),
    }
    for (a, b, c, d), wanted in cases.items():
        words = [jnp.full(1, word, jnp.uint32) for word in (a, b, c, d)]
        found = threefry((words[0], words[1]), words[2], words[3])
        assert [int(word[0]) for word in found] == list(wanted)


def test_short_draws_are_uniform_and_independent():
    bits = np.asarray(short_bits(jax.random.key(3), 40_002))
    assert bits.shape == (40_002,) and bits.dtype == np.uint16
    assert stats.kstest((bits + 0.5) / 2**16, "uniform").pvalue > 1e-4
    for lag in (1, 2, 10_001, 20_001):  # neighbours, and what comes from the same block or pair of words
        assert abs(np.corrcoef(bits[:-lag], bits[lag:])[0, 1]) < 6 / (40_002 - lag) ** 0.5
    assert (bits != np.asarray(short_bits(jax.random.key(4), 40_002))).mean() > 0.99


def test_what_is_kept_has_its_rate():
    for rate in (0.1, 0.5):
        (one, other), scale = kept(jax.random.key(0), rate, [(40, 500), (20_000,)])
        for mask in (one, other):
            assert abs((~np.asarray(mask)).mean() - rate) < 6 * (rate * (1 - rate) / 20_000) ** 0.5
        np.testing.assert_allclose(scale, 1 / (1 - rate), rtol=1e-5)
        assert abs(np.corrcoef(one.ravel(), other)[0, 1]) < 6 / 20_000**0.5
    assert not np.asarray(kept(jax.random.key(0), 1.0, [(50,)])[0][0]).any()


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_dropout_only_while_training(rate):
    layer, x = ShortDropout(rate), jnp.ones(1000)
    trained = np.asarray(layer.apply({}, x, False, rngs={"dropout": jax.random.key(0)}))
    np.testing.assert_array_equal(layer.apply({}, x, True), x)
    assert abs((trained == 0).mean() - rate) <= 6 * (rate * (1 - rate) / 1000) ** 0.5
    assert (trained > 1).any() == (rate > 0)
