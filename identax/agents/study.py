"""An agent that learns in a world, as a study: everything that acts and is remembered is one trial's state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.agents.bonuses import Bonus, no_bonus
from identax.agents.choices import Choices, check_settings
from identax.agents.descent import Agent, adam_start
from identax.agents.learner import Learned, update
from identax.agents.network import PolicyNetwork
from identax.agents.rollout import ActingState, begin, play, random_steps
from identax.checks import check_count, check_type
from identax.dgp.environments import Environment, side_by_side
from identax.rng import step_key, stream
from identax.study import Study

RANDOM_STEPS = 128
"""of a random agent, for bonuses that scale observations"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AgentState:
    """One trial: parameters, memories of optimiser and bonus, and in `world` where acting goes on (`ActingState`).

    Checkpoints bear these names.
    """

    step: Any
    key: Any
    params: Any
    opt_state: Any
    world: ActingState
    memory: Any
    hparams: Any


def agent_study(
    environment: Environment,
    network: PolicyNetwork,
    *,
    num_environments: int,
    bonus: Bonus | None = None,
    choices: Choices | None = None,
    settings: Mapping[str, Any] | None = None,
    kept_episodes: int = 10,
    evaluation: Environment | int = 0,
    evaluation_steps: int = 0,
    keep_frames: int = 0,
) -> Study:
    """A study whose step is one rollout and one update.

    Seeds and the numbers of `SETTINGS` are trials, as everywhere: a trial's hyper-parameters of these names come before
    `settings`. A step's metrics are those of `update`, the mean and the standard deviation of the raw returns of the
    last games (`recent return`, `recent return sd`, once two have ended), that of the games that ended in the step
    (`game return`), and `games`, how many ended in all.
    `evaluate` plays fresh games, half of them greedily: `sampled return`, `greedy return`, lengths and shares of games
    that ended; without evaluation environments it has the numbers of training alone. Where states are numbered,
    `states visited` is their share. `games` of a step is, as all its metrics, a mean over the steps of a chunk; that of
    `evaluate` is the count.
    After another run (`run(after=...)`) of the same world, network and bonus the agent goes on where that ended, games,
    memories and random streams too, with the hyper-parameters of the new trials: longer, or without its bonus.

    Args:
        environment: one world, of which `num_environments` stand side by side, or one that is many by itself.
        network, bonus, choices: the agent; without a bonus nothing is curious.
        settings: numbers that are no hyper-parameters.
        kept_episodes: k of the raw returns remembered.
        evaluation: how many fresh worlds, an even number, or another world that is many by itself; 0: none.
        evaluation_steps: after which their games are cut.
        keep_frames: how many observations of a greedy game are kept at the end, [keep_frames, ...].
    Raises `ValueError` for parts of other types, counts < 1, settings that `check_settings` refuses, an evaluation
    without steps or of an odd number of worlds, a world of another number of environments, a bonus made for other
    actions, fewer states or states that the world does not number; in `run`, before it compiles, for hyper-parameters
    that `check_settings` refuses; and at the first trace for a network of other actions or critics, and an earlier run
    of another agent.
    """
    check_count("agent_study", "num_environments", num_environments)
    check_count("agent_study", "kept_episodes", kept_episodes)
    check_count("agent_study", "evaluation_steps", evaluation_steps, 0)
    check_count("agent_study", "keep_frames", keep_frames, 0)
    bonus, choices = no_bonus() if bonus is None else bonus, Choices() if choices is None else choices
    parts = {"environment": Environment, "network": PolicyNetwork, "bonus": Bonus, "choices": Choices}
    for (name, kind), part in zip(parts.items(), (environment, network, bonus, choices), strict=True):
        check_type("agent_study", name, part, kind)
    agent = Agent(_many(environment, num_environments), network, bonus, choices)
    check_type("agent_study", "settings", settings or {}, Mapping)
    fixed = dict(settings or {})
    check_settings(**{str(name): value for name, value in fixed.items()})
    _check_bonus(agent)
    fresh = _fresh(environment, evaluation)
    if fresh is not None and evaluation_steps == 0:
        raise ValueError("agent_study: found evaluation environments and evaluation_steps=0, wanted 1 step at least")

    def init(key, hparams, before=None):
        if before is not None:
            return _gone_on(before, jax.eval_shape(init, key, hparams), hparams)
        observations = jax.eval_shape(agent.environment.reset, key, agent.environment.params)[1]
        example = jnp.zeros(observations.shape, observations.dtype)
        policy = network.init(stream(key, "policy"), example)
        _check_heads(agent, policy, example)
        seen = network.encode(policy, example) if choices.shared_encoder else example
        curiosity, memory = agent.bonus.init(stream(key, "curiosity"), seen)
        if agent.bonus.observe is not None:
            met = random_steps(agent.environment, stream(key, "random agent"), RANDOM_STEPS)
            memory = agent.bonus.observe(memory, met.reshape(-1, *met.shape[2:]))
        params = {"policy": policy, "curiosity": curiosity}
        world = begin(agent.environment, network, policy, stream(key, "world"), kept_episodes)
        return AgentState(jnp.zeros((), jnp.int32), key, params, adam_start(params), world, memory, hparams)

    def step(state, batch):
        del batch
        before = Learned(state.params, state.opt_state, state.world, state.memory)
        after, metrics = update(agent, before, step_key(state.key, state.step), fixed | dict(state.hparams))
        state = dataclasses.replace(
            state, step=state.step + 1, params=after.params, opt_state=after.opt_state, world=after.world,
            memory=after.memory,
        )  # fmt: skip
        ended = (after.world.episodes.count - before.world.episodes.count).astype(float)
        return state, metrics | _of_training(after.world) | {"game return": (after.world.episodes.closed, ended)}

    def evaluate(state, key):
        found = {"games": state.world.episodes.count.astype(float)}
        if state.world.visits is not None:
            found["states visited"] = (state.world.visits > 0).mean()
        if fresh is None:
            return found
        return found | play(fresh, network, state.params["policy"], key, evaluation_steps)

    def keep(state, key):
        shown = play(agent.environment, network, state.params["policy"], key, keep_frames, watch=True)
        return {"frames": shown["frames"]}

    return Study(init, step, evaluate, keep=keep if keep_frames else None, check=_check_hparams)


