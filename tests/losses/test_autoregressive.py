"""Losses of sequences against literal loops, and the chain rule against enumeration of all strings."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import autoregressive_kl, completion_nll, sequence_nll, shifted, tabular_kl

N, T, V, PAD = 3, 5, 4, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((N, T, V))
TARGETS = np.array([[0, 1, 2, 3, 3], [1, 1, 3, 3, 3], [0, 2, 1, 0, 2]])


def surprise(row, column):
    logits = LOGITS[row, column]
    return np.log(np.exp(logits).sum()) - logits[TARGETS[row, column]]


def loop(counts, mean=True):
    found = [[surprise(row, column) for column in range(T) if counts(row, column)] for row in range(N)]
    return [np.sum(row) / (max(len(row), 1) if mean else 1) for row in found]


CASES = {
    "padding counts": (lambda: sequence_nll(LOGITS, TARGETS), lambda r, t: True, True),
    "no padding": (lambda: sequence_nll(LOGITS, TARGETS, pad=PAD), lambda r, t: TARGETS[r, t] != PAD, True),
    "nats per string": (lambda: sequence_nll(LOGITS, TARGETS, mean=False), lambda r, t: True, False),
    "a mask": (
        lambda: sequence_nll(LOGITS, TARGETS, pad=PAD, mask=np.arange(T)[None] >= [[0], [4], [3]]),
        lambda r, t: t >= (0, 4, 3)[r] and TARGETS[r, t] != PAD,
        True,
    ),
    "completions": (lambda: completion_nll(LOGITS, TARGETS, 2), lambda r, t: t >= 2, True),
    "completions of fewer columns": (
        lambda: completion_nll(LOGITS, TARGETS, 2, mask=np.arange(T)[None] < [[4]] * N),
        lambda r, t: 2 <= t < 4,
        True,
    ),
    "published offset": (lambda: completion_nll(LOGITS, TARGETS, 2, published=True), lambda r, t: t >= 3, True),
    "prompts of unequal lengths": (
        lambda: completion_nll(LOGITS, TARGETS, [0, 1, 4], pad=PAD, mean=False),
        lambda r, t: t >= (0, 1, 4)[r] and TARGETS[r, t] != PAD,
        False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_of_sequences_are_the_loops(name, x64):
    call, counts, mean = CASES[name]
    np.testing.assert_allclose(call(), loop(counts, mean), rtol=1e-13)


def test_the_first_token_of_a_completion_is_target_L(x64):
    """SOS, L symbols, then the completion: what the published offset leaves out is one gradient."""
    tokens, prompt = np.array([[2, 0, 1, 1, 3]]), 2
    inputs, targets = shifted(tokens)
    np.testing.assert_array_equal(inputs, [[2, 0, 1, 1]])
    np.testing.assert_array_equal(targets, [[0, 1, 1, 3]])
    for published, first in {False: prompt, True: prompt + 1}.items():
        grad = jax.grad(lambda x, p=published: completion_nll(x, targets, prompt, published=p).sum())(
            jnp.zeros((1, 4, V))
        )
        np.testing.assert_array_equal(np.abs(grad).sum(axis=(0, 2)) > 0, np.arange(4) >= first)


def test_uniform_logits_cost_ln_v_and_a_row_without_targets_nothing():
    np.testing.assert_allclose(sequence_nll(np.zeros((N, T, V)), TARGETS), np.log(V), rtol=1e-6)
    empty = np.full((1, T), PAD)
    found, grad = jax.value_and_grad(lambda x: sequence_nll(x, empty, pad=PAD).sum())(jnp.zeros((1, T, V)))
    assert found == 0 and (grad == 0).all()


def tables(rng, length, size, zeros=()):
    found = [rng.standard_normal((size**t, size)) for t in range(length)]
    for table, row, token in zeros:
        found[table][row, token] = -np.inf
    return found


def log_probabilities(found, size):
    """log p of every string of len(found) tokens, by walking its prefixes."""
    values = []
    for string in itertools.product(range(size), repeat=len(found)):
        place, value = 0, 0.0
        for table, token in zip(found, string, strict=True):
            row = table[place]
            value += row[token] - np.log(np.exp(row).sum())
            place = size * place + token
        values.append(value)
    return np.array(values)


def rows_along(found, size):
    """Logits [S, T, V] of the tables along every string."""
    strings = np.array(list(itertools.product(range(size), repeat=len(found))))
    places = [np.zeros(len(strings), int)]
    for t in range(len(found) - 1):
        places.append(size * places[-1] + strings[:, t])
    return np.stack([table[place] for table, place in zip(found, places, strict=True)], axis=1)


@pytest.mark.parametrize("zeros", [(), ((0, 0, 1), (1, 2, 0))])
def test_the_chain_rule_is_the_sum_over_strings(zeros, x64):
    rng, size = np.random.default_rng(1), 3
    p, q = tables(rng, 4, size, zeros), tables(rng, 4, size)
    log_p, log_q = log_probabilities(p, size), log_probabilities(q, size)
    wanted = sum(np.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True) if a > -np.inf)
    np.testing.assert_allclose(tabular_kl(p, q), wanted, rtol=1e-12)
    along = autoregressive_kl(rows_along(p, size), rows_along(q, size))
    assert (np.asarray(along) >= 0).all()
    np.testing.assert_allclose(np.exp(log_p) @ np.nan_to_num(along), wanted, rtol=1e-12)
    # Sampled: the mean over strings of p, with less spread than log p - log q.
    drawn = rng.choice(len(log_p), 4000, p=np.exp(log_p))
    ratio = (log_p - log_q)[drawn]
    for values in (np.asarray(along)[drawn], ratio):
        assert abs(values.mean() - wanted) < 6 * values.std() / len(drawn) ** 0.5
    assert np.asarray(along)[drawn].std() < 0.8 * ratio.std()


def test_what_no_string_reaches_counts_nothing(x64):
    """Case 1 of the theory: equal on the support, anything off it."""
    rng, size = np.random.default_rng(2), 3
    p = tables(rng, 3, size, ((0, 0, 1),))
    q = [table.copy() for table in p]
    q[1][1], q[2][3:6] = 7 * rng.standard_normal(3), -np.inf  # behind the token 1, that p never gives
    q[2][3:6, 0] = 0.0
    assert abs(tabular_kl(p, q)) < 1e-15 and not np.array_equal(p[1], q[1])
    assert tabular_kl(q, p) == pytest.approx(0, abs=1e-15)  # q never gives it either
    q[0][0, 2] = -np.inf
    assert tabular_kl(p, q) == np.inf and np.isfinite(tabular_kl(q, p))


def test_a_kl_has_finite_gradients_at_zeros():
    p = np.array([[[0.0, -np.inf, 1.0]]])
    flat = np.zeros_like(p)
    grads = jax.grad(lambda p, q: autoregressive_kl(p, q).sum(), argnums=(0, 1))(jnp.asarray(p), jnp.asarray(p))
    assert all(np.isfinite(grad).all() for grad in grads)
    mask = np.array([[False]])
    assert autoregressive_kl(p, flat, mask=mask) == 0 != autoregressive_kl(p, flat)


def test_what_is_not_a_number_is_not_taken_for_no_divergence():
    """A network that has diverged is not close to anything."""
    p = np.array([[[0.0, 1.0]]])
    for first, second in ((p * np.nan, p), (p, p * np.nan), (np.full_like(p, -np.inf), p)):
        assert np.isnan(autoregressive_kl(first, second)).all()
        assert np.isnan(tabular_kl([first[0]], [second[0]]))
    deep = [np.array([[np.nan, 0.0]]), np.zeros((2, 2))]
    assert np.isnan(tabular_kl(deep, [np.zeros((1, 2)), np.zeros((2, 2))]))


def test_columns_that_do_not_count_may_be_nan():
    mask = np.arange(T)[None] < np.array([T, 2, 0])[:, None]
    logits = jnp.where(mask[..., None], LOGITS, jnp.nan)
    wanted, slopes = jax.value_and_grad(lambda x: sequence_nll(x, TARGETS, mask=mask).sum())(jnp.asarray(LOGITS))
    found, others = jax.value_and_grad(lambda x: sequence_nll(x, TARGETS, mask=mask).sum())(logits)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(others, slopes)


def test_columns_of_a_kl_that_do_not_count_may_be_nan():
    mask = np.arange(T)[None] < [[2], [0], [T]]
    p, q = jnp.where(mask[..., None], LOGITS, jnp.nan), jnp.where(mask[..., None], -LOGITS, jnp.nan)
    values, grads = jax.vjp(lambda p, q: autoregressive_kl(p, q, mask=mask), p, q)
    np.testing.assert_array_equal(values, autoregressive_kl(LOGITS, -LOGITS, mask=mask))
    for grad in grads(jnp.ones(N)):
        assert np.isfinite(grad).all() and (grad[~mask] == 0).all() and (np.abs(grad[mask]).max(axis=1) > 0).all()


BAD = [
    (
        lambda: sequence_nll(LOGITS, TARGETS[:, 1:]),
        r"sequence_nll: found logits of shape \(3, 5, 4\) and targets of shape \(3, 4\)",
    ),
    (lambda: sequence_nll(LOGITS, TARGETS + 1), "found targets from 1 to 4, wanted 0 to 3"),
    (lambda: sequence_nll(LOGITS, TARGETS * 1.0), "found targets of type float64"),
    (lambda: sequence_nll(LOGITS[:, :0], TARGETS[:, :0]), "sequence_nll: found logits of shape"),
    (lambda: sequence_nll(LOGITS, TARGETS, mask=np.ones((N, T))), "found float64 mask"),
    (lambda: sequence_nll(LOGITS, TARGETS, mask=np.ones(T, bool)), r"mask of shape \(5,\), wanted booleans \(3, 5\)"),
    (lambda: sequence_nll(LOGITS, TARGETS, pad=-1), "found pad=-1"),
    (lambda: sequence_nll(LOGITS, TARGETS, pad=4), "found pad=4, wanted a number from 0 to 3"),
    (lambda: tabular_kl(5, 5), "tabular_kl: found no sequences of tables"),
    (lambda: shifted([[2**40, 1]]), "found tokens from 1 to 1099511627776"),
    (lambda: completion_nll(LOGITS, TARGETS, 5), "found prompts from 5 to 5 symbols, wanted 0 to 4"),
    (lambda: completion_nll(LOGITS, TARGETS, 4, published=True), "wanted 0 to 3"),
    (lambda: completion_nll(LOGITS, TARGETS, np.int8(127), published=True), "found prompts from 127 to 127"),
    (lambda: completion_nll(LOGITS, TARGETS, 1.5), "found float64 prompt"),
    (lambda: completion_nll(LOGITS, TARGETS, [1, 2]), r"prompt of shape \(2,\)"),
    (lambda: autoregressive_kl(LOGITS, LOGITS[:2]), "autoregressive_kl: found p_logits of shape"),
    (lambda: tabular_kl([], []), "tabular_kl: found p_logits"),
    (lambda: tabular_kl([np.ones((1, 2)), np.ones((3, 2))], [np.ones((1, 2))] * 2), r"wanted \[V\^t, V\]"),
    (lambda: shifted([[1]]), r"shifted: found int64 tokens of shape \(1, 1\)"),
    (lambda: shifted([[1.0, 2.0]]), "shifted: found float64 tokens"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_of_sequence_losses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
