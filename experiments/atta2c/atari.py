"""The published comparison itself: five variants on Pong, Breakout and Seaquest, with and without sticky actions.

Reizinger and Szemenyei, "Attention-based Curiosity-driven Exploration in Deep Reinforcement Learning", ICASSP 2020:
one run of 50 million steps in each of 30 cells. The emulator is ale-py's (GPL 2.0); it lies outside JAX, so a resumed
run goes on with other games. `short` is a few hundred updates of two variants, which shows that all of it runs.

    pip install -e .[atari]
    python -m experiments run atta2c/atari --preset short
"""

import dataclasses

from experiments.atta2c import atari_claims as claims
from experiments.atta2c import config as settings
from experiments.atta2c.config import AgentConfig, agent_of
from identax.dgp.environments import Environment, atari, environment
from identax.study import Study

TRACED = settings.TRACED
STAND_IN = "square84"
"""pictures in the place of games, where only the program is tried"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AgentConfig):
    """One variant on one game. The defaults are the published setting."""

    game: str = "pong"
    """set by `arms`"""
    version: str = "v4"
    """set by `arms`; v4: actions are played as they are; v0: the last one is repeated with probability 1/4"""
    games: tuple[str, ...] = ("pong", "breakout", "seaquest")
    versions: tuple[str, ...] = ("v4", "v0")
    variants: tuple[str, ...] = settings.PUBLISHED
    evaluation_environments: int = 2
    evaluation_steps: int = 5000
    num_seeds: int = 1


PRESETS: dict[str, Config] = {
    "smoke": Config(
        games=(STAND_IN,), versions=("v4",), variants=("baseline",), units=4, num_steps=4, log_every=2,
        evaluate_every=4, checkpoint_every=4, evaluation_steps=2,
    ),
    "short": Config(
        games=("breakout",), versions=("v4",), variants=("baseline", "AttA2C"), num_steps=300, log_every=50,
        evaluate_every=300, checkpoint_every=300, evaluation_steps=200,
    ),
    "paper": Config(),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The agent of one arm in its game. Raises `ValueError` as `atari`."""
    if config.game == STAND_IN:
        return agent_of(config, environment(STAND_IN), config.evaluation_environments)
    return agent_of(
        config, _emulated(config, config.num_environments), _emulated(config, config.evaluation_environments)
    )


def _emulated(config: Config, count: int) -> Environment:
    """An emulator of its own for as many games: those that are learned from and those of an evaluation do not mix.

    Rewards are the game's own: where their signs are learned from, the learner takes them (`reward`).
    """
    return atari(config.game, count, trials=config.num_seeds, sticky=claims.STICKY[config.version], clip=False)
