"""What `iem/bivariate` compares: the published curves as shipped, and strict pairs beside what the graph predicts."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iem.bivariate_known import CONDITIONS, SECOND, SHIPPED, STRICT, arm_name
from experiments.iem.checks import check_cells
from experiments.iem.pair_oracle import EDGE
from identax.assumptions import Prediction, Premise, Report, second_order_dependence, structure_report
from identax.assumptions.exchangeable_structure import PAIR_TESTS, bivariate_tests
from identax.dgp import STRUCTURES, pair_world
from identax.experiment import Arm
from identax.points import points
from identax.run import Results

_OWN = ("cause or mechanism variability of every edge", "faithfulness", "faithfulness to second order")
"""premises that are not the same whatever varies"""


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each sampler and number of environments: all that varies, on the same seeds."""
    check_cells("iem/bivariate", config, "environments", "strict_environments", "second_moment_environments")
    several = {
        SHIPPED: config.environments,
        STRICT: config.strict_environments,
        SECOND: config.second_moment_environments,
    }
    found = []
    for sampler, numbers in several.items():
        sweep = {"condition": tuple(range(len(CONDITIONS[sampler])))}
        sets = config.second_moment_sets if sampler == SECOND else config.num_seeds
        for num in numbers:
            arm = dataclasses.replace(config, sampler=sampler, num_environments=num, num_seeds=sets)
            found.append(Arm(arm_name(sampler, num), arm, sweep))
    return found


def expected_tests(sampler: str, condition: str) -> tuple[bool, bool, bool]:
    """Which of the three tests of X -> Y hold: by the unrolled graph, of linear pairs by second moments too."""
    tests = bivariate_tests(EDGE, _varies(sampler, condition))
    cancels = second_order(sampler, condition) == 0
    return tests.first, tests.second or cancels, tests.third


def second_order(sampler: str, condition: str) -> float | None:
    """Cov(Y1, X2 | Y2) of X -> Y at a = b = 1 where the pair is linear, else None."""
    numbers = CONDITIONS[sampler][condition]
    return None if sampler == SHIPPED or numbers[2] else float(second_order_dependence(1, 1, *numbers[:2]))


def _varies(sampler, condition):
    numbers = CONDITIONS[sampler][condition]
    spreads, share = ((1, 1), 0.5) if sampler == SHIPPED else (numbers[:2], numbers[2])
    return pair_world((1, 1, 1), spreads, quadratic_share=share).varies


def premises(config: Any) -> dict[str, Report]:
    """What the unrolled graph says of X -> Y under everything that varies, by sampler; the same for every E."""
    first: dict[str, Arm] = {}
    for arm in arms(config):
        first.setdefault(arm.config.sampler, arm)
    return {arm.name: _report(arm.config) for arm in first.values()}


def _report(config):
    held, predicted = {}, []
    for condition, numbers in CONDITIONS[config.sampler].items():
        varies, covariance = _varies(config.sampler, condition), second_order(config.sampler, condition)
        for one in structure_report(EDGE, varies, num_environments=config.num_environments).premises:
            if one.name == "faithfulness" and covariance is not None:
                one = _faithful(covariance, any(varies))
            name = f"{condition}: {one.name}" if one.name in _OWN else one.name
            held[name] = dataclasses.replace(one, name=name)
        if config.sampler == SHIPPED and 0 in numbers:
            without = "XY"[numbers.index(0)]
            name, found = f"{condition}: what varies is what is named", f"the noise of {without} is one per environment"
            why = (
                "a prior other than a point mass is to vary, and noise to stay: here all locations vary, and noise goes"
            )
            held[name] = Premise(name, False, found, why)
        predicted += _predictions(config, condition)
    return Report(list(held.values()), predicted)


def _faithful(covariance, varies):
    found = f"Cov(Y1, X2 | Y2) = {covariance:.3g} at a = b = 1"
    why = "a dependence of the graph that cancels in second moments is left to higher ones"
    return Premise("faithfulness to second order", covariance != 0 or not varies, found, why)


def _predictions(config, condition):
    tests, covariance = expected_tests(config.sampler, condition), second_order(config.sampler, condition)
    coin = tests == (True, True, False)
    cancels = any(_varies(config.sampler, condition)) and covariance == 0
    why = "second moments alone; higher ones may show it" if cancels else "limit of many environments"
    yield Prediction(f"{condition}, direction of edges found", 0.5 if coin else 1.0, why)
    for number, (test, holds) in enumerate(zip(PAIR_TESTS, tests, strict=True)):
        value = config.level if holds else 1.0
        why_test = why if number == 1 and cancels else "holds: the level" if holds else "fails: limit of many"
        yield Prediction(f"{condition}, {STRUCTURES[0]}, {test} rejected", value, why_test)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per data set: whether the structure, and the direction of edges, is right, by truth; rates of rejected tests."""
    found = {}
    for arm, condition, cell in cells(config, results):
        truth, decided = cell["truth"], cell["decided"]
        of = {
            "accuracy": decided == truth,
            "direction of edges found": (decided == truth)[(truth != 2) & (decided != 2)],
            "direction of true edges": (decided == truth)[truth != 2],
            "settled": cell["settled"],
            "always none accuracy": truth == 2,
        }
        if "lingam" in cell:
            of["LiNGAM accuracy"] = cell["lingam"] == truth
        for number, structure in enumerate(STRUCTURES):
            own = truth == number
            of |= {f"{structure}, right": decided[own] == number, f"{structure}, called none": decided[own] == 2}
            rejected = cell["rejected"][own].T
            of |= {f"{structure}, {test} rejected": one for test, one in zip(PAIR_TESTS, rejected, strict=True)}
        found |= {f"{arm.name}: {condition}, {quantity}": np.asarray(one, float) for quantity, one in of.items()}
    return found


def cells(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[Arm, str, dict[str, np.ndarray]]]:
    """Arm, what varies, and the data sets of every cell that was run."""
    known = {arm.name: arm for arm in arms(config)}
    for at, metrics in points(list(known.values()), results):
        arm = known[at["arm"]]
        yield arm, list(CONDITIONS[arm.config.sampler])[at["condition"]], metrics
