"""Mixing functions g: latents -> observations, with their inverses."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_choice, check_count, is_integer
from identax.dgp._checks import points
from identax.dgp.base import compiled
from identax.dgp.smooth import inverse_smooth_leaky_relu, smooth_leaky_relu
from identax.rng import stream

_CHUNK = 1000  # matrices judged at once; bounds memory only


class Mixing(NamedTuple):
    """A mixing as pure functions of its weights.

    `init(key) -> weights`; `apply(weights, z [N, n]) -> x [N, m]`; `inverse(weights, x) -> z`, which raises
    `ValueError` where no inverse exists. `log_det(weights, z) -> [N]`: log |det dx/dz| at z, None where it is not
    known in closed form.
    """

    init: Callable[[Key[Array, ""]], Any]
    apply: Callable[[Any, Array], Array]
    inverse: Callable[[Any, Array], Array]
    log_det: Callable[[Any, Array], Array] | None = None


def compose(outer: Mixing, inner: Mixing) -> Mixing:
    """x = outer(inner(z)), with weights {"inner", "outer"}; log-determinants add up where both are known."""

    def init(key: Key[Array, ""]) -> dict[str, Any]:
        return {"inner": inner.init(stream(key, "inner")), "outer": outer.init(stream(key, "outer"))}

    def apply(weights: Any, z: Any) -> Array:
        return outer.apply(weights["outer"], inner.apply(weights["inner"], z))

    def inverse(weights: Any, x: Any) -> Array:
        return inner.inverse(weights["inner"], outer.inverse(weights["outer"], x))

    if inner.log_det is None or outer.log_det is None:
        return Mixing(init, apply, inverse)
    inner_log_det, outer_log_det = inner.log_det, outer.log_det

    def log_det(weights: Any, z: Any) -> Array:
        between = inner.apply(weights["inner"], z)
        return inner_log_det(weights["inner"], z) + outer_log_det(weights["outer"], between)

    return Mixing(init, apply, inverse, log_det)


def with_weights(mixing: Mixing, weights: Any) -> Mixing:
    """The mixing whose `init` gives these weights whatever its key: one known world for all trials."""
    return mixing._replace(init=lambda key: jax.tree.map(jnp.asarray, weights))


def random_invertible_mlp(
    n: int, *, num_layers: int = 3, activation: str = "leaky_relu", pool_size: int = 25_000
) -> Mixing:
    """A random bias-free MLP R^n -> R^n of well-conditioned square layers.

        x = W_L s(W_{L-1} ... s(W_1 z)),    W_l entries U(-1, 1), columns divided by their Euclidean norm

    The weights are the `num_layers` matrices of smallest 2-norm condition number among `pool_size` draws
    (the original redraws until a matrix beats the pool's best; taking the best ones gives slightly better
    conditioned layers). `activation`: "leaky_relu" (slope 0.2), "elu", "smooth_leaky_relu" (0.2 x + 0.8
    softplus(x)), "softplus", or "relu", whose `inverse` raises. `init` costs one SVD per pool member.

    Raises `ValueError` for an unknown activation (naming the nearest), n < 1, num_layers < 1 or a pool
    smaller than num_layers. Source: Zimmermann et al. 2021 and Rusak et al. 2025, code.
    """
    check_choice("random_invertible_mlp", "activation", activation, tuple(_ACTIVATIONS))
    for name, count in (("n", n), ("num_layers", num_layers), ("pool_size", pool_size)):
        if not is_integer(count):
            raise ValueError(f"random_invertible_mlp: found {name}={count!r}, wanted an integer")
    if n < 1 or num_layers < 1 or pool_size < num_layers:
        raise ValueError(
            f"random_invertible_mlp: found n={n}, num_layers={num_layers}, pool_size={pool_size},"
            " wanted n >= 1, num_layers >= 1 and pool_size >= num_layers"
        )
    forward, backward = _ACTIVATIONS[activation]

    def init(key: Key[Array, ""]) -> tuple[Float[Array, "n n"], ...]:
        return tuple(_best_of(stream(key, "mixing"), n, num_layers, pool_size))

    def apply(weights: Sequence[Float[Array, "n n"]], z: Any) -> Float[Array, "N n"]:
        *hidden, last = weights
        z = points("random_invertible_mlp", "z", z, n)
        for weight in hidden:
            z = forward(z @ weight.T)
        return z @ last.T

    def inverse(weights: Sequence[Float[Array, "n n"]], x: Any) -> Float[Array, "N n"]:
        if backward is None:
            raise ValueError(f"random_invertible_mlp: found activation {activation!r}, wanted an invertible one")
        *hidden, last = weights
        x = points("random_invertible_mlp", "x", x, n)
        x = jnp.linalg.solve(last, x.T).T
        for weight in reversed(hidden):
            x = jnp.linalg.solve(weight, backward(x).T).T
        return x

    def log_det(weights: Sequence[Float[Array, "n n"]], z: Float[Array, "N n"]) -> Float[Array, " N"]:
        *hidden, last = weights
        total = jnp.zeros(z.shape[:1], z.dtype)
        for weight in hidden:
            z, slope = jax.jvp(forward, (z @ weight.T,), (jnp.ones_like(z),))
            total = total + jnp.log(slope).sum(axis=1) + jnp.linalg.slogdet(weight)[1]
        return total + jnp.linalg.slogdet(last)[1]

    return Mixing(init, apply, inverse, log_det)


def inverse_softplus(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The x with log(1 + exp(x)) = y: y + log(1 - exp(-y)), for y > 0 (NaN below, -inf at 0).

    Also where a positive parameter softplus(x), such as a learned precision, starts.
    """
    return y + jnp.log(-jnp.expm1(-y))


