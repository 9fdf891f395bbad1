"""What the losses of a rollout aim at: returns and advantages of one or two streams of rewards."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from identax.agents.rollout import Rollout
from identax.losses import discounted_returns, generalized_advantages


class Targets(NamedTuple):
    """`returns` [T, E, V], one for each critic; `advantages` [T, E] of the weighed sum; nothing carries a gradient."""

    returns: Any
    advantages: Any


def targets(
    rollout: Rollout,
    rewards: Any,
    intrinsic: Any,
    after: Any,
    *,
    advantages: str,
    reading: str,
    discount: Any,
    trace: Any,
    intrinsic_discount: Any,
    weights: Any,
) -> Targets:
    """Targets of `rewards` [T, E] and, where the rollout has a second critic, of the `intrinsic` ones.

    The intrinsic stream knows no ends: what is novel after one is novel to the same agent (Burda et al. 2018). Its
    first value after an end is that of the new episode's first observation, and behind the last step stands the second
    critic's own value. `after` [T, E, V] are values of the true next observations, which count where an episode was
    truncated; None: what is truncated counts as terminated. `weights` are those of both streams' advantages.
    """
    ended = rollout.terminated if after is not None else rollout.ended
    streams = [(rewards, ended, discount)]
    if rollout.values.shape[-1] == 2:
        streams.append((intrinsic, jnp.zeros_like(ended), intrinsic_discount))
    found = []
    for number, (paid, over, gamma) in enumerate(streams):
        given = {"discount": gamma}
        if after is not None and number == 0:
            given |= {"truncated": rollout.truncated, "final_values": after[..., 0]}
        values, last = rollout.values[..., number], rollout.last_values[..., number]
        if advantages == "gae":
            better = generalized_advantages(paid, values, over, last, trace=trace, **given)
            found.append((better + values, better))
        else:
            returns = discounted_returns(paid, over, last, reading=reading, **given)
            found.append((returns, returns - values))
    returns, better = zip(*found, strict=True)
    total = better[0] if len(better) == 1 else weights[0] * better[0] + weights[1] * better[1]
    return Targets(jnp.stack(returns, axis=-1), total)
