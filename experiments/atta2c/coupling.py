"""Does curiosity matter once it reaches the policy? Sparse and dense reward, bonuses and controls.

In the program behind Reizinger & Szemenyei, ICASSP 2020, the curiosity module has an encoder of its own and its error
is never a reward: nothing of it reaches the policy but a common scale of gradients. Here the same agents get the error
as an intrinsic reward, beside counts, random network distillation and E3B, in DeepSea of growing size, where a search
at random needs 2^N episodes; with a television that nothing predicts; and in Breakout with its reward paid at the end.

    pip install -e .[rl]
    python -m experiments run atta2c/coupling --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from experiments.atta2c import coupling_claims as claims
from experiments.atta2c import coupling_figures as drawing
from experiments.atta2c.coupling_agents import AGENTS, NUMBERED, Kind
from experiments.atta2c.coupling_worlds import DOORKEYS, choices_of, encoder_of, world_of
from identax.agents import (
    agent_study,
    curiosity_module,
    e3b_bonus,
    icm_bonus,
    no_bonus,
    policy_network,
    rnd_bonus,
    visit_bonus,
)
from identax.checks import check_choice
from identax.dgp.environments import Environment
from identax.experiment import RunConfig
from identax.study import Study

TRACED = claims.TRACED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One agent in one world. The defaults are DeepSea of size 20 with 24,000 episodes."""

    agent: str = "plain"
    """set by `arms`: a name of `AGENTS`"""
    world: str = "DeepSea-bsuite"
    """"square84" stands in where gymnax is not installed"""
    size: int = 20
    """N of DeepSea: its grid is N x N and its episodes have N steps"""
    mixed_actions: bool = False
    """whether left and right change places from cell to cell, as in bsuite; without, right is action 1 everywhere"""
    channels: int = 0
    """of a television with random pictures; 0: none"""
    remote: bool = False
    """whether a move to the left changes its channel and nothing else does; without, every step changes it"""
    delayed: bool = False
    """whether rewards are paid at the end of an episode"""
    num_environments: int = 16
    """played side by side by one agent"""
    rollout_length: int = 0
    """steps of each environment in one update; 0: those of one episode of DeepSea"""
    widths: tuple[int, ...] = (64, 64)
    """of the layers of every encoder of flat observations, tanh behind each"""
    learning_rate: float = 1e-3
    """of Adam"""
    bonus_weight: float = 0.0
    """set by `arms`: of the intrinsic reward of an agent"""
    entropy_weight: float = 0.01
    """of the policy's entropy, a mean over the steps of a rollout"""
    loss: Literal["mean", "sum"] = "mean"
    """of the transitions of an update, or "sum", whose gradient is clipped at the same norm nearly always"""
    discount: float = 0.99
    """of rewards, the intrinsic ones included, from step to step"""
    threshold: float = 0.5
    """raw return of an episode above which it is a success"""
    agents: tuple[str, ...] = ("plain", "count")
    """in DeepSea of that size"""
    other_sizes: tuple[int, ...] = ()
    """of DeepSea, for plain and count alone"""
    mixed_sizes: tuple[int, ...] = ()
    """the same with mixed actions"""
    summed_sizes: tuple[int, ...] = ()
    """the same with summed losses"""
    television: tuple[str, ...] = ()
    """agents that have one beside their DeepSea"""
    remotes: tuple[str, ...] = ()
    """agents that have one with a remote control"""
    breakout: tuple[str, ...] = ()
    """agents that play Breakout, with its reward at once and delayed"""
    doorkeys: tuple[str, ...] = ()
    """worlds of MiniGrid, drawn anew for each episode, where only episodic bonuses know what is new"""
    walkers: tuple[str, ...] = ()
    """agents in those worlds"""
    breakout_steps: int = 600
    """updates in Breakout, of 64 environments and 5 steps each"""
    doorkey_steps: int = 4000
    """updates in DoorKey, of 20 steps each"""
    doorkey_environments: int = 16
    """the same as `num_environments`, in DoorKey"""
    doorkey_entropy_weight: float = 1e-4
    """the same as `entropy_weight`, in DoorKey, where .01 keeps policies near uniform"""
    frames: int = 0
    """set by `arms`: of a greedy game that are kept for the report"""
    fewer_seeds: int = 16
    """at most as many in Breakout and DoorKey, which cost most"""
    num_steps: int = 1500
    """updates in DeepSea"""
    log_every: int = 100
    evaluate_every: int = 500
    checkpoint_every: int = 1500
    num_seeds: int = 16


