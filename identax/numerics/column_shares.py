"""How far the columns of a matrix are from orthogonal: what the QR factorisation knows about it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST


def column_shares(
    matrices: Float[Array, "*batch D d"],
) -> tuple[Float[Array, "*batch d"], Float[Array, "*batch d"]]:
    """Norms ||J_k|| of the columns, and the share |R_kk| / ||J_k|| of each that the columns before it do not span.

    With J = QR: sum_k log ||J_k|| - 1/2 log det J^T J = -sum_k log share_k, which is 0 for orthogonal columns alone
    (c_IMA, the local contrast of independent mechanism analysis). Shares are in [0, 1], and do not depend on the sizes
    of the columns. One below 4 d eps is rounding: 0 then, as for every column past the D-th. A column of zeros has
    norm 0 and, being orthogonal to all others, share 1.

    Gram-Schmidt on unit columns, each orthogonalised twice: as accurate as a QR by reflections, without squaring the
    condition number as J^T J would; without LAPACK, so that it maps over trials anywhere (module); and with a finite
    gradient everywhere, where that of a QR is NaN for dependent columns. Unrolled over d, which is small.
    """
    num = matrices.shape[-1]
    threshold = 4 * num * float(jnp.finfo(matrices.dtype).eps)
    norms, units = unit_columns(matrices)
    shares, basis = [], []
    for k in range(num):
        column = units[..., k]
        if basis:
            spanned = jnp.stack(basis, axis=-1)
            for _ in range(2):
                inside = jnp.einsum("...Dk,...D->...k", spanned, column, precision=_HIGHEST)
                column = column - jnp.einsum("...Dk,...k->...D", spanned, inside, precision=_HIGHEST)
        squared = jnp.sum(column * column, axis=-1)
        spent = squared <= threshold**2  # comparisons that let NaN through, so that it is seen
        size = jnp.sqrt(jnp.where(spent, 1.0, squared))
        # Above 1, or not 1 in the first, is rounding; the derivative stays.
        above = jax.lax.stop_gradient(jnp.maximum(size - 1.0, 0.0 if basis else size - 1.0))
        share = jnp.where(spent, 0.0, size - above)
        shares.append(jnp.where(norms[..., k] == 0, 1.0, share))
        basis.append(jnp.where(spent[..., None], 0.0, column / size[..., None]))
    return norms, jnp.stack(shares, axis=-1)


def unit_columns(
    matrices: Float[Array, "*batch D d"],
) -> tuple[Float[Array, "*batch d"], Float[Array, "*batch D d"]]:
    """Norms of the columns and the columns over them, zero columns as they are; squares leave no float's range."""
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(matrices), axis=-2, keepdims=True))
    scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
    scaled = matrices / scale
    squared = jnp.sum(scaled * scaled, axis=-2, keepdims=True)
    size = jnp.sqrt(jnp.where(squared == 0, 1.0, squared))
    norms = jnp.where(squared == 0, 0.0, scale * size)
    return norms[..., 0, :], scaled / size
