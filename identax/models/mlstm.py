"""The matrix memory of xLSTM: recurrent, all pairs of columns at once, and chunk by chunk with a state between."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count, check_nonnegative, shape_of
from identax.inputs import float_type, numbers
from identax.models.sequence import Given, state_of

FORMS = ("chunked", "parallel", "recurrent")
_FLOOR = 50.0
"""exp(-m) is cut at exp(50): float32 would overflow at 88, with NaN gradients, where outputs are 0 to any digit"""


def mlstm(
    query: Given,
    key: Given,
    value: Given,
    input_gate: Given,
    forget_gate: Given,
    *,
    form: str = "chunked",
    chunk: int = 64,
    epsilon: float | int = 1e-6,
    start: Any = None,
) -> tuple[Float[Array, "*b T h"], Any]:
    """C_t = f_t C_{t-1} + i_t k_t v_t', n_t = f_t n_{t-1} + i_t k_t, out_t = C_t' q_t / max(|n_t' q_t|, 1), one head.

    f = sigmoid(forget_gate), i = exp(input_gate), k = key / sqrt(h). Kept over exp(m), m a running maximum, so that
    nothing overflows: out = C' q / (max(|n' q|, exp(-m)) + epsilon), which depends on m through `epsilon` alone.

    * "recurrent": one column after the other, m from 0
    * "parallel": all pairs of columns, m from -infinity, as published for training. Sums of log f over all columns
      cancel: in float32 outputs are off by 1e-3 after 2,000 columns. No state comes out, none goes in
    * "chunked": pairs within `chunk` columns, a state between chunks, sums that begin anew in each; m from 0, so that
      it is "recurrent" also with `epsilon`

    An input gate of -infinity with a log forget gate of 0 (a forget gate of +infinity) leaves the state as it was. A
    forget gate of -infinity gives NaN.
    Args: `query`, `key`, `value` [..., T, h]; `input_gate`, `forget_gate` [..., T], before their functions;
    `start`: (C [..., h, h], n [..., h], m [...]) before the first column, zeros if None. Returns outputs and the state.
    Raises `ValueError` for shapes that do not fit, an unknown form, a chunk < 1, epsilon < 0, and a start of
    "parallel".
    Source: Beck et al. 2024, equations 19 to 27 and appendix A.3; code for `epsilon`.
    """
    check_choice("mlstm", "form", form, FORMS)
    check_count("mlstm", "chunk", chunk)
    check_nonnegative("mlstm", "epsilon", epsilon, ())
    named = {"query": query, "key": key, "value": value, "input_gate": input_gate, "forget_gate": forget_gate}
    arrays = [numbers("mlstm", *one) for one in named.items()]
    arrays = [jnp.asarray(array, float_type(*arrays)) for array in arrays]
    shape = arrays[0].shape
    found = [shape_of(array) for array in arrays]
    if found != [shape] * 3 + [shape[:-1]] * 2 or len(shape) < 2 or 0 in shape:
        raise ValueError(f"mlstm: found shapes {found}, wanted query, key, value [..., T, h] and two gates [..., T]")
    if form == "parallel" and start is not None:
        raise ValueError("mlstm: found a start for form='parallel', wanted 'chunked' or 'recurrent', which have one")
    if start is not None:
        lead, size = shape[:-2], shape[-1]
        start = state_of("mlstm", start, [(*lead, size, size), (*lead, size), lead], arrays[0].dtype)
    return _run(tuple(arrays), start, float(epsilon), form, chunk)


@partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def _run(arrays, start, epsilon, form, chunk):
    q, k, v, i, f = arrays
    k, log_f = k / q.shape[-1] ** 0.5, jax.nn.log_sigmoid(f)
    if form == "parallel":
        minus = jnp.full(q.shape[:-2], -jnp.inf, q.dtype)
        return _pairs(None, (q, k, v, i, log_f), epsilon, minus)[1], None
    lead, size = q.shape[:-2], q.shape[-1]
    if start is None:
        start = (jnp.zeros((*lead, size, size), q.dtype), jnp.zeros((*lead, size), q.dtype), jnp.zeros(lead, q.dtype))
    length = q.shape[-2]
    if form == "recurrent":
        chunk = 1
    if length <= chunk:
        state, out = _pairs(start, (q, k, v, i, log_f), epsilon, start[2])
        return out, state
    count = -(-length // chunk)
    spare, axis = count * chunk - length, len(lead)

    def split(x, fill):
        room = [(0, 0)] * axis + [(0, spare)] + [(0, 0)] * (x.ndim - axis - 1)
        x = jnp.pad(x, room, constant_values=fill)
        return jnp.moveaxis(x.reshape(*lead, count, chunk, *x.shape[axis + 1 :]), axis, 0)

    parts = (split(q, 0), split(k, 0), split(v, 0), split(i, -jnp.inf), split(log_f, 0))
    state, out = jax.lax.scan(lambda state, part: _pairs(state, part, epsilon, state[2]), start, parts)
    out = jnp.moveaxis(out, 0, axis).reshape(*lead, count * chunk, size)
    return out[..., :length, :], state


def _pairs(state, part, epsilon, before):
    """One chunk, all of its pairs of columns; `before` is m in front of it."""
    q, k, v, i, log_f = part
    length = q.shape[-2]
    total = jnp.cumsum(log_f, axis=-1)
    causal = jnp.tril(jnp.ones((length, length), bool)).reshape((1,) * (q.ndim - 2) + (length, length))
    logs = jnp.where(causal, total[..., :, None] - total[..., None, :] + i[..., None, :], -jnp.inf)
    m = jnp.maximum(total + before[..., None], logs.max(axis=-1))
    if state is None:  # so far all input gates may be 0
        m = jnp.where(m == -jnp.inf, 0, m)
    weights = jnp.exp(logs - m[..., None])
    scores = jnp.einsum("...te,...se->...ts", q, k) * weights
    top, below = scores @ v, scores.sum(axis=-1)
    if state is not None:
        memory, normaliser, _ = state
        carried = jnp.exp(total + before[..., None] - m)
        top = top + carried[..., None] * (q @ memory)
        below = below + carried * jnp.einsum("...te,...e->...t", q, normaliser)
    least = jnp.exp(jnp.minimum(-m, _FLOOR))
    out = top / (jnp.maximum(jnp.abs(below), least) + epsilon)[..., None]
    if state is None:
        return None, out
    last = weights[..., -1, :, None] * k
    memory = carried[..., -1, None, None] * memory + jnp.einsum("...se,...sf->...ef", last, v)
    normaliser = carried[..., -1, None] * normaliser + last.sum(axis=-2)
    return (memory, normaliser, m[..., -1]), out
