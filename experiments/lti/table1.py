"""The published objective, the closed form and the conditional likelihood on the paper's random linear systems.

Rajendran et al., "An Interventional Perspective on Identifiability in Gaussian LTI Systems with Independent Component
Analysis", CLeaR 2024, Table 1. The published numbers stay below 1 because the objective leaves out log|det W_1|; with
it, or in closed form, the same data identify the system.

    python -m experiments run lti/table1 --preset quick
"""

import dataclasses
from typing import Literal

import jax

from experiments.lti import estimators, worlds
from experiments.lti import table1_claims as claims
from identax.experiment import RunConfig

FLOAT64 = True
"""second moments of ill-conditioned systems lose half of their digits"""
TRACED = ("use_B", "use_C", "zero_means", "author")
"""Numeric fields of `Config` that become traced hyper-parameters: all columns of one size are one program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """All columns of Table 1 at the sizes `dims`. The defaults are the paper's setting."""

    dims: tuple[int, ...] = (2, 3, 5, 8, 10)
    dim: int = 2
    """number of states, controls and outputs; of one arm"""
    design: Literal["random", "maximal"] = "random"
    """variances of the controls: half-normal, or one control at a time; of one arm"""
    num_environments: int = 0
    """0: dim + 1, the fewest that the theorem allows"""
    num_samples: int = 12_000
    """observations per environment"""
    stride: int = 2
    """pairs (y_t, y_{t+1}) start at every stride-th observation: 2 is the paper's, 1 uses all transitions"""
    use_B: float = 1.0
    """0: B = I"""
    use_C: float = 1.0
    """0: C = I"""
    zero_means: float = 0.0
    """1: the controls have zero mean in all environments"""
    author: float = -1.0
    """0 to 4: the system and environments of that one of the five published seeds; -1: random ones"""
    batch_size: int = 64
    """of the published training, whose last batch the paper's table shows"""
    num_batches: int = 64
    """that the MCC of a batch is averaged over"""


PRESETS: dict[str, Config] = {
    "smoke": Config(dims=(2,), num_samples=200, num_batches=4, num_seeds=2),
    "quick": Config(dims=(2, 3), num_batches=32),
    "medium": Config(dims=(2, 3, 5), num_seeds=20),
    "paper": Config(),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """One world and all estimators on it; the batch has the size of the last one of the published training."""
    num_pairs = ((config.num_environments or config.dim + 1) * (config.num_samples // 2)) if config.stride == 2 else 0
    batch_size = min(num_pairs % config.batch_size or config.batch_size, config.batch_size)

    def trial(key, hparams):
        world = worlds.draw_world(key, config, hparams)
        return estimators.compare(
            key, world, hparams["zero_means"], batch_size=batch_size, num_batches=config.num_batches
        ) | {"profile gap": profile_gap(world.environments.variances)}

    return trial


def profile_gap(variances):
    """Smallest over pairs of controls of the range over environments of log(sigma2_i / sigma2_j)."""
    logs = jax.numpy.log(variances)
    ratios = logs[:, :, None] - logs[:, None, :]
    gaps = ratios.max(axis=0) - ratios.min(axis=0)
    return jax.numpy.where(jax.numpy.eye(gaps.shape[0], dtype=bool), jax.numpy.inf, gaps).min()
