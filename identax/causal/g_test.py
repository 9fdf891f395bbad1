"""The likelihood-ratio test of independence of categories."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlog1py

from identax.causal._samples import Data, Prepared, codes_of, shapes_of
from identax.causal.outcomes import IndependenceTest, chi2_tail
from identax.checks import check_choice

_COMPARED = 64
"""cells up to which counting by comparison is faster than by adding one at a time"""
MOST_CELLS = 10**7
"""cells of a table"""
DEGREES = ("full", "observed")


def g_test(
    x: Data,
    y: Data,
    z: Data | None = None,
    *,
    levels: Any = None,
    degrees: str = "full",
) -> IndependenceTest:
    """Is x independent of y given z? Likelihood-ratio test of categories, one table of x by y per value of z.

        G = 2 sum T log(T / E),   E_xyz = T_x.z T_.yz / T_..z,   chi^2 of (|x| - 1)(|y| - 1) prod_k |z_k| degrees

    Args: `x` [n], `y` [n], `z` [n] or [n, k] (None: one table), whole numbers or booleans, one row per independent
    sample. `levels`: how many categories every variable has, codes 0..levels-1, as one number or as one for x, y and
    each column of z; None: they are numbered as they occur, which needs concrete values. `degrees`: "full", or
    "observed", which leaves out rows and columns of a table in which nothing was counted. p = 1 where no degree is
    left (x or y constant). Null mean and variance are those of chi^2. Compiles, given `levels`, and maps over batches;
    codes outside the levels, which are refused where they are known, give NaN there.
    Raises `ValueError` for other shapes, n < 1, values that are not whole or outside the levels, more than 1e7 cells.
    Source: Wilks 1938; Neapolitan 2003 (section 10.3.1) for the degrees.
    """
    return g_of(*prepared_g("g_test", x, y, z, levels=levels, degrees=degrees))


def prepared_g(where, x, y, z, *, levels=None, degrees="full", batched=False) -> Prepared:
    """Checks what `g_test` is given; `batched`: a leading axis of data sets."""
    check_choice(where, "degrees", degrees, DEGREES)
    shapes, lead = shapes_of(where, x, y, z, 1, batched), 1 + batched
    widths = [math.prod(shape[lead:]) for shape in shapes]
    if widths[:2] != [1, 1]:
        raise ValueError(f"{where}: found x, y of {widths[0]} and {widths[1]} columns, wanted one each")
    given = {"x": x, "y": y} | ({} if z is None else {"z": z})
    if not isinstance(levels, Iterable) or isinstance(levels, str) or getattr(levels, "ndim", 1) == 0:
        shared = [levels] * len(given)
    else:
        counts = tuple(levels)
        if len(counts) != sum(widths):
            raise ValueError(f"{where}: found {len(counts)} levels, wanted one number or {sum(widths)}, for x, y and z")
        shared = [counts[:1], counts[1:2], counts[2:]][: len(given)]
    found = [
        codes_of(where, name, value, each, batched) for (name, value), each in zip(given.items(), shared, strict=True)
    ]
    counts = tuple(found[0][1] + found[1][1])
    strata = tuple(found[2][1]) if z is not None else ()
    if math.prod(counts + strata) > MOST_CELLS:
        raise ValueError(f"{where}: found tables of {math.prod(counts + strata)} cells, wanted at most {MOST_CELLS}")
    return Prepared([codes for codes, _ in found], (), (counts, strata, degrees))


@partial(jax.jit, static_argnums=2, inline=True)
def g_of(codes, _, static) -> IndependenceTest:
    """`g_test` of what `prepared_g` returns."""
    counts, strata, degrees = static
    code = jnp.zeros(codes[0].shape[0], jnp.int32)
    for column, size in zip(jnp.concatenate([*codes[2:], *codes[:2]], axis=1).T, strata + counts, strict=True):
        code = code * size + column
    table = _counted(code, math.prod(strata + counts)).reshape(math.prod(strata), *counts)
    rows, columns, totals = table.sum(axis=2), table.sum(axis=1), table.sum(axis=(1, 2))
    expected = rows[:, :, None] * columns[:, None, :] / jnp.maximum(totals, 1.0)[:, None, None]
    share = (table - expected) / jnp.where(expected > 0, expected, 1.0)
    # T log(T / E) - (T - E), whose second part sums to 0: so rounding of E enters in the second order only.
    statistic = jnp.maximum(2 * (expected * (xlog1py(1 + share, share) - share)).sum(), 0.0)
    if degrees == "full":
        df = jnp.asarray(math.prod(strata) * (counts[0] - 1) * (counts[1] - 1), table.dtype)
    else:
        seen = [jnp.maximum((margin > 0).sum(axis=1) - 1, 0) for margin in (rows, columns)]
        df = (seen[0] * seen[1]).sum().astype(table.dtype)
    constant = ((rows.sum(axis=0) > 0).sum() < 2) | ((columns.sum(axis=0) > 0).sum() < 2)
    p = jnp.where(constant, 1.0, chi2_tail(statistic, df))
    sizes = jnp.array(counts + strata)
    every = jnp.concatenate(codes, axis=1)
    outside = ((every < 0) | (every >= sizes[None, :])).any()
    statistic, p = (jnp.where(outside, jnp.nan, value) for value in (statistic, p))
    return IndependenceTest(statistic, p, df, 2 * df)


def _counted(code, cells):
    dtype = jnp.zeros(()).dtype
    if cells <= _COMPARED:
        return (code[:, None] == jnp.arange(cells)[None, :]).sum(axis=0).astype(dtype)
    return jnp.zeros(cells, dtype).at[code].add(1.0)
