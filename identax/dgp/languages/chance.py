"""Chance levels: how often a rule holds of a prompt that tokens chosen blindly complete, in closed form.

Tokens are i.i.d. until the first EOS: EOS with probability e, every symbol with p = (1 - e) / k, by default all alike,
e = p = 1 / (k + 1). Against these, three published levels are other numbers (plots of Meszaros et al. 2024): .00334 of
R1 on L5, a slipped decimal of .03343; .12732 of R1 on L4 and L6, the series of .14590 with Catalan(i) for
Catalan(i + 1); and 4/9 and .3556 of R2 on L3, which are those of a fourth token, for 3/4 and .55.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from identax.checks import check_between
from identax.dgp.languages import rules
from identax.dgp.languages.alphabet import Alphabet
from identax.dgp.languages.language import Language
from identax.dgp.languages.prompts import Prompts
from identax.dgp.languages.rules import Rule


class Chance(NamedTuple):
    """Chance levels on prompts in and out of distribution, means over prompts: rule 1, and rule 2 of the completion.

    `published`: rule 2 in distribution is asked of prompt and completion together, out of it of the completion alone.
    """

    rule1_within: float
    rule1_beyond: float
    rule2_within: float
    rule2_beyond: float


class _Law(NamedTuple):
    """End, any one symbol, and all symbols that a rule does not name."""

    end: float
    symbol: float
    others: float


def chance_level(rule: Rule, alphabet: Alphabet, prompts: Any, *, end: float | None = None) -> Float[np.ndarray, " P"]:
    """P(the rule holds of prompt and completion), completions being chosen blindly; one value per prompt [P, L + 1].

    `end`: the probability e of EOS, by default that of every other token. Float64, on the host.
    Raises `ValueError` for unknown tokens, e outside (0, 1], and rules without a closed form.
    Source: derived here; R1 of L3 and R2 of L4 and L6 agree with Meszaros et al. 2024 (notebook).
    """
    rows = np.asarray(alphabet.tokens("chance_level", prompts))
    if rows.ndim != 2:
        raise ValueError(f"chance_level: found prompts {rows.shape}, wanted [P, L + 1]")
    k = len(alphabet.symbols)
    end = 1 / (k + 1) if end is None else end
    check_between("chance_level", "end", end, 1e-6, 1.0)
    if rule.check not in _CLOSED_FORMS:
        raise ValueError(f"chance_level: found the rule {rule.text!r}, wanted one with a closed form")
    named = set(rule.symbols) & set(alphabet.symbols)
    law = _Law(end, (1 - end) / k, (1 - end) / k * (k - len(named)))
    return _CLOSED_FORMS[rule.check](rule, rows, law)


def chance_levels(language: Language, prompts: Prompts, *, end: float | None = None) -> Chance:
    """`chance_level` of both rules as the published figures show them, means over prompts of either kind.

    NaN where there are no such prompts, and for a rule without a closed form.
    Raises `ValueError` as `chance_level` does otherwise. Source: which rules are asked of what, Meszaros et al. 2024
    (notebook).
    """
    start = prompts.tokens.shape[1] if language.completion_from is None else language.completion_from
    sos = np.full((len(prompts.tokens), 1), language.alphabet.sos, np.int32)
    completions = np.concatenate([sos, prompts.tokens[:, start:]], axis=1)

    def mean(rule, rows):
        if not len(rows) or rule.check not in _CLOSED_FORMS:
            return math.nan
        return float(chance_level(rule, language.alphabet, rows, end=end).mean())

    within, beyond = prompts.tokens[prompts.within], prompts.tokens[~prompts.within]
    return Chance(
        mean(language.rule1, within),
        mean(language.rule1, beyond),
        mean(language.rule2, within),
        mean(language.rule2, completions[~prompts.within]),
    )


def _counts(rule, rows):
    return np.stack([(rows == symbol).sum(axis=1) for symbol in rule.symbols], axis=1)


def _anything(rule, rows, law):
    return np.ones(len(rows))


def _equal_counts(rule, rows, law):
    """Sum over n of the multinomial of n - count of each symbol, every step having p / (1 - others)."""
    counts = _counts(rule, rows)
    unique, where = np.unique(counts, axis=0, return_inverse=True)
    log_step = math.log(law.symbol / (1 - law.others)) if law.symbol else -math.inf
    found = []
    for count in unique:
        # Terms fall like (k r)^(k n) for k symbols, k r < 1: stop where they cannot matter in float64.
        rate = len(count) * (log_step + math.log(len(count)))
        num = 1 if rate == -math.inf else 60 + math.ceil(60 / -rate)
        missing = count.max() + np.arange(num)[:, None] - count[None, :]
        total = missing.sum(axis=1)
        steps = total * (log_step if np.isfinite(log_step) else -1e6)
        terms = np.exp(gammaln(total + 1.0) - gammaln(missing + 1.0).sum(axis=1) + steps)
        found.append(terms.sum() * law.end / (1 - law.others))
    return np.asarray(found)[where.ravel()]


def _even_count(rule, rows, law):
    odd = _counts(rule, rows)[:, 0] % 2 == 1
    stays = 0.5 * (1 + law.end / (law.end + 2 * law.symbol))
    return np.where(odd, 1 - stays, stays)


def _even_count_after(rule, rows, law):
    even_now = np.asarray(rule(rows))
    # From even: x = e + p y + (p + o) x; from odd: y = 2 p x + o y.
    to_even = 2 * law.symbol / (1 - law.others)
    even = law.end / (1 - law.symbol - law.others - law.symbol * to_even)
    return np.where(even_now, even, to_even * even)


def _begins_with(rule, rows, law):
    empty = ~np.isin(rows, rule.symbols).any(axis=1)
    return np.where(empty, law.symbol / (1 - law.others), np.asarray(rule(rows)).astype(float))


def _in_order(rule, rows, law):
    """From the last symbol so far, rank r: f_r = e + (p + o) f_r + p sum over i > r of f_i."""
    found = _order_levels(len(rule.symbols), law)
    ranks = np.max([np.where((rows == one).any(axis=1), rank, 0) for rank, one in enumerate(rule.symbols)], axis=0)
    return np.where(np.asarray(rule(rows)), found[ranks], 0.0)


def _begun_in_order(rule, rows, law):
    found = _order_levels(len(rule.symbols), law)
    empty = ~np.isin(rows, rule.symbols).any(axis=1)
    in_order = Rule("in order", rules.in_order, rule.symbols)
    begun = np.where((rows == rule.symbols[0]).any(axis=1), _in_order(in_order, rows, law), 0.0)
    return np.where(empty, law.symbol * found[0] / (1 - law.others), begun)


def _order_levels(num, law):
    found = np.zeros(num)
    for rank in reversed(range(num)):
        later = law.symbol * found[rank + 1 :].sum()
        found[rank] = (law.end + later) / (1 - law.symbol - law.others)
    return found


def _balanced(rule, rows, law):
    """(M p)^d M e with d brackets open: M = sum of walks from 0 back to 0, M = 1 / (1 - o - p^2 M)."""
    return _by_depth(rule, rows, law, same=1)


def _nested(rule, rows, law):
    """As `_balanced` with k kinds of openings, of which each has one closing: M = 1 / (1 - o - k p^2 M)."""
    return _by_depth(rule, rows, law, same=len(rule.symbols) // 2)


def _by_depth(rule, rows, law, same):
    opened = np.isin(rows, rule.symbols[::2]).astype(int)
    closed = np.isin(rows, rule.symbols[1::2]).astype(int)
    depth = opened.sum(axis=1) - closed.sum(axis=1)
    loops = 1 - law.others
    root = math.sqrt(loops**2 - 4 * same * law.symbol**2)
    walks = 2 / (loops + root)
    possible = _prefix(rule, rows)
    return np.where(possible, (walks * law.symbol) ** np.maximum(depth, 0) * walks * law.end, 0.0)


def _prefix(rule, rows):
    """Whether brackets are closed only where they may be: then a completion that closes the open ones exists."""
    found = []
    for row in rows.tolist():
        stack = []
        good = True
        for token in row:
            place = rule.symbols.index(token) if token in rule.symbols else -1
            if place >= 0 and place % 2 == 0:
                stack.append(place)
            elif place >= 0:
                good = good and bool(stack) and stack[-1] == place - 1
                stack = stack[:-1]
        found.append(good)
    return np.asarray(found, bool)


_CLOSED_FORMS: dict[Callable, Callable] = {
    rules.anything: _anything,
    rules.equal_counts: _equal_counts,
    rules.even_count: _even_count,
    rules.even_count_after: _even_count_after,
    rules.begins_with: _begins_with,
    rules.in_order: _in_order,
    rules.begun_in_order: _begun_in_order,
    rules.balanced: _balanced,
    rules.nested: _nested,
}
