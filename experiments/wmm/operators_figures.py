"""Pictures of `wmm/operators`: a matrix after more and more calls, entropy and distinct values along the chains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.wmm import operators_claims as claims
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter, tiles
from identax.run import Results


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """The pictures of those arms that were run."""
    found = []
    shown = {name: results[f"picture, {name}"] for name in claims.PICTURES if f"picture, {name}" in results}
    if shown:
        rows = np.stack([result.kept("matrix")[0] for result in shown.values()]) + 0.5
        text = f"A ramp after {', '.join(str(calls) for calls in config.drawn_calls)} calls (p = .4, c = .2)."
        found.append(Figure(text, figure_png(tiles(rows, rows=list(shown)))))
    for metric, references in (("entropy", claims.ENTROPY), ("distinct", claims.DISTINCT)):
        series = {
            name: {
                float(max(calls, 1)): values for calls, values in zip(config.calls, result.final(metric).T, strict=True)
            }
            for name, result in results.items()
            if name in claims.COLLAPSE
        }
        if series:
            known = {"published run": {float(max(calls, 1)): value for calls, value in references.items()}}
            what = {"entropy": "cumulative entropy, bit", "distinct": "share of distinct values"}[metric]
            picture = over_parameter(series, "calls (the start at 1)", what, references=known)
            found.append(Figure(f"An untrained LSTM of 88 units: {what}.", figure_png(picture)))
    return found
