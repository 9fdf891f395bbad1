"""What `llm/rule_extrapolation` compares: losses of three ways to train beside what they do off the support."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments.llm.shared_claims import FLOOR_AT, JUDGED, LOSS, MOST, NEAR_FLOOR, RULE, left_open
from identax.assumptions import Report
from identax.experiment import Arm, Reference
from identax.run import Results

MODES = ("maximum likelihood", "oracle", "adversarial")
_ML, _ORACLE, _ADVERSARIAL = MODES
PUBLISHED = "as published: "
SCORES = (
    RULE,
    "OOD rule1",
    "OOD finished",
    "OOD completion",
    "ID rule1, finished",
    "ID rule1",
    "ID grammatical",
    "accuracy",
)
"""`... completion` is rule 2 of the completion alone; `accuracy` is over the tokens of all strings, as the loss is"""
APART = ", standard errors apart"
"""behind a score as published: of our mean and that of the authors' code"""
FLOORS = {"quick": FLOOR_AT[32], "medium": FLOOR_AT[64]}
"""of the loss"""


def arms(config: Any) -> Sequence[Arm]:
    """Three ways to train; the same as published, if asked for."""
    made = []
    for published in (False, True) if config.as_published else (False,):
        for mode in MODES:
            own = {"completed": mode != _ML, "overshoot": mode == _ADVERSARIAL, "published": published}
            made.append(Arm(PUBLISHED * published + mode, dataclasses.replace(config, **own)))
    return made


_RUN = "authors' code at this size (independent run)"
_FIXED = f"{_RUN}, both faults mended"
_RULE1_BY_MODE = {
    f"{_ML}: {RULE}": (
        f".379 +- .030, n = 2: {_RUN}, positions mended; .437 +- .045 at M = 256",
        0.30,
        0.60,
    ),
    f"{_ORACLE}: {RULE}": (f"1.000, n = 3: {_FIXED}; .83 +- .11 at M = 256, as published", 0.95, None),
    f"{_ADVERSARIAL}: {RULE}": (f".000, n = 2: {_FIXED}; .000 at M = 256", None, 0.05),
}
_LOSSES = {
    _ML: f".0929 +- .0004, n = 2: {_RUN}, positions mended",
    _ORACLE: f".0954 +- .0009, n = 3: {_FIXED}",
    _ADVERSARIAL: f".1006 +- .0019, n = 2: {_FIXED}",
}
_AS_PUBLISHED = {
    f"{_ML}: {LOSS}": (0.0926, 0.0009, 4),
    f"{_ORACLE}: {LOSS}": (0.0956, 0.0011, 4),
    f"{_ADVERSARIAL}: {LOSS}": (0.0977, 0.0023, 4),
    f"{_ML}: {RULE}": (0.418, 0.054, 4),
    f"{_ML}: OOD rule1": (0.192, 0.010, 4),
    f"{_ML}: OOD finished": (0.463, 0.037, 4),
    f"{_ORACLE}: {RULE}": (1.0, 0.0, 4),
    f"{_ORACLE}: OOD rule1": (0.75, 0.0, 4),
    f"{_ORACLE}: OOD finished": (0.75, 0.0, 4),
    f"{_ADVERSARIAL}: {RULE}": (0.009, 0.010, 4),
    f"{_ADVERSARIAL}: OOD rule1": (0.008, 0.010, 4),
    f"{_ADVERSARIAL}: OOD finished": (0.913, 0.077, 4),
}


def _near_floor(mode: str, preset: str) -> tuple[float, float]:
    """Losses near the floor: one run of the authors' code at M = 64 had .0569, maximum likelihood."""
    return FLOORS[preset], 0.058 if (mode, preset) == (_ML, "medium") else FLOORS[preset] + NEAR_FLOOR