_SEARCHING = ("count", "ICM", "RND")
PRESETS: dict[str, Config] = {
    "smoke": Config(
        world="square84", size=4, num_environments=2, widths=(4,), num_steps=4, log_every=2, evaluate_every=4,
        checkpoint_every=4, num_seeds=2,
    ),
    "quick": Config(),
    "medium": Config(
        agents=tuple(AGENTS), television=("plain", *_SEARCHING), remotes=("plain", *_SEARCHING), doorkeys=DOORKEYS,
        walkers=("plain", "episodic count", "E3B"), breakout=("plain", "ICM, uncoupled", "ICM"),
        fewer_seeds=8, summed_sizes=(12, 14), other_sizes=(6, 8, 10, 12, 14, 16, 30), mixed_sizes=(14, 20),
    ),
    "paper": Config(
        agents=tuple(AGENTS), television=tuple(AGENTS), remotes=tuple(AGENTS), doorkeys=DOORKEYS,
        walkers=tuple(AGENTS),
        breakout=tuple(agent for agent, kind in AGENTS.items() if kind.curiosity not in NUMBERED),
        summed_sizes=(10, 12, 14, 16), other_sizes=(6, 8, 10, 12, 14, 16, 30), mixed_sizes=(14, 20),
    ),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """The learning of one agent. Raises `ValueError` without the package that has the world, and for unknown agents."""
    check_choice("atta2c/coupling", "agent", config.agent, tuple(AGENTS))
    kind, world, encoder = AGENTS[config.agent], world_of(config), encoder_of(config)
    network = policy_network(world.num_actions, encoder, memory="none", attention=kind.attention)
    check_choice("atta2c/coupling", "loss", config.loss, ("mean", "sum"))
    choices = choices_of(config)
    scale = 1.0 if config.loss == "mean" else float(choices.rollout_length * config.num_environments)
    study = agent_study(
        world,
        network,
        num_environments=config.num_environments,
        bonus=_bonus(kind, world, encoder),
        choices=choices,
        settings={"policy_weight": scale, "curiosity_weight": scale},
        kept_episodes=config.num_environments,
        keep_frames=config.frames,
    )

    def step(state, batch):
        state, metrics = study.step(state, batch)
        episodes = state.world.episodes
        filled = episodes.filled()
        num = jnp.where(filled, 1.0, 0.0).sum()
        good = jnp.where(filled & (episodes.recent > config.threshold), 1.0, 0.0).sum()
        return state, {**metrics, "success": (good, num)}

    return study._replace(step=step)


def _bonus(kind: Kind, world: Environment, encoder: Any) -> Any:
    if kind.curiosity == "none":
        return no_bonus()
    if kind.curiosity in ("count", "episodic count"):
        if world.num_states is None:
            raise ValueError(f"atta2c/coupling: found {world.name} whose states are not counted, wanted another bonus")
        span = "episodic" if kind.curiosity == "episodic count" else "lifelong"
        return visit_bonus(world.num_states, span=span, pay_ends=False)
    if kind.curiosity == "rnd":
        return rnd_bonus(encoder)
    module = curiosity_module(world.num_actions, encoder, attention=kind.module_attention, rational=kind.rational)
    return e3b_bonus(module) if kind.curiosity == "e3b" else icm_bonus(module)
