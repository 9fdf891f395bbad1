"""Do redrawn or shuffled weights help an LSTM to forecast a series of three sums of sines ("sin")?

Reizinger & Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019,
whose tables have one run a cell, chosen on the test set: without operator 0.2180, redrawn 0.2290, shuffled 0.2531.
Here every cell has as many seeds as the baseline, the same starts and batches, and intervals of paired differences.
Errors are sums over the three channels, as published.

    python -m experiments run wmm/sin --preset quick
"""

import functools

from experiments.wmm import config as settings
from experiments.wmm import sin_claims as claims
from experiments.wmm.sine import SineConfig, errors, predictors, published_forecasts, sine_task
from experiments.wmm.training import Task, plain, training_study
from identax.study import HostTrial, Study

TRACED = settings.TRACED
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
        window=10, batch_size=32, num_steps=2500, evaluate_every=500, num_scored=2500, num_validation=1250,
        checkpoint_every=500,
    ),
    "paper": SineConfig(
        validation="published", sampling="epochs", num_steps=82_000, log_every=10, evaluate_every=10, patience=150,
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
        return predictors(lambda: repeated(config))
    return training_study(config, _task(plain(config)))


@functools.lru_cache(maxsize=2)
def _task(config: SineConfig) -> Task:
    return sine_task(config, "none", None, errors)


def repeated(config: SineConfig) -> dict[str, float]:
    """Errors on all test windows of repeating the last entry seen, and of the means of either part of the series."""
    train, test = published_forecasts(config, "none")
    parts = {"training mean": train, "test mean": test}
    means = {name: part.targets.mean(axis=0, dtype=float) for name, part in parts.items()}
    found = {}
    for name, outputs in {"last entry": test.inputs[:, -1], **means}.items():
        found |= {f"{name}, {error}": value for error, value in errors(outputs, test.targets.astype(float)).items()}
    return found
