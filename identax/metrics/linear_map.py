"""The linear map between truth and estimate itself: its singular values, and how a head's rows lie in it."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_choice
from identax.metrics._matching import Samples, as_floats, check_samples
from identax.metrics.regression import all_finite, least_squares, linear_r2, r2_on_others

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
    check_samples("singular_value_error", inputs=inputs, targets=targets)
    inputs, targets = as_floats(inputs, targets)
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


def head_r2(
    head: Samples, vectors: Samples, *, fit_intercept: bool = True, split: str = "half"
) -> Float[Array, ""]:
    """R^2 of the linear map from the rows of a head to the vectors of their clusters, v_(i mod C).

    `split` "half": fitted on the first N // 2 rows, scored on the others, as published; both halves then hold the same
    clusters wherever N >= 2C. "clusters": fitted on the rows of the first C // 2 clusters, scored on those of clusters
    that were not seen. "none": fitted and scored on all rows.
    Args: `head` [N, m], `vectors` [C, d], N >= C.
    Raises `ValueError` for an unknown split, N < C, and fewer than 2 rows on either side of the split.
    Source: Reizinger et al. 2025, tables 2 and 5.
    """
    check_choice("head_r2", "split", split, HEAD_SPLITS)
    num, num_clusters = np.shape(head)[0], np.shape(vectors)[0]
    if num < num_clusters:
        raise ValueError(f"head_r2: found {num} rows and {num_clusters} clusters, wanted a row for every cluster")
    clusters = np.arange(num) % num_clusters
    rows, truth = as_floats(head, vectors)
    check_samples("head_r2", head=rows, vectors=truth[clusters])
    if split == "none":
        return linear_r2(rows, truth[clusters], fit_intercept=fit_intercept)
    num_fit = num // 2
    if split == "clusters":
        seen = clusters < num_clusters // 2
        order = np.argsort(~seen, kind="stable")
        rows, clusters, num_fit = rows[order], clusters[order], int(seen.sum())
    return jnp.mean(r2_on_others(rows, truth[clusters], num_fit, fit_intercept=fit_intercept))
