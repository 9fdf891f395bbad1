"""Proximal policy optimisation: several steps on one rollout, in minibatches."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from identax.agents.descent import Agent, Batch, descend
from identax.rng import step_key


def ppo_update(
    agent: Agent,
    params: Any,
    opt_state: Any,
    memory: Any,
    batch: Batch,
    key: Key[Array, ""],
    given: Mapping[str, Any],
) -> tuple[Any, Any, dict[str, Array]]:
    """Epochs over minibatches in random order, each a step of `descend`; metrics are the means over all of them.

    Minibatches are of environments, so that memories stay whole, or of transitions where there is no memory. Raises
    `ValueError` where they do not divide. Source: Schulman et al. 2017.
    """
    choices = agent.choices
    recurrent = len(jax.tree.leaves(batch.carry)) > 0
    whole = batch if recurrent else _flat(batch)
    num = whole.rollout.actions.shape[1]
    if num % choices.minibatches:
        what = "environments" if recurrent else "transitions"
        raise ValueError(f"ppo: found {num} {what}, wanted a multiple of minibatches={choices.minibatches}")

    def one(carry, chosen):
        params, opt_state = carry
        steps = whole.rollout._replace(last_values=None, last_features=None), whole.aims, whole.seen
        rollout, aims, seen = jax.tree.map(lambda leaf: leaf[:, chosen], steps)
        part = Batch(rollout, aims, seen, jax.tree.map(lambda leaf: leaf[chosen], whole.carry))
        params, opt_state, metrics = descend(agent, params, opt_state, memory, part, given)
        return (params, opt_state), metrics

    def epoch(carry, number):
        order = jax.random.permutation(step_key(key, number), num)
        return jax.lax.scan(one, carry, order.reshape(choices.minibatches, -1))

    (params, opt_state), metrics = jax.lax.scan(epoch, (params, opt_state), jnp.arange(choices.epochs))
    return params, opt_state, jax.tree.map(jnp.mean, metrics)


def _flat(batch):
    """All transitions as steps of environments of their own, [1, T E, ...]: without memory their order is nothing.

    Observations are those acted on alone: losses need no more, and minibatches gather what is there.
    """

    def flat(leaf):
        return leaf.reshape(1, -1, *leaf.shape[2:])

    def pairs(observations, final):
        following = observations[1:] if final is None else final
        return jnp.concatenate([flat(observations[:-1]), flat(following)])

    rollout, seen = batch.rollout, batch.seen
    shown = rollout._replace(observations=rollout.observations[:-1], last_values=None, last_features=None)
    rollout = jax.tree.map(flat, shown)
    # Two observations of each transition: the second is the one that curiosity predicts.
    seen = jax.tree.map(flat, seen._replace(observations=None, final=None))._replace(
        observations=pairs(batch.seen.observations, batch.seen.final), final=None
    )
    return Batch(rollout, jax.tree.map(flat, batch.aims), seen, batch.carry)
