"""Similarities between embeddings: larger means more alike, always in logits."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import concrete
from identax.losses._checks import Scalar

_HIGHEST = jax.lax.Precision.HIGHEST


class Parts(NamedTuple):
    """The matrix of a similarity, taken apart so that any tile of it can be computed alone.

    Entry (i, k) is `kernel(shared, rows, columns)` of row i of `rows` and row k of `columns`, pytrees of arrays with
    that leading axis. `kernel` holds no array and is one object for one meaning, so that programs are found again.
    """

    kernel: Callable[..., Array]
    shared: Any
    rows: Any
    columns: Any


class Similarity(NamedTuple):
    """One similarity s in three forms.

    `pair(u, v)`: s of corresponding rows, [..., n] x [..., n] -> [...] (leading axes of one rank broadcast),
    computed from the difference, so it stays exact for near-equal rows.
    `matrix(u, v)`: s of all pairs of rows, [N, n] x [M, n] -> [N, M].
    `parts(u, v, centre)`: the same, not yet computed; `centre` [1, n], by default the mean of u, is where the
    expanded square of a difference is taken, and must be one for all tiles of a matrix.
    """

    pair: Callable[[Any, Any], Array]
    parts: Callable[..., Parts]

    def matrix(self, u: Any, v: Any) -> Array:
        """Computes s of all pairs of rows: [N, M]."""
        kernel, shared, rows, columns = self.parts(u, v)
        return kernel(shared, rows, columns)


def dot_similarity(temperature: Scalar) -> Similarity:
    """Returns s(u, v) = u.v / temperature."""

    def pair(u, v):
        return jnp.sum(u * v, axis=-1) / temperature

    def parts(u, v, centre=None):
        return Parts(dot_kernel, (), u / temperature, v)

    return Similarity(pair, parts)


def dot_kernel(_: Any, u: Array, v: Array) -> Array:
    """u v^T: the logits of every similarity that is a matrix product."""
    return jnp.matmul(u, v.T, precision=_HIGHEST)


def mahalanobis_similarity(precision: Float[Array, " n"]) -> Similarity:
    """Returns s(u, v) = -1/2 sum_j precision_j (u_j - v_j)^2."""

    def pair(u, v):
        weights = precision.reshape((1,) * (max(u.ndim, v.ndim) - 1) + (-1,))
        return -0.5 * jnp.sum(weights * jnp.square(u - v), axis=-1)

    def parts(u, v, centre=None):
        # s depends on u - v only. Around their common mean the three terms of the expanded square are no
        # larger than the spread, so far less cancels in float32. The value does not depend on the centre:
        # no gradient through it is needed.
        centre = jax.lax.stop_gradient(jnp.mean(u, axis=0, keepdims=True) if centre is None else centre)
        u, v = u - centre, v - centre
        weighted_u = u * precision[None, :]
        half_u = -0.5 * jnp.sum(weighted_u * u, axis=-1, keepdims=True)
        half_v = -0.5 * jnp.sum(v * precision[None, :] * v, axis=-1, keepdims=True)
        # The squares' own terms as two more dims of the product: sums of gradients over rows and columns then are
        # parts of matrix products, too.
        one_u, one_v = jnp.ones_like(half_u), jnp.ones_like(half_v)
        rows = jnp.concatenate([weighted_u, half_u, one_u], axis=1)
        return Parts(dot_kernel, (), rows, jnp.concatenate([v, one_v, half_v], axis=1))

    return Similarity(pair, parts)


def lp_similarity(p: Scalar, temperature: Scalar) -> Similarity:
    """Returns s(u, v) = -sum_j |u_j - v_j|^p / temperature; at u_j = v_j its gradient is 0 for every p."""
    static = concrete(p)
    known = None if static is None else float(static)
    if known == 2:

        def pair_of_squares(u, v):
            return -jnp.sum(jnp.square(u - v), axis=-1) / temperature

        def parts_of_squares(u, v, centre=None):
            weights = jnp.full(u.shape[1], 2.0, u.dtype) / temperature
            return mahalanobis_similarity(weights).parts(u, v, centre)

        return Similarity(pair_of_squares, parts_of_squares)
    kernel = _lp_kernel(known)

    def pair(u, v):
        return -jnp.sum(_abs_power(p if known is None else known)(u - v), axis=-1) / temperature

    def parts(u, v, centre=None):
        shared = (jnp.asarray(temperature, u.dtype), jnp.asarray(p) if known is None else None)
        return Parts(kernel, shared, u, v)

    return Similarity(pair, parts)


@lru_cache(maxsize=64)
def _lp_kernel(known: float | None) -> Callable[..., Array]:
    """The kernel for one p, or for a traced one that comes with the shared values."""

    # One dim after the other, recomputed in the backward pass: never an array [N, M, n] (1.5 GB at N=6144,
    # n=10), and measured 10 to 20 times faster than the broadcast form on a CPU at N=1000, n=10.
    def add_dim(power):
        def add(total, column):
            u_j, v_j = column
            return total + power(u_j[:, None] - v_j[None, :]), None

        return jax.checkpoint(add)

    of_known = None if known is None else add_dim(_abs_power(known))  # one object: also eagerly one program

    # A call of its own: the gradient of its loop, taken outside `jit`, then is one kept program, too.
    @jax.jit
    def kernel(shared, u, v):
        temperature, p = shared
        step = add_dim(_abs_power(p)) if of_known is None else of_known
        start = jnp.zeros((u.shape[0], v.shape[0]), jnp.result_type(u, v, *([] if p is None else [p])))
        total, _ = jax.lax.scan(step, start, (u.T, v.T))
        return -total / temperature

    return kernel


def _abs_power(p: Scalar) -> Callable[[Array], Array]:
    """Returns d -> |d|^p, differentiable also in a traced p, with gradient 0 at d = 0."""
    if isinstance(p, float) and p.is_integer() and p <= 16:
        exponent = int(p)
        if exponent % 2 == 0:
            return lambda d: jax.lax.integer_pow(d, exponent)
        # d sign(d) rather than abs, whose derivative at 0 is 1 in JAX.
        return lambda d: jax.lax.integer_pow(d, exponent) * jnp.sign(d)

    def power(d):
        # Both branches of the outer choice must be finite: |d|^(p-1) and log|d| are not at 0.
        differs = d != 0
        return jnp.where(differs, jnp.where(differs, jnp.abs(d), 1.0) ** p, 0.0)

    return power
