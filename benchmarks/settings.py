"""The two settings of the step, and the studies that are timed."""

import dataclasses

from experiments.aninfonce.synthetic import TRACED, Config, training
from identax.dgp import anisotropic_pairs, random_invertible_mlp
from identax.dgp.base import DGP
from identax.study import Study, Trials

PAPER = Config(pool_size=1000)
"""The authors' sizes; only the pool of the mixing is smaller, which no step sees"""
SMALL = Config(
    dim=6, batch_size=128, hidden=(64, 64, 64), pool_size=1000, learning_rate=3e-3, precision_learning_rate=5e-2
)
TINY = dataclasses.replace(SMALL, dim=3, batch_size=8, hidden=(8,), pool_size=10)
"""for tests of the benchmarks themselves"""
SETTINGS = {"paper": PAPER, "small": SMALL, "tiny": TINY}


def study_of(config: Config) -> Study:
    """The AnInfoNCE study at these sizes."""
    return training(config)


def world_of(config: Config) -> DGP:
    """The world of `study_of`, for parts that are timed alone."""
    mixing = random_invertible_mlp(config.dim, pool_size=config.pool_size)
    return anisotropic_pairs(config.dim, mixing=mixing, threshold=config.threshold)


def trials_of(config: Config, num_seeds: int) -> Trials:
    """Its trials: seeds of one cell."""
    return Trials.grid(num_seeds, **{name: getattr(config, name) for name in TRACED})


def describe(config: Config) -> dict:
    """The sizes that matter for speed."""
    widths = (config.dim, *config.hidden, config.dim)
    return {"dim": config.dim, "batch_size": config.batch_size, "encoder": "-".join(map(str, widths))}
