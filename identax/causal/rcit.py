"""The randomised conditional independence test: random Fourier features in place of kernels, for many samples."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from identax.causal._samples import Data, Prepared, columns_of, warn_of_few
from identax.causal.kernels import median_precision, squared_distances, standardised
from identax.causal.outcomes import IndependenceTest, gamma_test
from identax.checks import check_count, check_key
from identax.numerics import product
from identax.rng import stream

_MEDIAN_ROWS = 500
_RIDGE = {4: 1e-4, 8: 1e-10}
"""by the bytes of a float: features of z depend on each other to rounding"""


def rcit_test(
    x: Data, y: Data, z: Data | None = None, *, key: Key[Array, ""], num_features: int = 5, num_features_z: int = 100
) -> IndependenceTest:
    """Is x independent of y given z? Correlations of random Fourier features, those of z regressed out.

        f(a) = sqrt 2 cos(W a + b), standardised, of x (num_features), (y, z) (num_features) and z (num_features_z)
        e_x = f_x - C_xz (C_zz + ridge I)^-1 f_z, e_y alike,   S = n |cov(e_x, e_y)|_F^2
        null law of S: sum_k lambda_k chi^2_1, lambda of the covariance of all products e_x,i e_y,j; by a gamma law of
        its mean tr Sigma and variance 2 tr Sigma^2

    Args: `x` [n] or [n, p], `y` [n] or [n, q], `z` [n] or [n, k] (None: features of x and y alone), one row per
    independent sample; `key` draws the features: another one gives another p. The bandwidth is the median distance of
    the first 500 rows. O(n num_features_z^2), no n x n array. p = 1 where x or y is constant; constant z: no z.
    Two moments fit the upper tail: 4 to 6 % of p fall below .05 under independence (200 to 300 data sets of 200 and
    1,000 samples), but the .9 quantile of p is .81.
    ridge: 1e-10 in float64, 1e-4 in float32. Raises `ValueError` for other shapes, n < 6, non-finite entries and
    numbers of features < 1; warns below 20 samples.
    Source: Strobl, Zhang, Visweswaran 2019 (sections 4-6; there the null law by a fit of more moments).
    """
    options = {"key": key, "num_features": num_features, "num_features_z": num_features_z}
    return rcit_of(*prepared_rcit("rcit_test", x, y, z, **options))


def prepared_rcit(where, x, y, z, *, key: Any = None, num_features=5, num_features_z=100, batched=False) -> Prepared:
    """Checks what `rcit_test` is given; `batched`: a leading axis of data sets, each with a key of its own."""
    columns = columns_of(where, x, y, z, batched=batched)
    warn_of_few(where, x, columns[0].shape[int(batched)])
    check_count(where, "num_features", num_features)
    check_count(where, "num_features_z", num_features_z)
    check_key(where, key)
    keys = jax.random.split(key, columns[0].shape[0]) if batched else key
    return Prepared([*columns, keys], (), (num_features, num_features_z))


@partial(jax.jit, static_argnums=2, inline=True)
def rcit_of(samples, _, static) -> IndependenceTest:
    """`rcit_test` of what `prepared_rcit` returns."""
    (x, x_varies), (y, y_varies), (z, z_varies) = map(standardised, samples[:3])
    key, (few, many) = samples[3], static
    e_x = _features(stream(key, "x"), x, few)
    e_y = _features(stream(key, "y"), y, few, z)
    if z.shape[1]:
        f_z = _features(stream(key, "z"), z, many) * z_varies.any().astype(z.dtype)
        ridge = _RIDGE[z.dtype.itemsize] * jnp.eye(many, dtype=z.dtype)
        factor = jnp.linalg.cholesky(_covariance(f_z, f_z) + ridge)
        both = jnp.concatenate([e_x, e_y], axis=1)
        both = both - product(f_z, jax.scipy.linalg.cho_solve((factor, True), _covariance(f_z, both)))
        e_x, e_y = both[:, :few], both[:, few:]
    num = e_x.shape[0]
    statistic = num * (_covariance(e_x, e_y) ** 2).sum()
    products = (_centred(e_x)[:, :, None] * _centred(e_y)[:, None, :]).reshape(num, -1)
    sigma = _covariance(products, products)
    certain = ~(x_varies.any() & y_varies.any())
    return gamma_test(statistic, jnp.trace(sigma), 2 * (sigma * sigma).sum(), certain)


def _features(key, columns, count, *others):
    """[n, count], of mean 0 and variance 1; constant columns among the others change nothing."""
    parts = (columns, *others)
    distances = squared_distances(jnp.concatenate(parts, axis=1)[:_MEDIAN_ROWS])
    precision = 2 * median_precision(distances)  # sigma is the median itself
    waves = jax.random.uniform(stream(key, "phase"), (1, count), columns.dtype, maxval=2 * np.pi)
    for number, part in enumerate(parts):
        draw = jax.random.normal(stream(key, f"frequency {number}"), (part.shape[1], count), columns.dtype)
        waves = waves + jnp.sqrt(precision) * product(part, draw)
    return standardised(jnp.cos(waves))[0]


def _centred(columns):
    return columns - columns.mean(axis=0)[None, :]


def _covariance(left, right):
    return product(_centred(left).T, _centred(right)) / (left.shape[0] - 1)
