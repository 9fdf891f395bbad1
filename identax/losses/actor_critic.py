"""Losses of actor-critic learning, per transition: A2C and PPO, whole and the policy's terms alone.

Returns and advantages of a rollout are those of `rollout_returns`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_between
from identax.losses._checks import Embeddings, Labels, Scalar, as_actions, as_floats, as_number, chosen_entries


class ActorCritic(NamedTuple):
    """Terms of an actor-critic loss, each [T, E]: `policy` and `value` are minimised, `entropy` (nats) is rewarded."""

    policy: Any
    value: Any
    entropy: Any


def a2c(logits: Embeddings, values: Embeddings, actions: Labels, returns: Embeddings) -> ActorCritic:
    """Terms of advantage actor-critic, per transition, in nats where they are logarithms.

        policy = -log pi(a) stop(R - V),    value = (R - V)^2,    entropy = -sum_a pi(a) log pi(a)

    The gradient reaches `values` through the value term alone, `returns` never. The published loss is
    policy.mean() + .5 value.mean() - .02 entropy.mean(axis=1).sum(): its entropy is summed over the steps.

    Args: `logits` [..., A] of the actions' law, `values` V, `actions` (whole numbers in 0..A-1) and `returns` R [...].
    Raises `ValueError` for shapes that do not match, and actions that are known not to be in range.
    Source: Mnih et al. 2016; Reizinger & Szemenyei 2020, code.
    """
    logits, values, returns = as_floats("a2c", logits=logits, values=values, returns=returns)
    actions = as_actions("a2c", logits, actions, values=values, returns=returns)
    return _a2c(logits, values, actions, returns)


@partial(jax.jit, inline=True)
def _a2c(logits, values, actions, returns):
    advantage = jax.lax.stop_gradient(returns) - values
    policy, entropy = _policy_gradient(logits, actions, advantage)
    return ActorCritic(policy, advantage**2, entropy)


def policy_gradient(
    logits: Embeddings, actions: Labels, advantages: Embeddings
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The policy's terms of `a2c` for advantages from anywhere: what is minimised, and the entropy in nats.

        -log pi(a) A,    -sum_a pi(a) log pi(a)

    Nothing flows into the advantages. Args: `logits` [..., A], `actions` and `advantages` A [...].
    Raises `ValueError` as `a2c`. Source: Williams 1992; Mnih et al. 2016.
    """
    logits, advantages = as_floats("policy_gradient", logits=logits, advantages=advantages)
    actions = as_actions("policy_gradient", logits, actions, advantages=advantages)
    return _policy_gradient(logits, actions, advantages)


@partial(jax.jit, inline=True)
def _policy_gradient(logits, actions, advantages):
    chosen, entropy = _policy(logits, actions)
    return -chosen * jax.lax.stop_gradient(advantages), entropy


def ppo(
    logits: Embeddings,
    values: Embeddings,
    actions: Labels,
    returns: Embeddings,
    advantages: Embeddings,
    old_log_probs: Embeddings,
    *,
    clip: Scalar = 0.2,
) -> ActorCritic:
    """Terms of proximal policy optimisation, per transition.

        policy = -min(q A, min(max(q, 1 - clip), 1 + clip) A),    q = pi(a) / pi_old(a)

    `value` and `entropy` as `a2c`; the values are not clipped. Nothing flows into `advantages`, `returns` and
    `old_log_probs`. Args: as `a2c`; `advantages` A and `old_log_probs` log pi_old(a), [...], as they were when the
    rollout was made; `clip` >= 0 may be traced.
    Raises `ValueError` as `a2c`, and for a known clip < 0. Source: Schulman et al. 2017, eq. 7.
    """
    check_between("ppo", "clip", clip, 0, float("inf"), shape=())
    names = {"values": values, "returns": returns, "advantages": advantages, "old_log_probs": old_log_probs}
    logits, *others = as_floats("ppo", logits=logits, **names)
    actions = as_actions("ppo", logits, actions, **dict(zip(names, others, strict=True)))
    values, returns, advantages, old_log_probs = others
    return _ppo(logits, values, actions, returns, advantages, old_log_probs, as_number("ppo", "clip", clip))


@partial(jax.jit, inline=True)
def _ppo(logits, values, actions, returns, advantages, old_log_probs, clip):
    policy, entropy = _clipped_policy_gradient(logits, actions, advantages, old_log_probs, clip)
    return ActorCritic(policy, (jax.lax.stop_gradient(returns) - values) ** 2, entropy)


def clipped_policy_gradient(
    logits: Embeddings, actions: Labels, advantages: Embeddings, old_log_probs: Embeddings, *, clip: Scalar = 0.2
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The policy's terms of `ppo`: what is minimised, and the entropy in nats.

        -min(q A, min(max(q, 1 - clip), 1 + clip) A),    q = pi(a) / pi_old(a),    -sum_a pi(a) log pi(a)

    Nothing flows into `advantages` and `old_log_probs`. Args: `logits` [..., A], the others [...]; `clip` >= 0 may be
    traced. Raises `ValueError` as `ppo`. Source: Schulman et al. 2017, eq. 7.
    """
    where = "clipped_policy_gradient"
    check_between(where, "clip", clip, 0, float("inf"), shape=())
    names = {"advantages": advantages, "old_log_probs": old_log_probs}
    logits, *others = as_floats(where, logits=logits, **names)
    actions = as_actions(where, logits, actions, **dict(zip(names, others, strict=True)))
    return _clipped_policy_gradient(logits, actions, *others, as_number(where, "clip", clip))


@partial(jax.jit, inline=True)
def _clipped_policy_gradient(logits, actions, advantages, old_log_probs, clip):
    advantages, old = jax.lax.stop_gradient((advantages, old_log_probs))
    chosen, entropy = _policy(logits, actions)
    ratio = jnp.exp(chosen - old)
    return -jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * advantages), entropy


def _policy(logits, actions):
    """log pi of the actions, and the entropy: 0 log 0 = 0, also for logits of -inf, which mask an action."""
    log_pi = jax.nn.log_softmax(logits)
    pi = jnp.exp(log_pi)
    # Not `pi > 0`: what is no number is to be seen in the entropy too.
    entropy = -jnp.where(pi == 0, 0.0, pi * jnp.where(pi == 0, 0.0, log_pi)).sum(axis=-1)
    return chosen_entries(log_pi, actions), entropy
