"""Figures of `wmm/search`: all trials in the order in which they were tried, and all cells with what they scored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.wmm.search_claims import arms
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.report.style import canvas
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Every trial of every search: test loss over the number of the trial; p and c, coloured by the loss."""
    found = [(at["arm"], values) for at, values in points(arms(config), results)]
    if not found:
        return []
    curves = {name: values["test loss"] for name, values in found}
    picture = learning_curves(1 + np.arange(config.num_trials), curves, "test loss")
    picture.axes[0].set_xlabel("trial")
    caption = "Every trial in order. Of one shared model (as published) later ones are better, whatever p and c."
    drawn = [Figure(caption, figure_png(picture))]
    for name, values in found:
        picture, axes = canvas((5.2, 3.6), name)
        for number, place in enumerate(config.places):
            here = values["place"] == number
            dots = axes.scatter(
                values["p"][here], values["c"][here], c=values["validation loss"][here], s=28, label=place,
                marker="os^Dv*"[number % 6], cmap="viridis",
                vmin=np.nanmin(values["validation loss"]), vmax=np.nanmax(values["validation loss"]),
            )  # fmt: skip
            if number == 0:
                picture.colorbar(dots, ax=axes, label="validation loss")
        axes.set_xscale("log")
        axes.set_xlabel("p")
        axes.set_ylabel("c")
        axes.legend(fontsize=7, frameon=False)
        drawn.append(Figure(f"{name}: every trial of all searches, by layer.", figure_png(picture)))
    return drawn
