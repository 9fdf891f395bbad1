"""Maximum of the conditional likelihood, from moments: exact updates of one row after the other, or L-BFGS."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from identax.checks import check_choice, check_count
from identax.lti.moments import Moments, conditional_value
from identax.lti.published import solve_scaled, weighted_grams
from identax.lti.sgd import orthonormal_rows
from identax.numerics import psd_eigh

SOLVERS = ("rows", "lbfgs")


class ConditionalFit(NamedTuple):
    """`unmixing` (as the start), its mean log-likelihood per pair, the iterations it took and whether it converged."""

    unmixing: Float[Array | np.ndarray, "d p"]
    loglik: Float[Array | np.ndarray, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def fit_conditional(
    moments: Moments,
    means: Float[Array | np.ndarray, "E d"],
    variances: Float[Array | np.ndarray, "E d"],
    start: Float[Array | np.ndarray, "d p"],
    *,
    solver: str = "rows",
    max_iterations: int = 500,
    tolerance: float = 1e-11,
) -> ConditionalFit:
    """Maximises the mean of `conditional_loglik` over W from `start` (with an invertible W_1).

    Given the other rows, row i maximises -1/2 w H_i w + b_i w + log|c_i w_1| where c_i is column i of W_1^-1: a
    quadratic equation in s = c_i w_1, with w = H_i^-1 (b_i + c_i / s). `"rows"` solves these in turn until the
    value grows by less than `tolerance` in a sweep: it never decreases. `"lbfgs"` moves all rows at once, in
    coordinates in which every H_i is the identity. The value is not concave: rows at the wrong components are local
    maxima, so start from `closed_form_unmixing`, or try several starts. W_1 are the last d columns: with d_u < d_y
    give `reduced_moments`.
    Raises `ValueError` for an unknown solver.
    Source: likelihood of Rajendran et al. 2024 with its Jacobian; row-wise maximisation after Ono 2011.
    """
    check_choice("fit_conditional", "solver", solver, SOLVERS)
    return _fit(solver, moments, means, variances, start, max_iterations, tolerance)


@partial(jax.jit, static_argnums=0, inline=True)
def _fit(solver, moments, means, variances, start, max_iterations, tolerance):
    # In coordinates [whitened y_t, controls of the start] the H_i are well conditioned even where C B is not.
    start, means, variances = map(jnp.asarray, (start, means, variances))
    dim, past = start.shape[0], start.shape[1] - start.shape[0]
    values, vectors = psd_eigh(jnp.tensordot(moments.share, moments.second, axes=1)[None, :past, :past])
    white = (vectors[0] * jax.lax.rsqrt(values[0])[None, :]).T
    base = jnp.concatenate([jnp.pad(white, ((0, 0), (0, dim))), start], axis=0)
    covariance = jnp.einsum("ip,epq,jq->eij", base, moments.covariance, base)
    turned = Moments(moments.share, moments.mean @ base.T, 0.5 * (covariance + covariance.swapaxes(1, 2)))
    _, constant = jnp.linalg.slogdet(start[:, past:])
    grams = weighted_grams(turned, variances)
    targets = jnp.einsum("ei,ep->ip", turned.share[:, None] * means / variances, turned.mean)
    first = jnp.concatenate([jnp.zeros((dim, past), start.dtype), jnp.eye(dim, dtype=start.dtype)], axis=1)

    def value(coordinates):
        return conditional_value(coordinates, turned, means, variances)

    solve_all = _by_rows if solver == "rows" else _by_lbfgs
    found = solve_all(value, grams, targets, first, max_iterations, tolerance)
    return found._replace(unmixing=found.unmixing @ base, loglik=found.loglik + constant)


def random_starts(key: Key[Array, ""], moments: Moments, num_controls: int, count: int) -> Float[Array, "count k p"]:
    """Starts for `fit_conditional` that know nothing of the variances: rotated whitened innovations.

    W = R [-L F, L] with F of the regression on the past, L the inverse root of its residual's covariance (averaged
    over environments) and R a random orthogonal matrix. Raises `ValueError` for count < 1.
    """
    check_count("random_starts", "count", count)
    pooled = jnp.tensordot(moments.share, moments.covariance, axes=1)
    past = pooled.shape[0] - num_controls
    transition = solve_scaled(pooled[:past, :past], pooled[:past, past:]).T
    difference = jnp.concatenate([-transition, jnp.eye(num_controls, dtype=pooled.dtype)], axis=1)
    values, vectors = psd_eigh((difference @ pooled @ difference.T)[None])
    white = (vectors[0] * jax.lax.rsqrt(values[0])[None, :]).T @ difference
    keys = jax.random.split(key, count)
    rotations = jax.vmap(lambda one: orthonormal_rows(one, num_controls, num_controls))(keys)
    return rotations.astype(pooled.dtype) @ white


def fit_from_starts(
    moments: Moments,
    means: Float[Array | np.ndarray, "E d"],
    variances: Float[Array | np.ndarray, "E d"],
    starts: Float[Array | np.ndarray, "S d p"],
    **how: Any,
) -> tuple[ConditionalFit, Float[Array, " S"]]:
    """The best of `fit_conditional` (which takes `how`) from every start, and the value that each start reached."""
    fits = jax.vmap(lambda start: fit_conditional(moments, means, variances, start, **how))(jnp.asarray(starts))
    best = jnp.argmax(jnp.where(jnp.isnan(fits.loglik), -jnp.inf, fits.loglik))
    return jax.tree.map(lambda values: values[best], fits), jnp.asarray(fits.loglik)


def _by_rows(value, grams, targets, start, max_iterations, tolerance):
    dim = start.shape[0]
    eye = jnp.eye(grams.shape[-1], dtype=grams.dtype)
    inverses = jax.vmap(lambda gram: solve_scaled(gram, eye))(grams)
    known = jnp.einsum("ipq,iq->ip", inverses, targets)

    def update(i, unmixing):
        column = jax.lax.dynamic_index_in_dim(jnp.linalg.inv(unmixing[:, -dim:]), i, axis=1, keepdims=False)
        direction = jnp.concatenate([jnp.zeros(unmixing.shape[1] - dim, column.dtype), column])
        ascent = inverses[i] @ direction
        linear, quadratic = known[i] @ direction, ascent @ direction
        root = jnp.sqrt(linear * linear + 4 * quadratic)
        s = 0.5 * (linear + jnp.where(linear < 0, -root, root))
        return unmixing.at[i].set(known[i] + ascent / s)

    def sweep(carry):
        unmixing, old, _, count = carry
        unmixing = jax.lax.fori_loop(0, dim, update, unmixing)
        new = value(unmixing)
        return unmixing, new, new - old, count + 1

    def unfinished(carry):
        return (carry[2] > tolerance) & (carry[3] < max_iterations)

    first = value(start)
    carry = (start, first, jnp.full_like(first, jnp.inf), jnp.zeros((), jnp.int32))
    unmixing, best, gain, count = jax.lax.while_loop(unfinished, sweep, carry)
    return ConditionalFit(unmixing, best, count, gain <= tolerance)


def _by_lbfgs(value, grams, targets, start, max_iterations, tolerance):
    values, vectors = psd_eigh(grams)
    to_rows = jnp.einsum("ipr,ir,iqr->ipq", vectors, jax.lax.rsqrt(values), vectors)
    from_rows = jnp.einsum("ipr,ir,iqr->ipq", vectors, jnp.sqrt(values), vectors)

    def loss(coordinates):
        return -value(jnp.einsum("ipq,iq->ip", to_rows, coordinates))

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry):
        coordinates, state, old, _, count = carry
        now, grad = value_and_grad(coordinates, state=state)
        updates, state = optimizer.update(grad, state, coordinates, value=now, grad=grad, value_fn=loss)
        change = jnp.abs(old - now) + optax.tree.norm(grad) ** 2
        return optax.apply_updates(coordinates, updates), state, now, change, count + 1

    def unfinished(carry):
        return (carry[3] > tolerance) & (carry[4] < max_iterations)

    coordinates = jnp.einsum("ipq,iq->ip", from_rows, start)
    first = loss(coordinates)
    carry = (coordinates, optimizer.init(coordinates), first, jnp.full_like(first, jnp.inf), jnp.zeros((), jnp.int32))
    coordinates, _, _, gain, count = jax.lax.while_loop(unfinished, step, carry)
    unmixing = jnp.einsum("ipq,iq->ip", to_rows, coordinates)
    return ConditionalFit(unmixing, value(unmixing), count, gain <= tolerance)
