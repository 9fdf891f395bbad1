"""Words of brackets: Dyck words as the published walks draw them, uniform ones, and both at an exact length.

Nothing is rejected: at a fixed length the step of the walk is conditioned on ending there, by a table that is computed
backwards in time (walks) or by ballot numbers (uniform words).
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import gammaln

from identax.checks import check_choice, check_count
from identax.dgp.languages.generators import Words
from identax.rng import stream


@dataclasses.dataclass(frozen=True)
class NestedBrackets:
    """Nested words of K kinds of brackets; symbols are (open, close, open, close, ...).

    n = 2 l, l uniform on 1..M // 2. A walk starts empty. Where nothing is open it opens one of K kinds; else it opens
    each kind or closes the last one, with 1 / (K + 1) each; where |word| + |open| >= n it closes. "walk": `prime` words
    stop as soon as nothing is open (the published code, and much shorter than n); all others go on to n symbols.
    "uniform": all words of n symbols have the same probability, among prime ones or all.
    Raises `ValueError` for kinds < 1 and another law.
    Source: Meszaros et al. 2024, L4 (published code).
    """

    kinds: int = 2
    prime: bool = True
    law: Literal["walk", "uniform"] = "walk"

    def __post_init__(self):
        check_count("NestedBrackets", "kinds", self.kinds)
        check_choice("NestedBrackets", "law", self.law, ("walk", "uniform"))

    @property
    def num_symbols(self) -> int:
        """How many symbols an alphabet must have."""
        return 2 * self.kinds

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
        """Words and their lengths. At a fixed length: the walk with n = length, given that it gets there."""
        width = self.longest(max_length)
        n = 2 * jax.random.randint(stream(key, "n"), (num,), 1, max_length // 2 + 1)
        if length is not None:
            n = jnp.full(num, length)
        table, last = None, (length or 0) - 1
        if length is not None and self.law == "walk":
            table = jnp.asarray(conditional_openings(length, self.kinds, prime=self.prime), float)
        depths = jnp.arange(width // 2 + 1)[None, :]

        def step(carry, column):
            stack, depth, done = carry
            t, level, kind = column
            if self.law == "uniform":
                opening = _uniform_opening(t, depth, n, self.prime)
            elif table is None:
                opening = jnp.where(t + depth >= n, 0.0, jnp.where(depth == 0, 1.0, self.kinds / (self.kinds + 1)))
            else:
                opening = table[jnp.minimum(t, last), depth]
            opens = level < opening
            top = jnp.where(depths == depth[:, None] - 1, stack, 0).sum(axis=1)
            word = jnp.where(opens, 2 * kind, 2 * top + 1)
            stack = jnp.where((depths == depth[:, None]) & opens[:, None], kind[:, None], stack)
            after = jnp.where(done, depth, depth + jnp.where(opens, 1, -1))
            ends = done | (after == 0) if self.prime else done | (t + 1 >= n)
            return (stack, after, ends), (jnp.where(done, 0, word), ~done)

        start = jnp.zeros((num, width // 2 + 1), jnp.int32), jnp.zeros(num, jnp.int32), jnp.zeros(num, bool)
        levels = jax.random.uniform(stream(key, "steps"), (width, num), float)
        chosen = jax.random.randint(stream(key, "kinds"), (width, num), 0, self.kinds, jnp.int32)
        _, (words, there) = jax.lax.scan(step, start, (jnp.arange(width), levels, chosen))
        return words.T.astype(jnp.int32), there.sum(axis=0)

    def entropy(self, max_length: int) -> float:
        """Entropy of a word in nats, l being unknown to who sees it; exact, by ballot numbers or a sum over depths."""
        top = max_length // 2
        halves = np.arange(1, top + 1)
        if self.law == "uniform":
            count = halves - self.prime  # Dyck paths of so many pairs
            paths = gammaln(2 * count + 1.0) - gammaln(count + 1.0) - gammaln(count + 2.0)
            return float(math.log(top) + (halves * math.log(self.kinds) + paths).mean())
        if not self.prime:
            return float(math.log(top) + np.mean([self._walk_entropy(2 * int(half)) for half in halves]))
        found, kinds = 0.0, math.log(self.kinds)
        step = math.log(self.kinds + 1)
        for pairs in range(1, top + 1):
            # A word of this many pairs comes from every larger l, and from l = pairs with its last closings forced.
            last = np.arange(1, pairs + 1) if pairs == 1 else np.arange(2, pairs + 1)
            paths = _log_paths_by_descent(pairs - 1, last - 1)
            longer = (math.log(top - pairs) if top > pairs else -math.inf) - (2 * pairs - 1) * step
            own = -(2 * pairs - 1 - last) * step
            log_p = np.logaddexp(longer, own) - kinds - math.log(top)
            found -= float((np.exp(paths + pairs * kinds + log_p) * log_p).sum())
        return found

    def _walk_entropy(self, n: int) -> float:
        """Sum over steps of E ln(choices), for words of all n symbols."""
        share, found = np.zeros(n // 2 + 2), 0.0
        share[0] = 1.0
        for t in range(n):
            depth = np.arange(len(share))
            forced = t + depth >= n
            opening = np.where(forced, 0.0, np.where(depth == 0, 1.0, self.kinds / (self.kinds + 1)))
            choices = np.where(forced, 0.0, np.where(depth == 0, math.log(self.kinds), math.log(self.kinds + 1)))
            found += float(share @ choices)
            share = np.r_[0.0, (share * opening)[:-1]] + np.r_[(share * (1 - opening))[1:], 0.0]
        return found


@dataclasses.dataclass(frozen=True)
class ShuffledBrackets:
    """Two kinds of brackets, each matched by itself: a shuffle of two Dyck words, of n = 2 l symbols.

    l uniform on 1..M // 2. The walk chooses uniformly among "(", "[" and the closings of what is open; where |word| +
    |open| >= n among the closings alone. Symbols are (open, close, open, close).
    Source: Meszaros et al. 2024, L6 (published code).
    """

    num_symbols: int = 4

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
        """Words and their lengths; every n is reached, so a fixed length needs no conditioning."""
        width = self.longest(max_length)
        n = 2 * jax.random.randint(stream(key, "n"), (num,), 1, max_length // 2 + 1)
        if length is not None:
            n = jnp.full(num, length)
        delta = jnp.array([[1, 0], [-1, 0], [0, 1], [0, -1]], jnp.int32)

        def step(opened, column):
            t, level = column
            free = (t + opened.sum(axis=1) < n)[:, None]
            allowed = jnp.stack([free, opened[:, :1] > 0, free, opened[:, 1:] > 0], axis=1)[..., 0]
            # Number floor(u m) of the m allowed moves, counted from 0.
            wanted = jnp.minimum((level * allowed.sum(axis=1)).astype(int), allowed.sum(axis=1) - 1)
            move = jnp.argmax(allowed & (jnp.cumsum(allowed, axis=1) == wanted[:, None] + 1), axis=1)
            there = t < n
            return opened + jnp.where(there[:, None], delta[move], 0), jnp.where(there, move, 0)

        levels = jax.random.uniform(stream(key, "steps"), (width, num), float)
        _, words = jax.lax.scan(step, jnp.zeros((num, 2), jnp.int32), (jnp.arange(width), levels))
        return words.T.astype(jnp.int32), n

    def entropy(self, max_length: int) -> float:
        """ln(M // 2) + mean over l of E sum_t ln(choices): nats per word, exact, by a sum over (open, open)."""
        top = max_length // 2
        entered, found, free = np.zeros((top + 2, top + 2)), 0.0, 0.0
        entered[0, 0] = 1.0
        forced = _forced_entropy(top)
        closings = (np.arange(top + 2) > 0)[:, None].astype(int) + (np.arange(top + 2) > 0)[None, :]
        for _ in range(top):
            # `entered`: law of what is open just after an opening; closings follow until the next one.
            visits = entered.copy()
            for total in range(top, 0, -1):
                i = np.arange(total + 1)
                leaving = visits[i, total - i] / (2 + closings[i, total - i])
                visits[i[1:] - 1, total - i[1:]] += leaving[1:]
                visits[i[:-1], total - i[:-1] - 1] += leaving[:-1]
            free += float((visits * np.log(2 + closings)).sum())
            share = visits / (2 + closings)
            entered = np.zeros_like(share)
            entered[1:] += share[:-1]
            entered[:, 1:] += share[:, :-1]
            found += free + float((entered * forced).sum())
        return math.log(top) + found / top


def _forced_entropy(top):
    """Entropy of closing all of (i, j) in a random order, each next closing uniform among the kinds that are open."""
    found = np.zeros((top + 2, top + 2))
    for i in range(1, top + 2):
        for j in range(1, top + 2):
            found[i, j] = math.log(2) + (found[i - 1, j] + found[i, j - 1]) / 2
    return found


def conditional_openings(length: int, kinds: int = 2, *, prime: bool = True) -> Float[np.ndarray, "T H"]:
    """P(the next symbol opens | t symbols so far, h open) of the walk with n = length that has exactly n symbols.

    The walk of `NestedBrackets`, conditioned by the probability W(t, h) of ending at n, computed backwards:
    P = q W(t + 1, h + 1) / (q W(t + 1, h + 1) + (1 - q) W(t + 1, h - 1)), q the walk's own; 0 where none leads there.
    Raises `ValueError` for lengths that are odd or below 2, and kinds < 1. Source: own, of the published walk.
    """
    check_count("conditional_openings", "length", length, 2)
    check_count("conditional_openings", "kinds", kinds)
    if length % 2:
        raise ValueError(f"conditional_openings: found length={length}, wanted an even number: brackets come in pairs")
    depth = np.arange(length // 2 + 2)
    after, table = (depth == 0).astype(float), np.zeros((length, len(depth)))
    for t in reversed(range(length)):
        free = np.where(depth == 0, 1.0, kinds / (kinds + 1))
        opening = np.where(t + depth >= length, 0.0, free)
        up = opening * np.r_[after[1:], 0.0]
        down = (1 - opening) * np.r_[0.0, after[:-1]]
        if prime and t > 0:
            up[0] = 0.0  # it has stopped there
        total = up + down
        table[t] = np.divide(up, total, out=np.zeros_like(total), where=total > 0)
        after = total / total.max()
    return table


def _uniform_opening(t, depth, n, prime):
    """P(open) of a uniform Dyck word of n symbols, by ballot numbers: (r - h)(h + 2) / (2 r (h + 1)), r being left."""
    inside = depth - 1 if prime else depth
    left = n - t - 1 if prime else n - t
    inside, safe = jnp.maximum(inside, 0), jnp.maximum(left, 1)
    found = (left - inside) * (inside + 2) / (2 * safe * (inside + 1))
    if prime:
        found = jnp.where(t == 0, 1.0, jnp.where(t == n - 1, 0.0, found))
    return found.astype(float)


def _log_paths_by_descent(pairs, last):
    """ln of the number of Dyck paths of n pairs that end in exactly k = `last` closings: k / (2n - k) C(2n - k, n)."""
    if pairs == 0:
        return np.where(last == 0, 0.0, -np.inf)
    n, k = float(pairs), np.asarray(last, float)
    return np.log(k) - np.log(2 * n - k) + gammaln(2 * n - k + 1) - gammaln(n + 1) - gammaln(n - k + 1)
