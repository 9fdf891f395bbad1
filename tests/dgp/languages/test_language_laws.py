"""Laws of strings: entropies against enumeration to 1e-9, samplers against exact laws, words of a length asked for."""

import collections
import itertools
import math

import jax
import numpy as np
import pytest

from identax.dgp.languages import (
    AB,
    LANGUAGES,
    Alphabet,
    EqualShuffle,
    EvenTail,
    NestedBrackets,
    Powers,
    ShuffledBrackets,
    TwoBlocks,
    conditional_openings,
    language,
    score,
)
from tests.dgp.languages.walks import entropy, mixed, nested_law, shuffled_law
from tests.eager import compiled_by_second_call

M = 6


def _orders(word):
    return set(itertools.permutations(word))


def _equal(top):
    return mixed(
        [{"".join(w): 1 / len(_orders(base)) for w in _orders(base)} for base in ("ab" * n for n in _halves(top))]
    )


def _halves(top):
    return range(1, top // 2 + 1)


def _even_tail(top, shuffled):
    laws = []
    for size in range(1, top + 1):
        of_size = []
        for half in range((size - 1) // 2 + 1):
            a, b = "a" * (2 * half), "b" * (size - 1 - 2 * half)
            words = {"b" + "".join(w) for w in _orders(a + b)} if shuffled else {"b" + b + a}
            of_size.append(dict.fromkeys(words, 1 / len(words)))
        laws.append(mixed(of_size))
    return mixed(laws)


def _uniform(top, prime):
    laws = []
    for half in _halves(top):
        words = {
            "".join(w) for w in nested_law(2 * half, prime=False) if not prime or w in nested_law(2 * half, prime=True)
        }
        words = {w for w in words if len(w) == 2 * half}
        laws.append(dict.fromkeys(words, 1 / len(words)))
    return mixed(laws)


LAWS = {
    "a^n b^n": (Powers((0, 1)), lambda top: mixed([{"a" * n + "b" * n: 1.0} for n in _halves(top)])),
    "even powers": (Powers((0, 1), "even"), lambda top: mixed([{"aabb": 1.0}, {"aaaabbbb": 1.0}][: top // 4])),
    "a^n b^n a^n": (
        Powers((0, 1, 0)),
        lambda top: mixed([{"a" * n + "b" * n + "a" * n: 1.0} for n in range(1, top // 3 + 1)]),
    ),
    "equal counts": (EqualShuffle(), _equal),
    "a^n b^m": (TwoBlocks(), lambda top: mixed([{"a" * i + "b" * (top - 2 - i): 1.0} for i in range(1, top - 2)])),
    "L1": (EvenTail(shuffled=True), lambda top: _even_tail(top, True)),
    "L2": (EvenTail(shuffled=False), lambda top: _even_tail(top, False)),
    "L4": (NestedBrackets(), lambda top: mixed([nested_law(2 * n) for n in _halves(top)])),
    "L4, all words": (
        NestedBrackets(prime=False),
        lambda top: mixed([nested_law(2 * n, prime=False) for n in _halves(top)]),
    ),
    "L4, uniform": (NestedBrackets(prime=False, law="uniform"), lambda top: _uniform(top, False)),
    "L4, uniform prime": (NestedBrackets(law="uniform"), lambda top: _uniform(top, True)),
    "L6": (ShuffledBrackets(), lambda top: mixed([shuffled_law(2 * n) for n in _halves(top)])),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_entropy_is_that_of_the_enumerated_law(name):
    generator, law = LAWS[name]
    for top in (4, 5, 8):
        np.testing.assert_allclose(generator.entropy(top), entropy(law(top)), rtol=0, atol=1e-9)


def test_other_numbers_of_kinds_have_their_entropy():
    for prime in (True, False):
        law = mixed([nested_law(2 * n, prime=prime, kinds="(") for n in range(1, 6)])
        np.testing.assert_allclose(NestedBrackets(kinds=1, prime=prime).entropy(10), entropy(law), atol=1e-9)


def test_the_floors_of_the_papers():
    floors = {name: language(name).entropy_floor() for name in LANGUAGES if name != "L6"}
    np.testing.assert_allclose(floors["a^n b^n"], math.log(128) / 257, rtol=1e-12)
    np.testing.assert_allclose(floors["a^n b^n a^n"], math.log(85) / 257, rtol=1e-12)
    np.testing.assert_allclose([floors["L1"], floors["L2"]], [0.27337, 0.036667], rtol=1e-5)
    np.testing.assert_allclose(language("a^n b^n", 32).entropy_floor(), 0.084018, rtol=1e-5)


def _letters(generator):
    return {2: "ab", 4: "()[]"}[generator.num_symbols]


_MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("L4, uniform prime", "equal counts")]


@pytest.mark.parametrize("name", ["L1", "L4", "L4, uniform", "L6", *_MORE])
def test_draws_have_the_law(name, getkey):
    generator, law = LAWS[name]
    num, exact = 20_000, law(M)
    words, lengths = (np.asarray(one) for one in jax.jit(lambda key: generator.draw(key, num, M, None))(getkey()))
    letters = np.array(list(_letters(generator)))
    texts = ["".join(letters[word[:n]]) for word, n in zip(words, lengths, strict=True)]
    found = collections.Counter(texts)
    assert found.keys() <= exact.keys()
    for word, p in exact.items():
        assert abs(found[word] - num * p) < 6 * math.sqrt(num * p * (1 - p)) + 1, word


@pytest.mark.parametrize("prime", [True, False])
def test_the_conditional_walk_is_the_walk_given_its_length(prime):
    n = 8
    table = conditional_openings(n, prime=prime)
    walk = {word: p for word, p in nested_law(n, prime=prime).items() if len(word) == n}
    total = sum(walk.values())
    for word, p in walk.items():
        found, depth = 1.0, 0
        for t, symbol in enumerate(word):
            opening = table[t, depth]
            found *= opening / 2 if symbol in "([" else 1 - opening
            depth += 1 if symbol in "([" else -1
        np.testing.assert_allclose(found, p / total, rtol=1e-10)
    assert (total < 0.6) if prime else (abs(total - 1) < 1e-12)  # prime words often end before


def test_long_words_of_an_exact_length_need_no_rejection(getkey):
    lang = language("L4", 128)
    rows = np.asarray(lang.sample(getkey(), 16, length=128))
    assert (rows[:, -1] == lang.alphabet.eos).all() and score(lang, rows, 0).grammatical.all()
    assert len({tuple(row) for row in rows}) == 16


def test_rows_are_framed_and_grammatical_and_compile_once(getkey):
    for name in ("a^n b^m",):
        lang = language(name, 12)
        rows = np.asarray(lang.sample(getkey(), 64))
        assert rows.dtype == np.int32 and rows.shape == (64, 14)
        assert lang.grammar(rows).all() and not (rows[:, 1] == lang.alphabet.eos).any()
        assert ((rows == lang.alphabet.eos).sum(axis=1) == 1).all() and (rows[:, 0] == lang.alphabet.sos).all()
    lang = language("L2", 12)
    keys = getkey(), getkey()
    assert compiled_by_second_call(lambda key: lang.sample(key, 64), keys[:1], keys[1:]) == 0
    assert language("L2", 12) is lang
    together = jax.vmap(lambda key: lang.sample(key, 64))(jax.numpy.stack(keys))
    np.testing.assert_array_equal(together[1], lang.sample(keys[1], 64))


def test_all_strings_of_a_law_are_listed_once():
    lang = language("a^n b^n", 32)
    rows = lang.strings()
    assert rows.shape == (16, 34) and [lang.alphabet.text(row) for row in rows[:2]] == ["ab", "aabb"]
    assert score(lang, rows, 0).grammatical.all()
    assert language("a^n b^m", 12).strings().shape == (9, 14)
    four = Alphabet(0, 1, 2, (3, 4, 5, 6))
    longer = language("L5", 12)
    assert [longer.alphabet.text(row) for row in longer.strings()][-1] == "aaaabbbbcccc"
    assert four.letters == "abcd" and Powers((0, 1, 2, 3)).words(8)[-1] == (0, 0, 1, 1, 2, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda key: language("a^n b^n", 12).sample(key, 2, length=5), "no string with M=12; .* such as \\[4, 6\\]"),
        (lambda key: language("L4", 12).sample(key, 2, length=14), "no string"),
        (lambda key: language("L1", 12).sample(key, 0), "num=0"),
        (lambda key: language("L1", 12).strings(), "wanted sample"),
        (lambda key: language("L4", 10**9), "found max_length=1000000000, wanted a number from 1 to 16384"),
        (lambda key: language("a^n b^n", 5000).strings(), "found M=5000, wanted at most 4096 to list all"),
        (lambda key: conditional_openings(5), "wanted an even number"),
        (lambda key: language("a^n b^n", 12, generator=NestedBrackets()), "found 2 symbols, wanted 4"),
        (lambda key: language("L3", 1), "no string with M=1"),
        (lambda key: AB.text([7]), "unknown token 7"),
    ],
)
def test_bad_input_is_refused(call, part, getkey):
    with pytest.raises(ValueError, match=part):
        call(getkey())
