"""Laws of words over a few symbols: what is drawn for training, all words where they are few, the entropy of the law.

A word is an array of places in the alphabet's symbols, padded with zeros behind its length. All draws have static
shapes and work under `jit` and `vmap`; entropies are computed on the host in float64.
"""

import dataclasses
import math
from typing import Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key
from scipy.special import gammaln

from identax.checks import check_choice, is_integer
from identax.rng import stream

Words = tuple[Int[Array, "num W"], Int[Array, " num"]]
_KINDS = ("all", "even", "odd")


@runtime_checkable
class Generator(Protocol):
    """A law of words of at most `max_length` = M symbols. Equal generators are equal and hashable, as frozen
    dataclasses are, so that programs are shared."""

    @property
    def num_symbols(self) -> int:
        """How many symbols an alphabet must have; a word holds places in it, 0 .. num_symbols - 1."""
        ...

    def longest(self, max_length: int) -> int:
        """W, the symbols of the longest word: columns of what `draw` gives."""
        ...

    def lengths(self, max_length: int) -> tuple[int, ...]:
        """The lengths that can be asked for, ascending; none if M is too small for any word."""
        ...

    def words(self, max_length: int) -> list[tuple[int, ...]] | None:
        """All words, shortest first, each once: all are equally likely. None where they are too many to list."""
        ...

    def draw(self, key: Key[Array, ""], num: int, max_length: int, length: int | None) -> Words:
        """Words [num, W], 0 behind their ends, and their lengths [num]; all of `length` symbols if it is given.

        Runs under `jit` with all but the key static.
        """
        ...

    def entropy(self, max_length: int) -> float:
        """Entropy of the law of words, nats per word."""
        ...


