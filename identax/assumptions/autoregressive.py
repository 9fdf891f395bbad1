"""What the loss of an autoregressive model leaves open: tables that are optimal on every string and free off them."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_between, check_count, check_shape
from identax.dgp.languages import (
    Alphabet,
    Language,
    adversarial_rows,
    chance_level,
    oracle_rows,
    score,
)
from identax.dgp.languages.prompts import check_unended
from identax.dgp.languages.rules import equal_counts
from identax.inputs import numbers

TABLES = ("balance", "overshoot", "EOS at once", "uniform")
"""what `free_table` writes off the support"""


class TabularModel(NamedTuple):
    """An autoregressive model that is a table, on the host in float64.

    Where a prefix begins some of `strings` [N, T], the next token has their relative frequency: the optimum for strings
    that are equally likely. Else, where it begins some of `free` [R, T'], it has theirs. Else it is uniform over the
    symbols and EOS. After EOS it is PAD in any case. On `free` no loss on `strings` depends.
    """

    alphabet: Alphabet
    strings: Any
    free: Any


def free_table(language: Language, prompts: Any, table: str) -> TabularModel:
    """The table that is optimal on all strings of a language and completes `prompts` [P, L + 1] off its support freely.

    "balance": so that all symbols come equally often, then EOS; "overshoot": with one more of the rarest, so that they
    never do; "EOS at once"; "uniform": every symbol and EOS with the same probability, at every step.
    Raises `ValueError` for another table, a language whose strings are not listed, no prompts, and prompts that have
    ended or are padded.
    Source: Reizinger et al. 2024, case study 1; the tables: own.
    """
    if table not in TABLES:
        raise ValueError(f"free_table: found table={table!r}, wanted one of {list(TABLES)}")
    alphabet, strings = language.alphabet, language.strings()
    prompts = np.asarray(alphabet.tokens("free_table", prompts))
    check_shape("free_table", "prompts", prompts, ("P", "L + 1"))
    if table == "balance":
        rows = oracle_rows(alphabet, prompts)
    elif table == "overshoot":
        rows = adversarial_rows(alphabet, prompts)
    else:
        check_unended("free_table", alphabet, prompts)
        rows = np.concatenate([prompts, np.full((len(prompts), 1), alphabet.eos, np.int32)], axis=1)
        rows = rows if table == "EOS at once" else rows[:0]
    return TabularModel(alphabet, strings, rows)


def tabular_log_probs(model: TabularModel, tokens: Any) -> Float[np.ndarray, "N T V"]:
    """ln q(next token | tokens up to t), [N, T, V] for rows [N, T]: position t predicts token t + 1.

    -inf for tokens that cannot come. Raises `ValueError` for unknown tokens and other shapes.
    """
    rows = _rows("tabular_log_probs", model, tokens)
    table = _Table(model, len(rows))
    laws = [table.after(rows[:, t], t) for t in range(rows.shape[1])]
    with np.errstate(divide="ignore"):
        return np.log(np.stack(laws, axis=1))


def tabular_completions(model: TabularModel, prompts: Any, columns: int) -> Int[np.ndarray, "P T"]:
    """Prompts [P, L + 1] continued by the likeliest token up to `columns` tokens, the first of several that are.

    Raises `ValueError` for fewer columns than the prompts have, and unknown tokens.
    """
    rows = _rows("tabular_completions", model, prompts)
    check_count("tabular_completions", "columns", columns, rows.shape[1])
    table, found = _Table(model, len(rows)), list(rows.T)
    for t in range(columns - 1):
        law = table.after(found[t], t)
        if t + 1 >= len(found):
            found.append(law.argmax(axis=1).astype(np.int32))
    return np.stack(found, axis=1)


def divergence_from_strings(strings: Any, log_probs: Any) -> float:
    """KL(P || q) in nats per string, P uniform over the rows `strings` [N, T]: exact, by enumeration.

        KL = -ln N - 1/N sum over strings and t of log q(x_{t+1} | x_1..t)

    `log_probs` [N, T, V] of any model at these rows, position t predicting token t + 1; the loss per target token less
    the floor is KL / (T - 1). Raises `ValueError` for other shapes, tokens that are none of 0 .. V - 1, and
    probabilities that do not sum to one.
    """
    where = "divergence_from_strings"
    log_probs = np.asarray(numbers(where, "log_probs", log_probs), float)
    rows = np.asarray(numbers(where, "strings", strings))
    check_shape(where, "strings", rows, ("N", "T"))
    check_count(where, "columns of strings", rows.shape[1], 2)
    if not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"{where}: found strings of type {rows.dtype}, wanted integers")
    check_shape(where, "log_probs", log_probs, (*rows.shape, "V"))
    check_between(where, "strings", rows, 0, log_probs.shape[2] - 1)
    sums = np.exp(log_probs[:, :-1]).sum(axis=-1)
    if (np.abs(sums - 1) > 1e-3).any():
        worst = sums.flat[np.abs(sums - 1).argmax()]
        raise ValueError(f"{where}: found probabilities that sum to {worst:g}, wanted log_probs of laws")
    told = np.take_along_axis(log_probs[:, :-1], rows[:, 1:, None].astype(int), axis=2)[..., 0]
    return float(-math.log(len(rows)) - told.sum(axis=1).mean())


def rule_extrapolation_report(language: Language, prompt_length: int) -> Report:
    """Does the loss decide how prompts off the support are completed? Four tables with the same loss, and their R1.

    `language`: one whose strings are listed and whose rule 1 is equal counts of all symbols, which is what tables and
    completed rows balance; prompts: all of `prompt_length` symbols.
    Raises `ValueError` for another language and where every prompt is in distribution.
    Source: Reizinger et al. 2024, case study 1; tables and values: own.
    """
    rule = language.rule1
    if rule.check is not equal_counts or set(rule.symbols) != set(language.alphabet.symbols):
        raise ValueError(
            f"rule_extrapolation_report: found the language {language.name!r} with rule 1 {rule.text!r}, wanted equal "
            "counts of all symbols"
        )
    prompts = language.prompts(prompt_length).out_of_distribution()
    strings = language.strings()
    begins = np.array([_begins(strings, row) for row in prompts])
    floor = language.entropy_floor()
    premises = (
        Premise(
            "prompts off the support",
            not begins.any(),
            f"{(~begins).sum()} of {len(prompts)} begin no string",
            "only there the loss says nothing at all",
        ),
        Premise(
            "loss at its floor",
            None,
            f"{floor:.6f} nats per target token, padding counted",
            "all tables below have exactly this loss; a trained model is above it",
        ),
        Premise(
            "conditionals identified on all prompts",
            False,
            "identified on prefixes of strings alone",
            "what follows any other prefix is up to the inductive bias",
        ),
    )
    predictions = []
    for table in TABLES:
        model = free_table(language, prompts, table)
        divergence = divergence_from_strings(strings, tabular_log_probs(model, strings))
        predictions += [
            Prediction(f"KL, {table}", divergence, "nats per string, by enumeration"),
            Prediction(f"R1, {table}", rule_one(language, model, prompts), "share of prompts, exact"),
        ]
    return Report(premises, predictions)


def rule_one(language: Language, model: TabularModel, prompts: Any) -> float:
    """P(rule 1 holds of a completed prompt) under a table of `free_table`, mean over prompts [P, L + 1].

    A table that completes the prompts in one way each is followed; the uniform one has `chance_level`.
    Raises `ValueError` for no prompts and unknown tokens.
    """
    prompts = _rows("rule_one", model, prompts)
    if not len(model.free):
        return float(chance_level(language.rule1, language.alphabet, prompts).mean())
    columns = max(model.free.shape[1], np.shape(prompts)[1] + 1)
    rows = tabular_completions(model, prompts, columns)
    found = score(language, rows, np.shape(prompts)[1] - 1)
    return float((np.asarray(found.finished) & np.asarray(found.rule1)).mean())


@dataclasses.dataclass
class _Table:
    """Walks down the rows of both kinds, one column at a time: which of them every prefix still begins."""

    model: TabularModel
    num: int

    def __post_init__(self):
        self.ended = np.zeros(self.num, bool)
        self.alive = [np.ones((self.num, len(rows)), bool) for rows in (self.model.strings, self.model.free)]

    def after(self, tokens: np.ndarray, t: int) -> np.ndarray:
        """Takes token t of every prefix; returns the law of token t + 1, [N, V]."""
        alphabet = self.model.alphabet
        self.ended |= tokens == alphabet.eos
        law = np.zeros((self.num, alphabet.size))
        law[:, [*alphabet.symbols, alphabet.eos]] = 1 / (len(alphabet.symbols) + 1)
        law[self.ended] = np.eye(alphabet.size)[alphabet.pad]
        # The strings last: on their prefixes they overrule whatever else is there.
        for kind, rows in reversed(list(enumerate((self.model.strings, self.model.free)))):
            here = rows[:, t] if t < rows.shape[1] else np.full(len(rows), alphabet.pad)
            self.alive[kind] &= tokens[:, None] == here[None, :]
            following = rows[:, t + 1] if t + 1 < rows.shape[1] else np.full(len(rows), alphabet.pad)
            counts = self.alive[kind].astype(float) @ np.eye(alphabet.size)[following]
            known = counts.sum(axis=1) > 0
            law[known] = counts[known] / counts[known].sum(axis=1, keepdims=True)
        return law


def _begins(strings, row):
    return bool((strings[:, : len(row)] == row[None, :]).all(axis=1).any())


def _rows(where, model, tokens):
    rows = np.asarray(model.alphabet.tokens(where, tokens))
    check_shape(where, "tokens", rows, ("N", "T"))
    return rows
