"""Variability in numbers: ranks that nonlinear ICA asks for, and where linear causal discovery sees nothing."""

from typing import Any

import numpy as np

from identax.checks import check_finite, check_nonnegative, check_positive
from identax.inputs import numbers


def parameter_rank(natural_parameters: Any, *, rtol: float | int = 1e-6) -> int:
    """Rank of the differences lambda(u) - lambda(u_1), of natural parameters [K, n] or [K, n, k] in K segments.

    Time-contrastive learning needs n of [K, n], one statistic per source; iVAE n k of [K, n, k]. At most K - 1, so
    both need a segment more than parameters. In float64 on known values; columns are scaled to their largest entry, and
    singular values below `rtol` times the largest count as 0.
    Raises `ValueError` for other shapes, entries that are not finite and rtol outside [0, 1).
    Source: Hyvarinen and Morioka 2016, theorem 1; Khemakhem et al. 2020, theorem 1.
    """
    values = np.asarray(numbers("parameter_rank", "natural_parameters", natural_parameters), np.float64)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise ValueError(f"parameter_rank: found natural parameters {values.shape}, wanted [K, n] or [K, n, k]")
    check_finite("parameter_rank", "natural_parameters", values)
    return _rank("parameter_rank", values.reshape(len(values), -1), rtol)


def gcl_variability(first: Any, second: Any, *, rtol: float | int = 1e-6) -> int:
    """Rank of w(u) - w(u_0), w(u) = (dq_i/ds_i, d2q_i/ds_i2)_i at one point s, of log densities q_i(s_i | u).

    Generalised contrastive learning needs 2n: K >= 2n + 1 values u of the auxiliary variable. `first`, `second` [K, n]:
    the two derivatives. Families of one statistic stop at n: for scales of a Laplace law the second is 0, for variances
    of a Gaussian the two are proportional. Raises `ValueError` for unequal shapes, other than [K, n], entries that are
    not finite and rtol outside [0, 1). Source: Hyvarinen, Sasaki and Turner 2019, theorem 1.
    """
    parts = [
        np.asarray(numbers("gcl_variability", name, value), np.float64)
        for name, value in (("first", first), ("second", second))
    ]
    shapes = [part.shape for part in parts]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise ValueError(f"gcl_variability: found derivatives {shapes[0]} and {shapes[1]}, wanted both [K, n]")
    for name, part in zip(("first", "second"), parts, strict=True):
        check_finite("gcl_variability", name, part)
    return _rank("gcl_variability", np.concatenate(parts, axis=1), rtol)


def _rank(where, values, rtol):
    """Of the rows less the first."""
    check_nonnegative(where, "rtol", rtol, ())
    if rtol >= 1:
        raise ValueError(f"{where}: found rtol={rtol}, wanted it in [0, 1)")
    size = np.abs(values).max(axis=0)
    scaled = values / np.where(size > 0, size, 1.0)
    differences = scaled[1:] - scaled[:1]
    if not differences.size:
        return 0
    singular = np.linalg.svd(differences, compute_uv=False)
    return int((singular > max(rtol * singular[0], 8 * np.finfo(float).eps)).sum())


def second_order_dependence(a: Any, b: Any, cause_spread: Any, mechanism_spread: Any) -> np.ndarray:
    """Cov(Y1, X2 | Y2) of a linear pair X -> Y: what a test of second moments has to find, in the data's units squared.

        a b^2 [ (tau_c^2/3) v_m - v_c (tau_m^2/3) ] / (a^2 v_c + b^2 v_m),    v = tau^2/3 + 2

    X = n_c, Y = a n_c + b n_m with Laplace(0, 1) noise about locations U(-tau, tau), common to samples 1 and 2
    (`dgp.laplace_pair`). It vanishes where both spreads are equal, although both mechanisms vary: unfaithful to second
    order, and a method that sees no more finds directions by chance. Elementwise, float64.
    Raises `ValueError` for spreads < 0 or not finite, and unless b != 0. Source: derived here by conditioning.
    """
    where = "second_order_dependence"
    named = {"a": a, "b": b, "cause_spread": cause_spread, "mechanism_spread": mechanism_spread}
    a, b, c, m = (np.asarray(numbers(where, name, value), np.float64) for name, value in named.items())
    check_nonnegative(where, "cause_spread", c)
    check_nonnegative(where, "mechanism_spread", m)
    check_finite(where, "a", a)
    check_positive(where, "|b|", np.abs(b))
    of_cause, of_mechanism = c**2 / 3, m**2 / 3
    v_c, v_m = of_cause + 2, of_mechanism + 2
    return np.asarray(a * b**2 * (of_cause * v_m - v_c * of_mechanism) / (a**2 * v_c + b**2 * v_m))
