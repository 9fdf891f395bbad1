"""Tokens by their roles: the start, the end, the padding and the symbols of strings."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from identax.checks import check_between, check_count, concrete, is_integer
from identax.inputs import numbers


@dataclasses.dataclass(frozen=True)
class Alphabet:
    """The numbers of the tokens: start of string, end, padding, and the symbols in the order that a language has.

    A row is [SOS, symbols, EOS, PAD, ...]. `letters`: how symbols are written, one character each.
    Raises `ValueError` for numbers that are negative or come twice, no symbol, and another number of letters.
    """

    sos: int
    eos: int
    pad: int
    symbols: tuple[int, ...]
    letters: str = ""

    def __post_init__(self):
        # A list or an array of symbols as well: what is made static must be hashable.
        if not isinstance(self.symbols, tuple):
            object.__setattr__(self, "symbols", tuple(np.asarray(self.symbols).reshape(-1).tolist()))
        ids = (self.sos, self.eos, self.pad, *self.symbols)
        if not self.symbols or len(set(ids)) < len(ids) or not all(is_integer(one) and one >= 0 for one in ids):
            raise ValueError(f"Alphabet: found tokens {ids}, wanted different integers >= 0 and at least one symbol")
        if not self.letters:
            object.__setattr__(self, "letters", "abcdefghijklmnopqrstuvwxyz"[: len(self.symbols)])
        if len(set(self.letters)) != len(self.symbols) or len(self.letters) != len(self.symbols):
            raise ValueError(
                f"Alphabet: found letters {self.letters!r} for {len(self.symbols)} symbols, wanted one for each"
            )

    @property
    def size(self) -> int:
        """How many logits a model needs: the largest number and one."""
        return max(self.sos, self.eos, self.pad, *self.symbols) + 1

    def tokens(self, where: str, value: Any) -> Int[Array | np.ndarray, "..."]:
        """`value` as an array of tokens; raises `ValueError` for what is no integer and, if known, none of these."""
        value = numbers(where, "tokens", value)
        if not jnp.issubdtype(value.dtype, jnp.integer) and value.size:
            raise ValueError(f"{where}: found tokens of type {value.dtype}, wanted integers")
        known = concrete(value)
        if known is not None:
            ids = (self.sos, self.eos, self.pad, *self.symbols)
            wrong = known[~np.isin(known, ids)]
            if wrong.size:
                raise ValueError(f"{where}: found the unknown token {wrong.flat[0]}, wanted one of {sorted(ids)}")
        return value if isinstance(value, jax.Array) else value.astype(np.int32)

    def row(self, word: str, columns: int | None = None, *, end: bool = True) -> Int[np.ndarray, " T"]:
        """The row of one string such as "aabb", padded to `columns`; without EOS and padding if not `end`.

        Raises `ValueError` for letters that are none of these, and a string too long for the columns.
        """
        unknown = sorted(set(word) - set(self.letters))
        if unknown:
            raise ValueError(f"Alphabet.row: found the unknown letter {unknown[0]!r}, wanted those of {self.letters!r}")
        found = [self.sos, *(self.symbols[self.letters.index(letter)] for letter in word)]
        found += [self.eos] if end else []
        if columns is not None and not is_integer(columns):
            raise ValueError(f"Alphabet.row: found columns={columns!r}, wanted an integer")
        if columns is not None and len(found) > columns:
            raise ValueError(f"Alphabet.row: found {word!r} of {len(found)} tokens, wanted at most {columns}")
        return np.array(found + [self.pad] * ((columns or len(found)) - len(found)), np.int32)

    def rows(self, words: Sequence[str], columns: int | None = None) -> Int[np.ndarray, "N T"]:
        """`row` of several strings, padded to `columns` or to the longest. Raises `ValueError` for none."""
        if not len(words):
            raise ValueError("Alphabet.rows: found no string, wanted at least one")
        columns = max(map(len, words)) + 2 if columns is None else columns
        return np.stack([self.row(word, columns) for word in words])

    def text(self, row: Any) -> str:
        """The symbols of one row [T] up to its first EOS, as letters. Raises `ValueError` for several rows."""
        row = np.asarray(self.tokens("Alphabet.text", row))
        if row.ndim != 1:
            raise ValueError(f"Alphabet.text: found tokens {row.shape}, wanted one row [T]")
        row = row.tolist()
        until = row.index(self.eos) if self.eos in row else len(row)
        return "".join(self.letters[self.symbols.index(one)] for one in row[:until] if one in self.symbols)

    def framed(
        self, words: Int[Array, "N W"], lengths: Int[Array, " N"], columns: int | None = None
    ) -> Int[Array, "N T"]:
        """Rows of words given as places in `symbols`, of which the first `lengths` count: SOS, word, EOS, PAD.

        T is `columns`, by default W + 2 and never less.
        Raises `ValueError` for fewer columns, and for places and lengths that words of W symbols cannot have.
        """
        columns = words.shape[1] + 2 if columns is None else columns
        check_count("Alphabet.framed", "columns", columns, words.shape[1] + 2)
        check_between("Alphabet.framed", "words", words, 0, len(self.symbols) - 1)
        check_between("Alphabet.framed", "lengths", lengths, 0, words.shape[1])
        words, lengths = jnp.asarray(words), jnp.asarray(lengths)
        place = jnp.arange(columns)[None, :]
        symbols = jnp.asarray(self.symbols, jnp.int32)[words]
        shifted = jnp.pad(symbols, ((0, 0), (1, max(columns - 1 - words.shape[1], 0))))[:, :columns]
        end = lengths[:, None] + 1
        row = jnp.where(place == 0, self.sos, jnp.where(place < end, shifted, self.pad))
        return jnp.where(place == end, self.eos, row).astype(jnp.int32)


AB_LAST = Alphabet(sos=2, eos=3, pad=4, symbols=(0, 1))
"""that of Reizinger et al. 2024: the symbols come first"""
AB = Alphabet(sos=0, eos=1, pad=2, symbols=(3, 4))
"""those of Meszaros et al. 2024: special tokens come first"""
ABC = Alphabet(sos=0, eos=1, pad=2, symbols=(3, 4, 5))
BRACKETS = Alphabet(sos=0, eos=1, pad=2, symbols=(3, 4, 5, 6), letters="()[]")
