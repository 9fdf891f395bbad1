"""Prompts that a language can and cannot continue, and the completed rows of oracle and adversarial training."""

import dataclasses
import functools
import itertools
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Int, Key

from identax.checks import check_choice, check_count
from identax.dgp.languages.alphabet import Alphabet
from identax.dgp.languages.generators import Generator
from identax.dgp.languages.rules import Rule
from identax.rng import stream

MAX_PROMPTS = 2**20


class Prompts(NamedTuple):
    """Prompts on the host: `tokens` int32 [P, L + 1] with SOS in front, `within` bool [P]: in distribution or not."""

    tokens: Any
    within: Any

    def in_distribution(self) -> Int[np.ndarray, "P T"]:
        """Those that the language can continue; raises `ValueError` if there is none."""
        return self._chosen(self.within, "in")

    def out_of_distribution(self) -> Int[np.ndarray, "P T"]:
        """Those that it cannot continue; raises `ValueError` if there is none, as where every string is a prefix."""
        return self._chosen(~self.within, "out of")

    def _chosen(self, mask, which):
        if not mask.any():
            raise ValueError(f"Prompts: found none of {len(mask)} prompts {which} distribution, wanted at least one")
        return self.tokens[mask]


@runtime_checkable
class PromptLaw(Protocol):
    """How the prompts of a language are made. Equal laws are equal and hashable, as frozen dataclasses are."""

    @property
    def num(self) -> int | None:
        """Prompts drawn of either kind, a field that `dataclasses.replace` changes; None where none is drawn."""
        ...

    def make(self, alphabet: Alphabet, length: int, key: Key[Array, ""] | None, split: str) -> Prompts:
        """Prompts [P, L + 1] of L = `length` symbols behind SOS, and which of them [P] are in distribution.

        `split`: "published" or "completable", of which a law may know one; `key` is None where the caller has none.
        Raises `ValueError` where a key is needed and missing, and for lengths that no prompt has.
        """
        ...


@dataclasses.dataclass(frozen=True)
class AllStrings:
    """All strings of `length` symbols in lexicographic order, told apart by a rule of prefixes.

    `published`: what the code of the paper calls in distribution; `completable`: exactly the prefixes of strings of the
    language, if these may be as long as they need. They differ for a^n b^n a^n and a^n b^m.
    """

    published: Rule
    completable: Rule

    @property
    def num(self) -> None:
        """No prompt is drawn."""
        return None

    def make(self, alphabet: Alphabet, length: int, key: Key[Array, ""] | None, split: str) -> Prompts:
        """All prompts. Raises `ValueError` for more than about a million of them."""
        count = len(alphabet.symbols) ** length
        if count > MAX_PROMPTS:
            raise ValueError(f"prompts: found {len(alphabet.symbols)}^{length} strings, wanted at most {MAX_PROMPTS}")
        symbols = np.array(list(itertools.product(alphabet.symbols, repeat=length)), np.int32)
        tokens = np.concatenate([np.full((count, 1), alphabet.sos, np.int32), symbols], axis=1)
        rule = self.published if split == "published" else self.completable
        return Prompts(tokens, np.asarray(rule(tokens)))


@dataclasses.dataclass(frozen=True)
class BlockPrompts:
    """`num` prompts b^i a^(L - i) and `num` a b^i a^(L - 1 - i), i uniform on 1..L - 1 (L2 of Meszaros et al. 2024)."""

    num: int = 128

    def make(self, alphabet: Alphabet, length: int, key: Key[Array, ""] | None, split: str) -> Prompts:
        """The first `num` are in distribution. Raises `ValueError` without a key, and for a length below 2."""
        check_count("prompts", "length", length, 2)
        rng_key = _given(key)
        blocks = []
        for name, front in (("within", 0), ("beyond", 1)):
            i = np.asarray(jax.random.randint(stream(rng_key, name), (self.num, 1), 1, length))
            place = np.arange(length)[None, :] - front
            blocks.append(np.where((place >= 0) & (place < i), 1, 0))
        return _two_halves(alphabet, np.concatenate(blocks))


