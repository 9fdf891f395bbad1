"""What `llm/in_context` compares: accuracy by examples under p and under q, how close q is, controls beside them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.llm.shared_claims import JUDGED
from identax.assumptions import Report, in_context_report
from identax.checks import check_between, check_count, check_positive
from identax.dgp import Ginc, ginc, smoothed
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.run import Results

ARMS = ("within", "held out")
BAYES = {0: 0.58, 1: 0.70, 4: 0.74, 16: 0.75, 64: 0.73}
"""accuracy of the smoothed mixture on one world, of published parameters: an independent run, 250 prompts each"""
IMPOSSIBLE = {1: 0.068, 4: 0.38, 16: 0.888, 64: 0.988}
"""share of prompts that no component of that world can say, without smoothing"""
EPSILON = 1e-3
_SPREAD, _WORLDS = 0.05, 5
"""standard deviation of an accuracy over worlds (seeds 0 to 4, those of quick), and how many worlds quick has"""


def with_examples(quantity: str, n: int) -> str:
    """How a quantity of prompts with n examples is called."""
    return f"{quantity}, n = {n}"


def accuracy(weight: float, n: int) -> str:
    """The accuracy of q with that weight; of p with weight 0."""
    return with_examples("accuracy of p" if weight == 0 else f"accuracy of q, weight {weight:g}", n)


def bound(weight: float) -> str:
    """The bound on KL(p || q) with that weight."""
    return f"KL bound, weight {weight:g}"


def most(weight: float) -> str:
    """The largest accuracy over the prompts of n0 examples and more, in each world; of p with weight 0."""
    return ("accuracy of p" if weight == 0 else f"accuracy of q, weight {weight:g}") + ", most from n0 on"


FIRST = "n0"
RISE = "accuracy of p, n = 16 less n = 0"


def arms(config: Any) -> Sequence[Arm]:
    """Prompts of components that documents come from, and of others, on the same worlds."""
    return [Arm(prompts, dataclasses.replace(config, prompts=prompts)) for prompts in ARMS]


_WITHIN, _HELD_OUT = ARMS


def row_name(arm: str, name: str) -> str:
    """How a metric of one arm is called."""
    return f"{arm}: {name}"


def _presets(n: int, band: tuple[float | None, float | None]) -> dict[str, tuple[float | None, float | None]]:
    """The band of the presets that have n examples."""
    return {preset: band for preset in JUDGED if n < 64 or preset == "medium"}


def _around(value: float, spread: float) -> tuple[float, float]:
    """Three standard errors of the difference between one world and the mean over those of quick."""
    width = 3 * spread * (1 + 1 / _WORLDS) ** 0.5
    return max(value - width, 0.0), min(value + width, 1.0)


_ONE_WORLD = "one world, n = 250 prompts (independent run on the published parameters)"
_OTHERS = "Other worlds: three standard errors of the difference, spread over worlds as found on the seeds of quick."
_OWN = "Ours, written down after the first run on these seeds."
REFERENCES = (
    *(
        Reference(
            row_name(_WITHIN, accuracy(0, n)), f"{v:.2f}: {_ONE_WORLD}", _presets(n, _around(v, _SPREAD)), note=_OTHERS,
        )
        for n, v in BAYES.items()
    ),
    Reference(
        row_name(_WITHIN, RISE), ".17 from n = 0 to n = 16 of that world", {p: (0.05, None) for p in JUDGED},
        note=f"In-context learning is there under p. {_OWN}",
    ),
    Reference(
        row_name(_WITHIN, most(0.9)), "0 (theory: the wrong label decides)",
        {p: (None, 0.02) for p in JUDGED},
        note="And is absent under q: for all n from each world's n0 on, the longest prompt included.",
    ),
    Reference(
        row_name(_WITHIN, bound(0.9)), f"below {EPSILON:g} nats per document (theory)",
        {p: (0.0, EPSILON) for p in JUDGED},
        note="The divergence itself is smaller. n0 is chosen so; out of band if the longest prompt is not rare enough.",
    ),
    Reference(
        row_name(_HELD_OUT, accuracy(0, 16)), ".09 to .10 of trained transformers (Xie et al. 2022, k = 3)",
        {p: (0.04, 0.18) for p in JUDGED}, note=f"Control: components that p does not contain. {_OWN}",
    ),
    Reference(
        row_name(_WITHIN, with_examples("impossible prompts", 0)), "0 (theory: a component says it)",
        {p: (0.0, 0.0) for p in JUDGED},
    ),
    *(
        Reference(
            row_name(_WITHIN, with_examples("impossible prompts", n)), f"{v:.3g}: {_ONE_WORLD}",
            _presets(n, _around(v, 2 * _SPREAD)), note=_OTHERS,
        )
        for n, v in IMPOSSIBLE.items()
    ),
)  # fmt: skip


def check(config: Any) -> None:
    """Raises `ValueError` for settings that no world can have."""
    if not config.examples or not config.weights:
        raise ValueError(f"llm/in_context: found {config.examples=} and {config.weights=}, wanted one of each at least")
    for n in config.examples:
        check_count("llm/in_context", "examples", n, 0)
    check_count("llm/in_context", "the longest of examples", max(config.examples))
    check_between("llm/in_context", "weights", np.asarray(config.weights), 0, 1)
    if max(config.weights) >= 1:
        raise ValueError(
            f"llm/in_context: found weights={config.weights}, wanted all below 1: the KL is infinite there"
        )
    check_positive("llm/in_context", "epsilon", config.epsilon, ())
    check_count("llm/in_context", "horizon", config.horizon, max(config.examples))
    if config.first is not None:
        check_count("llm/in_context", "first", config.first)
        check_between("llm/in_context", "first", config.first, 1, max(config.examples))


def world(config: Any, key: Any) -> Ginc:
    """The world that a key draws, of the sizes of `config`."""
    names = ("num_values", "num_slots", "num_symbols", "num_components", "num_within")
    return ginc(key, **{name: getattr(config, name) for name in names})


def premises(config: Any) -> dict[str, Report]:
    """Of one world like those of the seeds, with the largest weight: is q within epsilon, and what follows?"""
    check(config)
    drawn = world(config, jax.random.key(config.seed))
    report = in_context_report(
        smoothed(drawn.within(), config.smoothing),
        length=config.example_length,
        num_examples=config.horizon,
        first=config.first,
        weight=max(config.weights),
        epsilon=config.epsilon,
    )
    return dict.fromkeys(ARMS, report)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Every metric per world, and how much the accuracy of p rises from none to 16 examples."""
    found = {}
    for point, metrics in points(arms(config), results):
        found |= {row_name(point["arm"], name): values for name, values in metrics.items()}
        if {0, 16} <= set(config.examples):
            found[row_name(point["arm"], RISE)] = metrics[accuracy(0, 16)] - metrics[accuracy(0, 0)]
    return found


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Accuracy over the number of examples under p and under q, and the share of impossible prompts."""
    drawn = []
    for point, metrics in points(arms(config), results):
        arm = point["arm"]
        series = {}
        for weight in config.weights:
            label = "p" if weight == 0 else f"q, weight {weight:g}"
            series[label] = {float(n): metrics[accuracy(weight, n)] for n in config.examples}
        known = {"one published world, p": {float(n): value for n, value in BAYES.items()}} if arm == _WITHIN else None
        picture = over_parameter(series, "examples", "accuracy", references=known, log_x=False, ylim=(-0.02, 1.02))
        drawn.append(
            Figure(f"Accuracy of the likeliest next symbol, {arm} prompts, a dot per world.", figure_png(picture))
        )
    return drawn
