"""A small invertible decoder with an exact likelihood, for few latents: both directions in closed form."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.jacobians import jacobian
from identax.numerics import column_shares
from identax.rng import stream


class Scored(NamedTuple):
    """`log_likelihood` [N] of observations under the flow, `c_ima` [N] of its decoder there, and the `codes` [N, n]."""

    log_likelihood: Any
    c_ima: Any
    codes: Any


def init_flow(key: Key[Array, ""], n: int, *, num_couplings: int, hidden: int) -> dict[str, Any]:
    """Parameters: near a random rotation of elementwise identities; base N(0, I)."""
    couplings = []
    for number in range(num_couplings):
        first = jax.random.normal(stream(key, f"coupling {number}"), (n, hidden)) * (2 / n) ** 0.5
        couplings.append(
            {"in": first, "bias": jnp.zeros(hidden), "out": jnp.zeros((hidden, 2 * n)), "shift": jnp.zeros(2 * n)}
        )
    return {
        "log_shape": jnp.zeros(n),
        "matrix": jax.random.orthogonal(stream(key, "matrix"), n),
        "offset": jnp.zeros(n),
        "couplings": couplings,
        "base": jnp.zeros((n, n)),
    }


def decode(params: Any, z: Float[Array, "N n"]) -> Float[Array, "N n"]:
    """x = f(z): sinh(d asinh z) / d on every coordinate, a matrix, affine couplings of alternating halves."""
    shape = jnp.exp(params["log_shape"])[None]
    x = jnp.sinh(shape * jnp.arcsinh(z)) / shape
    x = x @ params["matrix"].T + params["offset"][None]
    for coupling, kept in zip(params["couplings"], _halves(z.shape[1]), strict=False):
        log_scale, shift = _moves(coupling, x, kept)
        x = x * jnp.exp(log_scale) + shift
    return x


def encode(params: Any, x: Float[Array, "N n"]) -> Float[Array, "N n"]:
    """z = f^-1(x)."""
    steps = list(zip(params["couplings"], _halves(x.shape[1]), strict=False))
    for coupling, kept in reversed(steps):
        log_scale, shift = _moves(coupling, x, kept)
        x = (x - shift) * jnp.exp(-log_scale)
    x = jnp.linalg.solve(params["matrix"], (x - params["offset"][None]).T).T
    shape = jnp.exp(params["log_shape"])[None]
    return jnp.sinh(jnp.arcsinh(shape * x) / shape)


def score(params: Any, x: Float[Array, "N n"]) -> Scored:
    """log p(x) = log p0(z) - log|det J|, J = df/dz at z = f^-1(x), and c_IMA(J).

    p0 = N(0, C) with a covariance C that is learned: codes may correlate, so that no independence is asked for. Shares
    of J's columns give both: log|det J| = sum_k log ||J_k|| - c_IMA. So log p(x) - c_IMA is L_IMA, the limit of the
    ELBO.
    """
    z = encode(params, x)
    norms, shares = column_shares(jacobian(lambda z: decode(params, z), z))
    contrast = -jnp.log(shares).sum(axis=1)
    log_root = jnp.diagonal(params["base"])
    root = jnp.tril(params["base"], -1) + jnp.diag(jnp.exp(log_root))  # of the precision
    base = log_root.sum() - 0.5 * jnp.square(z @ root).sum(axis=1) - 0.5 * z.shape[1] * jnp.log(2 * jnp.pi)
    return Scored(base - jnp.log(norms).sum(axis=1) + contrast, contrast, z)


def _halves(n):
    """Which coordinates a coupling keeps: even ones, odd ones, and so on."""
    even = (jnp.arange(n) % 2 == 0).astype(float)
    return itertools.cycle([even, 1 - even])


def _moves(coupling, x, kept):
    """Log scales in -2..2 and shifts of the coordinates that are not kept, of those that are."""
    kept = kept.astype(x.dtype)[None]
    inside = jnp.tanh((x * kept) @ coupling["in"] + coupling["bias"][None])
    log_scale, shift = jnp.split(inside @ coupling["out"] + coupling["shift"][None], 2, axis=1)
    return 2 * jnp.tanh(0.5 * log_scale) * (1 - kept), shift * (1 - kept)
