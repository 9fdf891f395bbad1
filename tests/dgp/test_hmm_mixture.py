"""Mixtures of hidden Markov models against sums over all paths; GINC's construction and prompts against NumPy."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import ginc, hmm_mixture, in_context_prompts, predict, predictions, sample_documents, smoothed
from identax.dgp.ginc import prompt_length
from tests.eager import compiled_by_second_call

T = 4
WORLD = ginc(jax.random.key(11))


def _laws(seed, *, zeros=0.0):
    """Random start, transition and emission of 2 models with 3 states and 3 tokens, and weights."""
    rng = np.random.default_rng(seed)

    def law(*shape):
        raw = rng.uniform(0.1, 1, shape) * (rng.uniform(size=shape) >= zeros)
        raw = np.where(raw.sum(axis=-1, keepdims=True) > 0, raw, np.eye(shape[-1])[0])
        return raw / raw.sum(axis=-1, keepdims=True)

    return law(2, 3), law(2, 3, 3), law(2, 3, 3), law(2)


def _by_paths(laws, tokens):
    """w_j p_j(tokens), summed over all paths of hidden states."""
    start, transition, emission, weights = laws
    found = np.zeros(2)
    for j in range(2):
        for path in itertools.product(range(3), repeat=len(tokens)):
            p = weights[j] * start[j, path[0]] if path else weights[j]
            for t, state in enumerate(path):
                p *= emission[j, state, tokens[t]] * (transition[j, path[t - 1], state] if t else 1.0)
            found[j] += p
    return found


def _mixture(laws):
    return hmm_mixture(*laws[:3], weights=laws[3])


@pytest.mark.parametrize("zeros", [pytest.param(0.0, marks=pytest.mark.slow), 0.6])
def test_the_filter_is_the_sum_over_all_paths(zeros, x64):
    laws = _laws(5, zeros=zeros)
    rows = np.array(list(itertools.product(range(3), repeat=T)))
    found = predictions(_mixture(laws), rows)
    joint = np.array([_by_paths(laws, row) for row in rows])
    total = joint.sum(axis=1)
    assert (total == 0).any() == (zeros > 0)
    np.testing.assert_array_equal(found.possible[:, T], total > 0)
    np.testing.assert_allclose(np.exp(found.log_likelihood[:, T]), total, atol=1e-13)
    np.testing.assert_allclose(total.sum(), 1, rtol=1e-12)
    possible = total > 0
    np.testing.assert_allclose(found.posterior[possible, T], joint[possible] / total[possible, None], atol=1e-12)
    # What every prefix says of the next token, and nothing but zeros where it cannot be.
    prefixes = np.array([_by_paths(laws, row[:-1]).sum() for row in rows])
    law = np.divide(total, prefixes, out=np.zeros_like(total), where=prefixes > 0)
    np.testing.assert_allclose(found.next_token[np.arange(len(rows)), T - 1, rows[:, -1]], law, atol=1e-12)
    assert all(np.isfinite(leaf).all() for leaf in (found.posterior, found.next_token))
    assert (np.asarray(found.next_token[~possible, T]) == 0).all()
    last = predict(_mixture(laws), rows)
    for one, every in zip(last, found, strict=True):
        np.testing.assert_allclose(one, every[:, T], atol=1e-14)


def test_nothing_seen_leaves_the_prior():
    laws = _laws(0)
    found = predict(_mixture(laws), np.zeros((1, 0), int))
    np.testing.assert_allclose(found.posterior[0], laws[3], rtol=1e-6)
    assert found.possible.all() and found.log_likelihood == 0


@pytest.mark.slow
def test_smoothing_makes_everything_possible_and_long_documents_stay_finite(getkey):
    within = WORLD.within()
    long = sample_documents(smoothed(within, 0.5), getkey(), 2, 1000).tokens
    raw, made = predict(within, long), predict(smoothed(within, 1e-3), long)
    assert not raw.possible.any() and (np.asarray(raw.log_likelihood) == -np.inf).all()
    assert made.possible.all() and np.isfinite(made.log_likelihood).all()
    np.testing.assert_allclose(made.next_token.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(smoothed(within, 0.2).transition.sum(axis=-1), 1, rtol=1e-6)


def test_documents_have_the_law_and_one_component_throughout(getkey):
    laws, num = _laws(3), 20_000
    drawn = sample_documents(_mixture(laws), getkey(), num, 3)
    rows = np.array(list(itertools.product(range(3), repeat=3)))
    exact = np.array([_by_paths(laws, row) for row in rows])
    for j in range(2):
        mine = np.asarray(drawn.tokens)[np.asarray(drawn.components) == j]
        found = np.array([(mine == row).all(axis=1).sum() for row in rows])
        assert (np.abs(found - num * exact[:, j]) < 6 * np.sqrt(num * exact[:, j]) + 1).all()


def test_a_second_prediction_compiles_nothing():
    mixture = _mixture(_laws(0))
    assert (
        compiled_by_second_call(lambda x: predict(mixture, x), (np.zeros((2, 3), int),), (np.ones((2, 3), int),)) == 0
    )


def test_ginc_is_made_as_published():
    table, parts = np.asarray(WORLD.table), WORLD.components
    assert (table[:, 0] == 0).all() and (table[:, 1:] > 0).all() and table.max() < 50
    for j in (0, 9):
        np.testing.assert_allclose(parts.transition[j], np.kron(WORLD.values, WORLD.slots[j]), atol=1e-7)
    for matrix in (WORLD.values, *WORLD.slots):  # mixtures of permutations
        np.testing.assert_allclose([matrix.sum(axis=0), matrix.sum(axis=1)], 1, atol=1e-6)
    assert (np.diag(WORLD.values) >= 0.9 - 1e-6).all()
    bounds = np.exp([-0.1, 0.1]) / 100
    assert (parts.start > bounds[0]).all() and (parts.start < bounds[1]).all()
    assert np.ptp(parts.start) > 5e-4
    np.testing.assert_array_equal(np.argmax(parts.emission[4], axis=-1), table.ravel())
    assert not np.allclose(WORLD.slots[0], WORLD.slots[1])
    # Of slots a share (1 - 1/10)^10 of entries is 0; values have 10 more that are not.
    zeros = (np.asarray(parts.transition) == 0).mean()
    assert 0.5 < zeros < 0.65
    np.testing.assert_allclose(WORLD.within().weights, 0.2, rtol=1e-6)
    np.testing.assert_array_equal(WORLD.beyond().transition, parts.transition[5:])


def test_prompts_are_worked_examples_whose_label_the_component_itself_says(getkey):
    n, k, num = 3, 4, 40
    found = in_context_prompts(WORLD, getkey(), num, num_examples=n, length=k)
    tokens, parts = np.asarray(found.tokens), WORLD.within()
    assert tokens.shape == (num, prompt_length(n, k)) and (tokens[:, k :: k + 1] == 0).all()
    assert set(np.asarray(found.components)) <= set(range(5)) and 1 <= found.slots.min() and found.slots.max() <= 9
    transition, emission = np.asarray(parts.transition, float), np.asarray(parts.emission[0], float)
    for row, label, j, slot in zip(tokens, *(np.asarray(one) for one in found[1:]), strict=True):
        state = (np.arange(100) % 10 == slot) / 10
        for token in row[-(k - 1) :]:
            state = (state * emission[:, token]) @ transition[j]
        law = state @ emission
        assert law.sum() > 0 and law[label] > law.max() - 1e-7 * law.sum()
        first = np.unique(row[:: k + 1])
        assert set(first) <= set(np.asarray(WORLD.table)[:, slot])
    other = in_context_prompts(WORLD, getkey(), num, num_examples=n, length=k, within=False)
    assert other.tokens.shape == tokens.shape and (np.asarray(other.tokens) != tokens).any()


def test_a_prompt_without_probability_is_flagged(getkey):
    prompts = in_context_prompts(WORLD, getkey(), 40, num_examples=3, length=4)
    raw = predict(WORLD.within(), prompts.tokens)
    assert 0.05 < float(1 - raw.possible.mean()) < 0.95
    made = predict(smoothed(WORLD.within(), 1e-3), prompts.tokens)
    assert made.possible.all() and np.isfinite(made.log_likelihood).all()
    right = np.asarray(jnp.argmax(made.next_token, axis=1) == prompts.labels).mean()
    assert right > 0.4  # of 50 symbols


def _changed(**leaves):
    start, transition, emission, weights = _laws(0)
    given = {"start": start, "transition": transition, "emission": emission, "weights": weights} | leaves
    return hmm_mixture(given.pop("start"), given.pop("transition"), given.pop("emission"), **given)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (
            lambda: _changed(transition=np.ones((2, 3, 3))),
            "transition with a row that sums to 3, wanted rows that sum to one",
        ),
        (lambda: _changed(start=np.eye(3)), "wanted \\[3, 3, 3\\]"),
        (lambda: _changed(weights=[0.5, 0.6]), "weights with a row that sums to 1.1"),
        (lambda: _changed(weights=[1.5, -0.5]), "weights down to -0.5"),
        (lambda: predict(_mixture(_laws(0)), [[0, 3]]), "found tokens from 0 to 3, wanted 0 to 2"),
        (lambda: predict(_mixture(_laws(0)), [[0.0]]), "wanted integers \\[N, T\\]"),
        (lambda: predict(_mixture(_laws(0)), [0, 1]), "wanted integers \\[N, T\\]"),
        (lambda: smoothed(_mixture(_laws(0)), 1.5), "found epsilon=1.5"),
        (lambda: smoothed(_mixture(_laws(0)), [0.1]), "found epsilon of shape"),
        (lambda: prompt_length(-1, 3), "num_examples=-1"),
        (lambda: prompt_length(0, 1), "length=1"),
        (lambda: sample_documents(_mixture(_laws(0)), jax.random.key(0), 0, 3), "num=0"),
        (lambda: in_context_prompts(WORLD, jax.random.key(0), 2, num_examples=-1, length=3), "num_examples=-1"),
        (lambda: in_context_prompts(WORLD, jax.random.key(0), 2, num_examples=1, length=1), "length=1"),
        (lambda: ginc(jax.random.key(0), num_within=10), "num_within=10"),
        (lambda: ginc(jax.random.key(0), temperature=0), "temperature=0"),
        (lambda: ginc(jax.random.key(0), num_values=10**9), "whose largest table has 1,000,.*,000 entries"),
        (lambda: ginc(jax.random.key(0), num_symbols=10**9), "wanted at most 268,435,456"),
        (lambda: ginc(jax.random.key(0), num_permutations=10**9), "wanted at most 268,435,456"),
    ],
)
def test_bad_input_is_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.slow
def test_worlds_are_pytrees():
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), WORLD)
    assert twice.num_within == 5 and dataclasses.is_dataclass(twice)
    rows = jnp.zeros((2, 3, 2), jnp.int32)
    found = jax.vmap(lambda world, x: predict(world.within(), x).next_token)(twice, rows)
    np.testing.assert_array_equal(found[0], found[1])
