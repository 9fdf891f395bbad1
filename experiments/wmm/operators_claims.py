"""What `wmm/operators` compares: counts with closed forms, and entropies with a run of the published program."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from identax.assumptions import Prediction, Premise, Report
from identax.experiment import Arm, Reference
from identax.run import Results
from identax.transforms import idle_window, reinitialise_touch, shuffle_touch


class Example(NamedTuple):
    """Weights and an operator on them; `changes`: entries changed a call by the authors' program (Monte Carlo)."""

    operator: str
    mode: str
    shape: tuple[int, ...]
    p: float
    c: float
    changes: float | None = None
    copies: int = 1
    skip_last: bool = False


_LINEAR, _CONVOLUTION = (12, 10), (6, 3, 5, 5)
EXAMPLES = {
    "linear 10 to 12, shuffle, released": Example("shuffle", "released", _LINEAR, 0.5, 0.3, 6.579),
    "convolution 3 to 6, shuffle, released": Example("shuffle", "released", _CONVOLUTION, 0.25, 0.3, 6.633),
    "linear 10 to 12, reinit": Example("reinit", "intended", _LINEAR, 0.4, 0.5, 4.100),
    "convolution 3 to 6, reinit, released": Example("reinit", "released", _CONVOLUTION, 0.4, 0.35, 20.000),
    "gates of an LSTM 10 to 6, reinit, released": Example("reinit", "released", (6, 10), 0.4, 0.5, 8.640, 4, True),
    "linear 10 to 12, shuffle": Example("shuffle", "permute", _LINEAR, 0.5, 0.3),
    "convolution 3 to 6, reinit": Example("reinit", "intended", _CONVOLUTION, 0.4, 0.35),
    "convolution 3 to 6, shuffle of c = .119": Example("shuffle", "released", _CONVOLUTION, 0.4, 0.119, 0.0),
}
IDLE = "convolution 3 to 6, shuffle of c = .119"
_SIDE, _P, _C = 88, 0.4, 0.2
COLLAPSE = {"LSTM 88, shuffle, released": "released", "LSTM 88, shuffle": "permute", "LSTM 88, reinit": "released"}
RELEASED = "LSTM 88, shuffle, released"
ENTROPY = {0: 29.21, 10: 29.15, 100: 28.6, 500: 25.9, 1000: 23.4, 2000: 20.1}
DISTINCT = {0: 0.98, 10: 0.82, 100: 0.27, 500: 0.055, 1000: 0.024, 2000: 0.017}
"""of one run of the authors' program; .98 at the start: theirs are multiples of 2^-24"""
_SPREAD = {0: 0.02, 10: 0.02, 100: 0.07, 500: 0.24, 1000: 0.39, 2000: 0.47}
"""standard deviations over 16 chains"""
PICTURES = {
    "reinit": ("reinit", "intended"),
    "shuffle": ("shuffle", "permute"),
    "shuffle, released": ("shuffle", "released"),
}
CHANGES, FROM_FORM, WORST = "changes a call", "changes, standard errors from the closed form", "worst entry"


def arms(config: Any) -> Sequence[Arm]:
    """Counts for every example, chains of calls on the matrices of an LSTM, and pictures of a small matrix."""
    found = []
    for name, example in EXAMPLES.items():
        given = {field: value for field, value in example._asdict().items() if field != "changes"}
        found.append(Arm(name, dataclasses.replace(config, show="counts", **given)))
    for name, mode in COLLAPSE.items():
        operator = "reinit" if "reinit" in name else "shuffle"
        own = {"operator": operator, "mode": mode, "shape": (_SIDE, _SIDE), "p": _P, "c": _C, "skip_last": True}
        chains = config.chains if name == RELEASED else config.kept_chains
        found.append(Arm(name, dataclasses.replace(config, show="collapse", num_seeds=chains, **own)))
    for name, (operator, mode) in PICTURES.items():
        own = {"operator": operator, "mode": mode, "p": _P, "c": _C, "num_seeds": 1}
        found.append(Arm(f"picture, {name}", dataclasses.replace(config, show="pictures", **own)))
    return found


