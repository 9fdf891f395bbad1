"""The losses on a batch that is spread over devices: every anchor meets the negatives of the whole batch."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from identax.checks import shape_of
from identax.losses._checks import check_block_size
from identax.losses._on_mesh import Local, on_mesh
from identax.losses.blocked import Plan, logsumexps
from identax.losses.contrast import (
    Contrast,
    Recipe,
    as_embeddings,
    check_contrast,
    combine,
    num_negatives,
    static,
    weight,
)
from identax.losses.contrastive import (
    aninfonce,
    aninfonce_recipe,
    infonce,
    infonce_recipe,
    lp_infonce,
    lp_recipe,
)
from identax.losses.dense import scaled

_RECIPES: dict[Callable, Callable[..., Recipe]] = {
    infonce: infonce_recipe,
    lp_infonce: lp_recipe,
    aninfonce: aninfonce_recipe,
}


def sharded(loss: Callable[..., Array], mesh: Mesh, axis: str = "data") -> Callable[..., Array]:
    """Returns `loss` (`infonce`, `lp_infonce` or `aninfonce`) for batches spread over the mesh's `axis`.

    Same arguments, values (global arrays: [2N] or [N]) and gradients as the loss itself: code sees the whole batch
    and no axis name. Each device keeps its N/P anchors; the embeddings travel around the ring of the axis' P devices
    in P hops (one `shard_map`), so that a device holds N/P x N/P similarities at a time, or tiles of `block_size`,
    which is then at most N/P. Reverse mode only, like `block_size`. Other axes of the mesh stay with the compiler. The
    mesh's axes may be Auto or Explicit (`jax.make_mesh`'s default).

    Raises `ValueError` for another loss, an axis that the mesh does not have, a batch that P does not divide, given
    `negatives` (they need no exchange: call the loss itself), and whatever the loss refuses.
    """
    if loss not in _RECIPES:
        names = ", ".join(known.__name__ for known in _RECIPES)
        raise ValueError(f"sharded: found loss {loss!r}, wanted one of {names}")
    if axis not in mesh.shape:
        raise ValueError(f"sharded: found axis={axis!r}, wanted one of the mesh's {list(mesh.shape)}")
    options = [name for name in Contrast._fields if name in inspect.signature(loss).parameters]

    def call(z, z_pos, *args, **kwargs):
        contrast = Contrast(**{name: kwargs.pop(name) for name in options if name in kwargs})
        check_contrast(loss.__name__, z, z_pos, contrast)
        _check_batch(loss.__name__, shape_of(z)[0], contrast, mesh.shape[axis], axis)
        make, operands = _RECIPES[loss](loss.__name__, shape_of(z)[1], *args, **kwargs)
        rows, everywhere = PartitionSpec(axis), PartitionSpec()
        z, z_pos = as_embeddings(loss.__name__, z=z, z_pos=z_pos)
        dtype = jnp.result_type(z, z_pos)  # both travel together
        z, z_pos = z.astype(dtype), z_pos.astype(dtype)
        parameters = jax.tree.map(jnp.asarray, (operands, weight(loss.__name__, contrast)))
        # The numbers of the rows come as an array: asking for the device's index is refused beside automatic axes.
        given = (parameters, z, z_pos, jnp.arange(z.shape[0]))
        local = Local(_local, (make, static(contrast), axis, z.shape[0], mesh.shape[axis]))
        return jnp.concatenate(on_mesh(local, mesh, axis, (everywhere, rows, rows, rows), rows, given))

    call.__name__, call.__doc__ = f"sharded_{loss.__name__}", loss.__doc__
    return call


def _check_batch(where, num, contrast, devices, axis):
    if num < devices or num % devices:
        raise ValueError(
            f"{where}: found a batch of N={num} on {devices} devices along {axis!r}, wanted a multiple of {devices}"
        )
    if contrast.negatives is not None:
        raise ValueError(f"{where}: found negatives in the sharded loss, wanted the loss itself: rows are independent")
    check_block_size(where, contrast.block_size, num // devices)


def _local(make, contrast, axis, num, devices, operands, z, z_pos, ids):
    """One device's share: its anchors against everyone's embeddings."""
    operands, reweighting = operands
    similarity = make(*operands)
    plan = Plan(contrast.block_size or z.shape[0], columns=False)
    ring = [(source, (source - 1) % devices) for source in range(devices)]
    published, one_view = contrast.scheme == "two_view_as_published", contrast.scheme.startswith("one_view")
    # One centre for all, or rows and columns from different devices would not be those of one matrix.
    centre = jax.lax.pmean(jax.lax.stop_gradient(jnp.mean(z, axis=0, keepdims=True)), axis)
    views = (z,) if one_view else (z, z_pos)
    anchors = [similarity.parts(view, view, centre) for view in views]

    def sums(scale):
        def against(anchor, columns, ids_there):
            return logsumexps(anchor._replace(columns=columns), ids, ids_there, plan, scale)[0]

        def hop(carry, _):
            totals, (columns, ids_there) = carry
            if one_view:
                found = (against(anchors[0], columns[0], ids_there),)
            else:
                across = against(anchors[0], columns[1], ids_there)
                back = across if published else against(anchors[1], columns[0], ids_there)
                within = [against(anchor, there, ids_there) for anchor, there in zip(anchors, columns, strict=True)]
                found = (jnp.logaddexp(within[0], across), jnp.logaddexp(within[1], back))
            totals = tuple(map(jnp.logaddexp, totals, found))
            return (totals, jax.lax.ppermute((columns, ids_there), axis, ring)), None

        start = tuple(jnp.full(z.shape[:1], -jnp.inf, z.dtype) for _ in views)
        visitors = ([anchor.columns for anchor in anchors], ids)
        (totals, _), _ = jax.lax.scan(hop, (start, visitors), None, length=devices)
        if contrast.scheme == "one_view_with_self":
            totals = (jnp.logaddexp(totals[0], scaled(similarity.pair(z, z), scale)),)
        return totals

    return combine(similarity.pair(z, z_pos), sums, num_negatives(contrast.scheme, num), reweighting)
