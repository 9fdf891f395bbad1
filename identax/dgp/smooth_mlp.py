"""Smooth invertible MLPs: dense, triangular, and one in the class of independent mechanisms."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_nonnegative, check_positive
from identax.dgp._checks import points
from identax.dgp.mixings import Mixing
from identax.dgp.smooth import check_alpha, inverse_smooth_leaky_relu, log_slope, smooth_leaky_relu
from identax.rng import stream


def smooth_mlp(n: int, *, num_layers: int = 3, alpha: float | int | Array = 0.2) -> Mixing:
    """x <- s(x) W_l for l = 1..num_layers, W_l Haar orthogonal: activation first, so that the last step is linear.

        s(t) = alpha t + (1 - alpha) log(1 + e^t),      log|det J| = sum_l [ sum_k log s'(x_k) + log|det W_l| ]

    Rows are points, as in the published code; no bias, not centred. alpha = 1 is the identity, and the mixing an
    orthogonal matrix: the published data of the self-consistency figure. With .2 it contracts and leaves the IMA class.
    Weights: a tuple of matrices [n, n], any invertible ones. `inverse` is exact, by Newton's method per layer.
    alpha may be traced, where nothing is inverted. Raises `ValueError` for n, num_layers < 1 or a known alpha outside
    (0, 1], and `inverse` for a traced one. Source: Reizinger et al. 2022, code.
    """
    check_count("smooth_mlp", "n", n)
    check_count("smooth_mlp", "num_layers", num_layers)
    alpha = check_alpha("smooth_mlp", alpha, traced=True)

    def init(key: Key[Array, ""]) -> tuple[Float[Array, "n n"], ...]:
        keys = jax.random.split(stream(key, "mixing"), num_layers)
        return tuple(jax.random.orthogonal(layer, n) for layer in keys)

    def apply(weights: Sequence[Array], z: Any) -> Float[Array, "N n"]:
        x = points("smooth_mlp", "latents", z, n)
        for weight in weights:
            x = smooth_leaky_relu(x, alpha) @ weight
        return x

    def inverse(weights: Sequence[Array], x: Any) -> Float[Array, "N n"]:
        known = check_alpha("smooth_mlp.inverse", alpha)
        z = points("smooth_mlp.inverse", "observations", x, n)
        for weight in reversed(weights):
            z = inverse_smooth_leaky_relu(jnp.linalg.solve(weight.T, z.T).T, known)
        return z

    def log_det(weights: Sequence[Array], z: Any) -> Float[Array, " N"]:
        x = points("smooth_mlp", "latents", z, n)
        total = jnp.zeros(x.shape[:1], x.dtype)
        for weight in weights:
            total = total + log_slope(x, alpha).sum(axis=1) + jnp.linalg.slogdet(weight)[1]
            x = smooth_leaky_relu(x, alpha) @ weight
        return total

    return Mixing(init, apply, inverse, log_det)


def triangular_mlp(n: int, *, num_layers: int = 2, alpha: float | int = 0.2, off_diagonal: float | int = 1.0) -> Mixing:
    """x <- s(T_l x + b_l) for all layers but the last, then x <- T_L x; T_l lower triangular, non-zero diagonal.

    The Jacobian is lower triangular, so x_i depends on z_1..z_i alone, and log|det J| = sum_l [ sum_k log|T_l,kk| +
    sum_k log s'(.) ]. Diagonals are drawn from U(1/2, 3/2), entries below from N(0, `off_diagonal`^2), which sets the
    IMA contrast (0 without them), biases from N(0, 1). Weights: {"matrices": ([n, n], ...), "biases": ([n], ...)},
    one bias fewer; what stands above a diagonal is not read. `inverse` is exact, layer by layer.
    The published triangular map is not known: this one is the library's. Raises `ValueError` for n, num_layers < 1,
    alpha outside (0, 1] or off_diagonal < 0. Source: after Reizinger et al. 2022.
    """
    check_count("triangular_mlp", "n", n)
    check_count("triangular_mlp", "num_layers", num_layers)
    check_alpha("triangular_mlp", alpha)
    check_nonnegative("triangular_mlp", "off_diagonal", off_diagonal, ())

    def init(key: Key[Array, ""]) -> dict[str, tuple[Array, ...]]:
        keys = jax.random.split(stream(key, "mixing"), num_layers)
        matrices = tuple(_triangular(layer, n, off_diagonal) for layer in keys)
        return {
            "matrices": matrices,
            "biases": tuple(jax.random.normal(stream(layer, "bias"), (n,)) for layer in keys[:-1]),
        }

    def apply(weights: Any, z: Any) -> Float[Array, "N n"]:
        x = points("triangular_mlp", "latents", z, n)
        for matrix, bias in zip(weights["matrices"], weights["biases"], strict=False):
            x = smooth_leaky_relu(x @ jnp.tril(matrix).T + bias[None, :], alpha)
        return x @ jnp.tril(weights["matrices"][-1]).T

    def inverse(weights: Any, x: Any) -> Float[Array, "N n"]:
        x = points("triangular_mlp.inverse", "observations", x, n)
        z = solve_triangular(weights["matrices"][-1], x.T, lower=True).T
        for matrix, bias in reversed(list(zip(weights["matrices"], weights["biases"], strict=False))):
            z = inverse_smooth_leaky_relu(z, alpha) - bias[None, :]
            z = solve_triangular(matrix, z.T, lower=True).T
        return z

    def log_det(weights: Any, z: Any) -> Float[Array, " N"]:
        x = points("triangular_mlp", "latents", z, n)
        diagonals = sum(jnp.log(jnp.abs(jnp.diagonal(matrix))).sum() for matrix in weights["matrices"])
        total = jnp.zeros(x.shape[:1], x.dtype) + diagonals
        for matrix, bias in zip(weights["matrices"], weights["biases"], strict=False):
            x = x @ jnp.tril(matrix).T + bias[None, :]
            total = total + log_slope(x, alpha).sum(axis=1)
            x = smooth_leaky_relu(x, alpha)
        return total

    return Mixing(init, apply, inverse, log_det)


def monotone_rotation(n: int, *, alpha: float | int = 0.2, scale: float | int = 1.0) -> Mixing:
    """x = scale A h(z), h_k(z) = s(gain_k z_k + shift_k), A Haar: a nonlinear map of the IMA class for any prior.

        J = scale A diag(h'),     log|det J| = n log scale + sum_k [ log gain_k + log s'(gain_k z_k + shift_k) ]

    Columns of J are those of A in other lengths: the contrast is 0 everywhere. Gains are drawn from U(1/2, 3/2), shifts
    from N(0, 1). Weights: {"rotation" [n, n] orthogonal, "gain" [n], "shift" [n]}. Raises `ValueError` for n < 1, alpha
    outside (0, 1] or scale <= 0. The published map of the class is not known: this one is the library's.
    """
    check_count("monotone_rotation", "n", n)
    check_alpha("monotone_rotation", alpha)
    check_positive("monotone_rotation", "scale", scale, ())

    def init(key: Key[Array, ""]) -> dict[str, Array]:
        return {
            "rotation": jax.random.orthogonal(stream(key, "rotation"), n),
            "gain": jax.random.uniform(stream(key, "gain"), (n,), minval=0.5, maxval=1.5),
            "shift": jax.random.normal(stream(key, "shift"), (n,)),
        }

    def inside(weights, z):
        return points("monotone_rotation", "latents", z, n) * weights["gain"][None, :] + weights["shift"][None, :]

    def apply(weights: Any, z: Any) -> Float[Array, "N n"]:
        return scale * smooth_leaky_relu(inside(weights, z), alpha) @ weights["rotation"].T

    def inverse(weights: Any, x: Any) -> Float[Array, "N n"]:
        x = points("monotone_rotation.inverse", "observations", x, n)
        t = inverse_smooth_leaky_relu(x @ weights["rotation"] / scale, alpha)
        return (t - weights["shift"][None, :]) / weights["gain"][None, :]

    def log_det(weights: Any, z: Any) -> Float[Array, " N"]:
        constant = n * jnp.log(scale) + jnp.log(jnp.abs(weights["gain"])).sum()
        return constant + log_slope(inside(weights, z), alpha).sum(axis=1)

    return Mixing(init, apply, inverse, log_det)


def _triangular(key, n, off_diagonal):
    diagonal = jax.random.uniform(stream(key, "diagonal"), (n,), minval=0.5, maxval=1.5)
    below = jnp.tril(off_diagonal * jax.random.normal(stream(key, "below"), (n, n)), -1)
    return below + jnp.diag(diagonal)