REFERENCES = (
    *(
        Reference(
            f"{mode}: {LOSS}", text, {p: _near_floor(mode, p) for p in JUDGED},
            note="From the floor up to .02 above it (maximum likelihood at M = 64: to .058). At the evaluation with "
            "the least loss on the strings, all of which are trained on.",
        )
        for mode, text in _LOSSES.items()
    ),
    *(
        Reference(
            f"{mode}: {LOSS} less that of {_ML}", "within .01 (claim: equal losses)",
            {p: (-0.01, 0.01) for p in JUDGED},
        )
        for mode in (_ORACLE, _ADVERSARIAL)
    ),
    *(
        Reference(row, text, {p: (low, high) for p in JUDGED}, note="Of the completions that end; greedy.")
        for row, (text, low, high) in _RULE1_BY_MODE.items()
    ),
    *(Reference(f"{mode}: OOD rule1", "the same of all prompts; not in the paper") for mode in MODES),
    *(Reference(f"{mode}: OOD finished", "not in the paper") for mode in MODES),
    *(
        Reference(f"{mode}: OOD completion", "1.0 (rule 2 of completions)", {p: (0.95, None) for p in JUDGED})
        for mode in MODES
    ),
    *(
        Reference(
            f"{mode}: ID rule1, finished", "1.0; adversarial .12 +- .30 at M = 256",
            {} if mode == _ADVERSARIAL else {p: (0.95, None) for p in JUDGED},
        )
        for mode in MODES
    ),
    *(
        Reference(
            f"{mode}: ID rule1", "the same of all prompts; not in the paper",
            note="The likeliest token behind a's alone is a, so that a completion of these may never end.",
        )
        for mode in MODES
    ),
    Reference(
        "p-value of a rank correlation of loss and rule 1 over seeds", "Pearson -.05, -.08, +.16 of three sweeps",
        {p: (0.05, None) for p in ("quick",)},
        note="Maximum likelihood; Spearman, all orders of the seeds counted.",
    ),
    Reference("rank correlation of loss and rule 1 over seeds", "none"),
    *(
        Reference(f"{mode}: {RULE}{MOST}", "not in this paper; chosen by what it reports")
        for mode in MODES
    ),
    *(
        Reference(PUBLISHED + row, f"{mean:g} +- {sd:g}, n = {num}: {_RUN}", {}, note="With --config.as-published.")
        for row, (mean, sd, num) in _AS_PUBLISHED.items()
    ),
    *(
        Reference(
            PUBLISHED + row + APART, "within 2", {},
            note="Ours less the authors' mean, over the standard error of this difference by both standard deviations.",
        )
        for row in _AS_PUBLISHED
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """What the loss leaves open, exactly, however a model is trained."""
    return {_ML: left_open(config)}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed loss and scores at the least loss, differences of losses, and whether loss and rule 1 go together."""
    found: dict[str, np.ndarray] = {}
    for arm in arms(config):
        if arm.name not in results:
            continue
        result = results[arm.name]
        found |= {f"{arm.name}: {name}": np.asarray(result.at_best(name)) for name in (LOSS, *SCORES)}
        most = np.nanmax(result.evaluation[RULE], axis=1)
        found[f"{arm.name}: {RULE}{MOST}"] = most
    for row, published in _AS_PUBLISHED.items():
        if PUBLISHED + row in found:
            found[PUBLISHED + row + APART] = standard_errors_apart(found[PUBLISHED + row], *published)
    if _ML in results:
        base = found[f"{_ML}: {LOSS}"]
        for mode in (_ORACLE, _ADVERSARIAL):
            if mode in results and len(results[mode].trials) == len(base):
                found[f"{mode}: {LOSS} less that of {_ML}"] = found[f"{mode}: {LOSS}"] - base
        correlation, p = rank_correlation(base, found[f"{_ML}: {RULE}"])
        found["rank correlation of loss and rule 1 over seeds"] = np.array([correlation])
        found["p-value of a rank correlation of loss and rule 1 over seeds"] = np.array([p])
    return found


def standard_errors_apart(values: Any, mean: float, sd: float, num: int) -> np.ndarray:
    """[1]: the mean of `values` less that of `num` others of which mean and standard deviation are known, over the
    standard error of this difference; infinite where nothing varies."""
    values = np.asarray(values, float)
    difference = values.mean() - mean
    error = (sd**2 / num + values.var(ddof=1) / len(values)) ** 0.5 if len(values) > 1 else np.nan
    with np.errstate(divide="ignore"):
        return np.array([difference / error if abs(difference) > 1e-9 else 0.0])


def rank_correlation(x: Any, y: Any) -> tuple[float, float]:
    """Spearman's correlation of paired values and its two-sided p-value over permutations; NaN where it is not defined.

    Up to seven pairs all orders are counted, beyond that 10,000 are drawn with one seed.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    fine = np.isfinite(x) & np.isfinite(y)
    x, y = x[fine], y[fine]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan

    def statistic(x):
        return np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]

    test = stats.permutation_test(
        (x,), statistic, permutation_type="pairings", n_resamples=10_000, rng=np.random.default_rng(0)
    )
    return float(test.statistic), float(test.pvalue)
