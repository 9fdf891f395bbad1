"""Factorisations that are not left to `jnp.linalg`, each for a reason, and arithmetic in the form that a CPU wants.

* `column_space`, under every linear R2 and least-squares map. Notebooks call these without `identax.run`, often mapped
  over trials and several in one program. With jaxlib older than 0.11.2 that is what can stop for ever on a CPU: two
  batched LAPACK factorisations of thousands of rows, each of which waits in the thread pool for the other's threads
  (`docs/reliability.md`). It also reveals the rank, which `jnp.linalg.qr` does not.
* `psd_eigh`, under the closed forms of linear systems. In float32 `jnp.linalg.eigh` has 5 times the error in the
  smallest eigenvalue and, from condition numbers of 1e5 on, finds negative ones, whose inverse roots are NaN.
* `right_singular`, the same rotations on matrices that are not square: `pca_whitening` and what stands on it keep the
  digits of small principal components, which a covariance matrix loses.
* `column_shares`, the diagonal of R under the contrasts and penalties of decoder Jacobians: batches of thousands in
  every training step, where LAPACK's may wait for ever (above), and where columns depend the derivative of a QR is NaN.
* `with_batch`, the running mean and deviation under normalised observations, novelty and scaled rewards.
"""

from identax.numerics.apart import apart
from identax.numerics.clipping import clipped
from identax.numerics.column_shares import column_shares, unit_columns
from identax.numerics.exponential import exponential
from identax.numerics.gram_schmidt import column_space
from identax.numerics.jacobi import psd_eigh, right_singular
from identax.numerics.moments import Moments, no_moments, with_batch
from identax.numerics.product import product
from identax.numerics.ranks import ranks
from identax.numerics.threefry import threefry
from identax.numerics.whitening import inverse_root, pca_whitening

__all__ = [
    "Moments",
    "apart",
    "clipped",
    "column_shares",
    "column_space",
    "exponential",
    "inverse_root",
    "no_moments",
    "pca_whitening",
    "product",
    "psd_eigh",
    "ranks",
    "right_singular",
    "threefry",
    "unit_columns",
    "with_batch",
]
