"""Fisher's z as one of the independence tests: of the partial correlation of two columns."""

from functools import partial

import jax
import jax.numpy as jnp

from identax.causal._samples import Prepared, columns_of
from identax.causal.independence import partial_correlation, two_sided
from identax.causal.kernels import standardised
from identax.causal.outcomes import IndependenceTest


def prepared_fisher(where, x, y, z, *, batched=False) -> Prepared:
    """Checks what a test of one partial correlation is given; `batched`: a leading axis of data sets."""
    columns = columns_of(where, x, y, z, least=4, batched=batched)
    widths, num = [each.shape[-1] for each in columns], columns[0].shape[int(batched)]
    if widths[:2] != [1, 1]:
        raise ValueError(f"{where}: found x, y of {widths[0]} and {widths[1]} columns, wanted one each for fisher_z")
    if num - widths[2] < 4:
        raise ValueError(f"{where}: found {num} samples and {widths[2]} columns of z, wanted at least 4 samples more")
    return Prepared(columns, (), ())


@partial(jax.jit, static_argnums=2, inline=True)
def fisher_of(columns, _, __) -> IndependenceTest:
    """z = sqrt(n - k - 3) artanh(r) and p = 2 (1 - Phi(|z|)), k the columns of z that vary.

    Where x or y is constant, or a linear function of z, nothing is left to depend on: z = 0 and p = 1. NaN where an
    entry is not finite.
    """
    x, y, z = columns
    found = partial_correlation(x[:, 0], y[:, 0], z)
    finite = jnp.isfinite(jnp.concatenate(columns, axis=1)).all()
    correlation = jnp.where(finite, jnp.where(jnp.isfinite(found), found, 0.0), jnp.nan)
    statistic, p = two_sided(correlation, x.shape[0] - 3 - standardised(z)[1].sum())
    one = jnp.ones_like(statistic)
    return IndependenceTest(statistic, p, 0 * one, one)
