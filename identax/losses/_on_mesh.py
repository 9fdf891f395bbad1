"""One `shard_map` of a loss over one axis of a mesh, compiled once for what it is called with."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Specs = tuple[PartitionSpec, ...]


class Local(NamedTuple):
    """What one device computes: `function(*static, *operands)`; equal ones are one program."""

    function: Callable[..., Any]
    static: tuple[Any, ...]


def on_mesh(
    local: Local, mesh: Mesh, axis: str, in_specs: Specs, out_specs: PartitionSpec, operands: tuple[Any, ...]
) -> Any:
    """Runs `local` on every device of the mesh's `axis`; the operands, pytrees, are global arrays.

    Auto or Explicit axes. Types of arrays on Explicit axes tell where their entries lie: operands are brought to where
    `in_specs` wants them, and results tell it, too. Arrays that tell nothing need no such mesh, and are given none:
    then gradients are taken without a context mesh, too.
    """
    if not _told(operands):
        mesh = _auto(mesh)
    elif mesh.axis_types[mesh.axis_names.index(axis)] == AxisType.Explicit:
        pairs = zip(operands, in_specs, strict=True)
        operands = tuple(jax.reshard(operand, NamedSharding(mesh, spec)) for operand, spec in pairs)
    return _mapped(local, mesh, axis, in_specs, out_specs)(*operands)


def _told(operands):
    """Whether JAX knows of Explicit axes, from an operand's type or from the context."""
    meshes = [jax.typeof(leaf).sharding.mesh for leaf in jax.tree.leaves(operands)]
    return any(AxisType.Explicit in mesh.axis_types for mesh in (*meshes, jax.sharding.get_abstract_mesh()))


@lru_cache(maxsize=64)
def _auto(mesh):
    if AxisType.Explicit not in mesh.axis_types:
        return mesh
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


@lru_cache(maxsize=256)
def _mapped(local, mesh, axis, in_specs, out_specs):
    return jax.jit(
        jax.shard_map(
            partial(local.function, *local.static),
            mesh=mesh,
            in_specs=in_specs,
            out_specs=out_specs,
            axis_names={axis},
            check_vma=False,
        )
    )
