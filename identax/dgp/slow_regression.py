"""Slowly-changing regression: binary inputs, most of which stand still for long, mapped by a fixed network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_choice, check_count, concrete
from identax.dgp.base import compiled
from identax.rng import stream

CHANGES = ("redraw", "flip")


class SlowRegression(NamedTuple):
    """A stream of examples as pure functions.

    `init(key) -> truth`: the weights of the target network.
    `sample(truth, key, step, n) -> (x [n, inputs] of 0 and 1, y [n])`: the examples of steps step ... step + n - 1;
    the slow bits depend on (key, step) alone, the fast ones and so y also on where the block begins.
    """

    init: Callable[..., Any]
    sample: Callable[..., tuple[Array, Array]]


class TargetNetwork(NamedTuple):
    """Weights +-1 of the target: `hidden` [inputs + 1, units], the biases last, and `output` [units + 1]."""

    hidden: Float[Array, "inputs_and_bias units"]
    output: Float[Array, " units_and_bias"]


def slow_regression(
    *,
    num_inputs: Any = 20,
    num_slow: Any = 15,
    period: Any = 10_000,
    num_units: Any = 100,
    beta: float = 0.7,
    change: str = "redraw",
) -> SlowRegression:
    """Regression on bits of which the first `num_slow` are constant for `period` steps, the others new at every step.

        y = sum_k v_k [w_k . x + b_k > beta (m + 1) - S_k] + v_0,    S_k = (m - sum_j w_kj + b_k) / 2

    w, b, v and v_0 are +-1, m = `num_inputs`. When the period ends `change` "redraw" draws all slow bits anew (the data
    of the published figure), "flip" inverts one of them (the published text). S_k is as coded: the number of weights
    of -1 would be (m + 1 - sum_j w_kj - b_k) / 2, with which targets vary more.
    Raises `ValueError` for sizes below 1, num_slow above num_inputs, beta outside 0..1 and another change; `sample`
    for n < 1, and for a step that is no integer or is known to be negative.
    Source: Dohare et al. 2024, code.
    """
    where = "slow_regression"
    sizes = {"num_inputs": num_inputs, "num_slow": num_slow, "period": period, "num_units": num_units}
    for name, size in sizes.items():
        check_count(where, name, size)
    if num_slow > num_inputs:
        raise ValueError(f"{where}: found num_slow={num_slow} of num_inputs={num_inputs} bits, wanted at most all")
    check_between(where, "beta", beta, 0, 1, ())
    check_choice(where, "change", change, CHANGES)
    num_fast = num_inputs - num_slow

    def init(key: Key[Array, ""]) -> TargetNetwork:
        hidden = jax.random.rademacher(stream(key, "hidden"), (num_inputs + 1, num_units), float)
        return TargetNetwork(hidden, jax.random.rademacher(stream(key, "output"), (num_units + 1,), float))

    def draw(truth, key, step, n):
        epochs = (step % period + jnp.arange(n)) // period  # behind that of the first step
        held = _slow_bits(stream(key, "slow"), step // period, (n - 1) // period + 2, num_slow, change)
        fast = _fair_bits(jax.random.fold_in(stream(key, "fast"), step), n, num_fast)
        x = jnp.concatenate([held[epochs], fast], axis=1).astype(truth.hidden.dtype)
        if len(held) << num_fast >= n:
            return x, _target(truth, x, beta)
        # Fewer inputs than examples: the targets of all that there are, and which one each example has.
        places = 1 << np.arange(num_fast)
        patterns = (np.arange(1 << num_fast)[:, None] & places[None]) > 0
        rows = [jnp.repeat(held, len(patterns), axis=0), jnp.tile(patterns, (len(held), 1))]
        table = _target(truth, jnp.concatenate(rows, axis=1).astype(x.dtype), beta)
        return x, table[epochs * len(patterns) + jnp.where(fast, places[None], 0).sum(axis=1)]

    program = compiled(draw, static=(3,))

    def sample(truth: Any, key: Any, step: Any, n: Any) -> tuple[Array, Array]:
        check_count("slow_regression.sample", "n", n)
        known = concrete(step)
        step = jnp.asarray(step)
        if step.shape or not jnp.issubdtype(step.dtype, jnp.integer) or (known is not None and known < 0):
            raise ValueError(f"slow_regression.sample: found step={step}, wanted an integer of 0 or more")
        return program(truth, key, step, int(n))

    return SlowRegression(init, sample)


def _fair_bits(key, n, num):
    """Fair bits [n, num], 32 of each random word: on a CPU random words cost more than all else."""
    words = jax.random.bits(key, (n, -(-num // 32)), jnp.uint32)
    places = np.arange(num, dtype=np.uint32)
    return (words[:, places // 32] >> (places % 32)[None]) & np.uint32(1) == 1


def _slow_bits(key, first, num, num_slow, change):
    """The slow bits of `num` periods from period `first` on, [num, num_slow]."""

    def drawn(number):
        return jax.random.bernoulli(jax.random.fold_in(key, number), 0.5, (num_slow,))

    periods = first + jnp.arange(num)
    if change == "redraw":
        return jax.vmap(drawn)(periods)

    def flipped(number, bits):
        at = jax.random.randint(jax.random.fold_in(key, number), (), 0, num_slow)
        return bits ^ (jnp.arange(num_slow) == at)

    start = jax.lax.fori_loop(1, first + 1, flipped, drawn(0))
    _, bits = jax.lax.scan(lambda bits, number: (flipped(number + 1, bits), bits), start, periods)
    return bits


def _target(truth, x, beta):
    weights, biases = truth.hidden[:-1], truth.hidden[-1]
    m = weights.shape[0]
    threshold = beta * (m + 1) - (m - weights.sum(axis=0) + biases) / 2
    fires = jnp.matmul(x, weights, precision=jax.lax.Precision.HIGHEST) > (threshold - biases)[None]
    return jnp.sum(jnp.where(fires, truth.output[None, :-1], 0.0), axis=1) + truth.output[-1]
