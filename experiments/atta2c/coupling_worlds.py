"""The worlds of `atta2c/coupling`, and the encoders and rollouts that fit them."""

from typing import Any

from identax.agents import Choices
from identax.dgp.environments import Environment, delayed_reward, environment, noisy_tv, time_limit
from identax.models import Model
from identax.models.agent_encoders import flat_encoder, small_image_encoder

DEEP_SEA, BREAKOUT, STAND_IN = "DeepSea-bsuite", "Breakout-MinAtar", "square84"
DOORKEYS = tuple(f"MiniGrid-DoorKey-{size}" for size in ("5x5", "6x6", "8x8"))
_LEFT = 0
"""without mixed actions"""
_FEATURES = 128


def world_of(config: Any) -> Environment:
    """One world, with delayed reward and television where asked for.

    Raises `ValueError` as `environment`, and for a remote control without a television or with mixed actions.
    """
    if config.remote and (config.mixed_actions or not config.channels):
        raise ValueError(
            f"atta2c/coupling: found remote=True with channels={config.channels} and "
            f"mixed_actions={config.mixed_actions}, wanted a television and a left that is one action"
        )
    if config.world == DEEP_SEA:
        made = environment(config.world, size=config.size, randomize_actions=config.mixed_actions)
    elif config.world == STAND_IN:
        made = time_limit(environment(config.world, block=2), config.size)
    elif config.world.startswith("MiniGrid"):
        made = environment(config.world, one_hot=True)
    else:
        made = environment(config.world)
    made = delayed_reward(made) if config.delayed else made
    action = _LEFT if config.remote else None
    return noisy_tv(made, channels=config.channels, action=action) if config.channels else made


def encoder_of(config: Any) -> Model:
    """Of MinAtar's pictures one convolution, of everything else the flattened entries."""
    return small_image_encoder(_FEATURES) if config.world == BREAKOUT else flat_encoder(config.widths)


def choices_of(config: Any) -> Choices:
    """n-step returns over a rollout; in DeepSea that is an episode, which always terminates."""
    return Choices(
        rollout_length=config.rollout_length or config.size,
        truncation="ends" if config.world == DEEP_SEA else "bootstraps",
        entropy="mean",
        double_step=False,
    )
