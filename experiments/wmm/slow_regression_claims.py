"""What `wmm/slow_regression` compares: errors over examples of every operator, and how far each rises."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm import plasticity
from experiments.wmm.paired import paired_references, paired_rows
from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results

BETWEEN_BLOCKS = (plasticity.REDO, plasticity.SWR, plasticity.RESET)
"""operators that act rarely, with statistics of many examples"""
RARE = "every 1,000"
BINS = {"first 20,000": (0, 20), "first 100,000": (0, 100), "from 80,000 to 100,000": (80, 100)}
"""names of stretches of examples -> from where to where, in thousands"""
ENDS = {"last 20,000": 20, "last 200,000": 200}
RISE = "rise, last 200,000 less first 100,000"
_RUN = "independent program, 100 runs"


def arms(config: Any) -> Sequence[Arm]:
    """Plain backpropagation at every step size, then one arm for each operator; the paper's also act rarely."""
    found = []
    for operator in config.operators:
        own = dataclasses.replace(config, operator=operator, every=1, step_size=config.step_sizes[0])
        if operator == plasticity.BACKPROP:
            found.append(Arm(operator, own, {"step_size": config.step_sizes}))
            continue
        rare = dataclasses.replace(own, every=config.block)
        if operator == plasticity.RESET:  # published once an epoch; here once per change of the slow bits
            found.append(Arm(operator, dataclasses.replace(own, every=10 * config.block)))
        elif operator in BETWEEN_BLOCKS:
            found.append(Arm(operator, rare))
        else:
            found.append(Arm(operator, own))
        if operator in _PAPERS:
            found.append(Arm(f"{operator}, {RARE}", rare))
    return found


def _name(at: Mapping[str, Any]) -> str:
    return f"{at['arm']} {at['step_size']:g}" if at["arm"] == plasticity.BACKPROP else at["arm"]