@dataclasses.dataclass(frozen=True)
class Powers:
    """Words s_1^n s_2^n ... with n uniform on 1..M // len(pattern): a^n b^n is (0, 1), a^n b^n a^n is (0, 1, 0).

    `powers`: "all" n, "even" or "odd" ones. `words` lists them all, shortest first.
    Raises `ValueError` for another word in `powers`, and a pattern that is empty or holds no places 0, 1, ...
    Source: Reizinger et al. 2024 and Meszaros et al. 2024 (published code).
    """

    pattern: tuple[int, ...]
    powers: Literal["all", "even", "odd"] = "all"

    def __post_init__(self):
        check_choice("Powers", "powers", self.powers, _KINDS)
        if isinstance(self.pattern, list):
            object.__setattr__(self, "pattern", tuple(self.pattern))
        whole = isinstance(self.pattern, tuple) and all(map(is_integer, self.pattern))
        if not whole or not self.pattern or min(self.pattern) < 0:
            raise ValueError(f"Powers: found the pattern {self.pattern}, wanted places of symbols, at least one")

    @property
    def num_symbols(self) -> int:
        """How many symbols an alphabet must have."""
        return max(self.pattern) + 1

    def allowed(self, max_length: int) -> tuple[int, ...]:
        """The powers n that fit."""
        first, step = {"all": (1, 1), "even": (2, 2), "odd": (1, 2)}[self.powers]
        return tuple(range(first, max_length // len(self.pattern) + 1, step))

    def longest(self, max_length: int) -> int:
        """Symbols of the longest word."""
        return max(self.lengths(max_length), default=0)

    def lengths(self, max_length: int) -> tuple[int, ...]:
        """The lengths that words have."""
        return tuple(len(self.pattern) * n for n in self.allowed(max_length))

    def words(self, max_length: int) -> list[tuple[int, ...]]:
        """All of them."""
        return [tuple(np.repeat(self.pattern, n).tolist()) for n in self.allowed(max_length)]

    def draw(self, key: Key[Array, ""], num: int, max_length: int, length: int | None) -> Words:
        """Words and their lengths; all of one length if it is given."""
        allowed = self.allowed(max_length) if length is None else (length // len(self.pattern),)
        n = jnp.asarray(allowed, jnp.int32)[jax.random.randint(key, (num,), 0, len(allowed))]
        place = jnp.arange(self.longest(max_length))[None, :] // n[:, None]
        words = jnp.asarray(self.pattern, jnp.int32)[jnp.minimum(place, len(self.pattern) - 1)]
        return _cut(words, len(self.pattern) * n), len(self.pattern) * n

    def entropy(self, max_length: int) -> float:
        """ln of how many there are, in nats per word."""
        return math.log(len(self.allowed(max_length)))


@dataclasses.dataclass(frozen=True)
class EqualShuffle:
    """n uniform on 1..M // 2; n of either symbol in a uniform order (Reizinger et al. 2024, published code)."""

    num_symbols: int = 2

    def longest(self, max_length: int) -> int:
        """Symbols of the longest word."""
        return max_length // 2 * 2

    def lengths(self, max_length: int) -> tuple[int, ...]:
        """The lengths that words have."""
        return tuple(range(2, max_length + 1, 2))

    def words(self, max_length: int) -> None:
        """Too many to list."""
        return None

    def draw(self, key: Key[Array, ""], num: int, max_length: int, length: int | None) -> Words:
        """Words and their lengths."""
        n = _uniform(stream(key, "n"), num, 1, max_length // 2) if length is None else jnp.full(num, length // 2)
        shuffled = _shuffled(stream(key, "order"), n, 2 * n, self.longest(max_length))
        return _cut(1 - shuffled, 2 * n), 2 * n

    def entropy(self, max_length: int) -> float:
        """ln N + mean_n ln C(2n, n), N = M // 2, in nats per word."""
        n = np.arange(1, max_length // 2 + 1)
        return float(math.log(len(n)) + _log_binomial(2 * n, n).mean())


@dataclasses.dataclass(frozen=True)
class TwoBlocks:
    """a^i b^j with i + j = M - 2 and i uniform on 1..M - 3: all words have one length (published code)."""

    num_symbols: int = 2

    def longest(self, max_length: int) -> int:
        """Symbols of every word."""
        return max_length - 2

    def lengths(self, max_length: int) -> tuple[int, ...]:
        """Any length of at least 2 can be asked for; drawn is M - 2."""
        return tuple(range(2, max_length - 1))

    def words(self, max_length: int) -> list[tuple[int, ...]]:
        """All of them."""
        size = max_length - 2
        return [(0,) * i + (1,) * (size - i) for i in range(1, size)]

    def draw(self, key: Key[Array, ""], num: int, max_length: int, length: int | None) -> Words:
        """Words and their lengths."""
        size = max_length - 2 if length is None else length
        first = _uniform(key, num, 1, size - 1)
        words = (jnp.arange(self.longest(max_length))[None, :] >= first[:, None]).astype(jnp.int32)
        return _cut(words, jnp.full(num, size)), jnp.full(num, size)

    def entropy(self, max_length: int) -> float:
        """ln(M - 3), in nats per word."""
        return math.log(max_length - 3)


@dataclasses.dataclass(frozen=True)
class EvenTail:
    """l uniform on 1..M, A uniform on 0..(l - 1) // 2: l - 2A of the second symbol and 2A of the first one.

    `shuffled`: one of the second symbol, then all others in uniform order (L1); else b^(l - 2A) a^(2A) (L2).
    Source: Meszaros et al. 2024 (published code).
    """

    shuffled: bool
    num_symbols: int = 2

    def longest(self, max_length: int) -> int:
        """Symbols of the longest word."""
        return max_length

    def lengths(self, max_length: int) -> tuple[int, ...]:
        """The lengths that words have."""
        return tuple(range(1, max_length + 1))

    def words(self, max_length: int) -> None:
        """Too many to list."""
        return None

    def draw(self, key: Key[Array, ""], num: int, max_length: int, length: int | None) -> Words:
        """Words and their lengths."""
        total = _uniform(stream(key, "length"), num, 1, max_length) if length is None else jnp.full(num, length)
        half = jax.random.randint(stream(key, "half"), (num,), 0, (total - 1) // 2 + 1)
        if self.shuffled:
            rest = _shuffled(stream(key, "order"), 2 * half, total - 1, max_length - 1)
            words = jnp.concatenate([jnp.ones((num, 1), jnp.int32), 1 - rest], axis=1)
        else:
            words = (jnp.arange(max_length)[None, :] < (total - 2 * half)[:, None]).astype(jnp.int32)
        return _cut(words, total), total

    def entropy(self, max_length: int) -> float:
        """ln M + mean over l of ln((l - 1) // 2 + 1), and if shuffled E ln C(l - 1, 2A): nats per word."""
        found = math.log(max_length)
        for size in range(1, max_length + 1):
            half = np.arange((size - 1) // 2 + 1)
            orders = _log_binomial(size - 1, 2 * half).mean() if self.shuffled else 0.0
            found += (math.log(len(half)) + orders) / max_length
        return float(found)


def _uniform(key, num, low, high):
    return jax.random.randint(key, (num,), low, high + 1)


def _shuffled(key, ones, size, width):
    """Rows [num, width] with `ones` ones in a uniform order among the first `size` columns."""
    place = jnp.arange(width)[None, :]
    level = jnp.where(place < size[:, None], jax.random.uniform(key, (len(size), width)), 2.0)
    rank = jnp.argsort(jnp.argsort(level, axis=1), axis=1)
    return (rank < ones[:, None]).astype(jnp.int32)


def _cut(words, lengths):
    return jnp.where(jnp.arange(words.shape[1])[None, :] < lengths[:, None], words, 0)


def _log_binomial(n, k):
    return gammaln(np.add(n, 1.0)) - gammaln(np.add(k, 1.0)) - gammaln(np.subtract(n, k) + 1.0)
