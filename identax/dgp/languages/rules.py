"""Rules of languages as functions of token arrays: sums, running maxima and scans, one truth value per row.

Every rule is `rule(tokens [..., T], valid [..., T], symbols) -> bool [...]`. `valid` says which columns count; of these
only the symbols that a rule names are looked at. All compile once per shape and work under `jit` and `vmap`.
Source: the languages of Reizinger et al. 2024 and Meszaros et al. 2024 (published code); `equal_prefix` and
`mirrored_prefix` are own.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from identax.checks import check_between
from identax.inputs import numbers

Symbols = tuple[Any, ...]
_rule = functools.partial(jax.jit, static_argnums=2)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule with its symbols: `rule(tokens, valid)`; equal ones are equal, so programs are shared.

    `check`: a function of this file, or another one of its kind; `text`: the rule in words.
    """

    text: str
    check: Callable[[Array, Array, Symbols], Array]
    symbols: Symbols

    def __call__(self, tokens: Any, valid: Any = None) -> Bool[Array, "..."]:
        """One truth value per row of tokens [..., T]. `valid` [..., T]: columns that count, by default all.

        Raises `ValueError` for what is no array of integers, and for `valid` of another shape or type.
        """
        tokens = numbers("Rule", "tokens", tokens)
        if tokens.ndim < 1 or not (jnp.issubdtype(tokens.dtype, jnp.integer) or tokens.size == 0):
            raise ValueError(f"Rule: found tokens {tokens.dtype} {tokens.shape}, wanted integers [..., T]")
        valid = np.ones(tokens.shape, bool) if valid is None else numbers("Rule", "valid", valid)
        if valid.shape != tokens.shape:
            raise ValueError(f"Rule: found valid {valid.shape} for tokens {tokens.shape}, wanted the same")
        if valid.dtype != bool and valid.size:
            raise ValueError(f"Rule: found valid of type {valid.dtype}, wanted booleans")
        # In 32 bits 2^32 + 3 would be token 3.
        check_between("Rule", "tokens", tokens, -(2**31), 2**31 - 1)
        return self.check(jnp.asarray(tokens, jnp.int32), jnp.asarray(valid, bool), self.symbols)


def all_of(*rules: Rule) -> Rule:
    """The rule that all of these hold. Raises `ValueError` for none."""
    if not rules:
        raise ValueError("all_of: found no rule, wanted at least one")
    return Rule(" and ".join(rule.text for rule in rules), _all, rules)


@_rule
def _all(tokens, valid, rules):
    return functools.reduce(jnp.logical_and, [rule.check(tokens, valid, rule.symbols) for rule in rules])


