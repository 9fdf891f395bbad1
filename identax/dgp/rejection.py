"""Exact rejection sampling of many rows at once: the first accepted proposal of every row."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

_PROPOSALS_LATER = 2
_FEWEST_ROWS_LATER = 8
_MAX_PASSES = 100_000


def first_accepted(
    propose: Callable[[Key[Array, ""], Any, int], tuple[Any, Bool[Array, "K M"]]],
    key: Key[Array, ""],
    rows: Any,
    *,
    num_proposals: int,
    refill: int = 8,
) -> Any:
    """Draws, for every row, the first accepted of its i.i.d. proposals.

    `propose(key, rows, K) -> (values, accepted [K, M])` makes K proposals for each of the M rows it is
    handed. Leaves of `rows` are [..., N]: the row axis comes **last**, because random numbers are several
    times faster on CPU when the long axis is innermost. Leaves of `values` are [..., K, M]; the result's are
    [..., N]. Pass i uses `fold_in(key, i)`, so no proposal is ever looked at twice, and which rows a pass
    serves depends only on who is still missing: every row gets exactly its first acceptance, hence the exact
    law. `propose` must accept proposals that are not finite, so that NaN parameters give NaN draws and not an
    endless loop; rows still missing after 100,000 passes come back as NaN.

    Safe under `vmap` (lanes that are done wait). Not differentiable: pass arguments through
    `stop_gradient`. Raises `ValueError` for `num_proposals` or `refill` < 1.
    """
    if num_proposals < 1 or refill < 1:
        raise ValueError(f"first_accepted: found num_proposals={num_proposals}, refill={refill}, wanted at least 1")
    num_rows = jax.tree.leaves(rows)[0].shape[-1]
    values, accepted = propose(jax.random.fold_in(key, 0), rows, num_proposals)
    chosen, done = _pick(values, accepted)
    later = max(-(-num_rows // refill), min(num_rows, _FEWEST_ROWS_LATER))

    def unfinished(carry):
        index, _, done = carry
        return ~done.all() & (index < _MAX_PASSES)

    def serve(carry):
        index, chosen, done = carry
        missing, where = jax.lax.top_k((~done).astype(jnp.float32), later)
        served = jax.tree.map(lambda leaf: leaf[..., where], rows)
        values, accepted = propose(jax.random.fold_in(key, index), served, _PROPOSALS_LATER * num_proposals)
        fresh, found = _pick(values, accepted)
        found = found & (missing > 0)
        chosen = jax.tree.map(
            lambda old, new: old.at[..., where].set(_where_rows(found, new, old[..., where])), chosen, fresh
        )
        return index + 1, chosen, done.at[where].max(found)

    _, chosen, done = jax.lax.while_loop(unfinished, serve, (jnp.asarray(1, jnp.int32), chosen, done))
    return jax.tree.map(lambda leaf: _where_rows(done, leaf, jnp.full_like(leaf, jnp.nan)), chosen)


def _pick(values, accepted):
    """The first accepted of K proposals per row, and whether there is one."""
    first = jnp.argmax(accepted, axis=0)

    def take(leaf):
        index = first.reshape((1,) * (leaf.ndim - 1) + first.shape)
        return jnp.take_along_axis(leaf, index, axis=-2)[..., 0, :]

    return jax.tree.map(take, values), accepted.any(axis=0)


def _where_rows(mask, yes, no):
    return jnp.where(jnp.broadcast_to(mask, yes.shape), yes, no)
