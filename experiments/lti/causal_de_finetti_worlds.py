"""Environments of a hidden Markov model: theta moves its state, psi makes its outputs, drawn apart for each of them."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from identax.dgp.lti import random_system, simulate, spectral_radius
from identax.elimination import slogdet, solve
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


def draw_base(key, dim) -> LinearSystem:
    """What the environments have in common: B, and C as the prior's mean (its A is not used)."""
    return random_system(key, dim)


def draw(key, base, num, noise_variance, hparams) -> tuple[Theta, Psi]:
    """`num` environments from independent priors of theta and psi.

    A: normal entries scaled to the spectral radius; means N(0, mean_sd^2); variances |N(0, 1)|/2; C: normal entries
    around base.C, sd mechanism_sd; noise uniform on noise_variance [1/2, 3/2].
    """
    dim = base.B.shape[0]
    theta, psi = stream(key, "theta"), stream(key, "psi")

    def normals(key, name, *shape):
        return jnp.moveaxis(jax.random.normal(stream(key, name), (*shape, num)), -1, 0)  # the long axis is drawn last

    A = normals(theta, "A", dim, dim)
    A = A * (hparams["spectral_radius"] / jax.vmap(spectral_radius)(A))[:, None, None]
    B = jnp.broadcast_to(base.B[None], A.shape)
    means, scores = normals(theta, "means", dim), normals(psi, "C", dim, dim)
    variances = jnp.abs(normals(theta, "variances", dim)) / 2
    C = base.C[None] + hparams["mechanism_sd"] * scores
    noise = noise_variance * (0.5 + jax.random.uniform(stream(psi, "noise"), (num,)))
    return Theta(A, B, hparams["mean_sd"] * means, variances, means), Psi(C, noise, scores)


def sample(key, theta: Theta, psi: Psi, length):
    """Two trajectories of every environment: states and observations, both [2, E, length, d]."""
    num, dim = theta.means.shape

    def normals(name, *shape):
        return jnp.moveaxis(jax.random.normal(stream(key, name), (2, *shape, num)), -1, 1)

    controls = theta.means[None, :, None] + jnp.sqrt(theta.variances)[None, :, None] * normals("controls", length, dim)
    noise = jnp.sqrt(psi.noise)[None, :, None, None] * normals("noise", length, dim)

    def run(system, u, x0, v):
        return simulate(system, u, initial_state=x0, observation_noise=v)

    over = jax.vmap(jax.vmap(run), (None, 0, 0, 0))
    observations, states = over(theta.system(psi.C), controls, normals("start", dim), noise)
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
    squares = (errors.T * solve(covariance, errors.T)).sum(axis=0)
    return -0.5 * (squares + slogdet(covariance)[1] + length * dim * math.log(2 * math.pi))
