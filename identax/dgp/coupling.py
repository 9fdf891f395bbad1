"""Affine coupling flows: triangular by blocks, invertible without solving anything."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_choice, check_count
from identax.dgp._checks import points
from identax.dgp.mixings import Mixing
from identax.rng import stream

_SLOPE = 0.2


def affine_coupling(
    n: int, *, num_layers: int = 2, hidden: int = 10, parity: Literal["published", "alternating"] = "published"
) -> Mixing:
    """Layers of affine maps of two halves (p, q) of z, the second's coefficients being functions of the first's image.

        p <- (p - c) e^(-s_b),    q <- (q - t(p)) e^(-s(p)),      log|det J| = - sum over layers [ sum s_b + sum s(p) ]

    s, t: linear n/2 -> `hidden`, leaky ReLU of slope 0.2, linear -> n/2, with weights and biases U(+-1/sqrt(fan in));
    s_b ~ N(0, I). "published": p is the first half in every layer and c = s_b, a slip of the flow's code that is part
    of the published data; the Jacobian has one full block, below its diagonal. "alternating": the halves swap roles
    from layer to layer, c = t_b ~ N(0, I), and all entries of the Jacobian are in use.
    Weights: a tuple, a layer each in order of application, of {"scale_base" [n/2], "shift_base" [n/2], "scale",
    "shift"}, nets as {"first": {"matrix" [in, out], "bias"}, "last": ...}. `inverse` is exact.

    Raises `ValueError` for an odd n, n < 2 (published: n <= 2), num_layers or hidden < 1 and an unknown parity.
    Source: Reizinger et al. 2022, code (CAREFL's flow with autoregressive order).
    """
    check_choice("affine_coupling", "parity", parity, ("published", "alternating"))
    for name, count in (("n", n), ("num_layers", num_layers), ("hidden", hidden)):
        check_count("affine_coupling", name, count)
    if n % 2 or (n == 2 and parity == "published"):
        wanted = "an even number above 2" if parity == "published" else "an even number"
        raise ValueError(f"affine_coupling: found n={n}, wanted {wanted}")
    half = n // 2
    swaps = [parity == "alternating" and layer % 2 == 1 for layer in range(num_layers)]

    def init(key: Key[Array, ""]) -> tuple[dict[str, Any], ...]:
        return tuple(_layer(layer, half, hidden) for layer in jax.random.split(stream(key, "mixing"), num_layers))

    def base(layer):
        return layer["scale_base" if parity == "published" else "shift_base"][None, :]

    def apply(weights: Sequence[dict[str, Any]], z: Any) -> Float[Array, "N n"]:
        x = points("affine_coupling", "latents", z, n)
        for layer, swap in zip(weights, swaps, strict=True):
            x, _ = _forward(layer, x, half, swap, base(layer))
        return x

    def inverse(weights: Sequence[dict[str, Any]], x: Any) -> Float[Array, "N n"]:
        z = points("affine_coupling.inverse", "observations", x, n)
        for layer, swap in reversed(list(zip(weights, swaps, strict=True))):
            p, q = _halves(z, half, swap)
            q = q * jnp.exp(_net(layer["scale"], p)) + _net(layer["shift"], p)
            p = p * jnp.exp(layer["scale_base"])[None, :] + base(layer)
            z = _joined(p, q, swap)
        return z

    def log_det(weights: Sequence[dict[str, Any]], z: Any) -> Float[Array, " N"]:
        x = points("affine_coupling", "latents", z, n)
        total = jnp.zeros(x.shape[:1], x.dtype)
        for layer, swap in zip(weights, swaps, strict=True):
            x, log_scale = _forward(layer, x, half, swap, base(layer))
            total = total - log_scale
        return total

    return Mixing(init, apply, inverse, log_det)


def _forward(layer, x, half, swap, base):
    """One layer's image [N, n], and the log by which it shrinks volumes [N]."""
    p, q = _halves(x, half, swap)
    p = (p - base) * jnp.exp(-layer["scale_base"])[None, :]
    scale = _net(layer["scale"], p)
    q = (q - _net(layer["shift"], p)) * jnp.exp(-scale)
    return _joined(p, q, swap), layer["scale_base"].sum() + scale.sum(axis=1)


def _halves(x, half, swap):
    first, second = x[:, :half], x[:, half:]
    return (second, first) if swap else (first, second)


def _joined(p, q, swap):
    return jnp.concatenate([q, p] if swap else [p, q], axis=1)


def _layer(key, half, hidden):
    return {
        "scale_base": jax.random.normal(stream(key, "scale base"), (half,)),
        "shift_base": jax.random.normal(stream(key, "shift base"), (half,)),
        "scale": _random_net(stream(key, "scale"), half, hidden),
        "shift": _random_net(stream(key, "shift"), half, hidden),
    }


def _random_net(key, half, hidden):
    return {
        "first": _random_linear(stream(key, "first"), half, hidden),
        "last": _random_linear(stream(key, "last"), hidden, half),
    }


def _random_linear(key, fan_in, fan_out):
    bound = 1 / math.sqrt(fan_in)
    return {
        "matrix": jax.random.uniform(stream(key, "matrix"), (fan_in, fan_out), minval=-bound, maxval=bound),
        "bias": jax.random.uniform(stream(key, "bias"), (fan_out,), minval=-bound, maxval=bound),
    }


def _net(weights, p):
    first, last = weights["first"], weights["last"]
    seen = jax.nn.leaky_relu(p @ first["matrix"] + first["bias"][None, :], _SLOPE)
    return seen @ last["matrix"] + last["bias"][None, :]
