"""Decoding with a state against forward passes over everything so far."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import decode, linear_sequence, transformer
from identax.rng import step_key
from tests.eager import compiled_by_second_call
from tests.models.sequence_cases import EOS, MODELS, PAD, VOCABULARY, drawn, rows_of_tokens

N, P, NEW = 6, 4, 6
LENGTHS = np.array([1, 2, 3, 4, 4, 2], np.int32)


@functools.cache
def made(name):
    return MODELS[name]()


def started(name, seed=0):
    return made(name), drawn(made(name), seed, 1.2), rows_of_tokens(N, P, seed=7)


def by_forward_passes(model, variables, prompts, choose, *, eos):
    """Every row by itself, the whole of it again for every token; columns behind it are padding, which is causal."""
    size = P + NEW
    forward = jax.jit(lambda rows: model.apply(variables, rows)[0])
    rows = np.full((N, size), PAD, np.int32)
    for row, length in enumerate(LENGTHS):
        rows[row, :length] = prompts[row, :length]
    places, finished = LENGTHS.copy(), np.zeros(N, bool)
    for number in range(NEW):
        logits = np.asarray(forward(rows))[np.arange(N), places - 1]
        tokens = choose(logits, number)
        for row in np.flatnonzero(~finished):
            rows[row, places[row]] = tokens[row]
            places[row] += 1
            finished[row] = tokens[row] == eos
    return rows, places, finished


CASES = [("transformer", None, True), ("lstm", 1.5, False)]
MORE = [(name, temperature, ends) for name in MODELS for temperature in (None, 1.5) for ends in (True, False)]
MORE = [pytest.param(*case, marks=pytest.mark.slow) for case in MORE if case not in CASES]


@pytest.mark.parametrize(("name", "temperature", "ends"), CASES + MORE)
def test_decoding_is_the_forward_passes(name, temperature, ends, x64):
    model, variables, prompts = started(name)
    key = jax.random.key(3)

    def choose(logits, number):
        if temperature is None:
            return logits.argmax(axis=1)
        return np.asarray(jax.random.categorical(step_key(key, number), jnp.asarray(logits) / temperature))

    options = {} if temperature is None else {"temperature": temperature, "key": key}
    junk = np.where(np.arange(P)[None] < LENGTHS[:, None], prompts, 77)
    eos = None
    if ends:  # a token that comes up: the third of the third row
        rows, _, _ = by_forward_passes(model, variables, prompts, choose, eos=None)
        eos = int(rows[2, LENGTHS[2] + 2])
    found = decode(model, variables, junk, LENGTHS, num_tokens=NEW, pad=PAD, eos=eos, **options)
    rows, lengths, finished = by_forward_passes(model, variables, prompts, choose, eos=eos)
    np.testing.assert_array_equal(found.tokens, rows)
    np.testing.assert_array_equal(found.lengths, lengths)
    np.testing.assert_array_equal(found.finished, finished)
    assert (finished.any() and (lengths - LENGTHS).min() < NEW) if ends else not finished.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "transformer", "xlstm"])
def test_many_trials_complete_in_one_program(name):
    model, _, prompts = started(name)
    trials = [started(name, seed)[1] for seed in range(3)]
    keys = jax.random.split(jax.random.key(0), 3)

    def complete(variables, key):
        return decode(model, variables, prompts, num_tokens=NEW, pad=PAD, eos=EOS, temperature=0.7, key=key)

    found = jax.jit(jax.vmap(complete))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *trials), keys)
    for trial, (variables, key) in enumerate(zip(trials, keys, strict=True)):
        wanted = complete(variables, key)
        jax.tree.map(lambda a, b, t=trial: np.testing.assert_array_equal(a[t], b), found, wanted)
    assert (np.asarray(found.tokens[0]) != np.asarray(found.tokens[1])).any()


@pytest.mark.slow
def test_sampled_tokens_have_the_models_law():
    """One token behind each of 20,000 equal prompts, against softmax(logits / temperature), 6 sigma."""
    model, variables, _ = started("transformer")
    prompts, num, temperature = np.full((20_000, 1), 2), 20_000, 2.0
    logits = model.apply(variables, prompts[:1])[0][0, 0] / temperature
    found = decode(model, variables, prompts, num_tokens=1, pad=PAD, temperature=temperature, key=jax.random.key(1))
    share, law = np.bincount(found.tokens[:, 1], minlength=VOCABULARY) / num, np.asarray(jax.nn.softmax(logits))
    assert (np.abs(share - law) < 6 * np.sqrt(law * (1 - law) / num)).all() and law.min() > 1e-3


def test_the_smallest_temperature_takes_the_likeliest():
    """Logits over it would be infinite, several of them."""
    model, variables, prompts = started("lstm")
    variables = jax.tree.map(lambda leaf: 3 * leaf, variables)
    options = {"num_tokens": 3, "pad": PAD}
    cold = decode(model, variables, prompts, temperature=2e-38, key=jax.random.key(0), **options)
    np.testing.assert_array_equal(cold.tokens, decode(model, variables, prompts, **options).tokens)


@pytest.mark.slow
def test_a_second_decoding_compiles_nothing():
    model, variables, prompts = started("lstm")

    def complete(variables, prompts):
        return decode(model, variables, prompts, num_tokens=3, pad=PAD, eos=EOS)

    assert compiled_by_second_call(complete, (variables, prompts), (drawn(model, 1), prompts[::-1].copy())) == 0


def _decode(prompts=((2, 0),), lengths=None, model=None, **options):
    model = transformer(5, width=4, heads=2, layers=1, hidden=4) if model is None else model
    return decode(model, {}, prompts, lengths, **{"num_tokens": 3, "pad": PAD, "eos": EOS, **options})


BAD = [
    (lambda: _decode(size=4), "found size=4 for prompts of 2 columns and num_tokens=3, wanted at least 5"),
    (lambda: _decode(size=1), "found prompts of 2 columns, wanted at most the size=1 of the buffer"),
    (lambda: _decode(temperature=0, key=jax.random.key(0)), "found temperature=0"),
    (lambda: _decode(temperature=-1.0, key=jax.random.key(0)), "found temperature=-1.0"),
    (lambda: _decode(temperature=1.0), "found a temperature without a key"),
    (lambda: _decode(key=jax.random.key(0)), "found a key without a temperature"),
    (lambda: _decode(temperature=1e-45, key=jax.random.key(0)), "found temperature=1e-45, wanted at least 1.17549e-38"),
    (lambda: _decode(num_tokens=0), "found num_tokens=0"),
    (lambda: _decode([[2, 9]]), "found the unknown token 9 in tokens"),
    (lambda: _decode(pad=5), "found the unknown token 5 in pad"),
    (lambda: _decode(eos=-1), "found the unknown token -1 in eos"),
    (lambda: _decode(lengths=[0]), "found a prompt of length 0"),
    (lambda: _decode(lengths=[3]), "found lengths from 3 to 3, wanted 0 to 2"),
    (lambda: _decode([2, 0]), r"prompts of shape \(2,\)"),
    (lambda: _decode(np.zeros((0, 2), int)), r"prompts of shape \(0, 2\)"),
    (lambda: _decode(model=linear_sequence(5, positions=4)), "found size=5, wanted at most the model's 4 positions"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_of_decoding(call, message):
    with pytest.raises(ValueError, match=message):
        call()
