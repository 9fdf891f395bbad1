"""Linear independent component analysis by fixed-point iteration, inside compiled programs."""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Key

from identax.checks import check_between, check_choice, check_count, check_finite, concrete
from identax.inputs import centred, numbers
from identax.metrics._samples import Samples, check_samples
from identax.numerics import inverse_root, pca_whitening
from identax.rng import stream

CONTRASTS = ("logcosh", "exp", "cube")
_HIGHEST = jax.lax.Precision.HIGHEST
_RCOND = 1e-6  # of `column_space`
_FAR = 30  # binary digits from 1, beyond which sums of squares and their inverses may leave the range of a float


class FastICA(NamedTuple):
    """`sources` [N, n] = (x - mean) `components`^T at mean 0 and variance 1; `components` [n, m]; `whitening` [n, m]
    before the rotation; `num_steps` taken; `change`, the largest 1 - |cos| between the last two of a row, which is
    below the tolerance if it converged.
    """

    sources: Any
    components: Any
    whitening: Any
    num_steps: Any
    change: Any


def fast_ica(
    x: Samples,
    *,
    num_components: int | None = None,
    key: Key[Array, ""] | None = None,
    start: Samples | None = None,
    contrast: str = "logcosh",
    alpha: Any = 1.0,
    tolerance: Any = 1e-4,
    max_steps: int = 200,
) -> FastICA:
    """Symmetric FastICA of x [N, m] with `num_components` n (by default m): `FastICA`.

        z = K (x - mean),    W <- (A A^T)^(-1/2) A,    A = E[g(W z) z^T] - diag E[g'(W z)] W,    sources = W z

    K whitens by principal components. g by `contrast`: "logcosh" tanh(alpha y), "exp" y exp(-y^2 / 2), "cube" y^3. Ends
    when no row of W turns by more than `tolerance` (1 - |cos|), or after `max_steps`. W starts from `start` [n, n], or
    standard normal drawn from `key` (without one, from key 0). Sources come in any order and sign.
    From one `start` equal to scikit-learn's `FastICA` (parallel, unit variance), its `components_` and, over sqrt(N),
    `whitening_` included. Jittable and mappable; only inside compiled programs are inputs of too small a rank NaN.
    Raises `ValueError` for x that is not [N, m] with N >= 2, values that are not finite, a constant column, a rank
    (to a millionth of the columns' sizes) below n, an n outside 1..m, a start of another shape, both of key and start,
    an unknown contrast, alpha outside 1..2, a negative tolerance and max_steps < 1.
    Source: Hyvarinen 1999, "Fast and robust fixed-point algorithms for independent component analysis".
    """
    check_choice("fast_ica", "contrast", contrast, CONTRASTS)
    check_between("fast_ica", "alpha", alpha, 1, 2, ())
    check_between("fast_ica", "tolerance", tolerance, 0, 1, ())
    check_count("fast_ica", "max_steps", max_steps)
    x = numbers("fast_ica", "x", x)
    check_samples("fast_ica", x=x)
    check_finite("fast_ica", "x", x)
    num = x.shape[1] if num_components is None else num_components
    check_count("fast_ica", "num_components", num)
    if num > x.shape[1]:
        raise ValueError(f"fast_ica: found num_components={num} for {x.shape[1]} columns, wanted at most as many")
    (moved,) = centred("fast_ica", x=x)
    _check_rank(x, moved, num)
    w = _start(key, start, num, moved.dtype)
    return _fit(moved, w, jnp.asarray(alpha, moved.dtype), jnp.asarray(tolerance, moved.dtype), max_steps, contrast)


def compiled_fast_ica(x: Array, key: Key[Array, ""]) -> Array:
    """`fast_ica(x, key=key).sources` of floats [N, m] without checks: NaN where it does not exist."""
    limit = jnp.asarray(1e-4, x.dtype)
    start = _start(key, None, x.shape[1], x.dtype)
    return _fit(x, start, jnp.ones((), x.dtype), limit, 200, "logcosh").sources