def orthogonal(n: int) -> Mixing:
    """x = Q z with Q Haar-distributed on O(n). Raises `ValueError` for n < 1."""
    check_count("orthogonal", "n", n)

    def init(key: Key[Array, ""]) -> Float[Array, "n n"]:
        return jax.random.orthogonal(stream(key, "mixing"), n)

    return Mixing(
        init,
        lambda weight, z: points("orthogonal", "z", z, n) @ weight.T,
        lambda weight, x: points("orthogonal", "x", x, n) @ weight,
        lambda weight, z: _no_change(z),
    )


def identity() -> Mixing:
    """x = z, without weights."""
    return Mixing(lambda key: (), lambda weights, z: z, lambda weights, x: x, lambda weights, z: _no_change(z))


def _no_change(z):
    return jnp.zeros(z.shape[:1], z.dtype)


def column_normalized(key: Key[Array, ""], n: int) -> Float[Array, "n n"]:
    """Draws a matrix with entries U(-1, 1) and columns divided by their Euclidean norm."""
    weight = jax.random.uniform(key, (n, n), minval=-1.0, maxval=1.0)
    return weight / jnp.linalg.norm(weight, axis=0, keepdims=True)


def _best_conditioned(key, n, count, pool_size):
    """The `count` best of the pool, best first; member i comes from fold_in(key, i), so none is stored."""

    def draw(index):
        return column_normalized(jax.random.fold_in(key, index), n)

    size = min(_CHUNK, pool_size)
    starts = jnp.arange(-(-pool_size // size)) * size

    def chunk(start):
        return condition_numbers(jax.vmap(draw)(start + jnp.arange(size)))

    conditions = jax.lax.map(chunk, starts).ravel()[:pool_size]
    _, best = jax.lax.top_k(-conditions, count)
    return jax.vmap(draw)(best)


_best_of = compiled(_best_conditioned, static=(1, 2, 3))  # a loop that notebooks would compile at every call


def condition_numbers(matrices: Float[Array, "B n n"]) -> Float[Array, " B"]:
    """2-norm condition numbers s_max / s_min of many small matrices."""
    sizes = jnp.linalg.svd(matrices, compute_uv=False)
    return sizes[:, 0] / sizes[:, -1]


def _leaky_relu_inverse(y):
    return jnp.where(y >= 0, y, y / 0.2)


def _elu_inverse(y):
    return jnp.where(y > 0, y, jnp.log1p(jnp.minimum(y, 0)))


_ACTIVATIONS: dict[str, tuple[Callable, Callable | None]] = {
    "leaky_relu": (lambda x: jax.nn.leaky_relu(x, 0.2), _leaky_relu_inverse),
    "relu": (jax.nn.relu, None),
    "elu": (jax.nn.elu, _elu_inverse),
    "smooth_leaky_relu": (smooth_leaky_relu, inverse_smooth_leaky_relu),
    "softplus": (jax.nn.softplus, inverse_softplus),
}
