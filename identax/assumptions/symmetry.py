"""The symmetry that is left, and what MCC it leads to."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.metrics._matching import best_assignment, matched_mean


def equal_blocks(precision, *, rtol: float = 1e-6, signed: bool = False) -> list[tuple[int, ...]]:
    """Groups the indices of (relatively) equal entries, largest precision first: the eigenspaces of diag(precision).

    Raises `ValueError` unless the entries are finite and, without `signed`, positive.
    Source: Rusak et al. 2025 (latents of equal Lambda are identified only as a block).
    """
    values = np.asarray(precision, dtype=float).reshape(-1)
    if values.size == 0 or not np.all(((values > 0) | signed) & np.isfinite(values)):
        raise ValueError(f"equal_blocks: found precision {values}, wanted positive finite entries")
    blocks: list[list[int]] = []
    for index in np.argsort(-values, kind="stable"):
        if blocks and np.isclose(values[blocks[-1][0]], values[index], rtol=rtol, atol=0.0):
            blocks[-1].append(int(index))
        else:
            blocks.append([int(index)])
    return [tuple(block) for block in blocks]


def common_blocks(precisions, *, rtol: float = 1e-6) -> list[tuple[int, ...]]:
    """Groups the indices that are (relatively) equal under every one of `precisions` [K, n]: what an ensemble leaves.

    At a common optimum of losses with conditionals Lambda_1 .. Lambda_K the shared encoder respects the eigenspaces of
    each, so latents i and j stay mixed only if Lambda_k,i = Lambda_k,j for all k: the common refinement of the blocks.
    Ordered by the first index in each. Raises `ValueError` as `equal_blocks`, and for unequal or no rows.
    Source: Rusak et al. 2025 (ensembles of losses over one encoder).
    """
    rows = [np.asarray(row, dtype=float).reshape(-1) for row in precisions]
    if not rows or len({row.size for row in rows}) > 1:
        raise ValueError(
            f"common_blocks: found precisions of lengths {[row.size for row in rows]}, wanted K >= 1 rows of one length"
        )
    together: dict[tuple[int, ...], list[int]] = {}
    partitions = [equal_blocks(row, rtol=rtol) for row in rows]
    for index in range(rows[0].size):
        key = tuple(next(number for number, block in enumerate(blocks) if index in block) for blocks in partitions)
        together.setdefault(key, []).append(index)
    return [tuple(block) for block in together.values()]


def expected_rotation_mcc(
    key: Key[Array, ""], block_sizes: Sequence[int], *, num_draws: int = 512
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation of the MCC when every block of latents is rotated at random (Haar).

    Monte Carlo over `num_draws` draws: for uncorrelated latents of equal variance |corr(z_i, (O z)_j)| = |O_ij|.
    A block of one has MCC 1; 2: .90, 3: .83, 5: .73, 10: .59.
    Raises `ValueError` for no blocks or an empty one.
    Source: symmetry class of Rusak et al. 2025 (block-orthogonal) and Zimmermann et al. 2021 (orthogonal).
    """
    sizes = tuple(int(size) for size in block_sizes)
    if not sizes or min(sizes) < 1 or num_draws < 2:
        raise ValueError(
            f"expected_rotation_mcc: found block_sizes={sizes}, num_draws={num_draws}, wanted sizes >= 1, draws >= 2"
        )
    total = jnp.zeros(num_draws)
    for size in sorted(set(sizes)):
        # Blocks of one size share one batch of matrices and one program.
        copies = sizes.count(size)
        per_block = _block_mccs(jax.random.fold_in(key, size), size, copies * num_draws)
        total = total + size * jnp.sum(per_block.reshape(copies, num_draws), axis=0)
    mccs = total / sum(sizes)
    return jnp.mean(mccs), jnp.std(mccs, ddof=1)


@partial(jax.jit, static_argnums=(1, 2))
def _block_mccs(key, size, num_draws):
    def block_mcc(rotation):
        scores = jnp.abs(rotation)
        return matched_mean(scores, best_assignment(scores))

    return jax.vmap(block_mcc)(jax.random.orthogonal(key, size, (num_draws,)))
