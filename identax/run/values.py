"""What a study may measure: real arrays by name, nested dicts of them, and pairs (sum, weight)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

SEPARATOR = "/"


def flat_metrics(metrics: Any, where: str = "metrics") -> dict[str, Any]:
    """Nested dicts as one dict with names "outer/inner"; what JSON rows cannot hold is refused by name.

    Leaves are arrays, numbers or abstract shapes; a pair (sum, weight) of two of them stays a pair. Raises `ValueError`
    for anything but a dict with texts as names, complex or non-numeric values, pairs of unequal shapes, and two
    entries of one flat name.
    """
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{where}: found {type(metrics).__name__}, wanted a dict of metrics by name")
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: found a metric called {name!r}, wanted a non-empty text")
        if isinstance(value, Mapping):
            inner = flat_metrics(value, f"{where}/{name}")
            found = {f"{name}{SEPARATOR}{key}": entry for key, entry in inner.items()}
        else:
            _check(f"{where}: metric {name!r}", value)
            found = {name: value}
        if found.keys() & flat.keys():
            raise ValueError(f"{where}: found the metric {sorted(found.keys() & flat.keys())[0]!r} twice")
        flat |= found
    return flat


def _check(what: str, value: Any) -> None:
    if is_weighted(value):
        for part in value:
            _check(what, part)
        if np.shape(value[0]) != np.shape(value[1]):
            raise ValueError(
                f"{what}: found a sum of shape {np.shape(value[0])} with a weight of shape {np.shape(value[1])},"
                " wanted one shape"
            )
        return
    kind = getattr(value, "dtype", None)
    if kind is None and not isinstance(value, bool | int | float | complex | list | np.generic):
        raise ValueError(f"{what}: found {type(value).__name__}, wanted an array, a number or a pair (sum, weight)")
    kind = kind if kind is not None else np.asarray(value).dtype
    if jnp.issubdtype(kind, jnp.complexfloating):
        raise ValueError(f"{what}: found {kind}, wanted real values (return its real and imaginary part apart)")
    if not (jnp.issubdtype(kind, jnp.number) or jnp.issubdtype(kind, jnp.bool_)):
        raise ValueError(f"{what}: found {kind}, wanted numbers")


def is_weighted(value: Any) -> bool:
    """Whether a metric is a pair (sum, weight)."""
    return isinstance(value, tuple) and len(value) == 2


def ratio(total: Any, weight: Any) -> Any:
    """sum / weight as NumPy floats; NaN, not 0, where nothing was weighed."""
    total, weight = np.asarray(total, float), np.asarray(weight, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight == 0, np.nan, total / weight)
