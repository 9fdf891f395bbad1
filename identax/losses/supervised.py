"""Losses that need the truth or the map itself, and sums of losses."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_choice, shape_of
from identax.losses._checks import Embeddings, Scalar, as_differences, as_floats, as_number, check_pairs

REDUCTIONS = ("mean", "sum", "none")


def r2_loss(
    prediction: Embeddings, target: Embeddings, *, reduction: str = "mean", negative: bool = False
) -> Float[Array, "..."]:
    """R2_j = 1 - mean_i (target_ij - prediction_ij)^2 / var_i target_ij over the batch, reduced over the dims j.

    Population variance (division by N). No fit: the prediction as it is. `reduction` over dims: "mean", "sum", or
    "none" for [n]. With `negative`, minus that: what is to be minimised. A constant target divides by 0.
    Args: `prediction`, `target` [N, n].
    Raises `ValueError` for unequal or wrong shapes and an unknown reduction.
    Source: Zimmermann et al. 2021 (code).
    """
    check_choice("r2_loss", "reduction", reduction, REDUCTIONS)
    check_pairs("r2_loss", prediction, target)
    target, prediction = as_differences("r2_loss", target=target, prediction=prediction)
    values = 1 - jnp.mean(jnp.square(target - prediction), axis=0) / jnp.var(target, axis=0)
    values = {"mean": jnp.mean, "sum": jnp.sum, "none": lambda x: x}[reduction](values)
    return -values if negative else values


def jacobian_determinant(h: Callable[[Array], Array], z: Embeddings) -> Float[Array, " N"]:
    """|det dh/dz| at each row of `z`, one value per example.

    `h` maps one row [n] to [n]. n Jacobian-vector products and n^3 operations per row: for small n.
    Raises `ValueError` unless `z` is [N, n] and h keeps the number of dims.
    Source: Zimmermann et al. 2021 (code).
    """
    check_pairs("jacobian_determinant", z, z)
    (z,) = as_floats("jacobian_determinant", z=z)
    found = jax.eval_shape(h, z[0]).shape
    if found != z.shape[1:]:
        raise ValueError(
            f"jacobian_determinant: found h of a row {z.shape[1:]} with shape {found}, wanted {z.shape[1:]}"
        )
    return jax.vmap(lambda row: jnp.abs(jnp.linalg.det(jax.jacfwd(h)(row))))(z)


def ensemble(losses: Sequence[Embeddings], weights: Sequence[Scalar] | ArrayLike | None = None) -> Float[Array, " B"]:
    """sum_k w_k losses_k of K per-example losses, one value per example.

    One encoder under several losses, e.g. `aninfonce` with a precision vector of its own for each positive
    conditional: at a common optimum latents i and j stay mixed only if no conditional tells them apart (see
    `identax.assumptions.common_blocks`). `weights` [K], by default 1/K each, may be traced.
    Raises `ValueError` for no losses, unequal shapes, or another number of weights.
    Source: Rusak et al. 2025 (ensembles of losses).
    """
    shapes = [shape_of(loss) for loss in losses]
    if not shapes or len(set(shapes)) > 1:
        raise ValueError(f"ensemble: found losses of shapes {shapes}, wanted K >= 1 of one shape")
    given = [1.0 / len(shapes)] * len(shapes) if weights is None else list(weights)  # pyright: ignore[reportArgumentType]
    if len(given) != len(shapes):
        raise ValueError(f"ensemble: found {len(given)} weights for {len(shapes)} losses, wanted one each")
    values = [as_floats("ensemble", losses=loss)[0] for loss in losses]
    factors = [as_number("ensemble", "weights", weight) for weight in given]
    total = factors[0] * values[0]
    for weight, value in zip(factors[1:], values[1:], strict=True):
        total = total + weight * value
    return total
