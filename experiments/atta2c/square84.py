"""Is an agent whose heads attend slower at the start? A picture, three actions, 250 updates.

Reizinger and Szemenyei, "Attention-based Curiosity-driven Exploration in Deep Reinforcement Learning", ICASSP 2020.
A white square on the left, in the middle or on the right of an 84 x 84 frame: the action that names it is paid. A
softmax over 288 features scales what actor and critic see by about 1/288 at the start, so that AttA2C still acts by
chance when the baseline already acts on what it sees; its likeliest action is right all the same.

    python -m experiments run atta2c/square84 --preset quick
"""

import dataclasses
from typing import Literal

from experiments.atta2c import config as settings
from experiments.atta2c import square84_claims as claims
from experiments.atta2c.config import AgentConfig, agent_of
from identax.dgp.environments import environment
from identax.study import Study

TRACED = settings.TRACED
TRIAL_MAP = "map"
"""on a CPU: the weights of all seeds together fit no cache near a core"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AgentConfig):
    """The published agent: 4 environments, rollouts of 5 steps, learning rate 1e-4."""

    block: int = 28
    """pixels of the square's side, a third of the frame's"""
    reward: Literal["raw", "sign"] = "raw"
    num_steps: int = 250
    log_every: int = 25
    evaluate_every: int = 250
    checkpoint_every: int = 250
    evaluation_environments: int = 16
    evaluation_steps: int = 50


PRESETS: dict[str, Config] = {
    "smoke": Config(
        block=7, num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2, evaluation_steps=2,
        evaluation_environments=2,
    ),
    "quick": Config(),
    "paper": Config(num_seeds=16),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The agent of one arm in front of the pictures."""
    return agent_of(config, environment("square84", block=config.block), config.evaluation_environments)
