"""What the experiments of this paper have in common: the agent of one variant, and the study of it in one world."""

import dataclasses
from typing import Any, Literal

from identax.agents import (
    SETTINGS,
    Choices,
    agent_study,
    check_settings,
    curiosity_module,
    icm_bonus,
    no_bonus,
    policy_network,
)
from identax.checks import check_count
from identax.dgp.environments import Environment
from identax.experiment import RunConfig
from identax.models import Model, conv_block, flat_encoder, small_image_encoder
from identax.study import Study

TRACED = ("learning_rate", "discount", "value_weight", "entropy_weight", "bonus_weight", "max_norm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentConfig(RunConfig):
    """One variant of the agent. The defaults are the published setting, read as described."""

    icm: Literal["none", "plain", "single", "double", "rational"] = "plain"
    """set by `arms`; none: no curiosity at all; else attention in front of its two models, or on the forward error
    (RCM)"""
    attention: bool = False
    """set by `arms`: in front of actor and critic (AttA2C)"""
    wiring: Literal["intended", "released"] = "intended"
    """set by `arms`, of curiosity: as described, or as released, where its attention is never switched on"""
    encoder: Literal["conv_block", "small", "flat"] = "conv_block"
    """conv_block: the published four convolutions, for frames of 84 x 84; small: one, for frames of 10 x 10; flat: two
    layers of 64 on flattened entries"""
    memory: Literal["lstm", "none"] = "lstm"
    """of the policy, between encoder and heads"""
    units: int = 288
    """of the LSTM, and features of the small encoder"""
    filters: int = 16
    """of the small encoder's convolution"""
    returns: Literal["intended", "released"] = "intended"
    """intended: an episode's end cuts its own returns; released: as the published program masks them
    (`identax/losses/rollout_returns.py`)"""
    double_step: bool = True
    """the observation between two rollouts enters the LSTM twice, as published"""
    clipping: Literal["joint", "separate"] = "joint"
    """joint: one norm of all gradients, as published; separate: one each of policy and curiosity"""
    truncation: Literal["bootstraps", "ends"] = "ends"
    """the published program knows one kind of end"""
    pairs: Literal["straddling", "final"] = "straddling"
    """what curiosity predicts where an episode ended: the next one's first observation, as published, or its last"""
    reward: Literal["raw", "sign"] = "sign"
    """what is learned from; returns are recorded raw"""
    num_environments: int = 4
    """played side by side by one agent"""
    rollout_length: int = 5
    """steps of each environment in one update"""
    learning_rate: float = SETTINGS["learning_rate"]
    """of Adam"""
    discount: float = SETTINGS["discount"]
    value_weight: float = SETTINGS["value_weight"]
    """of the critic's squared error in the loss"""
    entropy_weight: float = SETTINGS["entropy_weight"]
    """of the policy's entropy, which is summed over the steps of a rollout as published"""
    bonus_weight: float = SETTINGS["bonus_weight"]
    """of the intrinsic reward: 0 as published, where curiosity reaches the policy through the common clipping alone"""
    max_norm: float = SETTINGS["max_norm"]
    """at which gradients are clipped"""
    evaluation_environments: int = 16
    """half of them played greedily, half by drawn actions"""
    evaluation_steps: int = 200
    """after which a game is cut"""
    frames: int = 0
    """of a greedy game that are kept for the page"""
    num_seeds: int = 4
    num_steps: int = 2_500_000
    """updates"""
    log_every: int = 100
    evaluate_every: int = 10_000
    checkpoint_every: int = 10_000


BASELINE, RELEASED = "baseline", ", released"
FEATURE_SD = "feature sd"
"""the published proxy of exploration: standard deviation of the policy's features, over environments and features"""


def as_described(icm: str, attention: bool = False) -> dict[str, Any]:
    """The fields of `AgentConfig` that make a variant, wired as the paper describes it."""
    return {"icm": icm, "attention": attention, "wiring": "intended"}


VARIANTS: dict[str, dict[str, Any]] = {
    BASELINE: as_described("plain"),
    "ICM single": as_described("single"),
    "ICM double": as_described("double"),
    "AttA2C": as_described("plain", attention=True),
    "RCM": as_described("rational"),
}
"""all that tells one from another, whatever a config says; the baseline has a curiosity module without attention"""
PUBLISHED = (BASELINE, "ICM single", "ICM double", "AttA2C", "RCM")
"""the order of the published tables"""


def as_released(name: str) -> str:
    """The arm of a variant as it was wired."""
    return f"{name}{RELEASED}"


def encoder_of(config: Any) -> Model:
    """The encoder of policy and curiosity, parameters apart."""
    if config.encoder == "small":
        return small_image_encoder(config.units, filters=config.filters)
    return conv_block() if config.encoder == "conv_block" else flat_encoder((64, 64))


def checked(config: Any) -> Any:
    """`config` itself; raises `ValueError` for numbers of it that are out of range, and for no step of training."""
    check_count("atta2c", "num_steps", config.num_steps)  # what is reported is measured while training
    for name in ("units", "filters"):
        check_count("atta2c", name, getattr(config, name))
    check_settings(**{name: getattr(config, name) for name in TRACED})
    return config


def agent_of(config: Any, world: Environment, evaluation: Environment | int) -> Study:
    """The study of one variant in one world; its traced numbers come with the trials."""
    network = policy_network(
        world.num_actions, encoder_of(config), memory=config.memory, units=config.units, attention=config.attention
    )
    bonus = no_bonus()
    if config.icm != "none":
        attention = config.icm if config.icm in ("single", "double") else "none"
        rational = config.icm == "rational"
        module = curiosity_module(
            world.num_actions, encoder_of(config), attention=attention, rational=rational, wiring=config.wiring
        )
        bonus = icm_bonus(module, objective="published")
    choices = Choices(
        rollout_length=config.rollout_length, returns=config.returns, truncation=config.truncation,
        double_step=config.double_step, clipping=config.clipping, pairs=config.pairs, reward=config.reward,
    )  # fmt: skip
    return agent_study(
        world, network, num_environments=config.num_environments, bonus=bonus, choices=choices, evaluation=evaluation,
        evaluation_steps=config.evaluation_steps, keep_frames=config.frames,
    )  # fmt: skip
