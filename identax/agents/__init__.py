"""Agents: networks that act, rollouts, intrinsic rewards, updates of A2C and PPO, and the study that joins them."""

from identax.agents.bonuses import Bonus, Seen, e3b_bonus, icm_bonus, no_bonus, rnd_bonus, visit_bonus
from identax.agents.choices import SETTINGS, Choices, check_settings
from identax.agents.curiosity_module import CuriosityModule, curiosity_module
from identax.agents.descent import Agent
from identax.agents.learner import Learned, update
from identax.agents.network import PolicyNetwork, policy_network
from identax.agents.rollout import ActingState, Episodes, Rollout, play, roll
from identax.agents.study import AgentState, agent_study
from identax.agents.targets import Targets, targets

__all__ = [
    "SETTINGS",
    "ActingState",
    "Agent",
    "AgentState",
    "Bonus",
    "Choices",
    "CuriosityModule",
    "Episodes",
    "Learned",
    "PolicyNetwork",
    "Rollout",
    "Seen",
    "Targets",
    "agent_study",
    "check_settings",
    "curiosity_module",
    "e3b_bonus",
    "icm_bonus",
    "no_bonus",
    "play",
    "policy_network",
    "rnd_bonus",
    "roll",
    "targets",
    "update",
    "visit_bonus",
]
