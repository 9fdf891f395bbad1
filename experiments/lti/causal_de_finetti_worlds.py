"""Environments of a hidden Markov model: theta moves its state, psi makes its outputs, drawn apart for each of them."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from identax.dgp.lti import simulate, spectral_radius
from identax.lti import LinearSystem
from identax.rng import stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Theta:
    """x_0 ~ N(0, I), x_{t+1} = A x_t + B u_t, u_t ~ N(means, diag variances), of each environment.

    `A`, `B` [E, d, d], `means` and `variances` [E, d]; `scores` [E, d] are the normal draws behind the means.
    """

    A: Any
    B: Any
    means: Any
    variances: Any
    scores: Any

    def system(self, C: Any) -> LinearSystem:
        return LinearSystem(self.A, self.B, C)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Psi:
    """y_t = C x_t + N(0, noise I): `C` [E, d, d], `noise` [E]; `scores` [E, d, d] are the normal draws behind C."""

    C: Any
    noise: Any
    scores: Any


def draw(key, num, dim, noise_variance, hparams) -> tuple[Theta, Psi]:
    """`num` environments from independent priors of theta and psi.

    A: normal entries scaled to the spectral radius; B and C: normal entries around I, sd mechanism_sd; means
    N(0, mean_sd^2); variances |N(0, 1)|/2; noise uniform on noise_variance [1/2, 3/2].
    """
    # One call for each of the two, the long axis last: faster to compile and to draw.
    entries = dim * dim
    rows = jax.random.normal(stream(key, "theta"), (2 * entries + 2 * dim, num)).T
    A, B = (rows[:, i * entries : (i + 1) * entries].reshape(num, dim, dim) for i in range(2))
    means, variances = rows[:, 2 * entries : -dim], jnp.abs(rows[:, -dim:]) / 2
    A = A * (hparams["spectral_radius"] / jax.vmap(spectral_radius)(A))[:, None, None]
    B = jnp.eye(dim)[None] + hparams["mechanism_sd"] * B
    scores = jax.random.normal(stream(key, "psi"), (entries, num)).T.reshape(num, dim, dim)
    C = jnp.eye(dim)[None] + hparams["mechanism_sd"] * scores
    noise = noise_variance * (0.5 + jax.random.uniform(stream(key, "noise"), (num,)))
    return Theta(A, B, hparams["mean_sd"] * means, variances, means), Psi(C, noise, scores)


def sample(key, theta: Theta, psi: Psi, length):
    """Two trajectories of every environment: states and observations, both [2, E, length, d]."""
    num, dim = theta.means.shape

    drawn = jnp.moveaxis(jax.random.normal(key, (2, 2 * length + 1, dim, num)), -1, 1)
    start, controls, noise = drawn[:, :, 0], drawn[:, :, 1 : length + 1], drawn[:, :, length + 1 :]
    controls = theta.means[None, :, None] + jnp.sqrt(theta.variances)[None, :, None] * controls
    noise = jnp.sqrt(psi.noise)[None, :, None, None] * noise

    def run(system, u, x0, v):
        return simulate(system, u, initial_state=x0, observation_noise=v)

    over = jax.vmap(jax.vmap(run), (None, 0, 0, 0))
    observations, states = over(theta.system(psi.C), controls, start, noise)
    return states, observations


def output_law(theta: Theta, psi: Psi, t):
    """Exact mean and standard deviation [E] of the first output y_t given theta and psi."""

    def one(theta, psi):
        mean, covariance = jnp.zeros(theta.means.shape), jnp.eye(theta.means.shape[0])
        for _ in range(t):
            mean = theta.A @ mean + theta.B @ theta.means
            covariance = theta.A @ covariance @ theta.A.T + (theta.B * theta.variances[None, :]) @ theta.B.T
        return psi.C[0] @ mean, jnp.sqrt(psi.C[0] @ covariance @ psi.C[0] + psi.noise)

    return jax.vmap(one)(theta, psi)


def dense_loglik(y, theta: Theta, psi: Psi):
    """log p of whole trajectories y [N, T, d] of one environment, as vectors of one joint normal law; [N].

    x = L (x_0, B u_0, .., B u_{T-2}) with blocks L_ts = A^{t-s} for s <= t, and y = (I x C) x + noise.
    """
    length, dim = y.shape[1:]
    powers = [jnp.eye(dim)]
    for _ in range(length - 1):
        powers.append(powers[-1] @ theta.A)
    zero = jnp.zeros((dim, dim))
    L = jnp.block([[powers[t - s] if s <= t else zero for s in range(length)] for t in range(length)])
    push, spread = theta.B @ theta.means, (theta.B * theta.variances[None, :]) @ theta.B.T
    means = jnp.concatenate([jnp.zeros(dim), *[push] * (length - 1)])
    inputs = jax.scipy.linalg.block_diag(jnp.eye(dim), *[spread] * (length - 1))
    read = jnp.kron(jnp.eye(length), psi.C) @ L
    covariance = read @ inputs @ read.T + psi.noise * jnp.eye(length * dim)
    errors = y.reshape(len(y), -1) - (read @ means)[None, :]
    squares = (errors.T * jnp.linalg.solve(covariance, errors.T)).sum(axis=0)
    return -0.5 * (squares + jnp.linalg.slogdet(covariance)[1] + length * dim * math.log(2 * math.pi))