@_rule
def anything(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Holds of every row."""
    return jnp.ones(tokens.shape[:-1], bool)


@_rule
def occurs(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Every one of the symbols comes at least once."""
    return (_counts(tokens, valid, symbols) > 0).all(axis=-1)


@_rule
def equal_counts(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """All symbols come equally often: #a = #b (= #c)."""
    counts = _counts(tokens, valid, symbols)
    return (counts == counts[..., :1]).all(axis=-1)


@_rule
def double_count(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (a, b): #a = 2 #b."""
    counts = _counts(tokens, valid, symbols)
    return counts[..., 0] == 2 * counts[..., 1]


@_rule
def even_count(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (a,): #a is even."""
    return _counts(tokens, valid, symbols)[..., 0] % 2 == 0


@_rule
def even_count_after(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (a, b): the number of a's after the last b, of all a's where there is no b, is even."""
    symbol, mark = (valid & (tokens == one) for one in symbols)
    return (symbol & (_from_right(mark) == 0)).sum(axis=-1) % 2 == 0


@_rule
def begins_with(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (b, *others): the first of all these is b. False where none of them comes."""
    any_of = valid & jnp.isin(tokens, jnp.asarray(symbols))
    return (any_of & (jnp.cumsum(any_of, axis=-1) == 1) & (tokens == symbols[0])).any(axis=-1)


@_rule
def in_order(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """No symbol comes after one that is named later: a's before b's (before c's). True where one is absent."""
    rank = jnp.full(tokens.shape, -1)
    for place, symbol in enumerate(symbols):
        rank = jnp.where(valid & (tokens == symbol), place, rank)
    highest = jax.lax.cummax(rank, axis=tokens.ndim - 1)
    return ((rank < 0) | (rank == highest)).all(axis=-1)


@_rule
def begun_in_order(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """`in_order`, and the first of the symbols comes at least once."""
    return in_order(tokens, valid, symbols) & occurs(tokens, valid, symbols[:1])


@_rule
def in_middle(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (a, b): the b's are together, with as many a's before as after them. True of a row without b's."""
    a, b = (valid & (tokens == one) for one in symbols)
    before, after = jnp.cumsum(b, axis=-1) == 0, _from_right(b) == 0
    inside = (a & ~before & ~after).any(axis=-1)
    balanced = (a & before).sum(axis=-1) == (a & after).sum(axis=-1)
    return ~b.any(axis=-1) | (~inside & balanced)


@_rule
def balanced(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (opening, closing): no prefix closes more than it opens, and all is closed at the end (Dyck-1)."""
    opening, closing = (valid & (tokens == one) for one in symbols)
    depth = jnp.cumsum(opening.astype(jnp.int32) - closing.astype(jnp.int32), axis=-1)
    total = opening.sum(axis=-1) == closing.sum(axis=-1)
    return (depth >= 0).all(axis=-1) & total


@_rule
def nested(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (opening, closing, opening, closing, ...): every bracket closes the last open one (Dyck-k).

    A scan over columns with a stack of T entries.
    """
    shape, size = tokens.shape[:-1], tokens.shape[-1]
    if not size:
        return jnp.ones(shape, bool)
    places = jnp.arange(size).reshape((1,) * len(shape) + (size,))

    def step(carry, column):
        stack, depth, good = carry
        token, counts = column
        for kind, (opening, closing) in enumerate(zip(symbols[::2], symbols[1::2], strict=True)):
            opens, closes = counts & (token == opening), counts & (token == closing)
            top = jnp.where(places == depth[..., None] - 1, stack, -1).max(axis=-1)
            good = good & (~closes | (top == kind))
            here = opens[..., None] & (places == depth[..., None])
            stack = jnp.where(here, kind, stack)
            depth = depth + opens - (closes & (depth > 0))
        return (stack, depth, good), None

    start = (jnp.full(tokens.shape, -1), jnp.zeros(shape, int), jnp.ones(shape, bool))
    columns = jnp.moveaxis(tokens, -1, 0), jnp.moveaxis(valid, -1, 0)
    (_, depth, good), _ = jax.lax.scan(step, start, columns)
    return good & (depth == 0)


@_rule
def equal_prefix(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Whether the row begins a string of the language of a^n b^n (c^n ...), whose n may be as large as it needs.

    In order; a symbol that is followed by a later one comes as often as the first, the last one no more often.
    """
    counts = _counts(tokens, valid, symbols)
    followed = jnp.flip(jnp.cumsum(jnp.flip(counts, -1), -1), -1)[..., 1:] > 0  # by any symbol named later
    middle = (counts[..., 1:-1] == counts[..., :1]) | ~followed[..., 1:]
    return in_order(tokens, valid, symbols) & (counts[..., 1:] <= counts[..., :1]).all(axis=-1) & middle.all(axis=-1)


@_rule
def mirrored_prefix(tokens: Int[Array, "*s T"], valid: Bool[Array, "*s T"], symbols: Symbols) -> Bool[Array, "*s"]:
    """Of symbols (a, b): whether the row begins a string of a^n b^n a^n."""
    a, b = (valid & (tokens == one) for one in symbols)
    first = (a & (jnp.cumsum(b, axis=-1) == 0)).sum(axis=-1)
    last = (a & (jnp.cumsum(b, axis=-1) > 0)).sum(axis=-1)
    again = (b & (jnp.cumsum(a & (jnp.cumsum(b, axis=-1) > 0), axis=-1) > 0)).any(axis=-1)  # b after a after b
    middle = b.sum(axis=-1)
    return ~again & (middle <= first) & ((last == 0) | ((middle == first) & (last <= first)))


def _counts(tokens, valid, symbols):
    return jnp.stack([(valid & (tokens == one)).sum(axis=-1) for one in symbols], axis=-1)


def _from_right(mask):
    """How many entries from here to the end are set."""
    return jnp.flip(jnp.cumsum(jnp.flip(mask, -1), axis=-1), -1)
