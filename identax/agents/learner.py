"""One update of an agent: a rollout, its rewards and targets, and what is learned from them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from identax.agents.choices import SETTINGS, check_settings
from identax.agents.descent import Agent, Batch, check_of_steps, descend, encoded, seen_of
from identax.agents.ppo import ppo_update
from identax.agents.rollout import ActingState, final_values, roll
from identax.agents.targets import targets
from identax.rng import stream


class Learned(NamedTuple):
    """What an update changes: `params` {policy, curiosity}, memories of optimiser and bonus, and where it acts."""

    params: Any
    opt_state: Any
    world: ActingState
    memory: Any


def update(
    agent: Agent, learned: Learned, key: Key[Array, ""], settings: Mapping[str, Any]
) -> tuple[Learned, dict[str, Array]]:
    """One rollout and what is learned from it; `settings` overrides `SETTINGS`, its values may be traced.

        L = policy_weight (L_pi + value_weight L_V - entropy_weight H) + curiosity_weight L_curiosity

    With one critic, rewards are extrinsic_weight r + bonus_weight r_i; with two, these are the weights of the two
    advantages. The intrinsic rewards carry no gradient. Metrics: losses, entropy, gradient norms, and of the
    bootstrap observation's features the standard deviation over environments and features.
    Raises `ValueError` for settings that `check_settings` refuses, and as `roll` and `ppo_update`.
    Source: Mnih et al. 2016; Pathak et al. 2017; Reizinger & Szemenyei 2020, code.
    """
    check_settings(**settings)
    given = SETTINGS | dict(settings)
    choices, network = agent.choices, agent.network
    policy = learned.params["policy"]
    world, rollout, carry = roll(
        agent.environment, network, policy, learned.world, stream(key, "rollout"), choices.rollout_length
    )
    world = world._replace(carry=carry) if choices.double_step else world
    seen = seen_of(rollout, choices)
    shown = encoded(agent, jax.lax.stop_gradient(learned.params), seen)
    intrinsic, memory = agent.bonus.reward(
        learned.params["curiosity"], learned.memory, shown, given["intrinsic_discount"]
    )
    check_of_steps("reward", intrinsic, rollout)
    intrinsic = jax.lax.stop_gradient(jnp.where(rollout.masked, 0.0, intrinsic))
    aims = _targets(agent, policy, rollout, intrinsic, given)
    batch = Batch(rollout, aims, seen, learned.world.carry)
    before = learned.params, learned.opt_state, learned.memory
    if choices.algorithm == "a2c":
        params, opt_state, metrics = descend(agent, *before, batch, given)
    else:
        params, opt_state, metrics = ppo_update(agent, *before, batch, stream(key, "minibatches"), given)
    metrics |= {
        "reward": rollout.rewards.mean(),
        "intrinsic reward": intrinsic.mean(),
        "feature sd": rollout.last_features.std(),
    }
    return Learned(params, opt_state, world, memory), metrics


def _targets(agent, policy, rollout, intrinsic, given):
    choices = agent.choices
    rewards = jnp.sign(rollout.rewards) if choices.reward == "sign" else rollout.rewards
    if choices.critics == 1:
        rewards = given["extrinsic_weight"] * rewards + given["bonus_weight"] * intrinsic
    after = final_values(agent.network, policy, rollout) if choices.truncation == "bootstraps" else None
    return targets(
        rollout,
        rewards,
        intrinsic,
        after,
        advantages=choices.advantages,
        reading=choices.returns,
        discount=given["discount"],
        gae_lambda=given["gae_lambda"],
        intrinsic_discount=given["intrinsic_discount"],
        weights=(given["extrinsic_weight"], given["bonus_weight"]),
    )
