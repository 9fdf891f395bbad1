"""Figures of `csi/imagenetx`: the accuracy of every proxy with its standard error and star."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.csi.imagenetx_claims import ORDER, SYNTHETIC, accuracies_of, errors, stars
from identax.data import PROXIES
from identax.report import Figure, figure_png
from identax.report.style import INK, PALETTE, canvas, legend, reference_lines
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Per arm the accuracies with their standard errors and stars, proxies in the order of Fig. 3."""
    drawn = []
    for name, settings, found in accuracies_of(config, results):
        spread = "splits taken as independent" if settings.reading == "published" else "corrected for shared images"
        caption = (
            f"{name}: accuracy on balanced sets, mean over {len(found)} splits; whiskers: standard error, {spread}; "
            f"star: differs from chance at level {settings.alpha:g} after Bonferroni's correction."
        )
        drawn.append(Figure(caption, figure_png(_chart(name, settings, found))))
    return drawn


def _chart(name: str, settings: Any, found: np.ndarray):
    figure, axes = canvas((8.4, 4.2), name)
    order = [PROXIES.index(proxy) for proxy in ORDER]
    means, spreads, starred = found.mean(axis=0), errors(settings, found), stars(settings, found)
    planted = settings.planted if settings.table == SYNTHETIC else PROXIES
    for label, color, inside in (("in the features", PALETTE[0], True), ("absent", PALETTE[1], False)):
        places = [place for place, number in enumerate(order) if (PROXIES[number] in planted) == inside]
        if places:
            shown = [order[place] for place in places]
            text = label if settings.table == SYNTHETIC else None
            axes.bar(places, means[shown], 0.7, color=color, alpha=0.8, lw=0, label=text, zorder=2)
    axes.errorbar(range(len(order)), means[order], spreads[order], fmt="none", color=INK, lw=1.2, capsize=3, zorder=4)
    for place, number in enumerate(order):
        if starred[number]:
            axes.annotate(
                "*", (place, means[number] + spreads[number]), ha="center", va="bottom", fontsize=12, color=INK
            )
    axes.set_ylim(min(0.4, float(np.nanmin(means - spreads))), 1.05)
    reference_lines(axes, {"chance": 0.5})
    axes.set_xticks(range(len(order)), [proxy.replace("_", " ") for proxy in ORDER], rotation=45, ha="right")
    axes.set_ylabel("accuracy")
    axes.grid(axis="x", visible=False)
    legend(figure, axes)
    return figure