def _whitened(x, num):
    """Columns centred and mapped onto `num` principal components of variance 1 [N, num], the map, and if they exist."""
    x = x - jnp.mean(x, axis=0, keepdims=True)
    size = jnp.max(jnp.abs(x))
    exponent = jnp.where(jnp.isfinite(size) & (size > 0), jnp.frexp(size)[1], 0)
    exponent = jnp.where(jnp.abs(exponent) > _FAR, exponent, 0)
    x = jnp.ldexp(x, -exponent)
    matrix, exist = pca_whitening(x, num)
    return jnp.matmul(x, matrix.T, precision=_HIGHEST), jnp.ldexp(matrix, -exponent), exist


def _start(key, start, num, dtype):
    if start is None:
        key = jax.random.key(0) if key is None else key
        return jax.random.normal(stream(key, "fast_ica"), (num, num), dtype)
    if key is not None:
        raise ValueError("fast_ica: found both key and start, wanted one of them")
    start = numbers("fast_ica", "start", start)
    if start.shape != (num, num):
        raise ValueError(f"fast_ica: found start of shape {start.shape}, wanted {(num, num)}")
    check_finite("fast_ica", "start", start)
    return jnp.asarray(start, dtype)


@functools.partial(jax.jit, static_argnums=(4, 5), inline=True)
def _fit(x, start, alpha, tolerance, max_steps, contrast) -> FastICA:
    z, whitening, exist = _whitened(x, start.shape[0])
    start = _decorrelated(start)

    def unfinished(carry):
        _, step, change = carry
        return (step < max_steps) & (change >= tolerance)  # NaN ends it

    def update(carry):
        w, step, _ = carry
        value, slope = _slopes(jnp.matmul(w, z.T, precision=_HIGHEST), alpha, contrast)
        moved = jnp.matmul(value, z, precision=_HIGHEST) / len(z) - slope[:, None] * w
        moved = _decorrelated(moved)
        change = jnp.max(jnp.abs(jnp.abs(jnp.sum(moved * w, axis=1)) - 1))
        return moved, step + 1, change

    first = start, jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, x.dtype)
    w, steps, change = cast(Any, jax.lax.while_loop(unfinished, update, first))
    w = jnp.where(exist, w, jnp.nan)
    sources = jnp.matmul(z, w.T, precision=_HIGHEST)
    spread = jnp.std(sources, axis=0)
    components = jnp.matmul(w / spread[:, None], whitening, precision=_HIGHEST)
    return FastICA(sources / spread[None, :], components, whitening, steps, change)


def _slopes(y, alpha, contrast):
    """g(y) [n, N] and the means of g'(y) [n]."""
    if contrast == "logcosh":
        value = jnp.tanh(alpha * y)
        return value, jnp.mean(alpha * (1 - value * value), axis=1)
    if contrast == "cube":
        return y**3, jnp.mean(3 * y * y, axis=1)
    density = jnp.exp(-y * y / 2)
    return y * density, jnp.mean((1 - y * y) * density, axis=1)


def _decorrelated(w):
    return jnp.matmul(inverse_root(jnp.matmul(w, w.T, precision=_HIGHEST)), w, precision=_HIGHEST)


def _check_rank(x, moved, num):
    """Raises `ValueError` for constant columns and too small a rank, where values are known."""
    known = concrete(moved)
    if known is None:
        return
    known = known.astype(float)
    known = known - known.mean(axis=0)
    size = np.abs(known).max(axis=0)
    eps = float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.floating) else 0.0
    constant = size <= 4 * eps * np.abs(np.asarray(concrete(x), float)).max(axis=0)
    if constant.any():
        raise ValueError(f"fast_ica: found a constant column {int(np.argmax(constant))} of x, wanted columns that vary")
    triangle = scipy.linalg.qr(known / np.linalg.norm(known / size, axis=0) / size, mode="r", pivoting=True)[0]
    rank = int((np.abs(np.diagonal(triangle)) > _RCOND).sum())
    if rank < num:
        raise ValueError(f"fast_ica: found x of rank {rank} after centring, wanted at least num_components={num}")