def touch_of(config: Any) -> np.ndarray:
    """The closed form of how often each entry is touched in a call, of all copies together."""
    touch = reinitialise_touch if config.operator == "reinit" else shuffle_touch
    shape = (config.shape[0] - config.skip_last, *config.shape[1:])
    found = np.zeros(config.shape)
    found[: shape[0]] = touch(shape, config.p, config.c, mode=config.mode, layout="out_in")
    return config.copies * found


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Counts, how far they are from the closed form in their standard errors, and entropies along the chains."""
    found: dict[str, np.ndarray] = {}
    for arm in arms(config):
        if arm.name not in results:
            continue
        result = results[arm.name]
        if arm.config.show == "counts":
            found |= _counted(arm.name, arm.config, result)
        if arm.config.show == "collapse":
            entropy, distinct = result.final("entropy"), result.final("distinct")
            for place, calls in enumerate(arm.config.calls):
                found[f"{arm.name}: entropy after {calls} calls"] = entropy[:, place]
                found[f"{arm.name}: distinct values after {calls} calls"] = distinct[:, place]
            for what, values in (("entropy", entropy), ("distinct values", distinct)):
                found[f"{arm.name}: largest change of {what}"] = np.abs(values - values[:, :1]).max(axis=1)
    return found


def _counted(name: str, config: Any, result: Results) -> dict[str, np.ndarray]:
    """Over all chains together: one standard error is small enough to see a wrong law."""
    wanted, changes = touch_of(config), result.final("changes")
    num = config.num_calls * len(changes)
    error = math.sqrt(result.final("variance").mean() / num)
    frequency = result.kept("touched").mean(axis=0)
    # Copies are independent, so that each entry's count is a sum of independent draws.
    spread = np.sqrt(wanted * (1 - wanted / config.copies) / num)
    acts = wanted > 0
    found = {f"{name}: {CHANGES}": changes, f"{name}: touched where nothing should be": frequency[~acts].sum()[None]}
    if acts.any():
        found[f"{name}: {FROM_FORM}"] = ((changes.mean() - wanted.sum()) / error)[None]
        apart = np.abs(frequency - wanted)[acts] / spread[acts]
        found[f"{name}: {WORST}, standard errors"] = apart.max()[None]
    return found


def _all(low: float | None, high: float | None) -> dict[str, tuple[float | None, float | None]]:
    return dict.fromkeys(("quick", "medium", "paper"), (low, high))


def _collapse_band(calls: int) -> dict[str, tuple[float, float]]:
    """Two standard errors of the difference between one run and the mean of ours, and the rounding of its number."""
    widths = {preset: 2 * _SPREAD[calls] * math.sqrt(1 + 1 / n) + 0.05 for preset, n in (("quick", 8), ("medium", 16))}
    return {preset: (ENTROPY[calls] - width, ENTROPY[calls] + width) for preset, width in widths.items()}


REFERENCES = (
    *(
        Reference(f"{name}: {CHANGES}", f"{example.changes:.3f} (closed form, and the authors' program)")
        for name, example in EXAMPLES.items()
        if example.changes
    ),
    *(
        Reference(f"{name}: {FROM_FORM}", "0 (closed form)", _all(-3.0, 3.0), "Three standard errors of all calls.")
        for name in EXAMPLES
        if name != IDLE
    ),
    *(
        Reference(f"{name}: {WORST}, standard errors", "under 4.5 (120 to 450 entries)", _all(None, 4.5))
        for name in EXAMPLES
        if name != IDLE
    ),
    Reference(
        f"{IDLE}: {CHANGES}", "0: floor(c n) <= 2", _all(0.0, 0.0), "Such are all CIFAR-10 shuffles of the paper."
    ),
    *(
        Reference(f"{name}: touched where nothing should be", "0 (closed form)", _all(0.0, 0.0))
        for name in EXAMPLES
        if "released" in name and "linear" not in name and "shuffle" not in name
    ),
    *(
        Reference(
            f"{RELEASED}: entropy after {calls} calls", f"{value} bit (one run of the authors' program)",
            _collapse_band(calls),
        )
        for calls, value in ENTROPY.items()
    ),
    *(
        Reference(f"{RELEASED}: distinct values after {calls} calls", f"{value} (same run)")
        for calls, value in DISTINCT.items()
    ),
    Reference("LSTM 88, shuffle: largest change of entropy", "0: a permutation", _all(-1e-4, 1e-4)),
    Reference("LSTM 88, shuffle: largest change of distinct values", "0: a permutation", _all(0.0, 0.0)),
    Reference("LSTM 88, reinit: largest change of entropy", "small: redrawn from the law of the start"),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """Before anything is run: whether a window can ever act, and how many entries a call changes."""
    return {arm.name: _report(arm.config) for arm in arms(config) if arm.config.show == "counts"}


def _report(config: Any) -> Report:
    reason = idle_window(config.shape, config.c, layout="out_in") if config.operator == "shuffle" else None
    premise = Premise(
        "a window can act", reason is None, reason or "two weights or more in a window",
        "otherwise training with the operator is training without it",
    )  # fmt: skip
    changes = Prediction(CHANGES, round(float(touch_of(config).sum()), 3), "closed form")
    return Report([premise], [changes])
