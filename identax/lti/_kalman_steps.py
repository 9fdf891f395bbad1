"""Kalman recursions that take one output at a time, for diagonal observation noise."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.numerics import product


class StateSpace(NamedTuple):
    """x_{t+1} = A x_t + offset + N(0, state_noise), y_t = C x_t + N(0, diag noise), x_0 ~ N(mean, covariance)."""

    A: Any
    offset: Any
    state_noise: Any
    C: Any
    noise: Any
    mean: Any
    covariance: Any


class Filtered(NamedTuple):
    """Of every step: mean and covariance of the state before its outputs; of every output: gain, variance, error.

    `ratio`: the conditional variance of an output relative to its variance before the other outputs of the step, 0
    where it is rounding error.
    """

    mean: Any
    covariance: Any
    gains: Any
    variances: Any
    errors: Any
    ratio: Any


def forward(
    model: StateSpace, y: Float[Array, "T d_y"]
) -> tuple[tuple[Float[Array, " d_x"], Float[Array, "d_x d_x"]], Filtered]:
    """Kalman filter; returns the prediction (mean, covariance) after the last step too."""

    def step(carry, output):
        mean, covariance = carry
        gains, variances, ratio, after = gains_of(covariance, model.C, model.noise)
        updated, errors = correct(mean, output, model.C, gains)
        filtered = Filtered(mean, covariance, gains, variances, errors, ratio)
        predicted = product(model.A, updated) + model.offset
        return (predicted, _congruent(model.A, after) + model.state_noise), filtered

    return jax.lax.scan(step, (model.mean, model.covariance), y)


def gains_of(
    covariance: Float[Array, "d_x d_x"], C: Float[Array, "d_y d_x"], noise: Float[Array, " d_y"]
) -> tuple[Float[Array, "d_y d_x"], Float[Array, " d_y"], Float[Array, " d_y"], Float[Array, "d_x d_x"]]:
    """Gains and variances of the outputs, their `ratio`, and the covariance of the state afterwards."""
    floor = 16 * jnp.finfo(covariance.dtype).eps
    identity = jnp.eye(covariance.shape[0], dtype=covariance.dtype)
    before = _diagonal(covariance, C) + noise
    gains, variances = [], []
    for i in range(C.shape[0]):  # unrolled: outputs are few, and each is a handful of fused operations
        column = product(covariance, C[i])
        variance = product(C[i], column) + noise[i]
        gain = column / variance
        covariance = _congruent(identity - gain[:, None] * C[i][None, :], covariance)
        covariance = covariance + noise[i] * gain[:, None] * gain[None, :]
        gains.append(gain)
        variances.append(variance)
    variances = jnp.stack(variances)
    proper = variances > floor * before
    ratio = jnp.where(proper, variances / jnp.where(proper, before, 1.0), 0.0)
    return jnp.stack(gains), jnp.where(proper, variances, jnp.nan), ratio, covariance


def correct(
    mean: Float[Array, " d_x"], output: Float[Array, " d_y"], C: Float[Array, "d_y d_x"], gains: Float[Array, "d_y d_x"]
) -> tuple[Float[Array, " d_x"], Float[Array, " d_y"]]:
    """Mean of the state after the outputs, and their errors; linear in mean and output."""
    errors = []
    for i in range(C.shape[0]):
        error = output[i] - product(C[i], mean)
        mean = mean + gains[i] * error
        errors.append(error)
    return mean, jnp.stack(errors)


def gaussian_terms(filtered: Filtered) -> Float[Array, "T d_y"]:
    """log-density of every output given the ones before it."""
    return log_normal(filtered.errors, filtered.variances)


def log_normal(errors: Float[Array, "*s"], variances: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """log N(errors; 0, variances)."""
    return -0.5 * (jnp.log(2 * math.pi * variances) + errors**2 / variances)


def backward(model: StateSpace, filtered: Filtered) -> tuple[Float[Array, "T d_x"], Float[Array, "T d_x"]]:
    """Smoothed states, and the gradients r_t of the log-likelihood with respect to the predicted means."""

    def step(adjoint, at):
        adjoint = product(model.A.T, adjoint)
        for i in reversed(range(model.C.shape[0])):
            scaled = at.errors[i] / at.variances[i] - product(at.gains[i], adjoint)
            adjoint = adjoint + model.C[i] * scaled
        return adjoint, (at.mean + product(at.covariance, adjoint), adjoint)

    return jax.lax.scan(step, jnp.zeros_like(model.mean), filtered, reverse=True)[1]


def loglik_of_settled(model: StateSpace, y: Float[Array, "T d_y"], warm_up: int) -> Float[Array, ""]:
    """Log-likelihood with the gains of step `warm_up` from there on; exact for warm_up = T.

    With constant gains the predicted means are a linear recursion, which takes log2(T) products instead of T steps.
    """
    (mean, covariance), filtered = forward(model, y[:warm_up])
    head = gaussian_terms(filtered).sum()
    if warm_up == y.shape[0]:
        return head
    tail = y[warm_up:]
    gains, variances, _, _ = gains_of(covariance, model.C, model.noise)
    no_mean, no_output = jnp.zeros_like(mean), jnp.zeros_like(tail[0])
    # What a step does is linear in the predicted mean and the output: read the matrices off unit vectors.
    from_mean = jax.vmap(lambda unit: correct(unit, no_output, model.C, gains))(jnp.eye(mean.size, dtype=y.dtype))
    from_output = jax.vmap(lambda unit: correct(no_mean, unit, model.C, gains))(jnp.eye(y.shape[1], dtype=y.dtype))
    driven = product(tail[:-1], product(from_output[0], model.A.T)) + model.offset[None, :]
    means = _recursion(product(from_mean[0], model.A.T), jnp.concatenate([mean[None, :], driven]))
    errors = product(means, from_mean[1]) + product(tail, from_output[1])
    return head + log_normal(errors, jnp.broadcast_to(variances[None, :], errors.shape)).sum()


def _recursion(matrix, inputs):
    """m_t = m_{t-1} matrix + inputs_t for all t, by doubling."""
    shift = 1
    while shift < inputs.shape[0]:
        inputs = inputs + jnp.pad(product(inputs[:-shift], matrix), ((shift, 0), (0, 0)))
        matrix = product(matrix, matrix)
        shift *= 2
    return inputs


def decorrelated(
    y: Float[Array, "T d_y"], C: Float[Array, "d_y d_x"], noise: Float[Array, "d_y d_y"]
) -> tuple[Float[Array, "T d_y"], Float[Array, "d_y d_x"], Float[Array, " d_y"]]:
    """(L^-1 y, L^-1 C, D) for noise = L diag(D) L^T with a unit lower triangular L, whose determinant is 1."""
    below = jnp.arange(noise.shape[0])
    for i in range(noise.shape[0]):
        pivot = noise[i, i]
        factor = jnp.where(below > i, noise[:, i], 0.0) / jnp.where(pivot > 0, pivot, 1.0)
        noise = noise - factor[:, None] * noise[i][None, :]
        C = C - factor[:, None] * C[i][None, :]
        y = y - y[:, i][:, None] * factor[None, :]
    pivots = jnp.diagonal(noise)
    return y, C, jnp.where(pivots > 0, pivots, 0.0)  # of a singular covariance, rounding may leave less than 0


def _congruent(matrix, covariance):
    """matrix covariance matrix^T, symmetric to the last bit."""
    turned = product(product(matrix, covariance), matrix.T)
    return 0.5 * (turned + turned.T)


def _diagonal(covariance, C):
    return (product(C, covariance) * C).sum(axis=1)
