"""Worlds to act in: one protocol, pure wrappers, and adapters of the libraries that have the games."""

from identax.dgp.environments.atari import atari
from identax.dgp.environments.beginnings import episodic_life, fire_resets, no_op_resets
from identax.dgp.environments.catalogue import ENVIRONMENTS, environment
from identax.dgp.environments.contract import check_environment
from identax.dgp.environments.observing import frame_stack, noisy_tv, normalise_observations
from identax.dgp.environments.optional import installed
from identax.dgp.environments.playing import clip_rewards, delayed_reward, sticky_actions, time_limit
from identax.dgp.environments.protocol import Environment, Timestep, Transition, auto_reset, side_by_side
from identax.dgp.environments.square84 import square84

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "Timestep",
    "Transition",
    "atari",
    "auto_reset",
    "check_environment",
    "clip_rewards",
    "delayed_reward",
    "environment",
    "episodic_life",
    "fire_resets",
    "frame_stack",
    "installed",
    "no_op_resets",
    "noisy_tv",
    "normalise_observations",
    "side_by_side",
    "square84",
    "sticky_actions",
    "time_limit",
]
