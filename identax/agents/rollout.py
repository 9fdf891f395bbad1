"""A rollout: T steps of a policy in E environments side by side, and what becomes of the games that end in it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from identax.agents.network import PolicyNetwork, reset_carry
from identax.checks import check_count
from identax.dgp.environments import Environment, Transition
from identax.dgp.environments.protocol import OF_GAMES
from identax.rng import step_key, stream


class Rollout(NamedTuple):
    """Arrays of T steps, [T, E, ...], of the policy as it was.

    `observations` [T + 1, E, ...], the last one being acted on next; `final`, the true next ones; `rewards` as they
    are, `terminated`, `truncated`, `masked` (no transition but a reset that takes a step); `cells`, numbers of the
    states that followed, or None; `log_probs` of the actions, `values` [T, E, V]; `carries` behind each step, before
    any reset. Of the last observation: `last_values` [E, V] and `last_features` [E, n]. A
    minibatch, of which losses alone are taken, may lack that observation and has None for these two.
    """

    observations: Shaped[Array, "T+1 E ..."]
    final: Shaped[Array, "T E ..."]
    actions: Int[Array, "T E"]
    rewards: Float[Array, "T E"]
    terminated: Bool[Array, "T E"]
    truncated: Bool[Array, "T E"]
    masked: Bool[Array, "T E"]
    cells: Int[Array, "T E"] | None
    log_probs: Float[Array, "T E"]
    values: Float[Array, "T E V"]
    carries: Any
    last_values: Float[Array, "E V"]
    last_features: Float[Array, "E n"]

    @property
    def ended(self) -> Bool[Array, "T E"]:
        """Where an episode ended, for whichever reason."""
        return self.terminated | self.truncated

    @property
    def resets(self) -> Bool[Array, "T E"]:
        """Behind which steps the memory of the policy is emptied."""
        return self.ended | self.masked


class Episodes(NamedTuple):
    """Raw returns of whole games: those that run [E], the last k that ended [k], how many ended in all, and of those
    that ended in the last rollout the sum.
    """

    running: Float[Array, " E"]
    recent: Float[Array, " k"]
    count: Int[Array, ""]
    closed: Float[Array, ""]

    def filled(self) -> Bool[Array, " k"]:
        """Which entries of `recent` hold a game."""
        return jnp.arange(self.recent.shape[0]) < self.count


class ActingState(NamedTuple):
    """Where acting goes on: states of the environments, what is seen of them, the policy's memory, the games."""

    states: Any
    observations: Shaped[Array, "E ..."]
    carry: Any
    episodes: Episodes
    visits: Int[Array, " S"] | None
    """of every numbered state, or None"""


def no_episodes(num_environments: int, kept: int) -> Episodes:
    """Before the first game."""
    return Episodes(jnp.zeros(num_environments), jnp.zeros(kept), jnp.zeros((), jnp.int32), jnp.zeros(()))


def record(episodes: Episodes, rewards: Float[Array, " E"], over: Bool[Array, " E"]) -> Episodes:
    """Adds raw rewards [E] to the games that run and keeps the returns of those that are `over` [E], in their order."""
    running = episodes.running + rewards
    size = episodes.recent.shape[0]
    order = jnp.cumsum(over)
    # Of more than k games that end in one step the last k are kept.
    kept = over & (order > order[-1] - size)
    place = jnp.where(kept, (episodes.count + order - 1) % size, size)
    recent = episodes.recent.at[place].set(running, mode="drop")
    closed = episodes.closed + jnp.where(over, running, 0.0).sum()
    return Episodes(jnp.where(over, 0.0, running), recent, episodes.count + order[-1].astype(jnp.int32), closed)


def begin(environment: Environment, network: PolicyNetwork, params: Any, key: Key[Array, ""], kept: int) -> ActingState:
    """The first states of `environment`, many side by side, and an empty memory.

    Raises `ValueError` for a single environment.
    """
    states, observations = environment.reset(key, environment.params)
    num = _batch(environment)
    visits = None if environment.num_states is None else jnp.zeros(environment.num_states, jnp.int32)
    return ActingState(states, observations, network.start(params, num), no_episodes(num, kept), visits)


def act(
    environment: Environment,
    network: PolicyNetwork,
    params: Any,
    acting: ActingState,
    key: Key[Array, ""],
    greedy: Bool[Array, " E"] | None = None,
) -> tuple[ActingState, Transition, dict[str, Any]]:
    """One step of all environments: the acting state after it, their transition, and what the policy thought.

        h = step(params, carry, s),    a ~ softmax(logits(h)), or argmax logits(h) in environments that are `greedy` [E]

    The carry is emptied behind an end and where the step was a reset alone; of several likeliest actions the first is
    taken. Nothing is checked here: `roll` and `play` refuse what does not reset itself. Source: Mnih et al. 2016.
    """
    carry, features = network.step(params, acting.carry, acting.observations)
    logits, values = network.heads(params, features)
    drawn = jax.random.categorical(stream(key, "action"), logits)
    actions = drawn if greedy is None else jnp.where(greedy, jnp.argmax(logits, axis=-1).astype(drawn.dtype), drawn)
    found = environment.step(stream(key, "environment"), acting.states, actions, environment.params)
    if missing := OF_GAMES - found.info.keys():
        raise ValueError(
            f"found {environment.name} without info {sorted(missing)}, wanted both of a world that resets itself"
        )
    masked = found.info.get("masked", jnp.zeros_like(found.terminated))
    ended = found.terminated | found.truncated
    episodes = record(acting.episodes, found.info["raw_reward"], found.info["game_over"])
    visits = None if acting.visits is None else acting.visits.at[found.info["cell"]].add(1)
    after = ActingState(found.state, found.observation, reset_carry(carry, ended | masked), episodes, visits)
    log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), actions[:, None], axis=-1)[:, 0]
    thought = {"actions": actions, "log_probs": log_probs, "values": values, "carries": carry, "masked": masked}
    return after, found, thought


