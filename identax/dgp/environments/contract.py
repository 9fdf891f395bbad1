"""Whether an environment keeps to the protocol: looked at without compiling first, then acted in at random."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_count, check_type, concrete
from identax.dgp.environments.protocol import OF_GAMES, Environment, Timestep, Transition, side_by_side
from identax.rng import stream

_INFO = {
    "cell": jnp.integer,
    "lives": jnp.integer,
    "life_lost": jnp.bool_,
    "game_over": jnp.bool_,
    "masked": jnp.bool_,
    "raw_reward": jnp.floating,
}


def check_environment(environment: Environment, key: Any, *, num_steps: int = 64, count: int = 4) -> None:
    """Raises `ValueError` for an environment that does not keep to the protocol, with what it did instead.

    First, without compiling: shapes and types of observations (also those of reset against those of steps), rewards,
    ends and info, with a leading axis where the world is many already; that a state has the same shapes and types after
    every step, and that a world which resets itself tells `raw_reward` and `game_over`. Then in `count` environments
    side by side, or as many as the world is, over `num_steps` random actions: rewards, observations and parameters are
    finite, no step is terminated and truncated, cells are in range, and the same keys give the same numbers. What ends
    later than that is not seen.
    """
    check_type("check_environment", "environment", environment, Environment)
    check_count("check_environment", "num_steps", num_steps)
    check_count("check_environment", "count", count)
    _check_types(environment, key)
    if environment.batch is None:
        environment = side_by_side(environment, count)
    found = jax.tree.map(np.asarray, _played(environment, num_steps, key, environment.params))
    again = jax.tree.map(np.asarray, _played(environment, num_steps, key, environment.params))
    _check_values(environment, found)
    if not all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True)):
        _refuse(environment, "other numbers for the same keys", "the same")


def check_finite_params(environment: Environment) -> None:
    """Raises `ValueError` where a known parameter is not finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(environment.params):
        known = concrete(leaf)
        if known is not None and not np.isfinite(known).all():
            _refuse(environment, f"parameter {jax.tree_util.keystr(path)} that is not finite", "finite numbers")


def _check_types(environment: Environment, key: Any) -> None:
    check_finite_params(environment)
    many = () if environment.batch is None else (environment.batch,)
    state, observation = jax.eval_shape(environment.reset, key, environment.params)
    action = jax.ShapeDtypeStruct(many, jnp.int32)
    found = jax.eval_shape(environment.step, key, state, action, environment.params)
    kind = Transition if environment.resets else Timestep
    if not isinstance(found, kind):
        _refuse(environment, f"a step that returns {type(found).__name__}", f"a {kind.__name__}")
    wanted = environment.observation
    if not hasattr(wanted, "shape") or not hasattr(wanted, "dtype"):
        _refuse(environment, f"observation={wanted!r}", "a jax.ShapeDtypeStruct of one observation")
    for where, seen in (("reset", observation), ("step", found.observation)):
        _check_type(environment, f"observation of {where}", seen, (*many, *wanted.shape), wanted.dtype)
    _check_type(environment, "reward", found.reward, many, jnp.float32)
    _check_type(environment, "terminated", found.terminated, many, jnp.bool_)
    _check_type(environment, "truncated", found.truncated, many, jnp.bool_)
    for name, value in found.info.items():
        if name in _INFO and (value.shape != many or not jnp.issubdtype(value.dtype, _INFO[name])):
            what = f"{_INFO[name].__name__} {list(many)}" if many else f"a scalar {_INFO[name].__name__}"
            _refuse(environment, f"info[{name!r}] {value.dtype}{list(value.shape)}", what)
    if environment.resets and (missing := OF_GAMES - found.info.keys()):
        _refuse(environment, f"no info {sorted(missing)} in a world that resets itself", "both")
    if (environment.num_states is None) != ("cell" not in found.info):
        _refuse(environment, f"num_states={environment.num_states} and info {sorted(found.info)}", "both or neither")
    before, after = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (state, found.state))
    if before != after:
        _refuse(environment, f"a state {before} that a step turns into {after}", "one structure")


def _check_type(environment: Environment, name: str, value: Any, shape: Any, dtype: Any) -> None:
    if value.shape != tuple(shape) or value.dtype != dtype:
        _refuse(
            environment,
            f"{name} {value.dtype}{list(value.shape)}",
            f"{jnp.dtype(dtype)}{list(shape)}",
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _played(environment: Environment, num_steps: int, key: Any, params: Any) -> Any:
    """What `num_steps` random actions in environments side by side give, steps first; without their states."""
    state, observation = environment.reset(stream(key, "reset"), params)
    count = len(observation)

    def one(state, key):
        actions = jax.random.randint(stream(key, "actions"), (count,), 0, environment.num_actions)
        found = environment.step(stream(key, "step"), state, actions.astype(jnp.int32), params)
        return found.state, found._replace(state=())

    found = jax.lax.scan(one, state, jax.random.split(stream(key, "steps"), num_steps))[1]
    return observation, found


def _check_values(environment: Environment, played: Any) -> None:
    first, found = played
    seen = {"observations": (first, found.observation, found.final_observation), "rewards": (found.reward,)}
    for name, arrays in seen.items():
        wrong = sum(int((~np.isfinite(np.asarray(array, float))).sum()) for array in arrays)
        if wrong:
            _refuse(environment, f"{wrong} entries of {name} that are not finite", "finite numbers")
    if (found.terminated & found.truncated).any():
        _refuse(environment, "a step that is terminated and truncated", "one of them (the first where both hold)")
    ended = np.asarray(found.terminated | found.truncated)
    # Not to the bit: the compiler may compute the two apart and round them otherwise.
    same = np.isclose(np.asarray(found.observation, float), np.asarray(found.final_observation, float), 1e-4, 1e-5)
    kept = np.all(np.reshape(same, (*ended.shape, -1)), axis=-1)
    if not np.asarray(kept)[~ended].all():
        _refuse(environment, "a final observation that differs where no episode ended", "that of the step")
    cells, num = found.info.get("cell"), environment.num_states
    if cells is not None and num is not None and (cells.min() < 0 or cells.max() >= num):
        _refuse(environment, f"cells from {cells.min()} to {cells.max()}", f"0 to {num - 1}")


def _refuse(environment: Environment, found: str, wanted: str) -> None:
    raise ValueError(f"check_environment: {environment.name}: found {found}, wanted {wanted}")
