"""Penalties on the decoder's Jacobian J = dx/dz, one value per example: for orthogonal columns, and for sparse ones.

All take Jacobians [N, ..., d], such as `identax.jacobians.jacobian(decode, z)` for a decoder of few latents: d
directional derivatives, exact, and differentiable in what `decode` holds. Whether z passes gradients on to the encoder
is the caller's: the published penalties stop them (`jax.lax.stop_gradient(z)`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_positive
from identax.losses._checks import Embeddings, as_floats
from identax.numerics import column_shares, unit_columns

_HIGHEST = jax.lax.Precision.HIGHEST


def c_ima_penalty(jacobian: Embeddings) -> Float[Array, " N"]:
    """The IMA contrast c_IMA(J) = sum_k log ||J_k|| - 1/2 log det(J^T J) >= 0 of every example, as a loss.

    0 where columns are orthogonal; free of their sizes, so that it cannot be lowered by killing them and its weight is
    in nats, as the ELBO is. Near orthogonality a quarter of normalised `orojar`. `identax.metrics.c_ima` but for what a
    loss needs: dependent columns count -log(4 d eps) each (infinite otherwise) and columns of zeros nothing, both
    without a gradient, where one of NaN would end a training run.
    `jacobian` [N, ..., d], D = the product of the axes between. Raises `ValueError` for D < d.
    Source: Reizinger et al. 2022, Gresele et al. 2021.
    """
    return _contrast(_tall("c_ima_penalty", jacobian))


def orojar(jacobian: Embeddings, *, normalize: bool = False) -> Float[Array, " N"]:
    """sum_{i != j} G_ij^2 with G = J^T J; with `normalize` sum_{i != j} G_ij^2 / (G_ii G_jj), columns of unit length.

    The published form (default) grows as ||J||^4 and with the number of pixels, so that its weights (1e-11 ... 1e-4 in
    the source) do not carry over, and it falls to 0 by killing columns as well: look at column norms and dead dims. The
    normalised one is free of sizes; columns of zeros add nothing.
    `jacobian` as of `c_ima_penalty`. Raises `ValueError` for D < d, whose columns cannot be orthogonal.
    Source: Wei et al. 2021, eq. of the target; normalised: own.
    """
    return _off_diagonal(bool(normalize), _tall("orojar", jacobian))


def orojar_estimate(
    function: Callable[[Array], Array],
    z: Embeddings,
    key: Key[Array, ""],
    *,
    num_draws: int = 2,
    step: float | None = None,
) -> Float[Array, " N"]:
    """Estimate of 2 `orojar` of `function: [N, d] -> [N, ...]` at z by directions: one value per example.

        unbiased variance over `num_draws` signs v in {-1, 1}^d of q(v) = ||J v||^2,    Var q = 2 sum_{i != j} G_ij^2

    For latents too many for d derivatives. With the published 2 draws it is (q_1 - q_2)^2 / 2, and 0 where v_2 = +-v_1:
    half of the time for d = 2. `step`: J v by the difference (f(z + step v) - f(z)) / step (published: 0.1, which
    biases); None: exact. The source takes the largest value of a batch (or the mean) and sums layers: the caller's.
    Raises `ValueError` unless z is [N, d], for num_draws < 2, a step known not to be > 0, and another `function`.
    Source: Wei et al. 2021, eq. of the estimator and code.
    """
    where = "orojar_estimate"
    check_count(where, "num_draws", num_draws, 2)
    if step is not None:
        check_positive(where, "step", step, ())
    (z,) = as_floats(where, z=z)
    if z.ndim != 2:
        raise ValueError(f"{where}: found z of shape {z.shape}, wanted [N, d]")
    found: Any = jax.eval_shape(function, z)
    if not getattr(found, "shape", ()) or found.shape[0] != len(z):
        raise ValueError(f"{where}: found function(z) of {found} for z of shape {z.shape}, wanted [N, ...]")

    def size(signs):
        if step is None:
            slope = jax.jvp(function, (z,), (signs,))[1]
        else:
            slope = (function(z + step * signs) - function(z)) / step
        return jnp.square(slope).reshape(len(z), -1).sum(axis=1)

    signs = jax.random.rademacher(key, (int(num_draws), *z.shape), z.dtype)
    return jnp.var(jax.vmap(size)(signs), axis=0, ddof=1)


def jacobian_l1(jacobian: Embeddings) -> Float[Array, " N"]:
    """sum_k sum_p |J_pk|, the penalty of JL1-VAE. It wants sparse columns, which are no orthogonal ones.

    Not free of rotations of z: the identity of 2 latents has 2, turned by 45 degrees 2.83, with orthogonal columns
    either way. It shrinks J as well, which the encoder's scale can pay for as far as the KL lets it.
    `jacobian` [N, ..., d]; published with `identax.jacobians.forward_differences` of the image behind its sigmoid.
    Source: Rhodes and Lee 2021, code.
    """
    return _sum(jnp.abs, _flat("jacobian_l1", jacobian))


def jacobian_l2(jacobian: Embeddings) -> Float[Array, " N"]:
    """sum_k sum_p J_pk^2 = ||J||_F^2, the L2 variant of `jacobian_l1`: small columns, in any direction.

    Source: Rhodes and Lee 2021, code ("jltwo").
    """
    return _sum(jnp.square, _flat("jacobian_l2", jacobian))


@functools.partial(jax.jit, inline=True)
def _contrast(jacobian):
    _, shares = column_shares(jacobian)
    least = 4 * shares.shape[-1] * float(jnp.finfo(shares.dtype).eps)
    kept = shares > least
    values = jnp.where(kept, -jnp.log(jnp.where(kept, shares, 1.0)), -math.log(least))
    return jnp.where(jnp.isnan(shares), jnp.nan, values).sum(axis=-1)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _off_diagonal(normalize, jacobian):
    columns = unit_columns(jacobian)[1] if normalize else jacobian
    gram = jnp.einsum("nDi,nDj->nij", columns, columns, precision=_HIGHEST)
    return jnp.sum(jnp.square(gram) * (1 - jnp.eye(gram.shape[-1], dtype=gram.dtype))[None], axis=(1, 2))


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _sum(function, jacobian):
    return function(jacobian).sum(axis=(1, 2))


def _flat(where: str, jacobian: Any) -> Float[Array, "N D d"]:
    (array,) = as_floats(where, jacobian=jacobian)
    if array.ndim < 3:
        raise ValueError(f"{where}: found jacobian of shape {array.shape}, wanted [N, ..., d] with outputs between")
    return array.reshape(array.shape[0], -1, array.shape[-1])


def _tall(where: str, jacobian: Any) -> Float[Array, "N D d"]:
    array = _flat(where, jacobian)
    if array.shape[1] < array.shape[2]:
        raise ValueError(
            f"{where}: found Jacobians of {array.shape[1]} outputs in {array.shape[2]} latents, whose columns are "
            "dependent; wanted at least as many outputs as latents"
        )
    return array
