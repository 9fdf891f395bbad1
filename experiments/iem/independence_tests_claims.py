"""What `iem/independence_tests` compares: uniform p-values under independence, and shares rejected of a dependence."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import shares_over_parameter
from identax.run import Results

_CONTINUOUS = ("fisher_z", "kci", "hsic", "rcit")
LEVELS = {"categorical": 2, "sparse": 4}
TESTS = {"gaussian": _CONTINUOUS, "nonlinear": _CONTINUOUS, "categorical": ("g",), "sparse": ("g",)}
"""world -> tests that are run on it"""
_NUM, _ERRORS, _LEAST = {"quick": 300, "medium": 2000}, 3.5, 1e-3
"""data sets of a row; standard errors of its band, for some 60 rows; p of Kolmogorov and Smirnov that still passes"""
_UNIFORM_BY_THEORY = {"fisher_z": "exact to O(1/n^2)", "g": "chi^2 as n grows", "kci": "gamma law", "hsic": "gamma law"}


def label(method: str, given: bool) -> str:
    """A test with or without z."""
    return f"{method}{' given z' * given}"


def arm_name(world: str, num: int) -> str:
    """How the arm of a law and a number of samples is called."""
    return f"{world}, n = {num}"


def arms(config: Any) -> Sequence[Arm]:
    """One arm for each law and number of samples, every strength on the same seeds."""
    return [
        Arm(
            arm_name(world, num),
            dataclasses.replace(config, world=world, num_samples=num),
            {"strength": config.strengths},
        )
        for world in TESTS
        for num in config.samples
    ]


def laws(world: str, given: bool) -> tuple[np.ndarray, np.ndarray]:
    """P(x | z) and P(y | z) [Z, L] of the categorical worlds before y copies x; one row without z."""
    levels = LEVELS[world]
    if not given:
        return (np.full((1, levels), 1 / levels),) * 2
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
    return f"{arm_name(world, num)}: {name}, {'independent' if strength == 0 else f'strength {strength:g}'}: {quantity}"


def _bands(share: float) -> dict[str, tuple[float | None, float | None]]:
    """Around a known share; the spread at least that of 1 %."""
    p = min(max(share, 0.01), 0.99)
    widths = {preset: _ERRORS * math.sqrt(p * (1 - p) / num) for preset, num in _NUM.items()}
    return {preset: (max(share - width, 0.0), min(share + width, 1.0)) for preset, width in widths.items()}


def _tests(samples=(100, 200)) -> Iterator[tuple[str, int, str, bool]]:
    for world, methods in TESTS.items():
        for num in samples:
            for method in methods:
                for given in (False, True)[: 1 if method == "hsic" else 2]:
                    yield world, num, method, given


def _references() -> Iterator[Reference]:
    for world, num, method, given in _tests():
        name = label(method, given)
        rejected, uniform = _row(world, num, name, 0, "rejected"), _row(world, num, name, 0, "p of uniformity")
        if world == "sparse":
            yield Reference(rejected, ".05 as n grows only", note="Few samples a cell: the chi^2 law is a limit.")
            continue
        if (world, method, given) == ("nonlinear", "fisher_z", True):
            yield Reference(rejected, "more than .05", note="Linear regressions leave part of z in both: not its null.")
            continue
        yield Reference(rejected, ".05 (the level)", _bands(0.05))
        if method == "rcit":
            yield Reference(uniform, "not uniform", note="The gamma law of two moments fits the upper tail alone.")
        else:
            judged = dict.fromkeys(_NUM, (_LEAST, None))
            yield Reference(uniform, f"uniform ({_UNIFORM_BY_THEORY[method]}): p >= {_LEAST:g}", judged)
        for strength in (0.15, 0.3, 0.5):
            known = power(world, method, num, strength, given)
            if known is not None:
                wanted = f"{known:.3f} ({'normal law of z' if method == 'fisher_z' else 'noncentral chi^2'})"
                yield Reference(_row(world, num, name, strength, "rejected"), wanted, _bands(known))


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Report]:
    """What every test takes for granted, of every law."""
    return {
        arm_name(world, num): Report(_premises(world, num), _predictions(world, num, config))
        for world in TESTS
        for num in config.samples
    }


def _premises(world, num):
    if world in LEVELS:
        cells = LEVELS[world] ** 3
        return [
            Premise(
                "g: filled cells",
                num >= 10 * cells,
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


def _predictions(world, num, config):
    found = []
    for method in TESTS[world]:
        for strength in config.strengths:
            known = power(world, method, num, strength, True)
            if known is not None:
                found.append(
                    Prediction(f"{label(method, True)}, strength {strength:g}", known, "its law under dependence")
                )
    return found or [Prediction("rejected, independent", 0.05, "the level; where a premise fails, more or less")]


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
    """Rejections over the strength, one picture for each law without and with z, at the largest n; and over n."""
    cells = [(at, metrics) for at, metrics in points(arms(config), results)]
    pictures = []
    for world, methods in TESTS.items():
        for given in (False, True):
            series = _series(cells, config.level, given, world, methods, lambda at: at["strength"], config.samples[-1])
            if series:
                caption = f"{world}, n = {config.samples[-1]}{', given z' * given}: share rejected at {config.level:g}."
                pictures.append(_picture(series, "strength of the dependence", caption, config.level))
    if len(config.samples) > 1:
        pictures += _over_samples(config, cells)
    return pictures


def _over_samples(config, cells):
    strength = config.strengths[1]
    chosen = [(at, metrics) for at, metrics in cells if at["strength"] == strength]
    for world, methods in TESTS.items():
        series = _series(chosen, config.level, True, world, methods, lambda at: at["num_samples"], None)
        if series:
            caption = f"{world}, given z, strength {strength:g}: share rejected over n."
            yield _picture(series, "samples", caption, config.level)


def _series(cells, level, given, world, methods, place: Callable, num):
    found: dict[str, dict[float, np.ndarray]] = {}
    for at, metrics in cells:
        if at["world"] == world and num in (None, at["num_samples"]):
            for method in methods:
                name = label(method, given)
                if name in metrics:
                    found.setdefault(method, {})[float(place(at))] = (metrics[name] <= level).astype(float)
    return found


def _picture(series, xlabel, caption, level):
    picture = shares_over_parameter(series, xlabel, "rejected", references={"the level": level})
    return Figure(f"{caption} Bands: 95 % of bootstrap samples.", figure_png(picture))
