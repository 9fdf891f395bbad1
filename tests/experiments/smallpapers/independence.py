"""Which variables are independent: many small data sets, a compiled test beside one that runs on the host.

A stand-in for a paper on causal structure: trials without steps, in blocks; sample sizes are arms.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from experiments.smallpapers import samples
from scipy import stats

from identax.causal import fisher_z_test, partial_correlation
from identax.experiment import Arm, Reference, RunConfig
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.study import HostTrial

TRACED = ("strength", "linear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """y = strength * x + noise, or of x squared: data sets of the sizes `sizes`."""

    sizes: tuple[int, ...] = (20, 60)
    size: int = 20
    """of one arm"""
    test: Literal["fisher", "spearman"] = "fisher"
    """of one arm: compiled, or SciPy's on the host"""
    strength: float = 0.0
    linear: bool = True
    num_seeds: int = 12
    block_size: int | None = 16


PRESETS = {"smoke": Config()}
REFERENCES = (
    Reference("fisher 60, strength 1: p < .05", "1 (derived)", {"smoke": (0.8, 1.0)}),
    Reference("spearman 60, strength 1: p < .05", "1 (derived)", {"smoke": (0.8, 1.0)}),
    Reference("fisher 60, strength 0: p < .05", "0.05 (derived)", {"smoke": (0.0, 0.4)}),
)


def arms(config):
    """Sizes change shapes, so they are arms; strengths and kinds are swept in one program."""
    made = []
    for test in ("fisher", "spearman"):
        for size in config.sizes:
            own = dataclasses.replace(config, size=size, test=test)
            made.append(Arm(f"{test} {size}", own, {"strength": (0.0, 1.0), "linear": (True, False)}))
    return made


def build(config):
    """One data set and its p-value."""

    def fisher(key, hparams):
        x, y = samples.draw(key, hparams, config.size)
        return {"p": fisher_z_test(partial_correlation(x, y), config.size)}, {"data": jnp.stack([x, y])}

    def spearman(key, hparams):
        x, y = (np.asarray(part) for part in samples.draw(key, hparams, config.size))
        return {"p": stats.spearmanr(x, y).pvalue}

    return fisher if config.test == "fisher" else HostTrial(spearman)


def premises(config):
    """None."""
    return {}


def measure(config, results):
    """How often every test rejects, per size and strength, for linear dependence."""
    return {
        f"{at['test']} {at['size']}, strength {at['strength']:g}: p < .05": final["p"] < 0.05
        for at, final in points(arms(config), results)
        if at["linear"]
    }


def figures(config, results):
    """Shares of rejections; how large the kept data sets are."""
    found = {}
    for at, final in points(arms(config), results):
        found.setdefault(at["test"], {})[f"{at['size']}, {at['strength']:g}, {at['linear']}"] = final["p"] < 0.05
    shapes = {arm: result.kept("data").shape for arm, result in results.items() if result.arrays}
    return [Figure(f"Kept: {shapes}.", figure_png(bars(found, "rejected")))]
