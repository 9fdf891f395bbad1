"""Do redrawn or shuffled weights help an LSTM to continue chorales by Bach?

Reizinger & Gyires-Toth, LOD 2019: two quarters of a piano roll are seen, the next one is predicted, by an LSTM whose
state is the logit. Nine keys in ten are up, so that a predictor which says "nothing sounds" is right in .955 of all
entries: beside the published accuracy stand the negative log-likelihood of a frame and F1 of the keys that are down.
The scores are those of music21's corpus, by default split by melody; the published `JSB_Chorales.mat` is read with
`--config.path`. `quick` draws chords at random, which says nothing about Bach, but what an operator does to a network.

    pip install -e .[chorales]
    python -m experiments run wmm/chorales --preset medium
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from experiments.wmm import chorales_claims as claims
from experiments.wmm import config as settings
from experiments.wmm.config import TrainingConfig
from experiments.wmm.drawn_chorales import DRAWN, drawn_chorales
from experiments.wmm.examples import held
from experiments.wmm.training import Task, plain, training_study
from identax.data import Chorales, Windows, load_chorales, windows
from identax.models import lstm_network
from identax.study import HostTrial, Study

TRACED = settings.TRACED
TRIAL_MAP = "map"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One network on one set of chorales. The defaults are the published setting but for the cadences."""

    path: str = ""
    """a folder of scores or the published `.mat`; "": music21's corpus; "drawn": chords that are drawn here"""
    window: int = 2
    """quarters seen"""
    grid_p: tuple[float, ...] = ()
    grid_c: tuple[float, ...] = ()
    """strengths beside the published ones, all crossed"""
    batch_size: int = 32
    num_steps: int = 20_000
    log_every: int = 100
    evaluate_every: int = 500
    checkpoint_every: int = 5000
    patience: int = 0
    num_seeds: int = 8


PRESETS: dict[str, Config] = {
    "smoke": Config(
        path=DRAWN, num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, batch_size=4, num_seeds=2,
    ),
    "quick": Config(path=DRAWN, num_steps=400, evaluate_every=200, checkpoint_every=400),
    "medium": Config(grid_c=(0.3,), num_steps=4000, log_every=50, evaluate_every=500, patience=3),
    "paper": Config(sampling="epochs", num_steps=60_000, log_every=10, evaluate_every=10, patience=150),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study | HostTrial:
    """The training of one arm, or the predictors that learn nothing. Raises `ValueError` as `load_chorales`."""
    parts = rolls(config.path)
    if config.role == "predictors":
        return HostTrial(lambda key, hparams: untrained(windows(parts.test, config.window)))
    return training_study(config, _task(plain(config)))


@functools.lru_cache(maxsize=2)
def _task(config: Config) -> Task:
    train, validation, test = (held(*windows(part, config.window)) for part in rolls(config.path))
    return Task(lstm_network((claims.KEYS,)), train, validation, test, frame_loss, scores)


@functools.lru_cache(maxsize=2)
def rolls(path: str) -> Chorales:
    """The piano rolls of a path, read once for all arms."""
    return drawn_chorales() if path == DRAWN else load_chorales(path or None)


def frame_loss(logits: Any, keys: Any) -> Any:
    """Binary cross-entropy of a frame, mean over its keys: [N, 88] -> [N]."""
    return optax.sigmoid_binary_cross_entropy(logits, keys.astype(logits.dtype)).mean(axis=-1)


def scores(logits: Any, keys: Any) -> dict[str, Any]:
    """`accuracy` over frames and keys (rounded at 1/2), `NLL` of a frame in nat, and `F1` of keys that are down."""
    down, said = keys > 0, logits > 0
    hits = (down & said).sum()
    # F1 is 0 where nothing is said to be down.
    f1 = 2 * hits / jnp.maximum(down.sum() + said.sum(), 1)
    return {
        "accuracy": (down == said).mean(),
        "NLL": claims.KEYS * frame_loss(logits, keys).mean(),
        "F1": f1,
    }


def untrained(test: Windows) -> dict[str, Any]:
    """Scores of two predictors: nothing sounds, and the last frame goes on. Neither says how sure it is: no NLL."""
    found = {}
    for name, said in (("all zeros", np.zeros_like(test.targets)), ("last frame", test.inputs[:, -1])):
        known = scores(jnp.asarray(2.0 * said - 1.0), jnp.asarray(test.targets))
        found |= {f"{name}, {score}": float(known[score]) for score in ("accuracy", "F1")}
    return found
