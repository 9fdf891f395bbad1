"""Linear readout of factors from features, scored by correlation: on the host, or inside compiled programs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice
from identax.inputs import numbers
from identax.metrics._matching import correlations
from identax.metrics._samples import Samples, apart, matrices, unmoved, warn_of_few
from identax.metrics.regression import least_squares

SOLVERS = ("least_squares", "published")
_CHUNK = 8192  # rows reduced at once; bounds memory only


def pearson_readout(
    features: Samples,
    targets: Samples,
    test_features: Samples | None = None,
    test_targets: Samples | None = None,
    *,
    solver: str = "least_squares",
) -> Float[np.ndarray, "..."]:
    """Correlation of every factor with its linear readout: [k], or one number for targets [N].

        beta = argmin |X beta - y|^2,    r = corr(y_test, X_test beta)

    Without intercept and without centring the features; y is standardised by its population standard deviation.
    `solver` "least_squares": the solution of smallest norm in float64, by a QR of chunks of rows followed by an SVD of
    its small factor; "published": (X^T X)^+ X^T y in float32 with cut-off 1e-15, which amplifies rounding where
    features are nearly collinear (pixels) and is there for comparison only.
    Args: `features` [N, m], `targets` [N, k] or [N]; scored on the test arrays, or on the same ones without them. To be
    called outside compiled programs, on known values. A readout or factor that is constant scores 0.
    Raises `ValueError` for an unknown solver, shapes that do not fit, and values that are not finite.
    Source: Reizinger et al. 2025, table 4 and code.
    """
    check_choice("pearson_readout", "solver", solver, SOLVERS)
    if (test_features is None) != (test_targets is None):
        raise ValueError("pearson_readout: found one of test_features and test_targets, wanted both or none")
    x, y = _checked("", features, targets)
    seen_x, seen_y = (x, y) if test_features is None else _checked("test_", test_features, test_targets)
    if seen_x.shape[1] != x.shape[1] or seen_y.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"pearson_readout: found test arrays {seen_x.shape}, {seen_y.shape} for {x.shape}, {y.shape}, "
            "wanted the same features and factors"
        )
    flat = _centred(y.reshape(len(y), -1))
    spread = flat.std(axis=0)
    standard = flat / np.where(spread > 0, spread, 1.0)
    if solver == "least_squares":
        beta = _least_squares(x, standard)
        readout = np.concatenate([part.astype(float) @ beta for part in _chunks(seen_x)])
    else:
        single, standard = x.astype(np.float32), standard.astype(np.float32)
        beta = np.linalg.pinv(single.T @ single, rcond=1e-15) @ single.T @ standard
        readout = seen_x.astype(np.float32) @ beta
    wanted = seen_y.reshape(len(seen_y), -1)
    return _correlation(readout.astype(float), wanted).reshape(y.shape[1:])


def compiled_pearson_readout(
    features: Samples, targets: Samples, test_features: Samples, test_targets: Samples
) -> Float[Array, " k"]:
    """`pearson_readout` with its accurate solver inside compiled programs, many in one: the same numbers [k].

    Directions of negligible size are ignored as in `linear_r2`; values that are not finite give NaN.
    Args: `features` [N, m], `targets` [N, k], and the same of M test samples.
    Raises `ValueError` for shapes that do not fit, and features that float32 would rob of their digits.
    """
    where = "compiled_pearson_readout"
    features, targets = matrices(where, features=features, targets=targets)
    test_features, test_targets = matrices(where, test_features=test_features, test_targets=test_targets)
    if test_features.shape[1] != features.shape[1] or test_targets.shape[1] != targets.shape[1]:
        raise ValueError(
            f"{where}: found test arrays {test_features.shape}, {test_targets.shape} for {features.shape}, "
            f"{targets.shape}, wanted the same features and factors"
        )
    warn_of_few(where, features=features, targets=targets)
    features, test_features = unmoved(where, features=features, test_features=test_features)
    return _readout(features, *apart(where, targets=targets), test_features, *apart(where, test_targets=test_targets))


@functools.partial(jax.jit, inline=True)
def _readout(features, targets, test_features, test_targets):
    spread = jnp.std(targets, axis=0, keepdims=True)
    standard = (targets - jnp.mean(targets, axis=0, keepdims=True)) / jnp.where(spread > 0, spread, 1.0)
    weights = least_squares(features, standard)
    readout = jnp.matmul(test_features, weights, precision=jax.lax.Precision.HIGHEST)
    return jnp.diagonal(correlations(test_targets, readout, ranked=False))


def _least_squares(x, y):
    factor = np.zeros((0, x.shape[1] + y.shape[1]))
    for part, target in zip(_chunks(x), _chunks(y), strict=True):
        stacked = np.concatenate([factor, np.concatenate([part.astype(float), target], axis=1)])
        factor = np.asarray(np.linalg.qr(stacked, mode="r"))
    cutoff = max(x.shape) * float(np.finfo(float).eps)
    return np.linalg.lstsq(factor[:, : x.shape[1]], factor[:, x.shape[1] :], rcond=cutoff)[0]


def _chunks(x):
    return [x[start : start + _CHUNK] for start in range(0, len(x), _CHUNK)]


def _correlation(a, b):
    a, b = _centred(a), _centred(b)
    a, b = (v / np.where(np.abs(v).max(axis=0) > 0, np.abs(v).max(axis=0), 1.0) for v in (a, b))
    sizes = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return (a * b).sum(axis=0) / np.where(sizes > 0, sizes, 1.0)


def _centred(values):
    """Columns less their means in float64, exactly 0 where they are constant: their mean is rounded."""
    moved = values.astype(float) - values[:1].astype(float)
    return moved - moved.mean(axis=0)


def _checked(prefix, features, targets):
    x = np.asarray(numbers("pearson_readout", f"{prefix}features", features))
    y = np.asarray(numbers("pearson_readout", f"{prefix}targets", targets))
    if x.ndim != 2 or y.ndim not in (1, 2) or 0 in (*x.shape, *y.shape) or len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"pearson_readout: found {prefix}features {x.shape} and {prefix}targets {y.shape}, "
            "wanted [N, m] and [N, k] or [N] with N >= 2"
        )
    for name, values in (("features", x), ("targets", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"pearson_readout: found {prefix}{name} with values that are not finite, wanted numbers")
    return x, y