@dataclasses.dataclass(frozen=True)
class BracketPrompts:
    """ "( [ w" in and ") [ w" out of distribution: w one of `num` words of exactly `length` symbols, without rejection.

    Source: Meszaros et al. 2024, L4 and L6 (published code, which rejects words until the length fits).
    """

    generator: Generator
    num: int = 32

    def make(self, alphabet: Alphabet, length: int, key: Key[Array, ""] | None, split: str) -> Prompts:
        """The first `num` are in distribution. Raises `ValueError` without a key and for odd lengths."""
        check_length("prompts", self.generator, length, length)
        words = np.asarray(_words(self.generator, _given(key), self.num, length))

        def headed(first):
            return np.concatenate([np.tile([[first, 2]], (self.num, 1)), words], axis=1)

        return _two_halves(alphabet, np.concatenate([headed(0), headed(1)]))


def oracle_rows(alphabet: Alphabet, prompts: Any) -> Int[np.ndarray, "P T"]:
    """Prompts completed so that all symbols come equally often: prompt, what is missing, EOS; padded to the longest.

    prompts [P, L + 1] with SOS. Of two symbols that differ by d: prompt m^d EOS, m the rarer one. Of more: what is
    missing of each, in the alphabet's order. Raises `ValueError` for no prompts, unknown tokens, and prompts that have
    ended or are padded.
    Source: Reizinger et al. 2024 (published code, "extrapolation training").
    """
    return _completed("oracle_rows", alphabet, prompts, extra=0)


def adversarial_rows(alphabet: Alphabet, prompts: Any) -> Int[np.ndarray, "P T"]:
    """`oracle_rows` with one more of the rarest symbol (the last of several): prompt m^(d + 1) EOS, never balanced.

    Raises `ValueError` as `oracle_rows`. Source: Reizinger et al. 2024 (published code, "adversarial training").
    """
    return _completed("adversarial_rows", alphabet, prompts, extra=1)


def check_unended(where: str, alphabet: Alphabet, rows: np.ndarray) -> None:
    """Raises `ValueError` for prompts with EOS or padding in them: what is put behind would not belong to them."""
    if np.isin(rows, (alphabet.eos, alphabet.pad)).any():
        raise ValueError(f"{where}: found prompts with EOS or PAD in them, wanted SOS and symbols alone")


def check_length(where: str, generator: Generator, length: Any, max_length: int) -> None:
    """Raises `ValueError` unless the generator has words of that many symbols, at most `max_length`."""
    check_count(where, "length", length)
    lengths = generator.lengths(max_length)
    if length not in lengths:
        near = sorted(lengths, key=lambda one: abs(one - length))[:2]
        wanted = f"one of its lengths, such as {sorted(near)}" if near else "a longer one"
        raise ValueError(
            f"{where}: found length={length}, of which the language has no string with M={max_length}; wanted {wanted}"
        )


def check_split(split: Literal["published", "completable"]) -> None:
    """Raises `ValueError` for another word."""
    check_choice("prompts", "split", split, ("published", "completable"))


def _completed(where, alphabet, prompts, extra):
    rows = np.asarray(alphabet.tokens(where, prompts))
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{where}: found prompts {rows.shape}, wanted [P, L + 1] with P >= 1")
    check_unended(where, alphabet, rows)
    counts = np.stack([(rows == symbol).sum(axis=1) for symbol in alphabet.symbols], axis=1)
    found = []
    for row, count in zip(rows.tolist(), counts, strict=True):
        missing = count.max() - count
        if extra:
            rarest = len(count) - 1 - int(np.argmax(missing[::-1]))
            missing[rarest] += extra
        tail = np.repeat(alphabet.symbols, missing).tolist()
        found.append([*row, *tail, alphabet.eos])
    width = max(map(len, found))
    return np.array([row + [alphabet.pad] * (width - len(row)) for row in found], np.int32)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _words(generator, key, num, length):
    return generator.draw(key, num, length, length)[0]


def _given(key):
    if key is None:
        raise ValueError("prompts: found no key, wanted one: the prompts of this language are random")
    return key


def _two_halves(alphabet, places):
    symbols = np.asarray(alphabet.symbols, np.int32)[places]
    tokens = np.concatenate([np.full((len(places), 1), alphabet.sos, np.int32), symbols], axis=1)
    return Prompts(tokens, np.arange(len(places)) < len(places) // 2)
