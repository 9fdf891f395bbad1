"""The kernel conditional independence test, without eigenvectors."""

from functools import partial

import jax
import jax.numpy as jnp

from identax.causal._samples import Bandwidth, Data, Prepared, columns_of, warn_of_few
from identax.causal.kernels import MEDIAN_ROWS, gram, median_precision, precisions_of, squared_distances, standardised
from identax.causal.outcomes import IndependenceTest, gamma_test
from identax.causal.residuals import SOLVERS, residual_kernels
from identax.checks import check_choice, check_positive
from identax.inputs import numbers

NAMES, RULES = ("x", "y", "z"), ("empirical", "median")
_WIDTHS = {"conditional": (1.2, 0.7, 0.4), "unconditional": (0.8, 0.5, 0.3)}
"""of n < 200, n < 1200 and n beyond"""


def kci_test(
    x: Data,
    y: Data,
    z: Data | None = None,
    *,
    bandwidth: Bandwidth = "empirical",
    ridge: Data = 1e-3,
    solver: str = "auto",
) -> IndependenceTest:
    """Is x independent of y given z? Kernel test with the gamma approximation of its null law.

        K_a = H exp(-|a_i - a_j|^2 / (2 sigma_a^2)) H  of standardised columns (divisor n - 1),   H = I - 1 1'/n
        without z:  S = sum(K_x o K_y),  mean = tr K_x tr K_y / n,  variance = 2 |K_x|^2 |K_y|^2 / n^2
        given z:    R = ridge (K_z + ridge I)^-1,  A = R K_(x, z/2) R,  B = R K_y R,
                    S = sum(A o B),  mean = sum_t A_tt B_tt,  variance = 2 sum (A o B)^2

    Args: `x` [n] or [n, p], `y` [n] or [n, q], `z` [n] or [n, k] (None: plain independence), one row per independent
    sample. `bandwidth`: "empirical" (sigma = w sqrt k for all three given z, w / sqrt d else, w by n), "median" (of
    sqrt 2 times the distances of the first 1000 rows of each), or sigma in units of the standardised columns: a number,
    or three for (x, z/2), y and z; numbers may be traced. Not symmetric given z: only x is joined by z/2. `solver`
    "auto": K_z from the at most 72 columns of a pivoted Cholesky factorisation where they are all of it to rounding
    (they are for one column of z), else and by "cholesky" the full one, in a branch that a `vmap` runs both ways of.
    Constant columns of z condition on nothing: with no others the test is the unconditional one, and they do not count
    in k. p = 1 where x or y is constant. The moments are those of the reference implementations with all eigenvalues;
    some drop those below 1e-5 of the largest, which moves p by up to 4e-5. Cost O(n^3) given z by
    Cholesky, else O(n^2); about six n x n arrays. In float32 p is off by up to some 1e-2 given z.
    Raises `ValueError` for other shapes, n < 6, non-finite entries and bandwidths <= 0; warns below 20 samples.
    Source: Zhang, Peters, Janzing, Schoelkopf 2011 (sections 3.2-3.4).
    """
    return kci_of(*prepared_kci("kci_test", x, y, z, bandwidth=bandwidth, ridge=ridge, solver=solver))


def prepared_kci(
    where, x, y, z, *, bandwidth: Bandwidth = "empirical", ridge: Data = 1e-3, solver="auto", batched=False
) -> Prepared:
    """Checks what `kci_test` is given; `batched`: a leading axis of data sets."""
    columns = columns_of(where, x, y, z, batched=batched)
    warn_of_few(where, x, columns[0].shape[int(batched)])
    check_choice(where, "solver", solver, SOLVERS)
    check_positive(where, "ridge", ridge, ())
    precisions, rule = precisions_of(where, bandwidth, NAMES, RULES)
    return Prepared(
        columns, (precisions, jnp.asarray(numbers(where, "ridge", ridge), columns[0].dtype)), (rule, solver)
    )


@partial(jax.jit, static_argnums=2, inline=True)
def kci_of(columns, options, static) -> IndependenceTest:
    """`kci_test` of what `prepared_kci` returns, z of no columns: unconditional."""
    (x, x_varies), (y, y_varies), (z, z_varies) = map(standardised, columns)
    (precisions, ridge), (rule, solver) = options, static
    certain = ~(x_varies.any() & y_varies.any())
    given = z.shape[1] > 0
    distances = [squared_distances(jnp.concatenate([x, z / 2], axis=1) if given else x), squared_distances(y)]
    if rule == "empirical":
        used = _empirical(x.shape, y.shape[1], z_varies, x.dtype)
    elif rule == "median":
        used = [median_precision(each) for each in (*distances, squared_distances(z[:MEDIAN_ROWS]))]
    else:
        used = list(precisions.astype(x.dtype))
    kernels = [gram(each, precision) for each, precision in zip(distances, used, strict=False)]
    plain = _unconditional(kernels[0], kernels[1])
    if not given:
        return gamma_test(*plain, certain)
    conditional = _moments(*residual_kernels(kernels[0], kernels[1], z, used[2], ridge, solver))
    statistic, mean, variance = jax.tree.map(partial(jnp.where, z_varies.any()), conditional, plain)
    return gamma_test(statistic, mean, variance, certain)


def _empirical(shape, q, z_varies, dtype):
    """1 / sigma^2 of x, y and z by the rule of thumb of the number of samples."""
    num, p = shape
    place = int(num >= 200) + int(num >= 1200)
    plain, given = (_WIDTHS[name][place] ** -2 for name in ("unconditional", "conditional"))
    if not z_varies.shape[0]:
        return [jnp.asarray(plain * p, dtype), jnp.asarray(plain * q, dtype)]
    count = z_varies.sum().astype(dtype)
    shared = given / jnp.maximum(count, 1)
    return [jnp.where(count > 0, shared, plain * p), jnp.where(count > 0, shared, plain * q), shared]


def _unconditional(kernel_x, kernel_y):
    num = kernel_x.shape[0]
    mean = jnp.trace(kernel_x) * jnp.trace(kernel_y) / num
    variance = 2 * (kernel_x * kernel_x).sum() * (kernel_y * kernel_y).sum() / num**2
    return (kernel_x * kernel_y).sum(), mean, variance


def _moments(left, right):
    product = left * right
    return product.sum(), jnp.trace(product), 2 * (product * product).sum()
