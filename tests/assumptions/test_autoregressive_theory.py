"""Tables with one loss and every behaviour, divergences by two routes, and the scale of a layer against gradients."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.assumptions import (
    TabularModel,
    divergence_bound,
    divergence_from_strings,
    examples_needed,
    free_table,
    in_context_report,
    mixed_divergence,
    pattern_mass,
    rare_examples,
    rescaled,
    rescaling_report,
    rule_extrapolation_report,
    rule_one,
    tabular_completions,
    tabular_log_probs,
)
from identax.dgp import ginc, hmm_mixture, predict, predictions
from identax.dgp.languages import language

PUBLISHED = language("a^n b^n", 64)
"""with the published L = 8, on which alone the shares depend"""


def test_tables_of_no_divergence_have_every_share_of_rule_one():
    prompts = PUBLISHED.prompts(8).out_of_distribution()
    wanted = {"balance": 1.0, "overshoot": 0.0, "EOS at once": 69 / 251, "uniform": 0.15396}
    for table, share in wanted.items():
        model = free_table(PUBLISHED, prompts, table)
        found = divergence_from_strings(PUBLISHED.strings(), tabular_log_probs(model, PUBLISHED.strings()))
        assert abs(found) < 1e-12
        np.testing.assert_allclose(
            rule_one(PUBLISHED, model, prompts), share, atol=5e-6 if table == "uniform" else 1e-12
        )


def test_on_the_support_the_table_is_the_optimum_in_closed_form():
    lang, top = language("a^n b^n", 16), 8
    a, b = lang.alphabet.symbols
    model = free_table(lang, lang.prompts(4).out_of_distribution(), "overshoot")
    laws = np.exp(tabular_log_probs(model, lang.strings()))
    np.testing.assert_allclose(laws.sum(axis=2), 1, rtol=1e-12)
    longest = laws[-1]
    assert longest[0, a] == 1
    for k in range(1, top + 1):
        np.testing.assert_allclose(longest[k, [b, a]], [1 / (top - k + 1), (top - k) / (top - k + 1)], rtol=1e-12)
    assert (longest[top + 1 : 2 * top, b] == 1).all() and longest[2 * top, lang.alphabet.eos] == 1
    assert (laws[0, 3:, lang.alphabet.pad] == 1).all()
    loss = -np.log(np.take_along_axis(laws[:, :-1], lang.strings()[:, 1:, None], 2)).sum() / (8 * 17)
    np.testing.assert_allclose(loss, lang.entropy_floor(), rtol=1e-12)


def test_a_table_that_is_wrong_on_the_support_has_a_divergence():
    lang = language("a^n b^n", 8)
    model = TabularModel(lang.alphabet, lang.strings()[:3], lang.strings()[:0])  # never aaaabbbb
    assert divergence_from_strings(lang.strings(), tabular_log_probs(model, lang.strings())) == math.inf
    uniform = TabularModel(lang.alphabet, lang.strings()[:0], lang.strings()[:0])
    found = divergence_from_strings(lang.strings(), tabular_log_probs(uniform, lang.strings()))
    np.testing.assert_allclose(found, 6 * math.log(3) - math.log(4), rtol=1e-12)  # 2 n + 1 tokens of three each


def test_completions_follow_the_table_and_end():
    lang = language("a^n b^n", 32)
    prompts = lang.prompts(3).out_of_distribution()
    rows = tabular_completions(free_table(lang, prompts, "balance"), prompts, 10)
    texts = [lang.alphabet.text(row) for row in rows]
    assert texts[-1] == "bbbaaa" and all(text.count("a") == text.count("b") for text in texts)
    assert (rows[:, -1] == lang.alphabet.pad).all()


def test_the_report_of_rule_extrapolation_says_what_is_open():
    report = rule_extrapolation_report(language("a^n b^n", 32), 6)
    assert report.premise("prompts off the support").holds and not report.covered
    assert abs(report.prediction("KL, overshoot").value) < 1e-12
    found = [report.prediction(f"R1, {table}").value for table in ("balance", "overshoot", "EOS at once")]
    np.testing.assert_allclose(found, [1, 0, 19 / 60], atol=1e-12)
    assert "FAILS" in report.as_text()


# ---- in-context learning


def _tiny():
    """Two models of 4 states and 4 tokens, token 0 being the delimiter."""
    rng = np.random.default_rng(0)
    start, transition, emission = (rng.dirichlet(np.ones(4), size) for size in ((2,), (2, 4), (2, 4)))
    return hmm_mixture(start, transition, emission)


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 0.9])
def test_the_divergence_by_the_chain_rule_is_that_of_all_strings(weight, x64):
    """Strings of 7 tokens; S: prefixes of 5 tokens with a delimiter in places 1 and 4, prompts of two examples."""
    mixture, length = _tiny(), 7
    strings = np.array(list(itertools.product(range(4), repeat=length)))
    p = np.exp(np.asarray(predict(mixture, strings).log_likelihood))
    every = np.asarray(predictions(mixture, strings).next_token)
    in_set = (strings[:, 1] == 0) & (strings[:, 4] == 0)
    wrong = np.eye(4)[every[:, 5].argmin(axis=1)]
    # All of q, string by string: it differs in the law of token 5.
    told = every[np.arange(len(strings)), 5]
    mixed = np.where(in_set[:, None], (1 - weight) * told + weight * wrong, told)
    at = np.arange(len(strings)), strings[:, 5]
    q = p * mixed[at] / told[at]
    np.testing.assert_allclose([p.sum(), q.sum()], 1, rtol=1e-12)
    prefixes, first = np.unique(strings[:, :5], axis=0, return_index=True)
    kept = in_set[first]
    mass = np.exp(np.asarray(predict(mixture, prefixes[kept]).log_likelihood))
    found = mixed_divergence(mass, told[first][kept], wrong[first][kept], weight)
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum(), rtol=1e-9)
    bound = divergence_bound(mass, weight)
    assert 0 < found < bound
    np.testing.assert_allclose(mass.sum(), p[in_set].sum(), rtol=1e-12)


def test_rare_examples_are_counted_by_their_sums(x64):
    """Against the sum over each tail, and the same while tracing; NaN is never rare."""
    rng = np.random.default_rng(0)
    for slope, epsilon in itertools.product((0.01, 0.4, 0.95), (1e-1, 1e-3, 1e-9)):
        mass = 0.3 * slope ** np.arange(9) * rng.uniform(0.9, 1.1, 9)
        tails = [-math.log(0.1) * mass[first:].sum() for first in range(9)]
        wanted = next((first + 1 for first, tail in enumerate(tails) if tail <= epsilon), 10)
        assert examples_needed(mass, 0.9, epsilon) == (wanted if wanted < 10 else None)
        assert jax.jit(lambda mass, e=epsilon: rare_examples(mass, 0.9, e))(jnp.asarray(mass)) == wanted
    assert jax.jit(lambda mass: rare_examples(mass, 0.9, 0.1))(jnp.full(3, jnp.nan)) == 4
    assert rare_examples([0.5, 1e-3], 0.0, 1e-30) == 1


def test_impossible_labels_reach_the_bound_and_impossible_prompts_cost_nothing():
    mass, p, r = [0.25, 0.0], [[0.5, 0.5, 0.0]] * 2, [[0, 0, 1]] * 2
    np.testing.assert_allclose(mixed_divergence(mass, p, r, 0.9), divergence_bound(mass, 0.9), rtol=1e-12)
    assert mixed_divergence([0.0], p[:1], r[:1], 0.9) == 0


def test_the_mass_of_patterns_is_that_of_all_documents(x64):
    mixture = _tiny()
    strings = np.array(list(itertools.product(range(4), repeat=6)))
    p = np.exp(np.asarray(predict(mixture, strings).log_likelihood))
    first, second = strings[:, 2] == 0, (strings[:, 2] == 0) & (strings[:, 5] == 0)
    np.testing.assert_allclose(pattern_mass(mixture, 2, 2), [p[first].sum(), p[second].sum()], rtol=1e-12)


def test_rarer_prompts_bring_the_divergence_below_any_epsilon(getkey):
    within = ginc(getkey()).within()
    mass = pattern_mass(within, 12, 3)
    assert (np.diff(mass) < 0).all() and mass[-1] < 1e-3 * mass[0]
    needed = [examples_needed(mass, 0.9, epsilon) for epsilon in (1e-1, 1e-3)]
    assert 1 <= needed[0] < needed[1] and examples_needed(mass, 0.9, 1e-30) is None
    assert divergence_bound(mass[needed[1] - 1 :], 0.9) <= 1e-3 < divergence_bound(mass[needed[1] - 2 :], 0.9)
    settings = {"length": 3, "num_examples": 12, "weight": 0.9, "epsilon": 1e-3}
    assert in_context_report(within, first=needed[1], **settings).covered
    failing = in_context_report(within, first=1, **settings | {"weight": 0.4, "epsilon": 1e-6})
    assert [failing.premise(name).holds for name in ("KL below epsilon", "wrong label decides")] == [False, False]


# ---- the scale of a layer


def _network(weights, x):
    return jax.nn.relu(x @ weights.first + weights.bias[None]) @ weights.second


def test_a_scale_changes_gradients_and_steps_and_not_the_function(x64, getkey):
    shapes = (3, 5), (5,), (5, 2)
    weights = rescaled(*(jax.random.normal(getkey(), shape) for shape in shapes), 1.0)
    x, y = jax.random.normal(getkey(), (8, 3)), jax.random.normal(getkey(), (8, 2))

    def loss(weights):
        return jnp.square(_network(weights, x) - y).mean()

    def steps(weights, direction):
        """Of the function, at a vanishing rate, when one array alone moves."""
        moved, found = jax.grad(loss)(weights), {}
        for part in ("first", "second"):
            move = jax.tree.map(jnp.zeros_like, weights)._replace(**{part: -direction(getattr(moved, part))})
            found[part] = jax.jvp(lambda w: _network(w, x), (weights,), (move,))[1]
        return found

    steps, gradient = jax.jit(steps, static_argnums=1), jax.jit(jax.grad(loss))

    alpha = 3.0
    other = rescaled(*weights, alpha)
    np.testing.assert_allclose(_network(other, x), _network(weights, x), rtol=1e-12)
    units = np.array([0.1, 1.0, 3.0, 10.0, 0.5])
    np.testing.assert_allclose(_network(rescaled(*weights, units), x), _network(weights, x), rtol=1e-12)
    square = rescaled(weights.first, weights.bias, np.eye(5), units)  # as many outputs as hidden units
    np.testing.assert_allclose(square.second, np.diag(1 / units), rtol=1e-12)
    before, after = gradient(weights), gradient(other)
    for part, factor in (("first", 1 / alpha), ("bias", 1 / alpha), ("second", alpha)):
        np.testing.assert_allclose(getattr(after, part), factor * getattr(before, part), rtol=1e-10)
    for optimizer, direction in (("sgd", lambda g: g), ("adam", jnp.sign)):
        report = rescaling_report(alpha, optimizer=optimizer)
        there, here = steps(other, direction), steps(weights, direction)
        for part, name in (("first", "W1"), ("second", "W2")):
            factor = report.prediction(f"first step through {name}, factor").value
            np.testing.assert_allclose(there[part], factor * here[part], rtol=1e-9, atol=1e-12)
    assert not rescaling_report(alpha, activation="tanh").premise("positively homogeneous activation").holds


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: free_table(PUBLISHED, [[2, 0]], "nothing"), "wanted one of"),
        (lambda: free_table(language("L1", 8), [[0, 3]], "balance"), "wanted sample"),
        (lambda: free_table(PUBLISHED, np.zeros((0, 3), int), "EOS at once"), "wanted \\[P, L \\+ 1\\]"),
        (lambda: tabular_completions(free_table(PUBLISHED, [[2, 1]], "balance"), [[2, 1]], 1), "wanted at least 2"),
        (lambda: divergence_from_strings([[0, 1]], np.zeros((1, 3, 4))), "wanted \\[1, 2, V\\]"),
        (lambda: rule_extrapolation_report(language("equal counts", 8), 3), "out of distribution"),
        (lambda: rule_extrapolation_report(language("a^n b^n a^n", 9), 3), "found the language 'a\\^n b\\^n a\\^n'"),
        (lambda: rule_extrapolation_report(language("L6", 8), 2), "'brackets matched', wanted equal counts"),
        (lambda: mixed_divergence([1.0], [[0.5, 0.5]], [[0.0, 1.0]], 1.0), "wanted less than 1"),
        (lambda: mixed_divergence([1.0], [[0.5, 0.5]], [[1.0]], 0.5), "found wrong of shape"),
        (lambda: divergence_bound([-1.0], 0.5), "mass down to -1"),
        (lambda: examples_needed([0.5], 0.5, 0.0), "epsilon=0.0"),
        (lambda: pattern_mass(_tiny(), 10**6, 100), "found num_examples \\* length=100000000, wanted"),
        (lambda: rare_examples([], 0.5, 0.1), "rare_examples: found mass of shape \\(0,\\)"),
        (lambda: examples_needed([0.5, -0.5], 0.5, 0.1), "examples_needed: found mass down to -0.5"),
        (lambda: rare_examples([0.5], 1.0, 0.1), "wanted less than 1"),
        (lambda: rescaled([[1.0]], [1.0], [[1.0]], 0.0), "alpha=0.0"),
        (lambda: rescaled([[1.0]], [1.0], [[1.0]], 1e-300), "found alpha=0 in float32"),
        (lambda: rescaled(np.ones((2, 3)), np.ones(4), np.ones((5, 2)), 2.0), "found first \\(2, 3\\), bias \\(4,\\)"),
        (lambda: rescaled(np.ones((2, 3)), np.ones(3), np.ones((3, 2)), np.ones((3, 1))), "or one per hidden unit"),
        (lambda: rescaling_report(1e200), "alpha=1e\\+200"),
        (lambda: free_table(PUBLISHED, [[2, 0, 3]], "EOS at once"), "EOS or PAD in them"),
        (lambda: free_table(PUBLISHED, [[2, 0, 4]], "balance"), "EOS or PAD in them"),
        (lambda: rule_one(PUBLISHED, free_table(PUBLISHED, [[2, 1]], "balance"), [2, 1]), "wanted \\[N, T\\]"),
        (lambda: divergence_from_strings([[0, 5]], np.full((1, 2, 4), -np.log(4))), "found strings from 0 to 5"),
        (lambda: divergence_from_strings([[0, -1]], np.full((1, 2, 4), -np.log(4))), "found strings from -1"),
        (lambda: divergence_from_strings([[0, 1.0]], np.full((1, 2, 4), -np.log(4))), "strings of type float64"),
        (lambda: divergence_from_strings([[0, 1]], np.zeros((1, 2, 4))), "probabilities that sum to 4"),
        (lambda: divergence_from_strings([[0]], np.zeros((1, 1, 4))), "columns of strings=1"),
        (lambda: rescaling_report(1.0, optimizer="lion"), "wanted 'sgd' or 'adam'"),
    ],
)
def test_bad_input_is_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()
