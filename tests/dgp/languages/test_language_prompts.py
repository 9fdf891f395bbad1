"""Prompts of both kinds, completed rows, and chance levels against all completions."""

import itertools

import jax
import numpy as np
import pytest

from identax.dgp.languages import (
    AB,
    AB_LAST,
    ABC,
    BRACKETS,
    Prompts,
    Rule,
    adversarial_rows,
    chance_level,
    chance_levels,
    language,
    oracle_rows,
    rules,
    score,
)


@pytest.mark.parametrize(
    ("name", "length", "within", "beyond"),
    [
        ("a^n b^n", 8, 5, 251), ("a^n b^m", 8, 9, 247), ("a^n b^n a^n", 8, 8, 248), ("equal counts", 8, 256, 0),
        ("a^n b^n", 6, 4, 60), ("a^n b^m", 6, 7, 57), ("a^n b^n a^n", 6, 6, 58), ("equal counts", 6, 64, 0),
        ("L5", 5, 4, 239), ("L1", 8, 128, 128),
    ],
)  # fmt: skip
def test_how_many_prompts_are_of_which_kind(name, length, within, beyond):
    found = language(name).prompts(length)
    assert (found.within.sum(), (~found.within).sum()) == (within, beyond)
    assert found.tokens.shape == (within + beyond, length + 1)


def test_prompts_come_in_lexicographic_order_and_the_exact_split_is_that_of_prefixes():
    lang = language("a^n b^n a^n", 24)
    found = lang.prompts(8, split="completable")
    texts = [lang.alphabet.text(row) for row in found.tokens]
    assert texts == sorted(texts)
    prefixes = {word[:8] for word in ("a" * n + "b" * n + "a" * n for n in range(1, 30)) if len(word) >= 8}
    assert {text for text, within in zip(texts, found.within, strict=True) if within} == prefixes
    strict = language("a^n b^m").prompts(4, split="completable")
    assert strict.within.sum() == language("a^n b^m").prompts(4).within.sum() - 1  # b^4 begins no string


def test_random_prompts(getkey):
    blocks = language("L2").prompts(8, key=getkey())
    texts = [AB.text(row) for row in blocks.tokens]
    assert all(text == "b" * text.count("b") + "a" * text.count("a") for text in texts[:128])
    assert all(
        text[0] == "a" and text[1:] == "b" * text.count("b") + "a" * (text.count("a") - 1) for text in texts[128:]
    )
    assert {text.count("b") for text in texts[:128]} == {text.count("b") for text in texts[128:]} == set(range(1, 8))
    found = language("L6").prompts(6, key=getkey())
    assert found.tokens.shape == (64, 9) and found.within.sum() == 32
    words = [BRACKETS.text(row) for row in found.tokens]
    assert {word[:2] for word in words[:32]} == {"(["} and {word[:2] for word in words[32:]} == {")["}
    nested = Rule("nested", rules.nested, BRACKETS.symbols)
    assert nested(BRACKETS.rows([word[2:] for word in words])).all()


def test_oracle_rows_balance_and_adversarial_rows_overshoot():
    lang = language("a^n b^n")
    for length, columns in ((8, (18, 19)), (6, (14, 15))):
        prompts = lang.prompts(length).out_of_distribution()
        good, bad = oracle_rows(lang.alphabet, prompts), adversarial_rows(lang.alphabet, prompts)
        assert (good.shape[1], bad.shape[1]) == columns and len(good) == len(bad) == len(prompts)
        assert score(lang, good, length).rule1.all() and not score(lang, bad, length).rule1.any()
        assert score(lang, good, length).finished.all() and score(lang, bad, length).finished.all()
        np.testing.assert_array_equal(good[:, : length + 1], prompts)
    at_once = [
        (row == lang.alphabet.eos).argmax() for row in oracle_rows(AB_LAST, lang.prompts(8).out_of_distribution())
    ]
    assert at_once.count(9) == 69
    texts = [
        AB_LAST.text(row)
        for row in adversarial_rows(AB_LAST, [AB_LAST.row("ba", end=False), AB_LAST.row("bb", end=False)])
    ]
    assert texts == ["bab", "bbaaa"]
    assert ABC.text(oracle_rows(ABC, [ABC.row("cca", end=False)])[0]) == "ccaabb"


# ---- chance levels


def _by_enumeration(rule, alphabet, prompts, end, longest):
    """Over all completions of up to `longest` symbols, for every prompt; one call of the rule."""
    completions = [w for size in range(longest + 1) for w in itertools.product(alphabet.symbols, repeat=size)]
    rows = [[*prompt, *w] for prompt in prompts for w in completions]
    width = max(map(len, rows))
    holds = np.asarray(rule(np.array([row + [alphabet.pad] * (width - len(row)) for row in rows], np.int32)))
    p = np.array([end * ((1 - end) / len(alphabet.symbols)) ** len(w) for w in completions])
    assert 1 - p.sum() < 1e-10
    return holds.reshape(len(prompts), -1) @ p


