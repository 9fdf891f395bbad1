"""Discounted returns and generalised advantages of a rollout, [T, E], steps first, of E environments side by side.

`terminated` says that the world ended, so that nothing follows; `truncated` that only the watching did, so that the
value of the last observation still counts.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_between, check_choice, concrete, shape_of
from identax.inputs import numbers
from identax.losses._checks import Embeddings, Scalar, as_floats, as_number

READINGS = ("intended", "released")


def discounted_returns(
    rewards: Embeddings,
    terminated: Embeddings,
    last_value: Embeddings,
    *,
    discount: Scalar,
    truncated: Embeddings | None = None,
    final_values: Embeddings | None = None,
    reading: str = "intended",
) -> Float[Array, "T E"]:
    """Discounted rewards to the end of the rollout, with a value in the place of what comes after it.

        R_T = V(s_T),    R_t = r_t + g (1 - terminated_t) R_{t+1},
        and where truncated but not terminated  R_t = r_t + g V(final observation of step t)

    "released" is the published program's: m = 1 - terminated_{T-1}, the last row, masks every step, and what is left is
    moved to the places of the environments that are not masked, in order, at each step anew:

        S(v)_e = v_{rank of e among the m = 1} where m_e = 1, else 0,    R_T = S(V(s_T)),    R_t = S(r_t + g R_{t+1})

    so an end within the rollout cuts nothing, one in its last step erases all of that environment's returns, and later
    environments take their neighbours'.

    Args:
        rewards: r [T, E].
        terminated: [T, E], booleans or 0 and 1.
        last_value: V(s_T) [E], of the observation after the last step.
        discount: g in [0, 1], may be traced.
        truncated, final_values: [T, E] both or neither; the values are read where an episode was truncated.
        reading: "intended" or "released" (which knows no truncation).
    Raises `ValueError` for shapes that do not match, T = 0, ends that are known to be neither 0 nor 1, a known discount
    outside [0, 1], an unknown reading, one of `truncated` and `final_values` without the other, and either of them with
    "released".
    Source: Reizinger & Szemenyei 2020, code; Pardo et al. 2018 for truncation.
    """
    check_choice("discounted_returns", "reading", reading, READINGS)
    check_between("discounted_returns", "discount", discount, 0, 1, shape=())
    if reading == "released" and truncated is not None:
        raise ValueError("discounted_returns: found truncated and reading='released', which knows terminated alone")
    names = {"rewards": rewards, "terminated": terminated, "last_value": last_value}
    rewards, terminated, last_value = _rollout("discounted_returns", **names)
    cut, final_values = _truncation("discounted_returns", rewards, terminated, truncated, final_values)
    discount = _weight("discounted_returns", "discount", discount, rewards)
    if reading == "released":
        return _released_returns(rewards, terminated, last_value, discount)
    return _returns(rewards, terminated, last_value, discount, cut, final_values)


@jax.jit
def _returns(rewards, terminated, last_value, discount, cut, final_values):
    def back(following, step):
        reward, ended, cut, final = step
        value = reward + discount * jnp.where(ended, 0.0, jnp.where(cut, final, following))
        return value, value

    steps = rewards, terminated, cut, final_values
    return jax.lax.scan(back, last_value, steps, reverse=True)[1]


@jax.jit
def _released_returns(rewards, terminated, last_value, discount):
    going = ~terminated[-1]
    rank = jnp.maximum(jnp.cumsum(going) - 1, 0)

    def placed(values):
        return jnp.where(going, values[rank], 0.0)

    def back(following, reward):
        value = placed(reward + discount * following)
        return value, value

    return jax.lax.scan(back, placed(last_value), rewards, reverse=True)[1]


def generalized_advantages(
    rewards: Embeddings,
    values: Embeddings,
    terminated: Embeddings,
    last_value: Embeddings,
    *,
    discount: Scalar,
    gae_lambda: Scalar,
    truncated: Embeddings | None = None,
    final_values: Embeddings | None = None,
) -> Float[Array, "T E"]:
    """Generalised advantage estimates, which weigh n-step advantages of all n by gae_lambda^(n - 1).

        delta_t = r_t + g (1 - terminated_t) V(s_{t+1}) - V(s_t),
        A_t = delta_t + g l (1 - ended_t) A_{t+1},    ended = terminated or truncated,
        V(s_{t+1}) = V(final observation of step t) where truncated

    gae_lambda 1: `discounted_returns` less the values; gae_lambda 0: one-step advantages.
    Args: as `discounted_returns`; `values` V(s_t) [T, E], `gae_lambda` l in [0, 1], may be traced.
    Raises `ValueError` as `discounted_returns`, and for a known gae_lambda outside [0, 1].
    Source: Schulman et al. 2016, eq. 16.
    """
    check_between("generalized_advantages", "discount", discount, 0, 1, shape=())
    check_between("generalized_advantages", "gae_lambda", gae_lambda, 0, 1, shape=())
    names = {"rewards": rewards, "terminated": terminated, "last_value": last_value, "values": values}
    rewards, terminated, last_value, values = _rollout("generalized_advantages", **names)
    cut, final_values = _truncation("generalized_advantages", rewards, terminated, truncated, final_values)
    weights = {"discount": discount, "gae_lambda": gae_lambda}
    discount, gae_lambda = (_weight("generalized_advantages", *given, rewards) for given in weights.items())
    return _advantages(rewards, values, terminated, last_value, discount, gae_lambda, cut, final_values)


@jax.jit
def _advantages(rewards, values, terminated, last_value, discount, gae_lambda, cut, final_values):
    following = jnp.where(cut, final_values, jnp.concatenate([values[1:], last_value[None]]))
    delta = rewards + discount * jnp.where(terminated, 0.0, following) - values
    kept = discount * gae_lambda * jnp.where(cut | terminated, 0.0, 1.0)

    def back(later, step):
        advantage = step[0] + step[1] * later
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros_like(last_value), (delta, kept), reverse=True)[1]


def _rollout(where: str, **arrays: Any) -> list[Any]:
    """Arrays as floats of one type, `terminated` as booleans, all [T, E] with T, E >= 1 but `last_value` [E]."""
    found = dict(zip(arrays, as_floats(where, **arrays), strict=True))
    shape = found["rewards"].shape
    wanted = {name: shape[1:] if name == "last_value" else shape for name in found}
    if len(shape) != 2 or any(array.shape != wanted[name] for name, array in found.items()):
        shapes = {name: array.shape for name, array in found.items()}
        raise ValueError(f"{where}: found shapes {shapes}, wanted [T, E] and last_value [E]")
    _check_ends(where, "terminated", arrays["terminated"])
    dtype = jnp.result_type(*found.values())
    return [array != 0 if name == "terminated" else array.astype(dtype) for name, array in found.items()]


def _weight(where: str, name: str, value: Any, like: Any) -> Any:
    return jnp.asarray(as_number(where, name, value), like.dtype)


def _truncation(where: str, rewards: Any, terminated: Any, truncated: Any, final_values: Any) -> tuple[Any, Any]:
    """Where the final value takes the place of what follows, and that value: nowhere and 0 without `truncated`."""
    if (truncated is None) != (final_values is None):
        raise ValueError(f"{where}: found one of truncated and final_values, wanted both or neither")
    if truncated is None:
        return jnp.zeros(rewards.shape, bool), jnp.zeros_like(rewards)
    truncated = numbers(where, "truncated", truncated)
    (final_values,) = as_floats(where, final_values=final_values)
    if truncated.shape != rewards.shape or final_values.shape != rewards.shape:
        raise ValueError(
            f"{where}: found truncated {shape_of(truncated)} and final_values {final_values.shape}, wanted "
            f"{rewards.shape} as the rewards"
        )
    _check_ends(where, "truncated", truncated)
    return jnp.asarray(truncated) != 0, final_values.astype(rewards.dtype)


def _check_ends(where: str, name: str, ends: Any) -> None:
    """Raises `ValueError` for what is known to be neither 0 nor 1: NaN would end every episode, unseen."""
    known = concrete(ends)
    if known is not None and not ((known == 0) | (known == 1)).all():
        raise ValueError(f"{where}: found {name} with entries besides 0 and 1, wanted booleans, or 0 and 1")