def roll(
    environment: Environment,
    network: PolicyNetwork,
    params: Any,
    acting: ActingState,
    key: Key[Array, ""],
    num_steps: int,
) -> tuple[ActingState, Rollout, Any]:
    """T sampled steps: the acting state after them, the rollout, and the carry behind the last observation's own step.

    Nothing of it carries a gradient: the losses run the network again over what is stored, with the same numbers.
    Raises `ValueError` for num_steps < 1 and a single environment.
    Source: Mnih et al. 2016; the carry that is returned, Reizinger & Szemenyei 2020, code (`Choices.double_step`).
    """
    check_count("roll", "num_steps", num_steps)
    _batch(environment)
    params = jax.lax.stop_gradient(params)
    acting = acting._replace(episodes=acting.episodes._replace(closed=jnp.zeros(())))

    def one(acting, number):
        after, found, thought = act(environment, network, params, acting, step_key(key, number))
        kept = {
            "observations": acting.observations,
            "final": found.final_observation,
            "rewards": found.reward,
            "terminated": found.terminated,
            "truncated": found.truncated,
            "cells": found.info["cell"] if environment.num_states is not None else None,
            **thought,
        }
        return after, kept

    after, kept = jax.lax.scan(one, acting, jnp.arange(num_steps))
    kept["observations"] = jnp.concatenate([kept["observations"], after.observations[None]])
    carry, features = network.step(params, after.carry, after.observations)
    _, last_values = network.heads(params, features)
    return after, Rollout(**kept, last_values=last_values, last_features=features), carry


def final_values(network: PolicyNetwork, params: Any, rollout: Rollout) -> Float[Array, "T E V"]:
    """Values [T, E, V] of the true next observations, with the memory that each step left."""
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (rollout.carries, rollout.final))
    _, features = network.step(params, *flat)
    return network.heads(params, features)[1].reshape(rollout.values.shape)


def random_steps(environment: Environment, key: Key[Array, ""], num_steps: int) -> Shaped[Array, "steps E ..."]:
    """Observations [num_steps, E, ...] that a uniformly random agent meets."""
    states, _ = environment.reset(stream(key, "reset"), environment.params)

    def one(states, number):
        own = step_key(key, number)
        actions = jax.random.randint(stream(own, "action"), (_batch(environment),), 0, environment.num_actions)
        found = environment.step(stream(own, "environment"), states, actions, environment.params)
        return found.state, found.final_observation

    return jax.lax.scan(one, states, jnp.arange(num_steps))[1]


def play(
    environment: Environment,
    network: PolicyNetwork,
    params: Any,
    key: Key[Array, ""],
    num_steps: int,
    *,
    watch: bool = False,
) -> dict[str, Array]:
    """First whole games of fresh environments, cut after `num_steps`; every other one, the first too, greedily.

        return = sum over the steps up to the game's end of raw_reward,    finished = share of games that ended

    Of both kinds, `sampled` and `greedy`, the mean raw `return`, `length` and share `finished`. With `watch` also
    `frames` [num_steps, ...], what the first greedy one showed, games that follow its first included.
    Raises `ValueError` for num_steps < 1 and a single environment.
    """
    check_count("play", "num_steps", num_steps)
    acting = begin(environment, network, params, stream(key, "reset"), 1)._replace(visits=None)
    zeros = jnp.zeros(_batch(environment))
    greedy = jnp.arange(len(zeros)) % 2 == 0

    def one(carry, number):
        acting, total, length, over = carry
        after, found, _ = act(environment, network, params, acting, step_key(key, number), greedy)
        going = jnp.where(over, 0.0, 1.0)
        total = total + going * found.info["raw_reward"]
        carry = after, total, length + going, over | found.info["game_over"]
        return carry, acting.observations[0] if watch else None

    start = acting, zeros, zeros, zeros > 0
    (_, *measured), frames = jax.lax.scan(one, start, jnp.arange(num_steps))
    found: dict[str, Any] = {"frames": frames} if watch else {}
    for name, values in zip(("return", "length", "finished"), measured, strict=True):
        found[f"greedy {name}"] = values[::2].astype(float).mean()
        if len(zeros) > 1:
            found[f"sampled {name}"] = values[1::2].astype(float).mean()
    return found


def _batch(environment: Environment) -> int:
    if environment.batch is None or not environment.resets:
        raise ValueError(
            f"found {environment.name} as a single environment, wanted many that reset themselves: "
            "side_by_side(environment, count)"
        )
    return environment.batch
