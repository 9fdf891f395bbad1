"""What is left of kernel matrices after kernel ridge regression on z: R K R with R = ridge (K_z + ridge I)^-1.

K_z of one column of z has few eigenvalues above rounding. Where the first columns of a pivoted Cholesky factorisation
are all of it, R K R takes O(n^2 r) instead of O(n^3) steps; else one Cholesky factorisation of K_z + ridge I.
"""

from functools import partial

import jax
import jax.numpy as jnp

from identax.causal.kernels import gram, squared_distances
from identax.numerics import product

SOLVERS = ("auto", "cholesky")
_SMALL, _MOST = 150, 72
"""samples below which Cholesky is as fast; columns that K_z may take"""
_ROUNDINGS = 64
"""of the diagonal of what may be left out, which is 1 before"""


def residual_kernels(kernel_x, kernel_y, z, precision, ridge, solver):
    """R K_x R and R K_y R of centred [n, n] kernels, for standardised z [n, k] with 1 / sigma^2 = `precision`.

    Constant z: K_z = 0 and R = I. `solver` "auto" decides by the data which way is exact, in a branch; mapped over a
    batch both would be run, there "cholesky" is faster.
    """
    by_cholesky = partial(_by_cholesky, z, precision)
    if solver == "cholesky" or z.shape[0] < _SMALL:
        return by_cholesky(kernel_x, kernel_y, ridge)
    columns, left = pivoted_columns(z, precision, min(z.shape[0], _MOST))
    enough = left <= _ROUNDINGS * float(jnp.finfo(z.dtype).eps)
    return jax.lax.cond(enough, partial(_by_columns, columns), by_cholesky, kernel_x, kernel_y, ridge)


def pivoted_columns(z, precision, rank):
    """G [rank, n] with G'G = exp(-precision |z_i - z_j|^2 / 2) but for a rest, and the rest's largest diagonal entry.

    Pivoted Cholesky: each row takes off what the point with the largest rest explains, nothing once that is rounding.
    """
    tiny = float(jnp.finfo(z.dtype).eps)

    def take(number, carry):
        found, rest = carry
        at = jnp.argmax(rest)
        gaps = z - z[at][None, :]
        kernel = jnp.exp(-0.5 * precision * (gaps * gaps).sum(axis=1))
        open_ = rest[at] > tiny
        size = jnp.where(open_, rest[at], 1.0)
        row = jnp.where(open_, (kernel - found[:, at] @ found) / jnp.sqrt(size), 0.0)
        rest = jnp.maximum(rest - row * row, 0.0).at[at].set(0.0)
        return found.at[number].set(row), rest

    start = jnp.zeros((rank, z.shape[0]), z.dtype), jnp.ones(z.shape[0], z.dtype)
    found, rest = jax.lax.fori_loop(0, rank, take, start)
    return found, rest.max()


def _by_columns(columns, kernel_x, kernel_y, ridge):
    """R = I - W'W, W = C^-1 G H, C C' = ridge I + G H G'."""
    centred = columns - columns.mean(axis=1)[:, None]
    inner = product(centred, centred.T) + ridge * jnp.eye(centred.shape[0], dtype=centred.dtype)
    basis = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(inner), centred, lower=True)

    def residual(kernel):
        seen = product(basis, kernel)
        half = product(basis.T, seen - product(product(seen, basis.T), basis) / 2)
        return kernel - half - half.T

    return residual(kernel_x), residual(kernel_y)


def _by_cholesky(z, precision, kernel_x, kernel_y, ridge):
    """One chain of factorisation and solves: no two batched ones wait for each other (docs/reliability.md)."""
    identity = jnp.eye(z.shape[0], dtype=z.dtype)
    factor = jnp.linalg.cholesky(gram(squared_distances(z), precision) / ridge + identity)
    inverse = jax.scipy.linalg.cho_solve((factor, True), identity)
    return tuple(product(product(inverse, kernel), inverse) for kernel in (kernel_x, kernel_y))
