"""The one place that knows devices: the ("trial", "data") mesh and how a function is mapped over trials."""

import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from identax.run.refusals import Unforeseen, is_refusal

if TYPE_CHECKING:
    TrialMap = Literal["vmap", "map"]
else:
    TrialMap = str  # so that an unknown name meets the check below, with or without a run-time type checker
T = TypeVar("T")


def make_mesh(*, data: int = 1, trial: int | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """Builds the mesh with axes ("trial", "data"), both of axis type Auto.

    `data` devices share each trial's batch; `trial` groups of them run different trials (default: as many as
    there are devices for). Devices of one process stay neighbours on the data axis.
    Raises `ValueError` when trial * data devices are not there or `data` does not divide the devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    if data < 1 or (trial is not None and trial < 1):
        raise ValueError(f"make_mesh: found trial={trial}, data={data}, wanted positive sizes")
    if trial is None:
        if len(devices) % data:
            raise ValueError(f"make_mesh: {len(devices)} devices do not divide into groups of data={data}")
        trial = len(devices) // data
    if trial * data > len(devices):
        raise ValueError(f"make_mesh: found {len(devices)} devices, wanted trial*data = {trial}*{data}")
    grid = np.array(devices[: trial * data], dtype=object).reshape(trial, data)
    return Mesh(grid, ("trial", "data"), axis_types=(AxisType.Auto, AxisType.Auto))


def trial_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding of everything with a leading trial axis."""
    return NamedSharding(mesh, PartitionSpec("trial"))


def padded_size(num_trials: int, mesh: Mesh) -> int:
    """Smallest multiple of the mesh's trial axis that holds `num_trials`."""
    groups = mesh.shape["trial"]
    return -(-num_trials // groups) * groups


def place(tree: T, mesh: Mesh) -> T:
    """Puts arrays [T, ...], the same on every process, on the mesh; T is a multiple of its trial axis."""
    sharding = trial_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.jit(_itself, out_shardings=sharding)(tree)


def _itself(tree: T) -> T:
    return tree


def map_trials(
    fn: Callable, mesh: Mesh, *, how: TrialMap = "vmap", shared: Sequence[int] = (), num_args: int = 1
) -> Callable:
    """Maps `fn` over the leading trial axis of its arguments, spread over the mesh's trial axis.

    Arguments whose positions are in `shared` are the same for all trials. With `how="vmap"` the trials of one
    device run as one batched program, with "map" one after the other; the numbers agree.

    Without a data axis each device maps its own trials under `shard_map`, so no collective can appear, not
    even for the predicate of a batched `while_loop`. With one, the compiler partitions the batched program:
    control flow then stays the same on all devices, which collectives inside loops need.
    """
    axes = tuple(None if i in shared else 0 for i in range(num_args))
    if how not in ("vmap", "map"):
        raise ValueError(f"map_trials: found how={how!r}, wanted 'vmap' or 'map'")
    if mesh.shape["data"] > 1 and how == "vmap":
        return jax.vmap(fn, in_axes=axes, spmd_axis_name="trial")

    def on_one_device(*args):
        if how == "vmap":
            return jax.vmap(fn, in_axes=axes)(*args)
        mapped = tuple(arg for arg, axis in zip(args, axes, strict=True) if axis == 0)

        def one(mapped):
            own = iter(mapped)
            return fn(*(next(own) if axis == 0 else arg for arg, axis in zip(args, axes, strict=True)))

        return jax.lax.map(one, mapped)

    specs = tuple(PartitionSpec() if axis is None else PartitionSpec("trial") for axis in axes)
    # Values that start equal on all devices (loop counters) and become trial-dependent are what every
    # sampler's loop does; the replication check would ask each of them for a cast.
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=specs,
        out_specs=PartitionSpec("trial"),
        axis_names={"trial"},
        check_vma=False,
    )


def gather(tree: Any) -> Any:
    """Brings a tree of (possibly multi-process) arrays to the host as NumPy arrays, the same on every process."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, jax.device_get(tree))
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def exchange(text: str) -> list[str]:
    """Hands every process the texts of all processes, in their order."""
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([data.size], np.int32)).reshape(-1)
    padded = np.zeros(max(256, 1 << (int(sizes.max()) - 1).bit_length()), np.uint8)  # few shapes, few compilations
    padded[: data.size] = data
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


def _common(error: Exception) -> type:
    """The nearest built-in kind of an `OSError`, which every process has; of a `ValueError` whether it refuses."""
    if isinstance(error, ValueError):
        return ValueError if is_refusal(error) else Unforeseen
    return next(kind for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)


def agree(check: Callable[[], T]) -> T:
    """Runs `check()` on every process; a `ValueError` or `OSError` of one is raised by all, so that none waits."""
    if jax.process_count() == 1:
        return check()
    result, fault = None, None
    try:
        result = check()
    except (ValueError, OSError) as error:
        fault = error
    said = "" if fault is None else f"{_common(fault).__name__}\n{fault}"
    faults = [text.split("\n", 1) for text in exchange(said) if text]
    if faults:
        kind = getattr(builtins, faults[0][0], Unforeseen)
        raise kind(faults[0][1]) from fault
    return result  # pyright: ignore[reportReturnType]
