"""The choices and the numbers of an agent's updates."""

import dataclasses
from typing import Any

from identax.checks import check_between, check_choice, check_count, check_flag, check_nonnegative, is_integer

SETTINGS: dict[str, float] = {
    "learning_rate": 1e-4,
    "discount": 0.99,
    "gae_lambda": 0.95,
    "policy_weight": 1.0,
    "value_weight": 0.5,
    "entropy_weight": 0.02,
    "bonus_weight": 0.0,
    "extrinsic_weight": 1.0,
    "intrinsic_discount": 0.99,
    "curiosity_weight": 1.0,
    "icm_beta": 0.2,
    "max_norm": 0.5,
    "ppo_clip": 0.2,
}
"""numbers of an update, any of which may be a trial's own hyper-parameter, and their published or usual values"""
_CHOICES = {
    "algorithm": ("a2c", "ppo"),
    "advantages": ("n_step", "gae"),
    "returns": ("intended", "released"),
    "truncation": ("bootstraps", "ends"),
    "entropy": ("summed", "mean"),
    "clipping": ("joint", "separate"),
    "pairs": ("straddling", "final"),
    "reward": ("raw", "sign"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What is no number of an update.

    The published program is returns="released", truncation="ends", pairs="straddling", reward="sign" and the defaults
    in all else, with `curiosity_module(wiring="released")` and `icm_bonus(objective="published")`.

    Raises `ValueError` for unknown choices, counts < 1, and what does not go together.
    """

    rollout_length: int = 5
    algorithm: str = "a2c"
    """a2c or ppo"""
    advantages: str = "n_step"
    """n_step: returns to the end of the rollout; gae: generalised advantages, with `gae_lambda`"""
    returns: str = "intended"
    """intended: an end cuts the returns of its own episode; released: as the published program masks them. The
    `reading` of n_step's `discounted_returns`"""
    truncation: str = "bootstraps"
    """bootstraps: the value of a truncated episode's last observation counts, at one more pass of the network; ends: it
    is an end like any other"""
    entropy: str = "summed"
    """of a2c: summed over the steps of a rollout, as published, or their mean; over environments always the mean"""
    double_step: bool = True
    """the last observation enters the memory twice: for the value behind the rollout, and first in the next one"""
    clipping: str = "joint"
    """joint: one norm of all gradients; separate: one each of policy and curiosity, which then do not touch at all"""
    shared_encoder: bool = False
    """curiosity sees the policy's encoded observations and trains that encoder"""
    critics: int = 1
    """2: intrinsic rewards have a critic of their own, and no ends; 1: they are added to the others"""
    pairs: str = "final"
    """what curiosity predicts where an episode ended: straddling, the first observation of the next one, as published,
    or final, the true last one"""
    reward: str = "raw"
    """raw or sign: what is learned from; returns are recorded raw"""
    epochs: int = 4
    minibatches: int = 4
    """of PPO: by environments, so that memories stay whole, or by transitions where there is no memory"""
    normalize_advantages: bool = True
    """of PPO, in every minibatch"""

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            check_choice("Choices", name, getattr(self, name), known)
        for name in ("rollout_length", "epochs", "minibatches"):
            check_count("Choices", name, getattr(self, name))
        for name in ("double_step", "shared_encoder", "normalize_advantages"):
            check_flag("Choices", name, getattr(self, name))
        if not is_integer(self.critics) or self.critics not in (1, 2):
            raise ValueError(f"Choices: found critics={self.critics!r}, wanted 1 or 2")
        if self.returns == "released" and (self.truncation == "bootstraps" or self.advantages != "n_step"):
            raise ValueError(
                "Choices: found returns='released', which knows n-step returns and terminated alone, wanted "
                "advantages='n_step' and truncation='ends' with it"
            )


def check_settings(**given: Any) -> None:
    """Raises `ValueError` for unknown names of `SETTINGS`, what is no scalar, and, where they are known, shares outside
    [0, 1] and numbers that are negative or not finite.
    """
    for name, value in given.items():
        check_choice("agent", "setting", name, tuple(SETTINGS))
        if name in ("discount", "gae_lambda", "intrinsic_discount", "icm_beta"):
            check_between("agent", name, value, 0, 1, ())
        else:
            check_nonnegative("agent", name, value, ())
