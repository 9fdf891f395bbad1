"""The scalar memory of xLSTM: exponential gates, a normaliser, recurrence within heads."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import shape_of
from identax.inputs import float_type, numbers
from identax.models.sequence import Given, state_of

SLSTM_GATES = ("input", "forget", "cell", "output")
"""which entry of the gates' axis belongs to which gate"""


def slstm(
    gates: Given,
    recurrent: Given | None = None,
    *,
    start: Any = None,
    real: Given | None = None,
) -> tuple[Float[Array, "N T U"], Any]:
    """c_t = f_t c_{t-1} + i_t tanh(z_t), n_t = f_t n_{t-1} + i_t, y_t = sigmoid(o_t) c_t / n_t; all columns, in turn.

    f = sigmoid(.), i = exp(.), kept over exp(m_t), m_t = max(input_t, log f_t + m_{t-1}), which begins at -infinity.
    Args: `gates` [N, T, 4, U] in the order of `SLSTM_GATES`, before their functions; `recurrent` [4, H, w, w] adds
    R y_{t-1}, block-diagonal: H heads of w = U / H units. Columns where `real` [N, T] is false leave the state as it
    was. `start`: (y, c, n, m), each [N, U]. Returns y and the state. Raises `ValueError` for shapes that do not fit.
    Source: Beck et al. 2024, equations 8 to 18.
    """
    gates = numbers("slstm", "gates", gates)
    gates = jnp.asarray(gates, float_type(gates))
    if gates.ndim != 4 or gates.shape[2] != len(SLSTM_GATES) or 0 in gates.shape:
        raise ValueError(f"slstm: found gates of shape {gates.shape}, wanted [N, T, 4, U]")
    num, length, _, units = gates.shape
    if recurrent is not None:
        recurrent = jnp.asarray(numbers("slstm", "recurrent", recurrent), gates.dtype)
        found = shape_of(recurrent)
        if len(found) != 4 or found[0] != 4 or found[2] != found[3] or found[1] * found[2] != units:
            raise ValueError(f"slstm: found recurrent of shape {found}, wanted [4, H, w, w] with H w = {units}")
    if real is not None:
        which: Any = numbers("slstm", "real", real)
        if which.shape != (num, length) or which.dtype != bool:
            raise ValueError(f"slstm: found {which.dtype} real of shape {which.shape}, wanted booleans {(num, length)}")
        real = jnp.asarray(which)
    if start is not None:
        start = state_of("slstm", start, [(num, units)] * 4, gates.dtype)
    return _run(gates, recurrent, start, real)


def _scan(gates, recurrent, start, real):
    num, length, _, units = gates.shape
    zeros = jnp.zeros((num, units), gates.dtype)
    state = (zeros, zeros, zeros, jnp.full_like(zeros, -jnp.inf)) if start is None else start
    real = jnp.ones((num, length), bool) if real is None else real

    def step(state, now):
        raw, real = now
        y, c, n, m = state
        if recurrent is not None:
            heads = y.reshape(num, *recurrent.shape[1:3])
            raw = raw + jnp.einsum("nhw,ghwv->nghv", heads, recurrent).reshape(raw.shape)
        i, log_f, z, o = raw[:, 0], jax.nn.log_sigmoid(raw[:, 1]), jnp.tanh(raw[:, 2]), jax.nn.sigmoid(raw[:, 3])
        largest = jnp.maximum(i, log_f + m)
        new, kept = jnp.exp(i - largest), jnp.exp(log_f + m - largest)
        c, n = kept * c + new * z, kept * n + new
        y = o * c / n
        after = jax.tree.map(lambda new, old: jnp.where(real[:, None], new, old), (y, c, n, largest), state)
        return after, y

    state, outputs = jax.lax.scan(step, state, (jnp.swapaxes(gates, 0, 1), real.swapaxes(0, 1)))
    return outputs.swapaxes(0, 1), state


_run = jax.jit(_scan, inline=True)
