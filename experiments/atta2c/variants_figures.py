"""Figures of `atta2c/variants`: returns and features over training with intervals, scores, a game."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.atta2c.config import BASELINE, FEATURE_SD, RELEASED
from experiments.atta2c.figures import COLOURS, OBJECTS, coloured, curves
from experiments.atta2c.variants_claims import RETURN, measure, of_game, own_arms
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.grids import tiles
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Game by game: curves, scores relative to the best variant, and what a greedy agent sees."""
    measured = measure(config, results)
    return [
        dataclasses.replace(figure, caption=of_game(game, figure.caption))
        for game in config.games
        if (own := own_arms(game, results))
        for figure in _in_game(config, game, own, measured)
    ]


def _in_game(config: Any, game: str, results: Mapping[str, Results], measured: Mapping[str, Any]) -> list[Figure]:
    per_update = config.num_environments * config.rollout_length
    found = [
        Figure(
            "raw returns of the games that ended in a chunk of updates: means over seeds with their 95 % intervals.",
            curves(results, RETURN, "return of a game", per_update),
        ),
        Figure(
            "standard deviation of the recurrent features over environments and features, the published proxy of "
            "exploration.",
            curves(results, FEATURE_SD, "standard deviation of the features", per_update),
        ),
    ]
    if BASELINE in results and len(results) > 1:
        caption = "the same less the baseline's with the same seed, without AttA2C: means with their 95 % intervals."
        less = curves(_paired(results), RETURN, "return less the baseline's", per_update, results)
        found.insert(1, Figure(caption, less))
    scores: dict[str, dict[str, np.ndarray]] = {}
    for name in results if BASELINE in results else ():
        reading = "as released" if name.endswith(RELEASED) else "as described"
        scores.setdefault(reading, {})[name.removesuffix(RELEASED)] = measured[of_game(game, f"{name}: relative score")]
    if scores:
        caption = "largest mean return of the last ten games over that of the best variant, by seed."
        found.append(Figure(caption, figure_png(bars(scores, "relative score"))))
    seen = {name: result.kept("frames")[0] for name, result in results.items() if "frames" in result.arrays}
    if seen:
        pictures = np.stack([[coloured(frame) for frame in frames] for frames in seen.values()])
        caption = "what the greedy agent of seed 0 sees, step by step from the start of a game."
        parts = zip(COLOURS, OBJECTS.get(game, ()), strict=False)
        what = ", ".join(f"{part} {colour}" for colour, part in parts)
        caption = f"{caption[:-1]}: {what}." if what else caption
        found.append(Figure(caption, figure_png(tiles(pictures, rows=tuple(seen)))))
    return found


def _paired(results: Mapping[str, Results]) -> dict[str, Results]:
    """The returns of arms that are near the baseline, less its own; what was released is the baseline itself."""
    base = results[BASELINE].train[RETURN]
    near = {name: result for name, result in results.items() if name != "AttA2C" and not name.endswith(RELEASED)}
    return {name: dataclasses.replace(one, train={RETURN: one.train[RETURN] - base}) for name, one in near.items()}