def _gone_on(before, wanted, hparams):
    if not isinstance(before, AgentState):
        raise ValueError(
            f"agent_study: found an earlier state of type {type(before).__name__}, wanted that of an agent"
        )
    after = dataclasses.replace(before, hparams=hparams)
    here, there = _shapes(after), _shapes(wanted)
    other = next((at for at in (here | there) if here.get(at) != there.get(at)), None)
    if other is not None:
        raise ValueError(
            f"agent_study: found an earlier agent with {other[1:]} {here.get(other)}, wanted {there.get(other)}: the "
            "same world, network and bonus (bonus_weight=0 switches a bonus off)"
        )
    return after


def _shapes(tree):
    return {jax.tree_util.keystr(at): f"{leaf.dtype}{list(leaf.shape)}" for at, leaf in jax.tree.leaves_with_path(tree)}


def _check_hparams(hparams):
    for name, column in hparams.items():
        for value in np.unique(column) if column.ndim == 1 else column:
            check_settings(**{name: value})


def _of_training(world):
    """Pairs (sum, weight), which are empty until two games have ended."""
    episodes = world.episodes
    filled = episodes.filled()
    num = filled.sum()
    known = jnp.where(num > 1, 1.0, 0.0)
    mean = jnp.where(filled, episodes.recent, 0.0).sum() / jnp.maximum(num, 1)
    spread = jnp.where(filled, (episodes.recent - mean) ** 2, 0.0).sum() / jnp.maximum(num, 1)
    found = {"recent return": (known * mean, known), "recent return sd": (known * jnp.sqrt(spread), known)}
    return found | {"games": episodes.count.astype(float)}


def _many(environment, num):
    if environment.batch is None:
        return side_by_side(environment, num)
    if environment.batch != num or not environment.resets:
        raise ValueError(
            f"agent_study: found {environment.name} of {environment.batch} environments for num={num}, wanted one, or "
            "as many that reset themselves"
        )
    return environment


def _fresh(environment, evaluation) -> Environment | None:
    """The worlds of an evaluation: an even number, half of them being played greedily."""
    if isinstance(evaluation, Environment):
        num, found = evaluation.batch, evaluation
    else:
        check_count("agent_study", "evaluation", evaluation, 0)
        num, found = evaluation, _many(environment, evaluation) if evaluation else None
    if found is not None:
        ours, theirs = ((world.num_actions, *_type_of(world)) for world in (environment, found))
        if ours != theirs:
            raise ValueError(
                f"agent_study: found evaluation in {found.name} with (actions, shape, type) {theirs}, wanted those of "
                f"{environment.name}, {ours}"
            )
    if num is not None and num % 2:
        raise ValueError(f"agent_study: found evaluation of {num} worlds, wanted an even number: half play greedily")
    return found


def _type_of(world):
    return tuple(world.observation.shape), str(jnp.dtype(world.observation.dtype))


def _check_bonus(agent):
    world, bonus = agent.environment, agent.bonus
    if bonus.num_actions not in (None, world.num_actions):
        raise ValueError(f"agent_study: found a bonus for {bonus.num_actions} actions, wanted {_actions_of(world)}")
    if bonus.num_states is not None and world.num_states is None:
        raise ValueError(
            f"agent_study: found a bonus for {bonus.num_states} states and {world.name} with num_states=None, wanted a "
            "world whose states are numbered: num_states, and info['cell'] in every step"
        )
    if None not in (bonus.num_states, world.num_states) and bonus.num_states < world.num_states:
        raise ValueError(
            f"agent_study: found a bonus for {bonus.num_states} states, wanted the {world.num_states} of {world.name}"
        )


def _check_heads(agent, policy, example):
    num, network, wanted = len(example), agent.network, agent.choices.critics

    def outputs(policy):
        _, features = network.step(policy, network.start(policy, num), example)
        return network.heads(policy, features)

    actions, critics = (found.shape[-1] for found in jax.eval_shape(outputs, policy))
    if actions != agent.environment.num_actions:
        raise ValueError(f"agent_study: found a network of {actions} actions, wanted {_actions_of(agent.environment)}")
    if critics != wanted:
        raise ValueError(f"agent_study: found a network of {critics} critics, wanted {wanted} as in `choices`")


def _actions_of(world):
    return f"the {world.num_actions} of {world.name}"
