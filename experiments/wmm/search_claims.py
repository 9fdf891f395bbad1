"""What `wmm/search` compares: searches that choose by validation data, and the published one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.paired import interval_rows
from identax.points import points
from identax.run import Results
from identax.search import tpe_installed

RANDOM, TPE, PUBLISHED = "random", "TPE", "as published"
TREND = "rank correlation of a trial's number and its test loss"
OPTIMISM = "validation loss on fresh seeds less in the search"
CREDIT = "accuracy of the chosen trial less that of its cell on fresh seeds"


def arms(config: Any) -> Sequence[Arm]:
    """A random search, one by TPE where optuna is installed, and the published protocol on the cells of the first."""
    own = dataclasses.replace(config, protocol="own start")
    made = [Arm(RANDOM, dataclasses.replace(own, method="random"))]
    if tpe_installed():
        made.append(Arm(TPE, dataclasses.replace(own, method="tpe")))
    return [*made, Arm(PUBLISHED, dataclasses.replace(config, protocol="shared model", method="random"))]


_BOTH = ("quick", "medium")
REFERENCES = (
    Reference(
        f"{PUBLISHED}: {TREND}", "below 0: later trials have trained longer (theory)",
        dict.fromkeys(_BOTH, (None, -0.3)), "Whatever p and c were: the cells are those of the random search.",
    ),
    Reference(
        f"{RANDOM}: {TREND}", "0 (theory: cells are drawn independently)",
        {"quick": (-0.64, 0.64), "medium": (-0.25, 0.25)},
        "Three standard errors of so many trials and searches.",
    ),
    Reference(
        f"{PUBLISHED}: {CREDIT}",
        "above 0: what was chosen is when it was tried (theory)", dict.fromkeys(_BOTH, (0.0, None)),
    ),
    *(
        Reference(f"{name}: chosen, test accuracy - baseline", "+.0001 (published, chosen on the test set)")
        for name in (RANDOM, TPE, PUBLISHED)
    ),
    *(
        Reference(f"{name}: {OPTIMISM}", "above 0: the smallest of many (theory)")
        for name in (RANDOM, TPE)
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """What a search must have for its choice to be about the cells, and which arms have it."""
    return {arm.name: _report(arm.config) for arm in arms(config)}


def _report(config: Any) -> Report:
    own = config.protocol == "own start"
    held = [
        Premise("trials start anew", own, "from the trial before" if not own else "from the seeds of the search",
                "otherwise a trial's loss says how long the model has been trained"),
        Premise("chosen without test data", own, "test loss" if not own else "validation loss",
                "the best of many test losses is too small"),
        Premise("reported on fresh seeds", True, f"{config.fresh_seeds} trainings, none of the search",
                "the best of many noisy losses is too small"),
    ]  # fmt: skip
    trend = Prediction(TREND, 0.0 if own else "below 0", "cells are drawn, their order carries nothing" if own else
                       "every trial adds steps to one model")  # fmt: skip
    return Report(held, [trend] if config.method == "random" else [])


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per search: trend over trials, optimism, chosen cell less baseline; per fresh seed: chosen cell and baseline."""
    found: dict[str, np.ndarray] = {}
    for at, values in points(arms(config), results):
        name, searches = at["arm"], np.arange(len(values["chosen"]))
        number = np.arange(values["test loss"].shape[1])
        found[f"{name}: {TREND}"] = np.array([_rank_correlation(number, one) for one in values["test loss"]])
        for score in ("test accuracy", "validation loss"):
            chosen, baseline = (values[f"{cell}, {score}"] for cell in ("chosen", "baseline"))
            found |= {f"{name}: chosen, {score}": chosen.ravel(), f"{name}: baseline, {score}": baseline.ravel()}
            # Seeds of one search share its cell, so that a search is one observation.
            found |= interval_rows(f"{name}: chosen, {score} - baseline", (chosen - baseline).mean(axis=1))
        picked = {score: values[score][searches, values["chosen"].astype(int)] for score in values if score in _SCORES}
        for score, column in picked.items():
            found[f"{name}: {score} of the chosen trial"] = column
        fresh = {score: values[f"chosen, {score}"].mean(axis=1) for score in _SCORES}
        found[f"{name}: {OPTIMISM}"] = fresh["validation loss"] - picked["validation loss"]
        found[f"{name}: {CREDIT}"] = picked["test accuracy"] - fresh["test accuracy"]
        for field in ("place", "p", "c"):
            found[f"{name}: {field} of the chosen trial"] = values[field][searches, values["chosen"].astype(int)]
    return found


_SCORES = ("test accuracy", "validation loss")


def _rank_correlation(number: Any, losses: Any) -> float:
    """Spearman's; NaN where fewer than three trials have a finite loss, or all losses are equal."""
    kept = np.isfinite(losses)
    if kept.sum() < 3 or np.ptp(losses[kept]) == 0:
        return np.nan
    return float(np.corrcoef(*(stats.rankdata(part[kept]) for part in (number, losses)))[0, 1])
