"""The Hilbert-Schmidt independence criterion as a test."""

from functools import partial

import jax
import jax.numpy as jnp

from identax.causal._samples import Bandwidth, Data, Prepared, columns_of, warn_of_few
from identax.causal.kernels import centred_gram, median_square_precision, precisions_of, squared_distances, standardised
from identax.causal.outcomes import IndependenceTest, gamma_test

_RULES, _MEDIAN_ROWS = ("median",), 100


def hsic_test(x: Data, y: Data, *, bandwidth: Bandwidth = "median") -> IndependenceTest:
    """Is x independent of y? HSIC with the gamma approximation of its null law, whose mean and variance are unbiased.

        S = sum(HKH o HLH) / n,    K, L = exp(-d^2 / (2 sigma^2)) of standardised columns,   H = I - 1 1'/n
        mean = (1 + mu_x mu_y - mu_x - mu_y) / n,   mu the means of K, L off the diagonal, times n for S
        variance = 72 (n-4)(n-5) / (n(n-1)(n-2)(n-3)) times the mean off the diagonal of (HKH o HLH / 6)^2

    Args: `x` [n] or [n, p], `y` [n] or [n, q], one row per independent sample. `bandwidth`: "median" (sigma^2 half the
    median of the squared distances of the first 100 rows) or sigma, one number or one each, which may be traced.
    p = 1 where x or y is constant. O(n^2). Raises `ValueError` for other shapes, n < 6, non-finite entries and
    bandwidths <= 0; warns below 20 samples.
    Source: Gretton, Fukumizu, Teo, Song, Schoelkopf, Smola 2008 (theorems 3 and 4, equation 9).
    """
    return hsic_of(*prepared_hsic("hsic_test", x, y, bandwidth=bandwidth))


def prepared_hsic(where, x, y, *, bandwidth: Bandwidth = "median", batched=False) -> Prepared:
    """Checks what `hsic_test` is given; `batched`: a leading axis of data sets."""
    columns = columns_of(where, x, y, batched=batched)[:2]
    warn_of_few(where, x, columns[0].shape[int(batched)])
    precisions, _ = precisions_of(where, bandwidth, ("x", "y"), _RULES)
    return Prepared(columns, precisions, ())


@partial(jax.jit, static_argnums=2, inline=True)
def hsic_of(columns, precisions, _) -> IndependenceTest:
    """`hsic_test` of what `prepared_hsic` returns."""
    scaled = [standardised(each) for each in columns]
    distances = [squared_distances(each) for each, _ in scaled]
    if precisions is None:
        used = [median_square_precision(each[:_MEDIAN_ROWS, :_MEDIAN_ROWS]) for each in distances]
    else:
        used = list(precisions.astype(columns[0].dtype))
    kernels = [jnp.exp(-0.5 * precision * each) for each, precision in zip(distances, used, strict=True)]
    num = kernels[0].shape[0]
    product = centred_gram(kernels[0]) * centred_gram(kernels[1])
    squares = (product / 6) ** 2
    pairs = num * (num - 1)
    variance = (squares.sum() - jnp.trace(squares)) / pairs
    variance = 72 * (num - 4) * (num - 5) / (pairs * (num - 2) * (num - 3)) * variance
    first, second = ((kernel.sum() - num) / pairs for kernel in kernels)
    mean = (1 + first * second - first - second) / num
    certain = ~(scaled[0][1].any() & scaled[1][1].any())
    return gamma_test(product.sum() / num, num * mean, num * num * variance, certain)
