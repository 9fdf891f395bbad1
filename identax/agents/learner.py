"""One update of an agent: rollout, rewards, targets, losses, and a clipped step of Adam."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from identax.agents.bonuses import Bonus, Seen
from identax.agents.network import PolicyNetwork
from identax.agents.rollout import Rollout, World, final_values, roll
from identax.agents.targets import Targets, targets
from identax.checks import check_between, check_choice, check_count, check_nonnegative
from identax.dgp.environments import Environment
from identax.losses import ActorCritic, a2c, ppo
from identax.rng import step_key, stream

SETTINGS: dict[str, float] = {
    "learning_rate": 1e-4,
    "discount": 0.99,
    "trace": 0.95,
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
    """What is no number of an update. The defaults are the published program's but for its returns.

    Raises `ValueError` for unknown choices, counts < 1, and what does not go together.
    """

    rollout_length: int = 5
    algorithm: str = "a2c"
    """a2c or ppo"""
    advantages: str = "n_step"
    """n_step: returns to the end of the rollout; gae: generalised advantages, with `trace`"""
    returns: str = "intended"
    """intended or released: the reading of n_step's `discounted_returns`"""
    truncation: str = "bootstraps"
    """bootstraps: the value of a truncated episode's last observation counts, at one more pass of the network; ends: it
    is an end like any other"""
    entropy: str = "summed"
    """summed over the steps of a rollout, as published, or their mean; over environments it is always the mean"""
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
        if self.critics not in (1, 2):
            raise ValueError(f"Choices: found critics={self.critics}, wanted 1 or 2")
        if self.returns == "released" and (self.truncation == "bootstraps" or self.advantages != "n_step"):
            raise ValueError(
                "Choices: found returns='released', which knows n-step returns and terminated alone, wanted "
                "advantages='n_step' and truncation='ends' with it"
            )


class Learned(NamedTuple):
    """What an update changes: `params` {policy, curiosity}, the optimiser's memory, the world, the bonus's memory."""

    params: Any
    opt_state: Any
    world: World
    memory: Any


class Agent(NamedTuple):
    """The parts of an agent."""

    environment: Environment
    network: PolicyNetwork
    bonus: Bonus
    choices: Choices


def check_settings(**given: Any) -> None:
    """Raises `ValueError` for unknown names of `SETTINGS`, shares outside [0, 1] and negative numbers where known."""
    for name, value in given.items():
        check_choice("agent", "setting", name, tuple(SETTINGS))
        if name in ("discount", "trace", "intrinsic_discount", "icm_beta"):
            check_between("agent", name, value, 0, 1)
        else:
            check_nonnegative("agent", name, value)


def adam_start(params: Any) -> Any:
    """The optimiser's memory before the first update."""
    return optax.scale_by_adam().init(params)


def clipped(grads: Any, max_norm: Any) -> tuple[Any, Any]:
    """Gradients scaled to a global norm of at most `max_norm` as PyTorch does it, and the norm before.

        g min(1, max_norm / (|g| + 1e-6))

    A gradient whose norm is no number stays as it is.
    """
    norm = optax.tree.norm(grads)
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), grads), norm


def update(agent: Agent, learned: Learned, key: Any, settings: Mapping[str, Any]) -> tuple[Learned, dict[str, Any]]:
    """One rollout and what is learned from it; `settings` overrides `SETTINGS`, its values may be traced.

        L = policy_weight (L_pi + value_weight L_V - entropy_weight H) + curiosity_weight L_curiosity

    With one critic, rewards are extrinsic_weight r + bonus_weight r_i; with two, these are the weights of the two
    advantages. The intrinsic rewards carry no gradient. Metrics: losses, entropy, gradient norms, and of the
    bootstrap observation's features the standard deviation over environments and features.
    """
    given = SETTINGS | dict(settings)
    choices, network = agent.choices, agent.network
    policy = learned.params["policy"]
    world, rollout, carry = roll(
        agent.environment, network, policy, learned.world, stream(key, "rollout"), choices.rollout_length
    )
    world = world._replace(carry=carry) if choices.double_step else world
    seen = seen_of(rollout, choices)
    encoded = _encoded(agent, jax.lax.stop_gradient(learned.params), seen)
    intrinsic, memory = agent.bonus.reward(
        learned.params["curiosity"], learned.memory, encoded, given["intrinsic_discount"]
    )
    intrinsic = jax.lax.stop_gradient(jnp.where(rollout.masked, 0.0, intrinsic))
    aims = _targets(agent, policy, rollout, intrinsic, given)
    batch = _Batch(rollout, aims, seen, learned.world.carry)
    if choices.algorithm == "a2c":
        params, opt_state, metrics = descend(agent, learned.params, learned.opt_state, learned.memory, batch, given)
    else:
        params, opt_state, metrics = _proximal(agent, learned, batch, stream(key, "minibatches"), given)
    metrics |= {
        "reward": rollout.rewards.mean(),
        "intrinsic reward": intrinsic.mean(),
        "feature sd": rollout.last_features.std(),
    }
    return Learned(params, opt_state, world, memory), metrics


