"""What the estimators ask of their arrays."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def check_pairs(where: str, pairs):
    """Returns the pairs as an array; raises `ValueError` unless they are [N, 2, d_y], finite where concrete."""
    shape = np.shape(pairs)
    if len(shape) != 3 or shape[1] != 2 or 0 in shape:
        raise ValueError(f"{where}: found pairs of shape {shape}, wanted [N, 2, d_y] with N, d_y >= 1")
    require_finite(where, "pairs", pairs)
    return jnp.asarray(pairs)


def per_sample(where: str, name: str, values, count: int, dim: int, *, positive: bool = False):
    """Returns values [count, dim] of every sample, given so or as [dim] for all; positive where asked for."""
    shape = np.shape(values)
    if shape not in ((dim,), (count, dim)):
        raise ValueError(f"{where}: found {name} of shape {shape}, wanted [{count}, {dim}] or [{dim}]")
    (require_positive if positive else require_finite)(where, name, values)
    return jnp.broadcast_to(jnp.asarray(values).reshape(-1, dim), (count, dim))


def require_finite(where: str, name: str, values) -> None:
    """Raises `ValueError` if concrete values are not all finite."""
    if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
        count = int((~np.isfinite(np.asarray(values))).sum())
        raise ValueError(f"{where}: found {count} non-finite values in {name}, wanted finite numbers")


def require_positive(where: str, name: str, values) -> None:
    """Raises `ValueError` unless concrete values are all finite and positive."""
    require_finite(where, name, values)
    if not isinstance(values, Tracer) and not (np.asarray(values) > 0).all():
        raise ValueError(f"{where}: found {name} down to {np.min(values):g}, wanted positive numbers")
