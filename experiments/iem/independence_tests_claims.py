"""What `iem/independence_tests` compares: uniform p-values under independence, and shares rejected of a dependence."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments.iem.bands import share_band
from experiments.iem.checks import check_cells
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

LEVELS = {"categorical": 2, "sparse": 4}
TESTS = {
    "gaussian": ("fisher_z", "kci"),
    "nonlinear": ("fisher_z", "kci", "hsic", "rcit"),
    "categorical": ("g",),
    "sparse": ("g",),
}
"""world -> tests that are run on it"""
_SAMPLES, _STRENGTHS = (50, 100), (0.2, 0.4)
"""of the tiers that are judged"""
_NUM, _NUM_POWER = {"quick": 300, "medium": 2000}, {"quick": 100, "medium": 1000}
"""data sets of a row, independent and dependent"""
_ERRORS, _LEAST, _SMALLEST = 3.5, 1e-3, 6
"""standard errors of a band, for some 50 rows; p of Kolmogorov and Smirnov that passes; samples of a kernel test"""
_UNIFORM_BY_THEORY = {"fisher_z": "exact to O(1/n^2)", "g": "chi^2 as n grows", "kci": "gamma law", "hsic": "gamma law"}


def label(method: str, given: bool) -> str:
    """A test with or without z."""
    return f"{method}{' given z' * given}"


def arm_name(world: str, num: int, what: str = "independent") -> str:
    """How the arm of a law and a number of samples is called."""
    return f"{world}, n = {num}, {what}"


def arms(config: Any) -> Sequence[Arm]:
    """Two arms for each law and number of samples: independent data sets, and every strength on the same seeds."""
    for field in ("worlds", "samples"):
        check_cells("iem/independence_tests", config, field)
    if min(config.samples) < _SMALLEST:
        raise ValueError(f"iem/independence_tests: found samples={config.samples}, wanted at least {_SMALLEST} each")
    if any(not 0 <= strength < 1 for strength in config.strengths):
        raise ValueError(f"iem/independence_tests: found strengths={config.strengths}, wanted them in [0, 1)")
    found = []
    for world in config.worlds:
        for num in config.samples:
            cell = dataclasses.replace(config, world=world, num_samples=num)
            dependent = dataclasses.replace(cell, num_seeds=config.power_seeds)
            found.append(Arm(arm_name(world, num), cell, {"strength": (0.0,)}))
            found.append(Arm(arm_name(world, num, "dependent"), dependent, {"strength": config.strengths}))
    return found


def filled(world: str, num: int, given: bool) -> bool:
    """Whether the table of a categorical law has ten samples a cell, the rule of thumb for chi^2."""
    return num >= 10 * LEVELS[world] ** (3 if given else 2)


def laws(world: str, given: bool) -> tuple[np.ndarray, np.ndarray]:
    """P(x | z) and P(y | z) [Z, L] of the categorical worlds before y copies x; one row without z."""
    levels = LEVELS[world]
    if not given:
        even = np.full((1, levels), 1 / levels)
        return even, even
    favourite = 0.7 if levels == 2 else 0.55
    x = np.full((levels, levels), (1 - favourite) / (levels - 1))
    np.fill_diagonal(x, favourite)
    return x, np.roll(x, 1, axis=1)


def information(world: str, strength: float, given: bool) -> float:
    """I(x; y | z) in nats of a categorical world, by its exact table."""
    of_x, of_y = laws(world, given)
    joint = (1 - strength) * of_x[:, :, None] * of_y[:, None, :]
    joint += strength * of_x[:, :, None] * np.eye(of_x.shape[1])[None]
    apart = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    return float((joint * np.log(joint / apart)).sum() / len(of_x))


def power(world: str, method: str, num: int, strength: float, given: bool, level: float = 0.05) -> float | None:
    """What theory says is rejected: of Fisher's z for Gaussians, of the G-test for tables with filled cells; else None.

    z = sqrt(n - k - 3) artanh r is normal about that of the correlation, G noncentral chi^2 about 2 n I(x; y | z).
    """
    if (world, method) == ("gaussian", "fisher_z"):
        freedom = num - given
        middle = math.sqrt(freedom - 3) * (math.atanh(strength) + strength / (2 * (freedom - 1)))
        cut = stats.norm.ppf(1 - level / 2)
        return float(stats.norm.sf(cut - middle) + stats.norm.cdf(-cut - middle))
    if world == "categorical" and strength > 0:
        degrees = 2 if given else 1
        cut = stats.chi2.ppf(1 - level, degrees)
        return float(stats.ncx2.sf(cut, degrees, 2 * num * information(world, strength, given)))
    return None


def _row(world, num, name, strength, quantity):
    return f"{world}, n = {num}: {name}, {'independent' if strength == 0 else f'strength {strength:g}'}: {quantity}"


def _bands(share: float, nums: Mapping[str, int]) -> dict[str, tuple[float | None, float | None]]:
    """Around a known share; the spread at least that of 1 %."""
    found = {preset: share_band(share, math.inf, num, _ERRORS) for preset, num in nums.items()}
    return {preset: (max(low, 0.0), min(high, 1.0)) for preset, (low, high) in found.items()}


def _tests(samples: Sequence[int]) -> Iterator[tuple[str, int, str, bool]]:
    for world, methods in TESTS.items():
        for num in samples:
            for method in methods:
                for given in (False, True)[: 1 if method == "hsic" else 2]:
                    yield world, num, method, given


def _references() -> Iterator[Reference]:
    for world, num, method, given in _tests(_SAMPLES):
        name = label(method, given)
        rejected, uniform = _row(world, num, name, 0, "rejected"), _row(world, num, name, 0, "p of uniformity")
        if method == "g" and not filled(world, num, given):
            yield Reference(rejected, ".05 as n grows only", note="Fewer than 10 samples a cell: chi^2 is a limit.")
            continue
        if (world, method, given) == ("nonlinear", "fisher_z", True):
            yield Reference(rejected, "more than .05", note="Linear regressions leave part of z in both: not its null.")
            continue
        yield Reference(rejected, ".05 (the level)", _bands(0.05, _NUM))
        if method == "rcit" or (method == "kci" and given):
            yield Reference(uniform, "not uniform", note="The gamma law of two moments fits the upper tail alone.")
        else:
            judged = dict.fromkeys(_NUM, (_LEAST, None))
            yield Reference(uniform, f"uniform ({_UNIFORM_BY_THEORY[method]}): p >= {_LEAST:g}", judged)
        for strength in _STRENGTHS:
            known = power(world, method, num, strength, given)
            if known is not None:
                wanted = f"{known:.3f} ({'normal law of z' if method == 'fisher_z' else 'noncentral chi^2'})"
                yield Reference(_row(world, num, name, strength, "rejected"), wanted, _bands(known, _NUM_POWER))


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Report]:
    """What every test takes for granted, of every law."""
    return {
        arm_name(world, num, what): Report(_premises(world, num), _predictions(world, num, strengths))
        for world in config.worlds
        for num in config.samples
        for what, strengths in (("independent", (0.0,)), ("dependent", config.strengths))
    }


def _premises(world, num):
    if world in LEVELS:
        cells = LEVELS[world] ** 3
        return [
            Premise(
                "g: filled cells",
                filled(world, num, True),
                f"{num} samples for {cells} cells given z",
                "G is chi^2 in the limit; ten samples a cell are the rule of thumb",
            )
        ]
    return [
        Premise(
            "fisher_z given z: linear and Gaussian",
            world == "gaussian",
            world,
            "residuals of linear regressions are independent given z only if what z does is linear",
        ),
        Premise("kci, hsic, rcit: null law", None, "gamma of two moments", "an approximation, best in the upper tail"),
    ]


def _predictions(world, num, strengths):
    found = []
    for method in TESTS[world]:
        for strength in strengths:
            known = power(world, method, num, strength, True)
            if known is not None:
                found.append(
                    Prediction(f"{label(method, True)}, strength {strength:g}", known, "its law under dependence")
                )
    if strengths == (0.0,):
        return [Prediction("rejected, independent", 0.05, "the level; where a premise fails, more or less")]
    return found


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per data set whether a test rejects; of the independent ones also the p of Kolmogorov and Smirnov."""
    found = {}
    for at, metrics in points(arms(config), results):
        for name, p in metrics.items():
            row = at["world"], at["num_samples"], name, at["strength"]
            found[_row(*row, "rejected")] = (p <= config.level).astype(float)
            if at["strength"] == 0:
                found[_row(*row, "p of uniformity")] = np.array([stats.kstest(p, "uniform").pvalue])
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Rejections of every law, over the strength at the largest n, and over n at the smallest strength."""
    cells = [(at, metrics) for at, metrics in points(arms(config), results)]
    most, least = config.samples[-1], config.strengths[0]
    over = [
        ("strength", "strength of the dependence", lambda at: at["num_samples"] == most, f"n = {most}"),
        ("num_samples", "samples", lambda at: at["strength"] == least, f"strength {least:g}"),
    ]
    pictures = []
    for field, xlabel, chosen, words in over[: 1 + (len(config.samples) > 1)]:
        for world in config.worlds:
            series: dict[str, dict[float, np.ndarray]] = {}
            for at, metrics in cells:
                if at["world"] == world and chosen(at):
                    for name, p in metrics.items():
                        series.setdefault(name, {})[float(at[field])] = (p <= config.level).astype(float)
            if series:
                pictures.append(_picture(series, xlabel, f"{world}, {words}: share rejected.", config.level))
    return pictures


def _picture(series, xlabel, caption, level):
    levels = {"the level": {x: level for values in series.values() for x in values}}
    picture = over_parameter(
        series, xlabel, "rejected", references=levels, log_x=False, ylim=(-0.02, 1.02), band=0.95
    )  # fmt: skip
    return Figure(f"{caption} Bands: 95 % of bootstrap samples.", figure_png(picture))
