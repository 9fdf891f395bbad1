"""Figures of `atta2c/coupling`: learning curves by world, who solves DeepSea, and games of the agents that learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.atta2c.config import FEATURE_SD
from experiments.atta2c.coupling_claims import LATE, arms, world_name
from experiments.atta2c.coupling_worlds import BREAKOUT, DEEP_SEA
from experiments.atta2c.figures import COLOURS, OBJECTS, coloured, over_seeds
from identax.points import cells
from identax.report import Figure, figure_png
from identax.report.grids import bootstrap_interval, over_parameter, tiles
from identax.report.style import canvas, legend, series_style
from identax.run import Results

_MOST_SINGLE = 5
"""curves of one picture with a thin line for every seed"""
_MOST_PATHS = 8
"""seeds whose game in DeepSea is drawn"""
_CAPTIONS = {
    "success": "share of episodes that reach the goal", "recent return": "raw return of the last games",
    FEATURE_SD: "standard deviation of the policy's features, the published proxy of exploration",
}  # fmt: skip


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Learning curves of every world, their features, which seeds solve DeepSea, and what learned agents play."""
    pictures: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    games: dict[str, dict[str, np.ndarray]] = {}
    steps, solved = {}, {}
    for at, result, mask in cells(arms(config), results):
        where = at["arm"].removeprefix(f"{at['agent']}, ")
        title, label = _picture(config, at, where)
        kinds = ["recent return" if at["world"] == BREAKOUT else "success"]
        kinds += [FEATURE_SD] if at["world"] == BREAKOUT or where == world_name(config) else []
        for shown in kinds:
            pictures.setdefault((title, shown), {})[label] = result.train[shown][mask]
            steps[title, shown] = result.train_steps
        if at["world"] == DEEP_SEA:
            late = result.train["success"][mask][:, -1]
            solved.setdefault(where, {})[at["agent"]] = np.where(np.isfinite(late), late > LATE, np.nan)
        if "frames" in result.arrays:
            games.setdefault(where, {})[at["agent"]] = result.kept("frames")[mask]
    drawn = []
    for (title, shown), values in pictures.items():
        caption = f"{title}: {_CAPTIONS[shown]}. Means over seeds with 95 % intervals."
        drawn.append(Figure(caption, _curves(steps[title, shown], values, shown)))
    return drawn + _solved(config, solved) + [_game(where, agents) for where, agents in games.items()]


def _picture(config: Any, at: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The title of an arm's picture, and its label there: worlds in which two agents play share theirs."""
    if at["world"] != DEEP_SEA or at["channels"] or where == world_name(config):
        return where, at["agent"]
    kind = where.removeprefix(f"N = {at['size']}")
    if kind:
        return f"DeepSea{kind}", f"{at['agent']}, N = {at['size']}"
    return f"DeepSea of growing size, {at['agent']}", where


def _curves(steps: np.ndarray, values: Mapping[str, np.ndarray], name: str) -> bytes:
    """Means over seeds with intervals; which of them are 0 all the time, and hide each other, the legend says."""
    ylim = (-0.02, 1.02) if name == "success" else None
    figure, axes = canvas((5.6, 3.8), "")
    for number, (label, trials) in enumerate(values.items()):
        color, dashes = series_style(number)
        mean, *ends = over_seeds(trials)
        low, high = np.clip(ends, *(ylim or (-np.inf, np.inf)))
        label = label if np.nan_to_num(trials).any() else f"{label} (0 throughout)"
        if len(values) <= _MOST_SINGLE:
            axes.plot(steps, trials.T, color=color, lw=0.6, alpha=0.25)
        axes.plot(steps, mean, color=color, ls=dashes, lw=2, label=label)
        axes.fill_between(steps, low, high, color=color, alpha=0.14, lw=0)
    axes.set(xlabel="update", ylabel=name, ylim=ylim)
    legend(figure, axes)
    return figure_png(figure)


def _solved(config: Any, solved: Mapping[str, Mapping[str, np.ndarray]]) -> list[Figure]:
    """By agent, where there are more than two, and by size for both that play in all."""
    many = {where: agents for where, agents in solved.items() if len(agents) > 2}
    found = []
    if many:
        caption = f"Share of seeds that solve DeepSea ({', '.join(many)}), with bootstrap intervals."
        found.append(Figure(caption, _by_agent(many)))
    sizes = {
        agent: {
            float(where.removeprefix("N = ")): agents[agent]
            for where, agents in solved.items() if agent in agents and "," not in where
        }
        for agent in ("plain", "count")
    }  # fmt: skip
    if len(sizes["plain"]) > 1:
        picture = over_parameter(sizes, "N", "seeds that solve it", log_x=False, ylim=(-0.02, 1.02), band=0.95)
        caption = "Share of seeds that solve DeepSea of size N, with bootstrap intervals."
        found.append(Figure(caption, figure_png(picture)))
    return found


def _by_agent(solved: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    names = list(dict.fromkeys(agent for agents in solved.values() for agent in agents))
    figure, axes = canvas((5.6, 1.2 + 0.3 * len(names)), "")
    for number, (where, agents) in enumerate(solved.items()):
        color, _ = series_style(number)
        heights = np.array([names.index(agent) for agent in agents]) + 0.3 * number
        good = [values[np.isfinite(values)] for values in agents.values()]
        ends = np.array([bootstrap_interval(values) for values in good])
        axes.hlines(heights, ends[:, 0], ends[:, 1], color=color, lw=1.2, alpha=0.7)
        means = [values.mean() if len(values) else np.nan for values in good]
        axes.plot(means, heights, "s", ms=5, color=color, label=where, clip_on=False, zorder=3)
    axes.set(xlabel="share of seeds that solve it", xlim=(-0.02, 1.02))
    axes.set_yticks(np.arange(len(names)) + 0.15 * (len(solved) - 1), names)
    axes.invert_yaxis()
    legend(figure, axes)
    return figure_png(figure)


def _game(where: str, agents: Mapping[str, np.ndarray]) -> Figure:
    """In Breakout the frames of seed 0; in DeepSea every seed's way, which has one cell in each row."""
    if where.startswith(BREAKOUT):
        pictures = np.stack([[coloured(frame) for frame in frames[0]] for frames in agents.values()])
        what = ", ".join(f"{part} {colour}" for colour, part in zip(COLOURS, OBJECTS[BREAKOUT], strict=True))
        caption = f"{where}: what the greedy agent of seed 0 sees, step by step from the start of a game: {what}."
    else:
        # Dark on grey: a way along the left edge would be lost in a white page.
        pictures = 0.85 - 0.85 * np.stack([frames[:_MOST_PATHS].sum(axis=1) for frames in agents.values()])
        caption = (
            f"{where}: the cells (black) that the greedy agent passes in a game, a picture for every seed, the first "
            f"{pictures.shape[1]} of them. It starts at the top left; the goal is at the bottom right."
        )
    return Figure(caption, figure_png(tiles(pictures, rows=tuple(agents))))
