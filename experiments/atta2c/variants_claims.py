"""What `atta2c/variants` compares: returns and features of every variant, paired with the baseline's."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.atta2c.config import (
    BASELINE,
    FEATURE_SD,
    PUBLISHED,
    RELEASED,
    VARIANTS,
    as_described,
    as_released,
    checked,
)
from identax.assumptions import Premise, Report
from identax.checks import check_choice
from identax.experiment import Arm, Reference
from identax.paired import finite_mean, interval_rows, paired_interval
from identax.run import Results

WITHOUT = "no curiosity"
RETURN = "game return"
_CURIOUS = ("ICM single", "ICM double", "RCM")
RANDOM = {
    "Breakout-MinAtar": 0.41,
    "Asterix-MinAtar": 0.49,
    "SpaceInvaders-MinAtar": 4.3,
    "Freeway-MinAtar": 0.6,
    "Seaquest-MinAtar": 0.09,
}
"""game -> mean return of a random agent: Breakout's over 512,000 steps, the others' over 128,000 and more"""
_LEVEL = 0.99
"""of intervals within which curious variants are to equal the baseline: three of them are judged"""


def of_game(game: str, what: str) -> str:
    """The name of an arm, or of what is measured, in one game."""
    return f"{game.removesuffix('-MinAtar')}, {what}"


def own_arms(game: str, results: Mapping[str, Results]) -> dict[str, Results]:
    """The arms of one game by the name of their variant."""
    start = of_game(game, "")
    return {name.removeprefix(start): result for name, result in results.items() if name.startswith(start)}


def arms(config: Any) -> Sequence[Arm]:
    """Game by game the variants as described, in the first one those as released too, at last none of them; all on the
    same seeds. Raises `ValueError` for no game, one that is named twice, and an unknown variant.
    """
    checked(config)
    if not config.games or len(set(config.games)) < len(config.games):
        raise ValueError(f"atta2c/variants: found games={config.games}, wanted one or more, each named once")
    for field in ("variants", "released"):
        names = getattr(config, field)
        for name in names:
            check_choice("atta2c/variants", "variant", name, tuple(VARIANTS))
        if len(set(names)) < len(names):
            raise ValueError(f"atta2c/variants: found {field}={names}, wanted each variant once")
    wired = {as_released(name): VARIANTS[name] | {"wiring": "released"} for name in config.released}
    found = []
    for number, game in enumerate(config.games):
        own = {name: VARIANTS[name] for name in config.variants} | (wired if number == 0 else {})
        own |= {WITHOUT: as_described("none")} if config.without else {}
        found += [
            Arm(of_game(game, name), dataclasses.replace(config, game=game, **kind)) for name, kind in own.items()
        ]
    return found


_JUDGED = {"Breakout-MinAtar": ("quick", "medium"), "SpaceInvaders-MinAtar": ("medium",)}
"""game -> presets that judge its rows"""
_EARLY_PRESETS = ("quick",)
"""short enough that what the common clipping costs early (`docs/papers/atta2c.md`) is much of what is measured: that
curious variants equal the baseline is shown there, not judged"""
_LATE, _MIDDLE, _AREA = "return, last tenth", "return, tenth in the middle", "return, mean over training"
_EARLY, _EARLY_SD = "return, first half", f"{FEATURE_SD}, first half"
_RELATIVE, _ALL = "relative score", "all games"
_PLAYED = ("greedy", "sampled")
_PUBLISHED = {
    name: f"{score} (mean of six Atari cells, n = 1)"
    for name, score in zip(PUBLISHED, (".923", ".949", ".922", ".880", ".953"), strict=True)
}
"""relative scores"""
_UNKNOWN = "not in the paper"


def _references(game: str) -> list[Reference]:
    """The rows of one game: the same claims for each, judged in the presets of `_JUDGED`."""

    def bands(low: float | None, high: float | None) -> dict[str, tuple[float | None, float | None]]:
        return dict.fromkeys(_JUDGED.get(game, ()), (low, high))

    rows = [
        Reference(
            f"{BASELINE}: {_LATE}", f"{RANDOM[game]} for a random agent", bands(2 * RANDOM[game], None),
            "Twice a random agent's return.",
        ),
        Reference(
            f"{BASELINE}: rise from the middle, 95 % low", "still rising", bands(0.0, None),
        ),
        *(
            Reference(
                f"{as_released(name)}: largest difference from baseline", "0: nothing is switched on", bands(0.0, 0.0),
                "Of returns, losses and features at every logged step.",
            )
            for name in _CURIOUS
        ),
        *(
            Reference(
                f"{name}: {_AREA} - baseline, half-widths of its 99 % interval",
                "0: curiosity touches the policy through the common clipping alone",
                {preset: band for preset, band in bands(-1.0, 1.0).items() if preset not in _EARLY_PRESETS},
            )
            for name in _CURIOUS
        ),
        *(
            Reference(f"AttA2C: {what} - baseline, 95 % high", f"below 0: slower{where}", bands(None, 0.0))
            for what, where in ((_EARLY, " early (all Pong and Seaquest curves)"), (_AREA, ""))
        ),
        Reference(
            f"AttA2C: {_EARLY_SD} - baseline, 95 % low", "above 0: features 1.3 to 3.6 times as spread",
            bands(0.0, None),
        ),
        Reference(
            f"{WITHOUT}: {_AREA} - baseline, half-widths of its 99 % interval",
            "not in the paper; 0 if the common clipping does nothing",
        ),
        *(Reference(f"{name}: {_AREA}", "one run per game in the paper, other games") for name in VARIANTS),
        Reference(f"{WITHOUT}: {_AREA}", _UNKNOWN),
        *(Reference(f"{name}: {_LATE}", _UNKNOWN) for name in (*VARIANTS, WITHOUT) if name != BASELINE),
        *(Reference(f"{name}: {_RELATIVE}", _PUBLISHED.get(name, _UNKNOWN)) for name in (*VARIANTS, WITHOUT)),
        *(
            Reference(f"{name}: {_EARLY_SD}", "scores .26 to .41, AttA2C .53 to .93 (Atari, n = 1)")
            for name in VARIANTS
        ),
        *(Reference(f"{name}: {kind} return", _UNKNOWN) for kind in _PLAYED for name in VARIANTS),
    ]  # fmt: skip
    return [dataclasses.replace(row, quantity=of_game(game, row.quantity)) for row in rows]


REFERENCES = (
    *(row for game in RANDOM for row in _references(game)),
    *(
        Reference(of_game(_ALL, f"{name}: {_RELATIVE}"), _PUBLISHED.get(name, _UNKNOWN))
        for name in (*VARIANTS, WITHOUT)
    ),
)


def premises(config: Any) -> dict[str, Report]:
    """Whether the attention of each arm exists, and whether curiosity reaches its policy."""
    found = {}
    for arm in arms(config):
        own = arm.config
        attends = own.attention or (own.icm in ("single", "double", "rational") and own.wiring == "intended")
        rewarded = own.icm != "none" and own.bonus_weight > 0
        found[arm.name] = Report(
            [
                Premise(
                    "attention is switched on", attends, "layers of its own" if attends else "no layer, no weight",
                    "without it the arm is the baseline by another name",
                ),
                Premise(
                    "curiosity is a reward", rewarded, f"weight {own.bonus_weight:g}",
                    "a loss of an encoder of its own changes what the policy does by the common clipping alone",
                ),
            ],
            [],
        )  # fmt: skip
    return found


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per game and seed what every arm reached, how it got there, and differences from the baseline of the same seed;
    with several games the relative score over all of them, the mean of theirs.
    """
    found, relative = {}, []
    for game in config.games:
        own = _in_game(config, own_arms(game, results))
        found |= {of_game(game, what): values for what, values in own.items()}
        relative.append({what: values for what, values in own.items() if what.endswith(f": {_RELATIVE}")})
    for what in relative[0] if len(relative) > 1 else ():
        if all(what in each for each in relative):
            found[of_game(_ALL, what)] = np.mean([each[what] for each in relative], axis=0)
    return found


