"""Curiosity, per transition: errors of dynamics models as losses and as rewards, novelty bonuses, and their scaling."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_between, check_count, check_nonnegative, check_type, shape_of
from identax.losses._checks import (
    Embeddings,
    Labels,
    Scalar,
    as_actions,
    as_differences,
    as_floats,
    as_number,
    chosen_entries,
)
from identax.numerics import Moments, no_moments, with_batch


def forward_error(
    prediction: Embeddings, target: Embeddings, attention: Embeddings | None = None
) -> Float[Array, "*batch"]:
    """Mean squared error of the predicted next features, weighed feature by feature with `attention` (RCM).

        1/n sum_k (p_k - t_k)^2 a_k,    a = 1 without attention

    With a softmax over the n features as attention it is about 1/n of that without. The gradient reaches both sides, as
    published: pass `stop_gradient(target)` where it should not.
    Args: `prediction`, `target`, `attention` [..., n]. Raises `ValueError` for shapes that do not match.
    Source: Reizinger & Szemenyei 2020, code.
    """
    return _forward_error(*_alike("forward_error", prediction, target, attention))


@partial(jax.jit, inline=True)
def _forward_error(prediction, target, attention=None):
    squares = (prediction - target) ** 2
    return (squares if attention is None else squares * attention).mean(axis=-1)


def inverse_error(logits: Embeddings, actions: Labels) -> Float[Array, "*batch"]:
    """Cross-entropy (nats) of the action that was taken, under the inverse model's law of it.

    Args: `logits` [..., A], `actions` [...] whole numbers in 0..A-1. Raises `ValueError` for shapes that do not match
    and actions that are known not to be in range. Source: Pathak et al. 2017, eq. 3.
    """
    (logits,) = as_floats("inverse_error", logits=logits)
    actions = as_actions("inverse_error", logits, actions)
    return _inverse_error(logits, actions)


@partial(jax.jit, inline=True)
def _inverse_error(logits, actions):
    return -chosen_entries(jax.nn.log_softmax(logits), actions)


def prediction_reward(prediction: Embeddings, target: Embeddings, *, scale: Scalar = 1.0) -> Float[Array, "*batch"]:
    """Intrinsic reward of the curiosity module: scale / 2 ||p - t||^2, without a gradient.

    Args: `prediction`, `target` [..., n], `scale` >= 0 may be traced. Raises `ValueError` for shapes that do not match
    and a known scale that is negative or not
    finite. Source: Pathak et al. 2017, eq. 6.
    """
    check_nonnegative("prediction_reward", "scale", scale, ())
    prediction, target = _alike("prediction_reward", prediction, target)
    scale = as_number("prediction_reward", "scale", scale)
    return _prediction_reward(*jax.lax.stop_gradient((prediction, target)), scale)


@partial(jax.jit, inline=True)
def _prediction_reward(prediction, target, scale):
    return 0.5 * scale * ((prediction - target) ** 2).sum(axis=-1)


def distillation_reward(prediction: Embeddings, target: Embeddings) -> Float[Array, "*batch"]:
    """Intrinsic reward of random network distillation: mean over k of (p_k - t_k)^2, without a gradient.

    `forward_error(prediction, stop_gradient(target))` trains the predictor on the same states.
    Args: `prediction`, `target` [..., n] at the next observation. Raises `ValueError` for shapes that do not match.
    Source: Burda et al. 2018.
    """
    prediction, target = _alike("distillation_reward", prediction, target)
    return _forward_error(*jax.lax.stop_gradient((prediction, target)))


def count_bonus(counts: Embeddings, *, scale: Scalar = 1.0) -> Float[Array, "*batch"]:
    """scale / sqrt(n), n >= 1 being how often a state was visited, this visit among them.

    Counts since the start of training make it a lifelong bonus, counts since the last reset an episodic one.
    Args: `counts` n [...], one for each state that is rewarded; `scale`, a number >= 0 that may be traced.
    Raises `ValueError` for counts known to be below 1 and a known scale that is negative or
    not finite. Source: Strehl & Littman 2008.
    """
    (counts,) = as_floats("count_bonus", counts=counts)
    check_between("count_bonus", "counts", counts, 1, float("inf"))
    check_nonnegative("count_bonus", "scale", scale, ())
    return _count_bonus(counts, as_number("count_bonus", "scale", scale))


@partial(jax.jit, inline=True)
def _count_bonus(counts, scale):
    return scale / jnp.sqrt(counts)


def elliptical_bonus(features: Embeddings, inverse: Embeddings) -> tuple[Float[Array, "*b"], Float[Array, "*b n n"]]:
    """Episodic bonus of E3B and the inverse covariance after it: features that are new in this episode count.

        b = phi' C^-1 phi,    C^-1 <- C^-1 - u u' / (1 + b),    u = C^-1 phi

    so that C = ridge I + sum of phi phi' over the episode; start, and start again after every end of an episode, from
    C^-1 = I / ridge (published ridge .1). Without a gradient.
    Args: `features` phi [..., n], `inverse` C^-1 [..., n, n]. Raises `ValueError` for shapes that do not match.
    Source: Henaff et al. 2022.
    """
    features, inverse = as_floats("elliptical_bonus", features=features, inverse=inverse)
    if features.ndim < 1 or inverse.shape != (*features.shape, features.shape[-1]):
        raise ValueError(
            f"elliptical_bonus: found features {features.shape} and inverse {inverse.shape}, wanted [..., n] and "
            "[..., n, n]"
        )
    return _elliptical_bonus(*jax.lax.stop_gradient((features, inverse)))


@partial(jax.jit, inline=True)
def _elliptical_bonus(features, inverse):
    u = (inverse * features[..., None, :]).sum(axis=-1)
    bonus = (features * u).sum(axis=-1)
    return bonus, inverse - u[..., :, None] * u[..., None, :] / (1 + bonus)[..., None, None]


class RewardScale(NamedTuple):
    """What `scale_rewards` remembers: the filtered reward of each environment [E], and the moments of all so far."""

    filtered: Any
    moments: Moments


def reward_scale(num_environments: int) -> RewardScale:
    """The memory before the first reward. Raises `ValueError` for fewer than one environment."""
    check_count("reward_scale", "num_environments", num_environments)
    return RewardScale(jnp.zeros(num_environments), no_moments(()))


def scale_rewards(
    rewards: Embeddings, memory: RewardScale, *, discount: Scalar = 0.99
) -> tuple[Float[Array, "T E"], RewardScale]:
    """Intrinsic rewards over the standard deviation of their discounted sums so far; nothing is centred.

        f_t = g f_{t-1} + r_t per environment, over time and across ends of episodes,
        r_t / sd of all f up to this rollout, its own among them

    Args: `rewards` [T, E], `memory` from `reward_scale(E)` or the last call, `discount` g in [0, 1], may be traced.
    Where the deviation is 0, or what rounding makes of 0, the rewards stay as they are; from the first NaN on all are
    NaN. Raises `ValueError` for another
    shape, a memory that is none, and a known discount outside [0, 1]. Source: Burda et al. 2018, code.
    """
    check_type("scale_rewards", "memory", memory, RewardScale)
    check_between("scale_rewards", "discount", discount, 0, 1, shape=())
    (rewards,) = as_floats("scale_rewards", rewards=rewards)
    if rewards.ndim != 2 or rewards.shape[1:] != memory.filtered.shape:
        raise ValueError(
            f"scale_rewards: found rewards of shape {shape_of(rewards)}, wanted [T, E] with E = "
            f"{memory.filtered.shape[0]} as the memory has"
        )
    return _scale_rewards(rewards, memory, as_number("scale_rewards", "discount", discount))


@jax.jit
def _scale_rewards(rewards, memory, discount):
    def forward(filtered, reward):
        filtered = (discount * filtered + reward).astype(filtered.dtype)
        return filtered, filtered

    last, filtered = jax.lax.scan(forward, memory.filtered, rewards)
    moments = with_batch(memory.moments, filtered.reshape(-1))
    deviation = jnp.sqrt(moments.variance)
    # What deviates by no more than rounding does not deviate. NaN stays NaN: a trial that has one is to be seen.
    still = deviation <= 4 * jnp.finfo(deviation.dtype).eps * jnp.abs(moments.mean)
    return rewards / jnp.where(still, 1.0, deviation), RewardScale(last, moments)


def _alike(where: str, prediction: Any, target: Any, attention: Any = None) -> list[Any]:
    """Arrays as floats of one shape [..., n]; of the first two the difference alone counts."""
    arrays = {"prediction": prediction, "target": target}
    found = as_differences(where, **arrays)
    if attention is not None:
        arrays["attention"] = attention
        found += as_floats(where, attention=attention)
    if found[0].ndim < 1 or any(array.shape != found[0].shape for array in found):
        shapes = {name: array.shape for name, array in zip(arrays, found, strict=True)}
        raise ValueError(f"{where}: found shapes {shapes}, wanted one shape [..., n]")
    return found
