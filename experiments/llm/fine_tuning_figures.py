"""Figures of `llm/fine_tuning`: losses over the steps of fine-tuning, a line per scale of the weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.llm import fine_tuning_claims as claims
from identax.report import Figure, figure_png
from identax.report.figures import learning_curves
from identax.run import Results

_SAYS = {
    claims.INSIDE: "Control: alpha where the published program has it; the lines lie on one another.",
    claims.PUBLISHED: "As the published program fine-tunes; the lines lie on one another.",
    claims.RANDOM: "Control: random weights.",
}


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """A figure per arm that fine-tunes: one function at the start, a curve for every alpha."""
    floor = claims.languages(config)[1].entropy_floor()
    drawn = []
    for arm, steps, losses, _ in claims.curves(config, results):
        picture = learning_curves(
            steps,
            {f"alpha = {alpha:g}": values for alpha, values in losses.items()},
            "nats per token",
            references={"floor": floor},
            log_y=True,
            ylim=_limits([floor, *losses.values()]),
        )
        says = _SAYS.get(arm, "All scales are one function at step 0.")
        drawn.append(
            Figure(f"{arm}: loss on {claims.SECOND} over the steps of fine-tuning. {says}", figure_png(picture))
        )
    return drawn


def _limits(values: Sequence[Any]) -> tuple[float, float]:
    """Around all losses: mean less deviation may be negative, which a logarithmic axis cannot show."""
    flat = np.concatenate([np.ravel(one) for one in values])
    shown = flat[np.isfinite(flat) & (flat > 0)]
    return 0.8 * shown.min(), 1.25 * shown.max()