def _rule(alphabet, check, letters):
    return Rule(check.__name__, check, tuple(alphabet.symbols[alphabet.letters.index(one)] for one in letters))


@pytest.mark.parametrize(
    ("alphabet", "check", "letters", "prompts"),
    [
        (AB, rules.equal_counts, "ab", ("", "ab", "aab", "b")),
        (ABC, rules.equal_counts, "abc", ("", "ab", "cca")),
        (ABC, rules.equal_counts, "ab", ("c", "a")),
        (AB, rules.even_count, "a", ("", "a")),
        (ABC, rules.even_count_after, "ab", ("", "a", "aba")),
        (ABC, rules.begins_with, "ba", ("", "b", "a", "c")),
        (ABC, rules.in_order, "abc", ("", "b", "ba", "c")),
        (ABC, rules.in_order, "ab", ("", "b")),
        (ABC, rules.begun_in_order, "ba", ("", "b", "a", "c")),
        (BRACKETS, rules.balanced, "[]", ("", "[", "]", ")[[")),
        (BRACKETS, rules.nested, "()[]", ("", "([", "(]", "[]")),
    ],
)
def test_chance_levels_are_sums_over_all_completions(alphabet, check, letters, prompts):
    rule, end = _rule(alphabet, check, letters), 0.992
    rows = [alphabet.row(prompt, end=False) for prompt in prompts]
    padded = np.array([np.pad(row, (0, 4 - len(row)), constant_values=alphabet.pad) for row in rows])
    wanted = _by_enumeration(rule, alphabet, rows, end, 4)
    np.testing.assert_allclose(chance_level(rule, alphabet, padded, end=end), wanted, rtol=0, atol=1e-9)


def test_the_levels_of_the_papers_and_the_published_slips(getkey):
    three, five = language("L3"), language("L5")
    found = chance_levels(three, three.prompts(8))
    np.testing.assert_allclose([found.rule1_within, found.rule1_beyond], [0.10471, 0.15396], atol=5e-6)
    np.testing.assert_allclose([found.rule2_within, found.rule2_beyond], [0.55, 0.75], rtol=1e-12)
    # Published: those of four tokens instead of three.
    four = chance_levels(three, three.prompts(8), end=0.25)
    assert four.rule2_beyond != found.rule2_beyond
    a_then_b, b_alone = 0.25 / 0.75**2, 0.25 / 0.75
    np.testing.assert_allclose([a_then_b, (a_then_b + 4 * b_alone) / 5], [4 / 9, 0.3556], atol=5e-5)
    of_five = chance_levels(five, five.prompts(5))
    np.testing.assert_allclose(of_five, [0.02166, 0.03343, 0.4537, 0.5926], atol=5e-5)  # published plot: .00334
    key = getkey()
    brackets = [chance_levels(language(name), language(name).prompts(6, key=key)) for name in ("L4", "L6")]
    for each in brackets:
        np.testing.assert_allclose([each.rule1_beyond, each.rule2_beyond], [0.14590, 0.38197], atol=5e-6)
    one = chance_levels(language("L1"), language("L1").prompts(8))
    np.testing.assert_allclose([one.rule1_beyond, one.rule2_beyond], [1 / 2, 1 / 3], rtol=1e-12)
    two = language("L2")
    even = chance_level(two.rule1, AB, [AB.row("baa", end=False), AB.row("bba", end=False)])
    np.testing.assert_allclose(even, [3 / 4, 1 / 2], rtol=1e-12)
    np.testing.assert_allclose(chance_level(two.rule2, AB, [[0]]), [1 / 4], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: language("a^n b^n", 6).prompts(7), "wanted at most M=6"),
        (lambda: language("a^n b^n", 64).prompts(30), "2\\^30 strings"),
        (lambda: language("equal counts", 8).prompts(3).out_of_distribution(), "none of 8 prompts out of distribution"),
        (lambda: Prompts(np.zeros((2, 1), int), np.zeros(2, bool)).in_distribution(), "none of 2 prompts in"),
        (lambda: language("L2").prompts(8), "found no key"),
        (lambda: language("L4").prompts(5, key=jax.random.key(0)), "no string"),
        (lambda: oracle_rows(AB, np.zeros((0, 3), int)), "wanted \\[P, L \\+ 1\\]"),
        (lambda: oracle_rows(AB, [[0, 8]]), "unknown token 8"),
        (lambda: oracle_rows(AB, [[0, 3, 1]]), "with EOS or PAD in them"),
        (lambda: oracle_rows(AB, [[0, 3, 3], [0, 4, 2]]), "with EOS or PAD in them"),
        (lambda: chance_level(_rule(AB, rules.double_count, "ab"), AB, [[0]]), "wanted one with a closed form"),
        (lambda: chance_level(_rule(AB, rules.even_count, "a"), AB, [[0]], end=0.0), "found end=0.0"),
    ],
)
def test_bad_input_is_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()
