"""What the losses of a rollout aim at: returns and advantages of one or two streams of rewards."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.agents.rollout import Rollout
from identax.losses import discounted_returns, generalized_advantages


class Targets(NamedTuple):
    """`returns` [T, E, V], one for each critic; `advantages` [T, E] of the weighed sum; nothing carries a gradient."""

    returns: Float[Array, "T E V"]
    advantages: Float[Array, "T E"]


def targets(
    rollout: Rollout,
    rewards: Float[Array, "T E"],
    intrinsic: Float[Array, "T E"],
    after: Float[Array, "T E V"] | None,
    *,
    advantages: str,
    reading: str,
    discount: ArrayLike,
    gae_lambda: ArrayLike,
    intrinsic_discount: ArrayLike,
    weights: tuple[ArrayLike, ArrayLike],
) -> Targets:
    """Targets of `rewards` [T, E] and, where the rollout has a second critic, of the `intrinsic` ones.

        n_step: R of `discounted_returns`, A = R - V,    gae: A of `generalized_advantages`, R = A + V
        one critic: A = A_1,    two: A = weights_1 A_1 + weights_2 A_2

    The intrinsic stream knows no ends: what is novel after one is novel to the same agent (Burda et al. 2018). Its
    first value after an end is that of the new episode's first observation, and behind the last step stands the second
    critic's own value. `after` [T, E, V] are values of the true next observations, which count where an episode was
    truncated; None: what is truncated counts as terminated. `weights` are those of both streams' advantages.
    Raises `ValueError` as `discounted_returns` (`reading` is its reading) and `generalized_advantages`.
    Source: Mnih et al. 2016; Schulman et al. 2016; Burda et al. 2018 for two critics; Pardo et al. 2018 for `after`.
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
            better = generalized_advantages(paid, values, over, last, gae_lambda=gae_lambda, **given)
            found.append((better + values, better))
        else:
            returns = discounted_returns(paid, over, last, reading=reading, **given)
            found.append((returns, returns - values))
    returns, better = zip(*found, strict=True)
    total = better[0] if len(better) == 1 else weights[0] * better[0] + weights[1] * better[1]
    return Targets(jnp.stack(returns, axis=-1), total)
