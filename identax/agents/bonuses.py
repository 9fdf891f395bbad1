"""Intrinsic rewards of a rollout and what is trained for them; arrays are [T, E], steps first.

A bonus sees a rollout when it is over: its rewards are computed with the parameters and the memory from before the
update, and its losses see the same inputs, whatever the rewards have changed in the memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from identax.agents.curiosity_module import CuriosityModule
from identax.checks import check_choice, check_count, check_flag, check_positive, check_type
from identax.losses import (
    count_bonus,
    distillation_reward,
    elliptical_bonus,
    forward_error,
    inverse_error,
    prediction_reward,
    reward_scale,
    scale_rewards,
)
from identax.models import Model
from identax.models.agent_encoders import linear, linear_start
from identax.numerics import no_moments, with_batch
from identax.rng import stream

OBJECTIVES = ("published", "standard")
SPANS = ("lifelong", "episodic")


class Seen(NamedTuple):
    """What a bonus sees of a rollout of T steps in E environments.

    `observations` [T + 1, E, ...]; `final` [T, E, ...], the true next observations, or None where pairs straddle the
    ends of episodes, as published; `actions`, `terminated`, `ended` (terminated or truncated) [T, E]; `cells` [T, E],
    numbers of the states that followed, or None.
    """

    observations: Shaped[Array, "T+1 E ..."]
    final: Shaped[Array, "T E ..."] | None
    actions: Int[Array, "T E"]
    terminated: Bool[Array, "T E"]
    ended: Bool[Array, "T E"]
    cells: Int[Array, "T E"] | None


class Bonus(NamedTuple):
    """Pure functions; the learner reduces and weighs.

    * `init(key, observations [E, ...]) -> (params, memory)`: what is trained, and what is only remembered; of the
      observations shapes and types alone count, as nobody has met them
    * `reward(params, memory, seen, discount) -> (rewards [T, E], new memory)`
    * `loss(params, memory, seen, beta) -> (per transition [T, E], metrics)`; None: nothing is trained
    * `observe(memory, observations [E, ...]) -> memory`, of a random agent before the first update; None: not needed
    * `num_actions`, `num_states`: of the worlds that it was made for, None for any

    Steps that are no transitions (`masked`) are seen too, and a memory counts them; their rewards and losses weigh 0.
    """

    init: Callable[..., Any]
    reward: Callable[..., Any]
    loss: Callable[..., Any] | None = None
    observe: Callable[..., Any] | None = None
    num_actions: int | None = None
    num_states: int | None = None


def no_bonus() -> Bonus:
    """Rewards of 0 and nothing to train."""
    return Bonus(lambda key, observations: ({}, ()), _nothing)


def icm_bonus(module: CuriosityModule, *, objective: str = "standard") -> Bonus:
    """The curiosity module: errors of its forward model are the reward, half the sum of squares over features.

    "standard" minimises beta / 2 ||phi^ - phi'||^2 + (1 - beta) L_inverse (Pathak et al. 2017), "published" the mean of
    squares over features plus L_inverse, without beta (Reizinger & Szemenyei 2020, code: what other options of agents
    call "released"). The gradient flows into both sides of the forward error, as in both programs. With a rational
    module its weights count in loss and reward.
    Raises `ValueError` for an unknown objective and what is no `CuriosityModule`.
    """
    check_type("icm_bonus", "module", module, CuriosityModule)
    check_choice("icm_bonus", "objective", objective, OBJECTIVES)

    def init(key, observations):
        return module.init(key, observations), ()

    def parts(params, seen):
        phi, following = _features(module, params, seen)
        return phi, following, module.predict(params, phi, seen.actions), module.relevance(params, following)

    def reward(params, memory, seen, discount):
        del discount
        _, following, predicted, relevance = parts(params, seen)
        if relevance is None:
            return prediction_reward(predicted, following), memory
        weighed = forward_error(*jax.lax.stop_gradient((predicted, following, relevance)))
        return 0.5 * following.shape[-1] * weighed, memory

    def loss(params, memory, seen, beta):
        del memory
        phi, following, predicted, relevance = parts(params, seen)
        ahead = forward_error(predicted, following, relevance)
        which = inverse_error(module.infer(params, phi, following), seen.actions)
        found = {"forward error": ahead.mean(), "inverse error": which.mean()}
        if objective == "published":
            return ahead + which, found
        return beta * 0.5 * following.shape[-1] * ahead + (1 - beta) * which, found

    return Bonus(init, reward, loss, num_actions=module.num_actions)


def rnd_bonus(encoder: Model, *, features: int = 64, view: Callable[[Any], Any] = lambda x: x) -> Bonus:
    """Random network distillation: the error of a network that learns a random one, on observations as they come.

        x = (o - mean) / sd clipped to 5,    r = mean_k (f^_k(x) - f_k(x))^2, over the running sd of its filtered sums

    mean and sd of every entry are those of all observations so far, a random agent's first; the same x is rewarded and
    learned from. `view` picks what of an observation is looked at, such as the last of stacked frames.
    Raises `ValueError` for features < 1 and what is no `Model`. Source: Burda et al. 2018 and its code.
    """
    check_type("rnd_bonus", "encoder", encoder, Model)
    check_count("rnd_bonus", "features", features)
    if not callable(view):
        raise ValueError(f"rnd_bonus: found view={view!r}, wanted a function of observations")

    def init(key, observations):
        x = _floats(view(observations))
        params, target = (_head_start(encoder, stream(key, name), x, features) for name in ("predictor", "target"))
        return params, {"target": target, "moments": no_moments(x.shape[1:], x.dtype), "scale": reward_scale(len(x))}

    def errors(params, memory, seen, compared):
        following = _floats(view(_following(seen)))
        flat = following.reshape(-1, *following.shape[2:])
        sd = jnp.sqrt(memory["moments"].variance)
        apart = memory["moments"].centred(flat)
        # An entry that never changed has no scale: whatever differs from it is new.
        x = jnp.where(sd[None] > 0, apart / jnp.where(sd > 0, sd, 1.0)[None], 5 * jnp.sign(apart))
        x = jnp.clip(x, -5, 5)
        target = jax.lax.stop_gradient(_head(encoder, memory["target"], x))
        return compared(_head(encoder, params, x), target).reshape(following.shape[:2])

    def reward(params, memory, seen, discount):
        found, scale = scale_rewards(
            errors(params, memory, seen, distillation_reward), memory["scale"], discount=discount
        )
        following = _floats(view(_following(seen)))
        return found, noticed(memory, following.reshape(-1, *following.shape[2:])) | {"scale": scale}

    def loss(params, memory, seen, beta):
        del beta
        found = errors(params, memory, seen, forward_error)
        return found, {"distillation error": found.mean()}

    def noticed(memory, x):
        return memory | {"moments": with_batch(memory["moments"], x)}

    def observe(memory, observations):
        return noticed(memory, _floats(view(observations)))

    return Bonus(init, reward, loss, observe)


def visit_bonus(num_states: int, *, span: str = "lifelong", pay_ends: bool = True) -> Bonus:
    """1 / sqrt(n) of the state that followed, n its visits so far with this one, all environments of a step together.

    "lifelong": one table for all environments, never emptied; "episodic": one each, emptied where an episode ends.
    Without `pay_ends` states that terminate an episode are counted, not paid.
    Raises `ValueError` for num_states < 1, an unknown span, and a world whose states are not numbered.
    Source: Strehl & Littman 2008.
    """
    check_count("visit_bonus", "num_states", num_states)
    check_choice("visit_bonus", "span", span, SPANS)
    check_flag("visit_bonus", "pay_ends", pay_ends)

    def init(key, observations):
        del key
        shape = (num_states,) if span == "lifelong" else (len(observations), num_states)
        return {}, jnp.zeros(shape, jnp.int32)

    def reward(params, memory, seen, discount):
        del params, discount
        if seen.cells is None:
            raise ValueError("visit_bonus: found a world without numbered states, wanted info['cell'] in every step")

        def visit(table, now):
            cells, ended = now
            if span == "lifelong":
                table = table.at[cells].add(1)
                return table, table[cells]
            rows = jnp.arange(len(cells))
            table = table.at[rows, cells].add(1)
            return jnp.where(ended[:, None], 0, table), table[rows, cells]

        memory, counts = jax.lax.scan(visit, memory, (seen.cells, seen.ended))
        found = count_bonus(jnp.maximum(counts, 1))
        return found if pay_ends else jnp.where(seen.terminated, 0.0, found), memory

    return Bonus(init, reward, num_states=num_states)


def e3b_bonus(module: CuriosityModule, *, ridge: float | int = 0.1) -> Bonus:
    """Episodic elliptical bonus on features of the inverse model, of the state that followed the action.

    `elliptical_bonus` for each environment, from C^-1 = I / ridge again behind every end of an episode; the module's
    inverse model alone is trained. Raises `ValueError` for a ridge that is not positive and what is no
    `CuriosityModule`. Source: Henaff et al. 2022.
    """
    check_type("e3b_bonus", "module", module, CuriosityModule)
    check_positive("e3b_bonus", "ridge", ridge, ())

    def fresh(num, phi):
        eye = jnp.eye(phi.shape[-1], dtype=phi.dtype) / ridge
        return jnp.broadcast_to(eye[None], (num, *eye.shape))

    def init(key, observations):
        params = module.init(key, observations)
        phi = jax.eval_shape(module.encode, params, observations)
        return params, fresh(len(observations), phi)

    def reward(params, memory, seen, discount):
        del discount
        _, following = _features(module, params, seen)

        def visit(inverse, now):
            phi, ended = now
            found, inverse = elliptical_bonus(phi, inverse)
            return jnp.where(ended[:, None, None], fresh(len(phi), phi), inverse), found

        memory, found = jax.lax.scan(visit, memory, (following, seen.ended))
        return found, memory

    def loss(params, memory, seen, beta):
        del memory, beta
        found = inverse_error(module.infer(params, *_features(module, params, seen)), seen.actions)
        return found, {"inverse error": found.mean()}

    return Bonus(init, reward, loss, num_actions=module.num_actions)


def _nothing(params, memory, seen, discount):
    del params, discount
    return jnp.zeros(seen.actions.shape, float), memory


def _following(seen):
    return seen.observations[1:] if seen.final is None else seen.final


def _features(module, params, seen):
    """phi and phi' [T, E, m]; where pairs straddle ends every observation is encoded once."""

    def encoded(x):
        return module.encode(params, x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1)

    if seen.final is None:
        phi = encoded(seen.observations)
        return phi[:-1], phi[1:]
    return encoded(seen.observations[:-1]), encoded(seen.final)


def _floats(x):
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _head_start(encoder, key, x, features):
    made = encoder.init(stream(key, "encoder"), x)["params"]
    phi = jax.eval_shape(lambda params: encoder.apply({"params": params}, x)[0], made)
    return {"encoder": made, "out": linear_start(stream(key, "out"), phi.shape[-1], features, 1.0, phi.dtype)}


def _head(encoder, params, x):
    return linear(params["out"], encoder.apply({"params": params["encoder"]}, x)[0])
