"""The same series with mixed targets ("sin-noise"): what its published test errors measure, and what is measured here.

Reizinger & Gyires-Toth, LOD 2019. There is no noise: targets are multiplied by a random matrix, inputs are not. As
published the training and the test set have a matrix each, so that a network which has learned its task perfectly has a
test error of 31.11, the distance of two matrices, and the published best values, 26.95 and 25.79, belong to networks
that are wrong about it in a lucky direction. Here the same trained networks are scored on both: one matrix for both
sets, and one per set.

    python -m experiments run wmm/sin_noise --preset quick
"""

import functools

import numpy as np

from experiments.wmm import config as settings
from experiments.wmm import sin_noise_claims as claims
from experiments.wmm.sine import (
    FIRST_AND_LAST,
    SineConfig,
    errors,
    predictors,
    published_forecasts,
    scored_rows,
    sine_task,
)
from experiments.wmm.sine import forecasts as windows_of
from experiments.wmm.training import Task, plain, training_study
from identax.data import sine_mixings
from identax.study import HostTrial, Study

TRACED = settings.TRACED
TRIAL_MAP = "map"
Config = SineConfig

PRESETS: dict[str, SineConfig] = {
    "smoke": SineConfig(
        num_train=300, num_test=60, num_validation=40, window=6, units=(3, 3), batch_size=4, num_steps=4, log_every=2,
        evaluate_every=4, checkpoint_every=4, num_seeds=2, chunk=50,
    ),
    "quick": SineConfig(
        window=10, batch_size=32, num_steps=300, log_every=100, evaluate_every=100, checkpoint_every=300,
        num_validation=500, num_scored=1000,
    ),
    "medium": SineConfig(
        entries=FIRST_AND_LAST, batch_size=32, num_steps=8000, evaluate_every=1000, num_scored=2500,
        num_validation=2500, checkpoint_every=2000,
    ),
    "paper": SineConfig(
        validation="published", sampling="epochs", num_steps=22_000, log_every=10, evaluate_every=10, patience=150,
        checkpoint_every=1000,
    ),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: SineConfig) -> Study | HostTrial:
    """The training of one arm, or the predictors that learn nothing."""
    if config.role == "predictors":
        return predictors(lambda: untrained(config))
    return training_study(config, _task(plain(config)))


@functools.lru_cache(maxsize=2)
def _task(config: SineConfig) -> Task:
    sizes = config.num_train, config.num_test, config.window
    both = [windows_of(mixing, *sizes)[1].targets[scored_rows(config)] for mixing in claims.MIXINGS.values()]
    return sine_task(config, "shared", np.stack(both, axis=1), scores)


def scores(outputs, targets):
    """Errors on the test targets [N, 2, 3] of either mixing."""
    found = {}
    for place, name in enumerate(claims.MIXINGS):
        found |= {f"{error}, {name}": value for error, value in errors(outputs, targets[:, place]).items()}
    return found


def untrained(config: SineConfig) -> dict[str, float]:
    """Of predictors on all test windows: the training mixture known exactly, and the last entry, mixed like it."""
    inputs, truth = published_forecasts(config, "none")[1]
    trained_on = sine_mixings()[0]
    found = {}
    for name, clean in (("perfect predictor", truth), ("last entry, mixed", inputs[:, -1])):
        for mixing, kind in claims.MIXINGS.items():
            targets = published_forecasts(config, kind)[1].targets.astype(float)
            outputs = clean.astype(float) @ trained_on
            found |= {f"{name}, {error}, {mixing}": value for error, value in errors(outputs, targets).items()}
    return found
