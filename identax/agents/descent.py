"""The loss of a rollout and one clipped step of Adam on it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from identax.agents.bonuses import Bonus, Seen
from identax.agents.choices import Choices
from identax.agents.network import PolicyNetwork
from identax.agents.rollout import Rollout
from identax.agents.targets import Targets
from identax.dgp.environments import Environment
from identax.losses import ActorCritic, clipped_policy_gradient, policy_gradient
from identax.numerics import clipped


class Agent(NamedTuple):
    """The parts of an agent."""

    environment: Environment
    network: PolicyNetwork
    bonus: Bonus
    choices: Choices


class Batch(NamedTuple):
    """What an update learns from: a rollout, its targets, what curiosity sees, and the memory in which it began."""

    rollout: Rollout
    aims: Targets
    seen: Seen
    carry: Any


def seen_of(rollout: Rollout, choices: Choices) -> Seen:
    """What a bonus sees of a rollout; where `pairs` straddle, the true next observations are kept from it."""
    final = None if choices.pairs == "straddling" else rollout.final
    return Seen(rollout.observations, final, rollout.actions, rollout.terminated, rollout.ended, rollout.cells)


def descend(
    agent: Agent, params: Any, opt_state: Any, memory: Any, batch: Batch, given: Mapping[str, Any]
) -> tuple[Any, Any, dict[str, Array]]:
    """One clipped step of Adam (betas .9 and .999, eps 1e-8) on the loss of a batch.

        g <- g min(1, max_norm / (||g|| + 1e-6)),    params <- params - learning_rate Adam(g)

    One norm of policy and curiosity together, or one each (`clipping`). New parameters, the optimiser's new memory, and
    metrics: the loss, its terms, and the norm of the policy's gradient before any clipping.
    Raises `ValueError` as `policy_terms`. Source: Kingma & Ba 2015; Reizinger & Szemenyei 2020, code.
    """
    (value, metrics), grads = jax.value_and_grad(_loss, argnums=1, has_aux=True)(agent, params, memory, batch, given)
    metrics |= {"policy gradient norm": optax.tree.norm(grads["policy"])}
    if agent.choices.clipping == "joint":
        grads, _ = clipped(grads, given["max_norm"])
    else:
        grads = {name: clipped(part, given["max_norm"])[0] for name, part in grads.items()}
    updates, opt_state = optax.scale_by_adam().update(grads, opt_state, params)
    rate = given["learning_rate"]
    params = jax.tree.map(lambda leaf, change: leaf - jnp.asarray(rate * change, leaf.dtype), params, updates)
    return params, opt_state, {"loss": value, **metrics}


def policy_terms(agent: Agent, params: Any, batch: Batch, given: Mapping[str, Any]) -> ActorCritic:
    """Terms [T, E] of the actor-critic loss of a batch, by the network run again over its observations.

        policy = -log pi(a) A, or that of `clipped_policy_gradient`,    value = sum_v (R_v - V_v)^2,    entropy of pi

    A and R are the batch's targets, v its critics. With `normalize_advantages` PPO's A lose their mean and are divided
    by their standard deviation + 1e-8 over the batch's transitions, without what is masked.
    Raises `ValueError` as the losses, for shapes that do not match. Source: Mnih et al. 2016; Schulman et al. 2017.
    """
    rollout, aims = batch.rollout, batch.aims
    acted_on = rollout.observations[: len(rollout.actions)]
    features = agent.network.unroll(params, batch.carry, acted_on, rollout.resets)
    logits, values = agent.network.heads(params, features)
    wrong = ((aims.returns - values) ** 2).sum(axis=-1)
    if agent.choices.algorithm == "a2c":
        policy, entropy = policy_gradient(logits, rollout.actions, aims.advantages)
    else:
        better = aims.advantages
        if agent.choices.normalize_advantages:
            weights = 1.0 - rollout.masked
            better = better - _mean(better, weights)
            better = better / (jnp.sqrt(_mean(better**2, weights)) + 1e-8)
        policy, entropy = clipped_policy_gradient(
            logits, rollout.actions, better, rollout.log_probs, clip=given["ppo_clip"]
        )
    return ActorCritic(policy, wrong, entropy)


def _loss(agent, params, memory, batch, given):
    weights = 1.0 - batch.rollout.masked
    terms = policy_terms(agent, params["policy"], batch, given)
    policy, value = (_mean(term, weights) for term in (terms.policy, terms.value))
    entropy = _mean(terms.entropy, weights)
    if agent.choices.entropy == "summed" and agent.choices.algorithm == "a2c":
        entropy = entropy * len(weights)
    found = {"policy loss": policy, "value loss": value, "entropy": entropy}
    loss = policy + given["value_weight"] * value - given["entropy_weight"] * entropy
    loss = given["policy_weight"] * loss
    if agent.bonus.loss is not None:
        seen = encoded(agent, params, batch.seen)
        each, more = agent.bonus.loss(params["curiosity"], memory, seen, given["icm_beta"])
        check_of_steps("loss", each, batch.rollout)
        if taken := sorted(found.keys() & more.keys()):
            raise ValueError(f"agent: found a bonus with metrics {taken}, which are the policy's, wanted other names")
        loss = loss + given["curiosity_weight"] * _mean(each, weights)
        found |= more
    return loss, found


def _mean(values, weights):
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1.0)


def check_of_steps(what: str, values: Any, rollout: Rollout) -> None:
    """Raises `ValueError` for what a bonus returns unless it has a number for each step and environment, [T, E]."""
    wanted = rollout.actions.shape
    if jnp.shape(values) != wanted:
        raise ValueError(f"agent: found a bonus whose {what} has shape {jnp.shape(values)}, wanted [T, E] = {wanted}")


def encoded(agent: Agent, params: Any, seen: Seen) -> Seen:
    """With a shared encoder, what curiosity sees are the policy's features of the observations."""
    if not agent.choices.shared_encoder:
        return seen

    def encode(x):
        return agent.network.encode(params["policy"], x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1)

    return seen._replace(
        observations=encode(seen.observations), final=None if seen.final is None else encode(seen.final)
    )


def adam_start(params: Any) -> Any:
    """The optimiser's memory before the first update."""
    return optax.scale_by_adam().init(params)