def _curves(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name of a cell, ends of chunks in thousands of examples, and errors [runs, chunks]."""
    for at, result, mask in cells(arms(config), results):
        chunks = result.train_steps % at["log_every"] == 0  # the first row is the first block alone
        yield _name(at), result.train_steps[chunks] * at["block"] / 1000, result.train["loss"][mask][:, chunks]


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per run: errors before the update over stretches of examples, the paired rise, and signs of lost plasticity."""
    found: dict[str, np.ndarray] = {}
    for name, ends, errors in _curves(config, results):
        starts = ends - ends[0]
        stretches = BINS | {stretch: (ends[-1] - length, ends[-1]) for stretch, length in ENDS.items()}
        for stretch, (low, high) in stretches.items():
            inside = (starts >= low) & (ends <= high)
            if low >= 0 and high <= ends[-1] and inside.any():
                found[f"{name}: error, {stretch}"] = errors[:, inside].mean(axis=1)
        if f"{name}: error, last 200,000" in found and ends[-1] >= 400:
            rise = found[f"{name}: error, last 200,000"] - found[f"{name}: error, first 100,000"]
            found[f"{name}: {RISE}"] = rise
    for at, result, mask in cells(arms(config), results):
        for metric in result.evaluation:
            found[f"{_name(at)}: {metric}"] = result.final(metric)[mask]
    plain = f"{plasticity.BACKPROP} {config.step_sizes[0]:g}"
    for stretch in ENDS:
        found |= paired_rows(found, f"error, {stretch}", plain)
    return found


# Bands around the independent program's means are three standard errors of the difference. In 20,000 examples 30 runs
# spread by .45 (backpropagation) and .27 (continual), so that their mean has an error of .085 and .05.
def _row(name: str, paper: str, note: str = "", **bands: tuple[float | None, float | None]) -> Reference:
    return Reference(name, paper, bands, note)


_PLAIN, _CBP = f"{plasticity.BACKPROP} 0.01", plasticity.CBP
_PAPERS = (plasticity.REINIT, plasticity.PERMUTE, plasticity.RELEASED)
_OTHERS = (*plasticity.OPERATORS[1:], *(f"{name}, {RARE}" for name in _PAPERS))
REFERENCES = (
    _row(f"{_PLAIN}: error, first 20,000", f".659 ± .031 (s.e.; {_RUN})", quick=(0.50, 0.82), medium=(0.50, 0.82)),
    _row(f"{_PLAIN}: error, last 20,000", f"1.031 after 250,000, 1.237 after 1,000,000 ({_RUN})", quick=(0.74, 1.32)),
    _row(f"{_CBP}: error, last 20,000", f".559 after 250,000, .565 after 1,000,000 ({_RUN})", quick=(0.39, 0.73)),
    _row(
        f"{_CBP}: error, last 20,000 - {_PLAIN}",
        f"-.47 after 250,000, -.67 after 1,000,000 ({_RUN}, not paired)",
        "Same inputs, targets and first weights in both.",
        quick=(None, -0.2),
        medium=(None, -0.35),
    ),
    _row(
        f"{_CBP}: error, last 20,000 - {_PLAIN}, 95 % high",
        "below 0: they separate",
        quick=(None, 0.0),
        medium=(None, 0.0),
    ),
    _row(f"{_PLAIN}: {RISE}", f"+.555 ± .032 (s.e.; {_RUN})", medium=(0.35, None)),
    _row(f"{_CBP}: {RISE}", f"-.018 ± .013 (s.e.; {_RUN})", medium=(None, 0.05)),
    _row(f"{_PLAIN}: error, last 200,000", f"1.276 ± .032 (s.e.; {_RUN}); 1.2 to 1.28 (read off a figure)"),
    _row(f"{_CBP}: error, last 200,000", f".557 ± .011 (s.e.; {_RUN})", medium=(None, 0.62)),
    _row("backprop 0.003: error, last 200,000", f"1.035 ({_RUN})"),
    _row("backprop 0.001: error, last 200,000", f".859 ± .016 (s.e.; {_RUN})"),
    _row(f"{plasticity.L2}: error, last 200,000", f".782 ± .018 (s.e.; {_RUN}), weight decay .01"),
    _row(f"{plasticity.SHRINK}: error, last 200,000", ".582 ± .018 (s.e.; same program, 40 runs), sigma .001"),
    *paired_references(dict.fromkeys(_OTHERS, "not published for all"), "error, last 200,000", baseline=_PLAIN),
    _row(f"{_PLAIN}: silent activations", f".94 of the last 10,000 of a million ({_RUN})"),
    _row(f"{_CBP}: silent activations", f".57 of the last 10,000 of a million ({_RUN})"),
)


def premises(config: Any) -> dict[str, Report]:
    """Per arm whether anything puts back what descent loses, and what is predicted of the error."""
    return {arm.name: _report(arm.config) for arm in arms(config)}


def _report(config: Any) -> Report:
    operator = config.operator
    renews = operator not in (plasticity.BACKPROP, plasticity.L2)
    found = Premise(
        "units that fell silent can come back",
        renews,
        f"{operator}, after every {config.every} updates" if renews else "no: a silent ReLU has no gradient",
        "each change of the slow bits silences some units for good (Dohare et al. 2024)",
    )
    rises = Prediction("error", "rises over changes of the bits", "loss of plasticity")
    stays = Prediction("error", "does not rise", "units are renewed")
    told = {plasticity.BACKPROP: [rises], plasticity.CBP: [stays]}
    return Report([found], told.get(operator, []))


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """The error over examples, of backpropagation and each operator."""
    curves, ends = {}, np.zeros(0)
    for name, at, errors in _curves(config, results):
        curves[name], ends = errors.mean(axis=0, keepdims=True), at
    picture = learning_curves(1000 * ends, curves, "squared error before the update")
    picture.axes[0].set_xlabel("example")
    return [Figure("Mean over runs of the error on each example before it is learned from.", figure_png(picture))]
