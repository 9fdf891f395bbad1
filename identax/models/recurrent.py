"""Recurrent models: a cell scanned over time, and the same cell one step at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_count
from identax.models.base import from_flax
from identax.rng import step_key


class Recurrent(NamedTuple):
    """A `Model` over sequences, whose `apply` returns outputs and carry, and its single step.

    * `init(key, example [N, T, ...]) -> variables`
    * `apply(variables, x [N, T, ...], *, carry=None, resets=None, train=False, key=None)
      -> ((outputs [N, T, ...], carry), new_model_state)`
    * `step(variables, carry, x [N, ...], *, resets=None, train=False, key=None)
      -> ((output [N, ...], carry), new_model_state)`, to act in an environment
    * `start(variables, x [N, ...]) -> carry` of sequences that begin; of the step's input x the shape and type matter

    A carry is a tree of arrays [N, ...]; None is `start`. Where `resets` ([N, T], or [N] of a step) is true an episode
    begins: the carry is that of `start` before the step is taken, and no gradient crosses.
    """

    init: Callable[..., Any]
    apply: Callable[..., tuple[Any, Any]]
    step: Callable[..., tuple[Any, Any]]
    start: Callable[[Any, Any], Any]


def scan_over_time(cell: nn.Module, *, learned_carry: bool = False, **options: Any) -> Recurrent:
    """Scans a Flax cell, `cell(carry, x) -> (carry, output)` with `initialize_carry(key, shape of x)`, over time.

    The first carry is the cell's own (zeros for Flax's cells; always of one key, so one that is drawn is better given),
    or trained from there with `learned_carry` (`params["carry"]`, one for all sequences, beside `params["cell"]`).
    Collections of the cell go from step to step, its streams get `step_key(key, t)` at step t, and `options` are those
    of `from_flax`. A cell with a `param_dtype` has parameters of the input's type, at least float32. `apply` is `step`
    taken T times, with the same numbers.
    Raises `ValueError` for input that is not of floats [N, T, ...], and for resets or a carry of another shape or type.
    """

    def typed(x: Any) -> nn.Module:
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        return cell.clone(param_dtype=dtype) if hasattr(cell, "param_dtype") else cell

    def fresh(x: Any) -> Any:
        return typed(x).initialize_carry(jax.random.key(0), x.shape)  # pyright: ignore[reportAttributeAccessIssue]

    def init(key, example):
        _check_input(example, 3, "[N, T, ...]")
        x = example[:, 0]
        made = from_flax(typed(x), **options).init(key, fresh(x), x)
        learned = {"carry": jax.tree.map(lambda leaf: leaf[0], fresh(x))} if learned_carry else {}
        return {"params": {"cell": made["params"], **learned}, "state": made["state"]}

    def start(variables, x):
        if not learned_carry:
            return fresh(x)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x), *leaf.shape)), variables["params"]["carry"])

    def step(variables, carry, x, *, resets=None, train=False, key=None):
        _check_input(x, 2, "[N, ...]")
        first = start(variables, x)
        carry = first if carry is None else carry
        _check_carry(carry, first)
        if resets is not None:
            _check_resets(resets, x.shape[:1])
            carry = jax.tree.map(lambda old, new: jnp.where(_behind(resets, old), new, old), carry, first)
        inner = {"params": variables["params"]["cell"], "state": variables.get("state") or {}}
        (carry, output), state = from_flax(typed(x), **options).apply(inner, carry, x, train=train, key=key)
        return (output, carry), state

    def apply(variables, x, *, carry=None, resets=None, train=False, key=None):
        _check_input(x, 3, "[N, T, ...]")
        if resets is not None:
            _check_resets(resets, x.shape[:2])
            resets = jnp.swapaxes(resets, 0, 1)
        carry = start(variables, x[:, 0]) if carry is None else carry
        _check_carry(carry, start(variables, x[:, 0]))
        return loop(variables, carry, x, resets, key, bool(train))

    # Compiled once for each model and shape, also outside `jit`, where a loop would be at every call.
    @partial(jax.jit, static_argnums=5)
    def loop(variables, carry, x, resets, key, train):
        def advance(held, now):
            carry, state = held
            number, x, resets = now
            drawn = None if key is None else step_key(key, number)
            inner = {"params": variables["params"], "state": state}
            (output, carry), state = step(inner, carry, x, resets=resets, train=train, key=drawn)
            return (carry, state), output

        times = (jnp.arange(x.shape[1]), jnp.swapaxes(x, 0, 1), resets)
        (carry, state), outputs = jax.lax.scan(advance, (carry, variables.get("state") or {}), times)
        return (jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), outputs), carry), state

    return Recurrent(init, apply, step, start)


def lstm(features: int, *, learned_carry: bool = False) -> Recurrent:
    """Long short-term memory: x [N, T, d] -> outputs h [N, T, features]; the carry is (c, h), zeros at first.

    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g, h' = o tanh(c'), weights apart per gate.
    W starts LeCun-normal, U orthogonal, b at zero, that of the forget gate too. Flax's `OptimizedLSTMCell`: the
    parameters of its `LSTMCell`, with one product for the four gates.
    Arguments and errors as in `scan_over_time`; also raises `ValueError` for features < 1.
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    _check_features("lstm", features)
    return scan_over_time(nn.OptimizedLSTMCell(features), learned_carry=learned_carry)


def gru(features: int, *, learned_carry: bool = False) -> Recurrent:
    """Gated recurrent unit: x [N, T, d] -> outputs h [N, T, features]; the carry is h, zeros at first.

    r, z = sigmoid(W x + b + U h), n = tanh(W x + b + r (U h + b')), h' = (1 - z) n + z h, weights apart per gate. Start
    as in `lstm`. Flax's `GRUCell`.
    Arguments and errors as in `scan_over_time`; also raises `ValueError` for features < 1.
    Source: Cho et al. 2014, with r behind the product, as in PyTorch and cuDNN.
    """
    _check_features("gru", features)
    return scan_over_time(nn.GRUCell(features), learned_carry=learned_carry)


def _behind(resets: Any, leaf: Any) -> Any:
    """[N] -> [N, 1, ...] with as many axes as `leaf`."""
    return resets.reshape(-1, *(1,) * (leaf.ndim - 1))


def _check_features(where: str, features: int) -> None:
    check_count(where, "features", features)


def _check_input(x: Any, axes: int, wanted: str) -> None:
    if x.ndim < axes or 0 in x.shape or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"scan_over_time: found {x.dtype} input of shape {x.shape}, wanted floats {wanted}")


def _check_resets(resets: Any, shape: tuple[int, ...]) -> None:
    if resets.shape != shape or resets.dtype != bool:
        raise ValueError(f"scan_over_time: found {resets.dtype} resets of shape {resets.shape}, wanted bool {shape}")


def _check_carry(carry: Any, first: Any) -> None:
    found, wanted = jax.eval_shape(lambda *carries: carries, carry, first)
    if found != wanted:
        raise ValueError(f"scan_over_time: found a carry of {found}, wanted {wanted}")
