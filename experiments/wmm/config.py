"""What can be chosen of one training, in all experiments of this paper."""

import dataclasses
from typing import Literal

from identax.experiment import RunConfig

TRACED = ("learning_rate", "p", "c")
"""Numeric fields of `TrainingConfig` that become traced hyper-parameters: sweeping them never recompiles."""

NO_OPERATOR = {"operator": "none", "reading": "intended", "layer": "", "gate": "", "p": 0.0, "c": 0.1}
"""fields of `TrainingConfig` without an operator, which so do not depend on the command line"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """One network on one data set, with or without an operator. The defaults are the published ones of recurrent nets.

    But for `sampling`: the published permutations are "epochs".
    `evaluate_every` was 10, with a patience of 150 (recurrent networks) or 25 (convolutional ones) evaluations.
    """

    role: Literal["training", "predictors"] = "training"
    """of one arm: a network is trained, or predictors that learn nothing are scored"""
    operator: Literal["none", "reinit", "shuffle"] = "none"
    """acts on the weights after every update: `identax.transforms.reinitialise` or `shuffle`"""
    reading: Literal["intended", "released"] = "intended"
    """as the text means it, or as the published program has it: see `weight_operator`"""
    layer: str = ""
    """part of the names of the layers acted on, as published: "lstm" means lstm1 and lstm2, "all" all layers"""
    gate: Literal["", "input", "forget", "cell", "output"] = ""
    """of an LSTM that alone is acted on; "": all four. The published program ignores it, so "released" does"""
    p: float = 0.05
    """probability of a redraw inside the rectangle, or that a row is shuffled"""
    c: float = 0.1
    """largest share of an axis, or of a row, that a window takes"""
    max_c: float = 0.35
    """largest c that may come, the end of the published search; numbers are drawn for windows of that share"""
    learning_rate: float = 0.05
    momentum: float = 0.75
    """Nesterov's"""
    weight_decay: float = 1e-4
    batch_size: int = 128
    sampling: Literal["draws", "epochs"] = "draws"
    """"draws": each batch with replacement; "epochs": fresh permutations as published, which cost 15 ms a step and
    trial for 60,000 examples; what is left over sits out"""
    patience: int = 150
    """evaluations in a row without a smaller validation loss, after which a trial stops; 0: none stops"""
    chunk: int = 1000
    """examples that are evaluated at once"""
