"""Perturbations that choose entries by utility or direction: selective weight reinitialisation, DASH."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_between, check_choice
from identax.numerics import ranks
from identax.rng import stream
from identax.transforms.perturbation import Acting, Perturbation, perturbation

SWR_UTILITIES = ("magnitude", "gradient", "random")
PRUNING = ("threshold", "proportional")
RENEWAL = ("resample", "mean")


def selective_reinitialisation(
    share: ArrayLike,
    *,
    utility: str = "gradient",
    pruning: str = "threshold",
    renewal: str = "resample",
    decay: float | int = 0.0,
    every: int,
    key: Any = 0,
    on: Any = None,
) -> Perturbation:
    """Redraws the least useful entries of each chosen leaf after `every` updates.

    * `utility` u: |w| ("magnitude"), |w g| ("gradient", the step's gradient, `grad` of the context, and the new
      weight), U(0, 1) ("random"); with `decay` > 0 a running mean, from 0 and back to 0 when it has been used
    * `pruning`: entries with u <= share mean(u) ("threshold"), or the share N smallest, the fraction of an entry drawn
    * `renewal`: "resample" draws kernels [..., in, out] from N(0, 2 / fan-in); "mean" sets them 0. Either way vectors
      become 0, those named `scale` (gains of normalisations) 1.

    The units whose gradient is zero have u = 0: "threshold" redraws all weights into them.
    Raises `ValueError` for a share outside [0, 1], decay outside [0, 1), unknown names, as `perturbation` does, and
    when used for a missing gradient.
    Source: Hernandez-Garcia et al. 2025, and their code.
    """
    where = "selective_reinitialisation"
    check_between(where, "share", share, 0, 1, ())
    check_choice(where, "utility", utility, SWR_UTILITIES)
    check_choice(where, "pruning", pruning, PRUNING)
    check_choice(where, "renewal", renewal, RENEWAL)
    if not 0 <= decay < 1:
        raise ValueError(f"{where}: found decay={decay}, wanted a number in [0, 1)")

    def utilities(key, leaves, context):
        if utility == "random":
            return {name: jax.random.uniform(stream(key, name), leaf.shape) for name, leaf in leaves.items()}
        if utility == "magnitude":
            return {name: jnp.abs(leaf) for name, leaf in leaves.items()}
        grads = _given(where, "grad", leaves, context)
        return {name: jnp.abs(leaf * grads[name]) for name, leaf in leaves.items()}

    def remember(leaves):
        return {name: jnp.zeros_like(leaf) for name, leaf in leaves.items()} if decay else ()

    def watch(key, leaves, memory, context):
        if not decay:
            return memory
        now = utilities(key, leaves, context)
        return {name: decay * memory[name] + (1 - decay) * now[name] for name in leaves}

    def act(key, leaves, memory, count, context):
        del count
        useful = memory if decay else utilities(stream(key, "utility"), leaves, context)
        replaced = {name: _least(stream(key, f"{name} number"), useful[name], share, pruning) for name in leaves}
        new = {
            name: jnp.where(replaced[name], _renewed(stream(key, f"{name} value"), name, leaf, renewal), leaf)
            for name, leaf in leaves.items()
        }
        return new, jax.tree.map(jnp.zeros_like, memory), replaced

    return perturbation(
        Acting(act, alike=("grad",) if utility == "gradient" else (), remember=remember, watch=watch),
        key=key,
        every=every,
        on=on,
    )


def average_descent(direction: Any, grad: Any, alpha: float | int = 0.3) -> Any:
    """(1 - alpha) direction - alpha grad: the running mean of negative gradients that `dash` compares weights with.

    From zeros, over one pass through the data. Source: Shin et al. 2024.
    """
    check_between("average_descent", "alpha", alpha, 0, 1, ())
    return jax.tree.map(lambda held, g: (1 - alpha) * held - alpha * g, direction, grad)


def dash(floor: ArrayLike = 0.3, *, every: int = 1, on: Any = None) -> Perturbation:
    """Shrinks weights that do not point where descent goes: w <- w clip(cos(G, w), floor, 1).

    The context holds `direction` G, a tree like the parameters, see `average_descent`. Weights are taken together that
    belong to one output unit of a matrix [in, out], to one filter of a convolution [..., in, out], or to one vector.
    Once per warm start: between two phases call its `apply`. No entry counts as replaced.
    Raises `ValueError` for a floor outside [0, 1], as `perturbation` does, and when used for a missing direction.
    Source: Shin et al. 2024 (DASH), and their code.
    """
    check_between("dash", "floor", floor, 0, 1, ())

    def act(key, leaves, memory, count, context):
        del key, count
        directions = _given("dash", "direction", leaves, context)
        new = {name: leaf * _cosines(leaf, directions[name], floor) for name, leaf in leaves.items()}
        return new, memory, {name: jnp.zeros(leaf.shape, bool) for name, leaf in leaves.items()}

    return perturbation(Acting(act, alike=("direction",)), every=every, on=on)


def _given(where: str, name: str, leaves: Mapping[str, Any], context: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the context says of every chosen leaf; raises `ValueError` where it lacks some."""
    missing = [path for path in leaves if path not in context[name]]
    if missing:
        raise ValueError(
            f"{where}: found {name} without {missing}, wanted update(..., {name}=tree like the parameters)"
        )
    return context[name]


def _least(key: Any, useful: Any, share: Any, pruning: str) -> Any:
    """Which entries have the smallest utility."""
    if pruning == "threshold":
        return useful <= share * useful.mean()
    wanted = jnp.asarray(share, useful.dtype) * useful.size
    number = jnp.floor(wanted) + (jax.random.uniform(key, (), useful.dtype) < wanted - jnp.floor(wanted))
    return ranks(useful) < number


def _renewed(key: Any, name: str, leaf: Any, renewal: str) -> Any:
    if leaf.ndim < 2:
        return jnp.full_like(leaf, 1.0 if name.split("/")[-1] == "scale" else 0.0)
    if renewal == "mean":
        return jnp.zeros_like(leaf)
    return math.sqrt(2 / math.prod(leaf.shape[:-1])) * jax.random.normal(key, leaf.shape, leaf.dtype)


def _cosines(w: Any, direction: Any, floor: Any) -> Any:
    axes = tuple(range(w.ndim - 2)) if w.ndim > 2 else (0,)
    size = jnp.sqrt((w * w).sum(axes, keepdims=True) * (direction * direction).sum(axes, keepdims=True))
    dot = (w * direction).sum(axes, keepdims=True)
    # Of a vector of zeros the cosine is 0.
    return jnp.clip(jnp.where(size > 0, dot / jnp.where(size > 0, size, 1), 0), jnp.asarray(floor, w.dtype), 1)
