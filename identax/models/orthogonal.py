"""Random orthogonal weights without LAPACK, whose batched factorisations can wait for each other for ever."""

from typing import Any

import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST


def orthogonal(key: Any, fan_in: int, width: int, gain: float, dtype: Any) -> Any:
    """A kernel [fan_in, width] with orthonormal rows or columns, whichever are fewer, times `gain`.

    Uniform among those: Gram-Schmidt on normal draws, every vector orthogonalised twice, which is a QR whose triangle
    has a positive diagonal. Many trials start many layers in one program; with `jnp.linalg.qr` such a program on two
    cores stopped for ever: its batched kernel waits in the thread pool for threads that wait as well.
    `orthonormal_rows` of `identax.lti` is the same by rows; in one function the last digits of either would change.
    """
    few, many = sorted((fan_in, width))
    drawn = jax.random.normal(key, (many, few), dtype)

    def orthogonalise(number, basis):
        vector = jax.lax.dynamic_index_in_dim(drawn, number, axis=1, keepdims=False)
        for _ in range(2):
            shares = jnp.matmul(basis.T, vector, precision=_HIGHEST)
            vector = vector - jnp.matmul(basis, shares, precision=_HIGHEST)
        return basis.at[:, number].set(vector / jnp.sqrt(jnp.sum(vector * vector)))

    basis = gain * jax.lax.fori_loop(0, few, orthogonalise, jnp.zeros((many, few), dtype))
    return basis if fan_in >= width else basis.T
