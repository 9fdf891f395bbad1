"""Figures of `llm/scaling`: rule 1 over layers, loss over rates, and whether loss and rule 1 go together."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.llm import scaling_claims as claims
from experiments.llm.shared_claims import LOSS, RULE, learned_language
from identax.report import Figure, figure_png
from identax.report.grids import over_parameter
from identax.report.style import canvas, legend, series_style
from identax.run import Results

_RULE = "rule 1, prompts off the support"


def figures(config: Any, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Sizes at their best rate, rates of every optimiser at the first size, and every trial."""
    if not results:
        return []
    measured = claims.measure(config, results)
    sizes, rates = {}, {}
    for heads in config.grid_heads:
        at_best = {
            float(layers): measured[f"{claims.arm_name('AdamW', heads, layers)}, {claims.BEST}: {RULE}"]
            for layers in config.grid_layers
            if claims.arm_name("AdamW", heads, layers) in results
        }
        if at_best:
            sizes[f"{heads} heads"] = at_best
    for optimizer in ("AdamW", "SGD"):
        arm = claims.arm_name(optimizer, config.grid_heads[0], config.grid_layers[0])
        if arm in results:
            rates[optimizer] = {rate: measured[claims.row_name(arm, rate, claims.EXCESS)] for rate in config.rates}
    drawn = []
    if sizes:
        picture = over_parameter(sizes, "layers", _RULE, log_x=False, ylim=(-0.03, 1.03))
        drawn.append(
            Figure("Completions that end, a dot per seed, at the rate with the least loss.", figure_png(picture))
        )
    if rates:
        picture = over_parameter(rates, "learning rate", claims.EXCESS, log_y=True)
        drawn.append(Figure("Loss at the first size: what is left to learn.", figure_png(picture)))
    return [*drawn, Figure("Every trial at its least loss; heads x layers.", figure_png(_trials(config, results)))]


def _trials(config, results):
    figure, axes = canvas((5.6, 4.0), "")
    seen: dict[str, Any] = {}
    for arm, _, values in claims.by_rate(config, results):
        color, _ = series_style(seen.setdefault(arm, len(seen)))
        excess = (values[LOSS] - learned_language(config).entropy_floor()) * (config.max_length + 1)
        label = arm.replace("heads ", "").replace(", layers ", " x ")
        label = None if label in axes.get_legend_handles_labels()[1] else label
        axes.plot(values[RULE], excess, "o", mfc="none", mec=color, label=label)
    axes.set_yscale("log")
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel(_RULE)
    axes.set_ylabel(claims.EXCESS)
    legend(figure, axes)
    return figure
