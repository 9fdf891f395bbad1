"""Do redrawn or shuffled weights help an LSTM to forecast a series of three sums of sines ("sin")?

Reizinger & Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019,
whose tables have one run a cell, chosen on the test set: without operator 0.2180, redrawn 0.2290, shuffled 0.2531.
Here every cell has as many seeds as the baseline, the same starts and batches, and intervals of paired differences.
Errors are sums over the three channels, as published.

    python -m experiments run wmm/sin --preset quick
"""

import functools

import numpy as np

from experiments.wmm import config as settings
from experiments.wmm import sin_claims as claims
from experiments.wmm.sine import (
    FIRST_AND_LAST,
    PUBLISHED_WINDOW,
    SineConfig,
    errors,
    predictors,
    published_forecasts,
    sine_task,
)
from experiments.wmm.training import Task, plain, training_study
from identax.data.sine_series import sine_times
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
        entries=FIRST_AND_LAST, batch_size=32, num_steps=24_000, evaluate_every=2000, num_scored=2500,
        num_validation=2500, checkpoint_every=2000,
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
    """Errors on all test windows of repeating the last entry seen, and of the means of either part of the series.

    Also those of the chirp sin(t cos t) alone, of its mean and of `half_a_period_ago`.
    """
    train, test = published_forecasts(config, "none")
    parts = {"training mean": train, "test mean": test}
    means = {name: part.targets.mean(axis=0, dtype=float) for name, part in parts.items()}
    found = {}
    for name, outputs in {"last entry": test.inputs[:, -1], **means}.items():
        found |= {f"{name}, {error}": value for error, value in errors(outputs, test.targets.astype(float)).items()}
    chirp, foretold = half_a_period_ago(config)
    return found | {
        "chirp unknown, MSE": chirp.var(),
        "chirp half a period ago, MSE": np.mean((chirp - foretold) ** 2),
    }


def half_a_period_ago(config: SineConfig) -> tuple[np.ndarray, np.ndarray]:
    """The chirp x(t) = sin(t cos t) behind every test window, and the best guess at it from the window's first entry.

    A window of 50 is half a period of cos t, whose sign it turns: with c = cos(t - pi)

        x(t) = -sin((t - pi) c + pi c) = -x(t - pi) cos(pi c) - cos((t - pi) c) sin(pi c)

    and where the second part's sign is not known the mean is the first one. What it misses is E sin^2(pi c) / 2 =
    (1 - J0(2 pi)) / 4 = .195 of the chirp's variance of 1/2. No other entry of a window has a phase that differs by a
    known amount: between neighbours the chirp turns by up to 138 rad.
    """
    total = config.num_train + config.num_test + 2 * PUBLISHED_WINDOW
    t = sine_times(total)[-config.num_test - PUBLISHED_WINDOW :]
    chirp, ago = np.sin(t * np.cos(t))[PUBLISHED_WINDOW:], t[: config.num_test]
    return chirp, -np.sin(ago * np.cos(ago)) * np.cos(np.pi * np.cos(ago))
