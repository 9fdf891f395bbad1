"""The linear map between truth and estimate itself: its singular values, and how a head's rows lie in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_choice, shape_of
from identax.inputs import numbers
from identax.metrics._samples import Samples, apart, matrices, named, unmoved, warn_of_few
from identax.metrics.regression import all_finite, check_sides, fitted_r2, least_squares

HEAD_SPLITS = ("half", "clusters", "none")


def singular_value_error(
    inputs: Samples, targets: Samples, *, target: ArrayLike | None = 1.0, relative: bool = False
) -> Float[Array, ""]:
    """Mean |s_k - target| over the singular values s of the least-squares map from `inputs` to `targets`.

    The map is fitted on all samples, without intercept. Features (kappa/beta) O z of latents z have s = beta/kappa, so
    that `target` is that, and 1 for unit rows against their clusters' vectors. An absolute error of 0.01 is then 10 %
    at kappa = 10: `relative` gives the mean of |s_k / target - 1| instead, which is free of scale. Without a target
    (None) it is relative to the mean of s: 0 for any multiple of an orthogonal map.
    Args: `inputs` [N, m], e.g. embeddings; `targets` [N, n], e.g. latents.
    Raises `ValueError` for unequal numbers of samples or N < 2.
    Source: Reizinger et al. 2025, table 2 (MAE).
    """
    inputs, targets = matrices("singular_value_error", inputs=inputs, targets=targets)
    warn_of_few("singular_value_error", inputs=inputs, targets=targets)
    inputs, targets = unmoved("singular_value_error", inputs=inputs, targets=targets)
    return _error_of_sizes(inputs, targets, target, relative)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _error_of_sizes(inputs, targets, target, relative):
    coefficients = least_squares(inputs, targets)
    scale = jnp.max(jnp.abs(coefficients))
    scale = jnp.where(scale > 0, scale, 1.0)
    sizes = scale * jnp.linalg.svd(coefficients / scale, compute_uv=False)
    if target is None:
        mean = jnp.mean(sizes)
        error = jnp.abs(sizes / jnp.where(mean > 0, mean, 1.0) - 1)
    else:
        target = jnp.asarray(target, sizes.dtype)
        error = jnp.abs(sizes / target - 1) if relative else jnp.abs(sizes - target)
    return jnp.where(all_finite(inputs, targets), jnp.mean(error), jnp.nan)


def head_r2(head: Samples, vectors: Samples, *, fit_intercept: bool = True, split: str = "half") -> Float[Array, ""]:
    """R^2 of the linear map from the rows of a head to the vectors of their clusters, v_(i mod C).

    `split` "half": fitted on the first N // 2 rows, scored on the others, as published; both halves then hold the same
    clusters wherever N >= 2C. "clusters": fitted on the rows of the first C // 2 clusters, scored on those of clusters
    that were not seen. "none": fitted and scored on all rows.
    Args: `head` [N, m], `vectors` [C, d], N >= C.
    Raises `ValueError` for an unknown split, N < C, and fewer than 2 rows on either side of the split.
    Source: Reizinger et al. 2025, tables 2 and 5.
    """
    check_choice("head_r2", "split", split, HEAD_SPLITS)
    head, vectors = numbers("head_r2", "head", head), numbers("head_r2", "vectors", vectors)
    shapes = {"head": shape_of(head), "vectors": shape_of(vectors)}
    if any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
        raise ValueError(f"head_r2: found {named(shapes)}, wanted [N, m] and [C, d], none of them empty")
    num, num_clusters = shapes["head"][0], shapes["vectors"][0]
    if num < num_clusters:
        raise ValueError(f"head_r2: found {num} rows and {num_clusters} clusters, wanted a row for every cluster")
    num_fit = num // 2
    if split == "clusters":
        num_fit = int((np.arange(num) % num_clusters < num_clusters // 2).sum())
    if split != "none":
        check_sides("head_r2", num_fit, num)
    rows, truth = (apart if fit_intercept else unmoved)("head_r2", head=head, vectors=vectors)
    return _head_r2(rows, truth, None if split == "none" else num_fit, split == "clusters", fit_intercept)


@functools.partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def _head_r2(rows, truth, num_fit, by_cluster, fit_intercept):
    clusters = np.arange(rows.shape[0]) % truth.shape[0]
    if by_cluster:
        order = np.argsort(clusters >= truth.shape[0] // 2, kind="stable")
        rows, clusters = rows[order], clusters[order]
    return fitted_r2(rows, truth[clusters], num_fit, fit_intercept=fit_intercept)