class _Batch(NamedTuple):
    rollout: Rollout
    aims: Targets
    seen: Seen
    carry: Any


def seen_of(rollout: Rollout, choices: Choices) -> Seen:
    """What a bonus sees of a rollout."""
    final = None if choices.pairs == "straddling" else rollout.final
    return Seen(rollout.observations, final, rollout.actions, rollout.terminated, rollout.ended, rollout.cells)


def descend(
    agent: Agent, params: Any, opt_state: Any, memory: Any, batch: _Batch, given: Mapping[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """One clipped step of Adam (betas .9 and .999, eps 1e-8) on the loss of a batch."""
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


def policy_terms(agent: Agent, params: Any, batch: _Batch, given: Mapping[str, Any]) -> ActorCritic:
    """Terms [T, E] of the actor-critic loss of a batch; with two critics `value` is the sum of both."""
    rollout, aims = batch.rollout, batch.aims
    features = agent.network.unroll(params, batch.carry, rollout.observations[:-1], rollout.resets)
    logits, values = agent.network.heads(params, features)
    wrong = ((aims.returns - values) ** 2).sum(axis=-1)
    frozen = jax.lax.stop_gradient(values[..., 0])
    if agent.choices.algorithm == "a2c":
        found = a2c(logits, frozen, rollout.actions, aims.advantages + frozen)
    else:
        better = aims.advantages
        if agent.choices.normalize_advantages:
            better = (better - better.mean()) / (better.std() + 1e-8)
        found = ppo(logits, frozen, rollout.actions, frozen, better, rollout.log_probs, clip=given["ppo_clip"])
    return found._replace(value=wrong)


def _loss(agent, params, memory, batch, given):
    weights = 1.0 - batch.rollout.masked
    terms = policy_terms(agent, params["policy"], batch, given)
    policy, value = (_mean(term, weights) for term in (terms.policy, terms.value))
    entropy = _mean(terms.entropy, weights)
    if agent.choices.entropy == "summed":
        entropy = entropy * len(weights)
    found = {"policy loss": policy, "value loss": value, "entropy": entropy}
    loss = policy + given["value_weight"] * value - given["entropy_weight"] * entropy
    loss = given["policy_weight"] * loss
    if agent.bonus.trained:
        seen = _encoded(agent, params, batch.seen)
        each, more = agent.bonus.loss(params["curiosity"], memory, seen, given["icm_beta"])
        loss = loss + given["curiosity_weight"] * _mean(each, weights)
        found |= more
    return loss, found


def _mean(values, weights):
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1.0)


def _encoded(agent, params, seen):
    """With a shared encoder, what curiosity sees are the policy's features of the observations."""
    if not agent.choices.shared_encoder:
        return seen

    def encode(x):
        return agent.network.encode(params["policy"], x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1)

    return seen._replace(
        observations=encode(seen.observations), final=None if seen.final is None else encode(seen.final)
    )


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
        trace=given["trace"],
        intrinsic_discount=given["intrinsic_discount"],
        weights=(given["extrinsic_weight"], given["bonus_weight"]),
    )


def _proximal(agent, learned, batch, key, given):
    """Epochs over minibatches in random order, each a step as A2C's."""
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
        part = _Batch(
            *jax.tree.map(lambda leaf: leaf[:, chosen], steps), jax.tree.map(lambda leaf: leaf[chosen], whole.carry)
        )
        params, opt_state, metrics = descend(agent, params, opt_state, learned.memory, part, given)
        return (params, opt_state), metrics

    def epoch(carry, number):
        order = jax.random.permutation(step_key(key, number), num)
        return jax.lax.scan(one, carry, order.reshape(choices.minibatches, -1))

    start = learned.params, learned.opt_state
    (params, opt_state), metrics = jax.lax.scan(epoch, start, jnp.arange(choices.epochs))
    return params, opt_state, jax.tree.map(jnp.mean, metrics)


def _flat(batch):
    """All transitions as steps of environments of their own, [1, T E, ...]: without memory their order is nothing."""

    def flat(leaf):
        return leaf.reshape(1, -1, *leaf.shape[2:])

    def pairs(observations, final):
        following = observations[1:] if final is None else final
        return jnp.concatenate([flat(observations[:-1]), flat(following)])

    rollout, seen = batch.rollout, batch.seen
    observations = pairs(rollout.observations, None)
    others = rollout._replace(observations=None, last_values=None, last_features=None)
    rollout = jax.tree.map(flat, others)._replace(observations=observations)
    # Two observations of each transition: the second is the one that curiosity predicts.
    seen = jax.tree.map(flat, seen._replace(observations=None, final=None))._replace(
        observations=pairs(batch.seen.observations, batch.seen.final), final=None
    )
    return _Batch(rollout, jax.tree.map(flat, batch.aims), seen, batch.carry)
