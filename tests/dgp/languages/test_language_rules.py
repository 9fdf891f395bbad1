"""Every rule against a regular expression or a loop in Python, on all strings; what counts in a row, and scores."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.languages import (
    AB,
    AB_LAST,
    ABC,
    BRACKETS,
    Alphabet,
    Powers,
    Rule,
    all_of,
    conditional_openings,
    counted,
    language,
    rules,
    score,
    shares,
)
from tests.eager import compiled_by_second_call

A, B = AB.symbols


def _matched(word, pairs):
    """Dyck words of all `pairs` together, by removing what stands side by side."""
    word = "".join(one for one in word if one in pairs)
    while any(pair in word for pair in re.findall("..", pairs)):
        for pair in re.findall("..", pairs):
            word = word.replace(pair, "")
    return word == ""


CASES = {
    "equal counts": (AB, rules.equal_counts, "ab", lambda w: w.count("a") == w.count("b")),
    "equal counts of three": (ABC, rules.equal_counts, "abc", lambda w: w.count("a") == w.count("b") == w.count("c")),
    "double": (AB, rules.double_count, "ab", lambda w: w.count("a") == 2 * w.count("b")),
    "even": (AB, rules.even_count, "a", lambda w: w.count("a") % 2 == 0),
    "even after": (AB, rules.even_count_after, "ab", lambda w: w.split("b")[-1].count("a") % 2 == 0),
    "begins": (AB, rules.begins_with, "ba", lambda w: w.startswith("b")),
    "occur": (AB, rules.occurs, "ab", lambda w: {"a", "b"} <= set(w)),
    "in order": (AB, rules.in_order, "ab", lambda w: re.fullmatch("a*b*", w)),
    "in order of three": (ABC, rules.in_order, "abc", lambda w: re.fullmatch("a*b*c*", w)),
    "begun": (AB, rules.begun_in_order, "ba", lambda w: re.fullmatch("b+a*", w)),
    "in middle": (
        AB,
        rules.in_middle,
        "ab",
        lambda w: "b" not in w or ((m := re.fullmatch("(a*)b+(a*)", w)) and m[1] == m[2]),
    ),
    "balanced": (BRACKETS, rules.balanced, "()", lambda w: _matched(w, "()")),
    "nested": (BRACKETS, rules.nested, "()[]", lambda w: _matched(w, "()[]")),
    "begins a^n b^n": (
        AB,
        rules.equal_prefix,
        "ab",
        lambda w: re.fullmatch("a*b*", w) and w.count("a") >= w.count("b"),
    ),
    "begins a^n b^n c^n": (
        ABC,
        rules.equal_prefix,
        "abc",
        lambda w: any(("a" * n + "b" * n + "c" * n).startswith(w) for n in range(9)),
    ),
    "begins a^n b^n a^n": (
        AB,
        rules.mirrored_prefix,
        "ab",
        lambda w: any(("a" * n + "b" * n + "a" * n).startswith(w) for n in range(9)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_its_definition_on_all_strings(name):
    alphabet, check, letters, wanted = CASES[name]
    longest = 6 if len(alphabet.symbols) == 4 else 8 if len(alphabet.symbols) == 2 else 7
    words = ["".join(w) for n in range(longest + 1) for w in itertools.product(alphabet.letters, repeat=n)]
    symbols = tuple(alphabet.symbols[alphabet.letters.index(letter)] for letter in letters)
    truth = np.array([bool(wanted(word)) for word in words])
    assert 0 < truth.sum() < len(truth)
    np.testing.assert_array_equal(Rule(name, check, symbols)(alphabet.rows(words)), truth)


def test_columns_that_do_not_count_are_not_looked_at():
    row = np.array([[0, A, B, B, 1, A, A, 2]])
    rule = Rule("equal", rules.equal_counts, (A, B))
    until = np.arange(8)[None, :] < 3
    assert not rule(row) and rule(row, until) and not rule(row, np.arange(8)[None, :] < 4)
    nested = Rule("nested", rules.nested, BRACKETS.symbols)
    brackets = BRACKETS.rows(["([)]", "([])"])
    np.testing.assert_array_equal(nested(brackets), [False, True])
    np.testing.assert_array_equal(nested(brackets, np.isin(brackets, BRACKETS.symbols[:2])), [True, True])


def test_rules_run_under_jit_and_vmap_on_any_leading_axes_and_compile_once():
    rows = AB.rows(["".join(w) for w in itertools.product("ab", repeat=4)]).reshape(2, 8, 6)
    rule = all_of(Rule("in order", rules.in_order, (A, B)), Rule("equal", rules.equal_counts, (A, B)))
    found = rule(rows)
    assert found.shape == (2, 8) and found.sum() == 1
    np.testing.assert_array_equal(jax.jit(jax.vmap(jax.vmap(rule)))(jnp.asarray(rows)), found)
    nested = Rule("nested", rules.nested, (A, B))
    assert compiled_by_second_call(nested, (rows[0],), (rows[1],)) == 0


def test_the_510_strings_of_the_dynamics_figure_are_of_four_groups():
    found = language("L3")
    words = ["".join(w) for n in range(1, 9) for w in itertools.product("ab", repeat=n)]
    rows = AB.rows(words)
    one, two = np.asarray(found.rule1(rows)), np.asarray(found.rule2(rows))
    assert len(words) == 510
    assert [(one & two).sum(), (one & ~two).sum(), (~one & two).sum(), (~one & ~two).sum()] == [4, 94, 40, 372]


def test_both_readings_of_finished():
    alphabet = AB_LAST
    rows = np.array(
        [[2, 0, 1, 3, 4, 4], [2, 0, 1, 3, 0, 4], [2, 0, 1, 0, 1, 0], [2, 0, 3, 1, 3, 4], [2, 3, 3, 4, 4, 4]]
    )
    lang = language("a^n b^n", 4)
    until, whole = (score(lang, rows, 1, reading=reading) for reading in ("until EOS", "whole row"))
    np.testing.assert_array_equal(until.finished, [True, True, False, True, True])
    np.testing.assert_array_equal(whole.finished, [True, False, False, False, True])
    np.testing.assert_array_equal(until.rule1, [True, True, False, False, True])
    np.testing.assert_array_equal(whole.rule1, [True, False, False, True, True])
    np.testing.assert_array_equal(until.grammatical, [True, True, False, False, False])  # the last string is empty
    np.testing.assert_array_equal(counted(alphabet, rows[1])[1], [[False, True, True, False, False, False]][0])
    found = shares(until)
    np.testing.assert_allclose(
        [found["finished"], found["rule1"], found["rule1, finished"]], [0.8, 0.6, 0.75], rtol=1e-6
    )
    assert shares(score(lang, rows[2:3], 1))["rule1, finished"] == 0  # none is finished
    stray = np.array([[2, 0, 4, 1, 3, 4]])
    assert score(lang, stray, 1).rule1 and not score(lang, stray, 1).grammatical


def test_rule_two_of_the_completion_begins_behind_the_prompt_or_behind_the_mismatch():
    lang = language("L3", 8)
    rows = AB.rows(["baab", "baba"], 10)
    np.testing.assert_array_equal(score(lang, rows, 1).completion, [True, False])
    np.testing.assert_array_equal(score(lang, rows, 1).rule2, [False, False])
    np.testing.assert_array_equal(score(lang, rows, 3).completion, [True, True])
    brackets = language("L6", 10)
    rows = BRACKETS.rows([")[[]]()", ")[[]]("], 12)
    np.testing.assert_array_equal(score(brackets, rows, 4).completion, [True, False])
    nested, shuffled = (score(language(name, 8), BRACKETS.rows(["([)]"]), 0) for name in ("L4", "L6"))
    assert shuffled.grammatical and not nested.grammatical and nested.rule1 and nested.rule2


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: score(language("L3", 8), [[0, 9]], 0), "unknown token 9"),
        (lambda: score(language("L3", 8), [[0, 3]], 2), "wanted \\[N, T\\] with T >= 3"),
        (lambda: score(language("L3", 8), [[0.5, 3]], 0), "type float64, wanted integers"),
        (lambda: Rule("r", rules.in_order, (3, 4))([[0.0]]), "wanted integers"),
        (lambda: Rule("r", rules.in_order, (3, 4))([[3]], [True]), "wanted the same"),
        (lambda: Rule("r", rules.in_order, (3, 4))([[3]], [[np.nan]]), "valid of type float64, wanted booleans"),
        (lambda: Rule("r", rules.in_order, (3, 4))([[2**32 + 3]]), "found tokens from 4294967299"),
        (lambda: all_of(), "found no rule"),
        (lambda: counted(AB, 3), "found one token, wanted rows"),
        (lambda: shares(score(language("L3", 8), [[0, 3, 4, 1]], 0), [True, False]), r"counts of shape \(2,\)"),
        (lambda: shares(score(language("L3", 8), [[0, 3, 4, 1]], 0), [np.nan]), "1 non-finite entries in counts"),
        (lambda: AB.text([[0, 3], [0, 4]]), "wanted one row"),
        (lambda: AB.framed(jnp.array([[0, 1]]), jnp.array([2]), 3), "found columns=3, wanted at least 4"),
        (lambda: AB.framed(jnp.array([[0, 2]]), jnp.array([2])), "found words from 0 to 2, wanted 0 to 1"),
        (lambda: AB.framed(jnp.array([[0, 1]]), jnp.array([3])), "found lengths from 3 to 3, wanted 0 to 2"),
        (lambda: conditional_openings(4, 0), "kinds=0"),
        (lambda: AB.row("abc"), "unknown letter 'c'"),
        (lambda: AB.row("abab", 5), "wanted at most 5"),
        (lambda: AB.rows([]), "found no string"),
        (lambda: Alphabet(0, 1, 2, ()), "at least one symbol"),
        (lambda: Alphabet(0, 1, 1, (3,)), "wanted different integers"),
        (lambda: Alphabet(0, 1, 2, (3, 4), "a"), "one for each"),
        (lambda: language("L7"), "did you mean 'L"),
        (lambda: language("L5", alphabet=AB), "found an alphabet of 2 symbols, wanted 3"),
        (lambda: language("L5", 2), "found no string with M=2"),
    ],
)
def test_bad_input_is_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: AB.row("ab", 5.0), "columns=5.0"),
        (lambda: language("L3", 8.0), "max_length=8.0, wanted an integer"),
        (lambda: language(["L3"], 8), "did you mean"),
        (lambda: language("L3", 8, generator=5), "found generator=5"),
        (lambda: language("L3", 8, alphabet="ab"), "found alphabet='ab'"),
        (lambda: Powers((0.5, 1)), "wanted places of symbols"),
    ],
)
def test_arguments_of_other_types_are_refused(call, part, untyped):
    assert language("L3", 8) is language("L3", np.int64(8))  # nor is 8.0, which equals it, let through by a cache
    with pytest.raises(ValueError, match=part):
        call()


def test_rows_without_columns_and_other_sequences_of_symbols(untyped):
    """A stack of no entries, no column to look for an end in; lists where tuples are wanted."""
    empty = np.zeros((2, 0), int)
    for name in ("L1", "L3", "L4"):
        assert language(name, 8).grammar(empty).shape == (2,)
    assert language("L4", 8).rule1(empty).all() and not counted(AB, empty)[0].any()
    listed = Alphabet(0, 1, 2, [3, 4])
    assert listed == AB and hash(listed) == hash(AB) == hash(Alphabet(0, 1, 2, np.array([3, 4])))
    np.testing.assert_array_equal(language("L3", 8, generator=Powers([0, 1])).strings(), language("L3", 8).strings())
