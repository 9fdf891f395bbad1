"""A small invertible decoder with an exact likelihood, for few latents: both directions in closed form."""

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
    """Parameters: near a random rotation of elementwise identities; base N(0, I). Couplings lie along a first axis."""
    first = jax.random.normal(stream(key, "couplings"), (num_couplings, n, hidden)) * (2 / n) ** 0.5
    couplings = {
        "in": first,
        "bias": jnp.zeros((num_couplings, hidden)),
        "out": jnp.zeros((num_couplings, hidden, 2 * n)),
        "shift": jnp.zeros((num_couplings, 2 * n)),
    }
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

    def forward(x, step):
        log_scale, shift = _moves(step[0], step[1], x)
        return x * jnp.exp(log_scale) + shift, None

    return jax.lax.scan(forward, x, _couplings(params, z.shape[1]))[0]


def encode(params: Any, x: Float[Array, "N n"]) -> Float[Array, "N n"]:
    """z = f^-1(x)."""

    def back(x, step):
        log_scale, shift = _moves(step[0], step[1], x)
        return (x - shift) * jnp.exp(-log_scale), None

    x = jax.lax.scan(back, x, _couplings(params, x.shape[1]), reverse=True)[0]
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


def _couplings(params, n):
    """Couplings, and which coordinates each keeps [num_couplings, n]: even ones, odd ones, and so on."""
    number = jnp.arange(len(params["couplings"]["bias"]))
    return params["couplings"], (jnp.arange(n)[None, :] + number[:, None]) % 2 == 0


def _moves(coupling, kept, x):
    """Log scales in -2..2 and shifts of the coordinates that are not kept, of those that are."""
    kept = kept.astype(x.dtype)[None]
    inside = jnp.tanh((x * kept) @ coupling["in"] + coupling["bias"][None])
    log_scale, shift = jnp.split(inside @ coupling["out"] + coupling["shift"][None], 2, axis=1)
    return 2 * jnp.tanh(0.5 * log_scale) * (1 - kept), shift * (1 - kept)
