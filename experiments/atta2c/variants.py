"""Baseline, ICM with attention, AttA2C and RCM on games of MinAtar, many seeds, as described and as released.

Reizinger and Szemenyei, "Attention-based Curiosity-driven Exploration in Deep Reinforcement Learning", ICASSP 2020:
one run of each on Atari games. Here they play games of MinAtar, all variants on the same seeds. Curiosity is no reward
in any of them, as published: it reaches the policy through the common clipping of gradients alone, and as the released
program is wired its attention is never switched on.

    pip install -e .[rl]
    python -m experiments run atta2c/variants --preset quick
"""

import dataclasses
from typing import Literal

from experiments.atta2c import config as settings
from experiments.atta2c import variants_claims as claims
from experiments.atta2c import variants_figures as drawing
from experiments.atta2c.config import AgentConfig, agent_of
from identax.dgp.environments import environment
from identax.study import Study

TRACED = settings.TRACED
TRIAL_MAP = "map"
"""on a CPU: the weights of all seeds together fit no cache near a core"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AgentConfig):
    """One variant on one game. The defaults are the published numbers but for the encoder."""

    game: str = "Breakout-MinAtar"
    """set by `arms`"""
    games: tuple[str, ...] = ("Breakout-MinAtar",)
    """names of `environment`; "square84" needs no package and never ends"""
    variants: tuple[str, ...] = tuple(settings.VARIANTS)
    released: tuple[str, ...] = ("ICM single", "ICM double", "RCM")
    """those that are also run as they were wired, in the first game: there is nothing in them that knows of games"""
    without: bool = False
    """also run without any curiosity: what the others have of it comes by the common clipping"""
    encoder: Literal["conv_block", "small", "flat"] = "small"
    """frames of 10 x 10 do not fit the published convolutions"""


_FAST = Config(
    units=64, num_environments=8, learning_rate=1e-3, entropy_weight=0.002, num_seeds=8, num_steps=1500, log_every=150,
    evaluate_every=1500, checkpoint_every=1500, evaluation_environments=64, evaluation_steps=300, released=("RCM",),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _FAST, games=("square84",), encoder="conv_block", units=4, num_environments=2, num_steps=4, log_every=2,
        evaluate_every=4, checkpoint_every=4, evaluation_environments=2, evaluation_steps=2, num_seeds=2,
        variants=("baseline", "AttA2C", "RCM"),
    ),
    "quick": _FAST,
    "medium": dataclasses.replace(
        _FAST, games=("Breakout-MinAtar", "SpaceInvaders-MinAtar"), num_seeds=16, num_steps=4000, log_every=200,
        evaluate_every=2000, checkpoint_every=1000, released=Config().released, without=True, frames=12,
    ),
    "paper": Config(games=tuple(claims.RANDOM), num_seeds=16, frames=12, evaluation_steps=1000),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """The agent of one arm in its game. Raises `ValueError` with the command to install for a game that is not here."""
    return agent_of(config, environment(config.game), config.evaluation_environments)