def _in_game(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, result in results.items():
        found |= {f"{name}: {what}": values for what, values in _summary(config, result).items()}
    if BASELINE not in results:
        return found
    base = results[BASELINE]
    rise = found[f"{BASELINE}: {_LATE}"] - found[f"{BASELINE}: {_MIDDLE}"]
    found[f"{BASELINE}: rise from the middle, 95 % low"] = np.array([paired_interval(rise).low])
    best = _best_mean([found[f"{name}: {_SCORE}"] for name in results])
    for name, result in results.items():
        found[f"{name}: {_RELATIVE}"] = found[f"{name}: {_SCORE}"] / best
        if name == BASELINE:
            continue
        if name.endswith(RELEASED):
            found[f"{name}: largest difference from baseline"] = largest_difference(result, base)
        for what in (_AREA, _EARLY, _EARLY_SD, _LATE):
            better = found[f"{name}: {what}"] - found[f"{BASELINE}: {what}"]
            found |= interval_rows(f"{name}: {what} - baseline", better)
            found[f"{name}: {what} - baseline, half-widths of its 99 % interval"] = np.array([_in_half_widths(better)])
    return found


_SCORE = "largest recent return"


def _summary(config: Any, result: Results) -> dict[str, np.ndarray]:
    """Returns of the games that ended, over training; chunks in which none did are left out."""
    steps, curve, sd = result.train_steps, result.train[RETURN], result.train[FEATURE_SD]
    share = steps / config.num_steps
    # The first entry is a single step, not a mean over a chunk.
    parts = {
        _LATE: share > 0.9, _MIDDLE: (share > 0.4) & (share <= 0.5),
        _AREA: steps > 1, _EARLY: (steps > 1) & (share <= 0.5),
    }  # fmt: skip
    found = {what: finite_mean(curve[:, chosen]) for what, chosen in parts.items()}
    recent = result.train["recent return"]
    # The published score is the largest smoothed mean of the last ten games: the means of chunks are smoothed here.
    known = np.where(np.isfinite(recent), recent, -np.inf).max(axis=1)
    found[_SCORE] = np.where(np.isfinite(known), known, np.nan)
    early = sd[:, parts[_EARLY]]
    found[_EARLY_SD] = early.mean(axis=1) if early.shape[1] else np.full(len(sd), np.nan)
    for kind in _PLAYED:
        if f"{kind} return" in result.evaluation:
            found[f"{kind} return"] = result.final(f"{kind} return")
    return found


def _best_mean(scores: Sequence[np.ndarray]) -> float:
    """The largest of the means over finite seeds, NaN where there are none."""
    means = finite_mean(np.stack(scores))
    return float(means[np.isfinite(means)].max()) if np.isfinite(means).any() else np.nan


def _in_half_widths(differences: np.ndarray) -> float:
    """How many half-widths of its interval the mean is away from 0; within 1 the interval holds 0."""
    low, high = paired_interval(differences, _LEVEL)[1:3]
    if high == low:
        return 0.0 if low == 0 else np.inf
    return float((low + high) / (high - low))


def largest_difference(result: Results, base: Results) -> np.ndarray:
    """Largest difference of any training metric, per seed; a metric that one lacks is infinitely far, as all are."""
    names = result.train.keys() | base.train.keys()
    if not names or names - (result.train.keys() & base.train.keys()):
        return np.full(len(result.trials), np.inf)
    worst = np.zeros(len(result.trials))
    for name in names:
        ours, theirs = result.train[name], base.train[name]
        both = np.isnan(ours) & np.isnan(theirs)
        gap = np.where(both, 0.0, np.abs(ours - theirs))
        worst = np.maximum(worst, np.where(np.isnan(gap), np.inf, gap).max(axis=1))
    return worst
