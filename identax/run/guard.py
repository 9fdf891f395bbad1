"""What can be refused before anything is compiled, overwritten or lost."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.sharding import Mesh

from identax.checks import LARGEST_COUNT
from identax.run.checkpoint import disk_space_needed, free_disk_space
from identax.run.folder import LEFT_BEHIND, Lock, locked
from identax.run.mesh import padded_size
from identax.run.records import AGAIN, naming_damage, read_json
from identax.run.values import flat_metrics, is_weighted
from identax.study import Study

CONFIG = "config.json"


def check_run(
    study: Study, num_steps: int, log_every: int, evaluate_every: int | None, checkpoint_every: int | None
) -> None:
    """What can be refused of a study's steps by looking at numbers; raises `ValueError`."""
    check_cadences(num_steps, log_every, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    check_events(study, num_steps, log_every)
    check_keep(study, num_steps, evaluate_every)


def check_cadences(num_steps: int, log_every: int, **others: int | None) -> None:
    """Every cadence must be a positive multiple of `log_every`; raises `ValueError` otherwise."""
    for name, value in {"num_steps": num_steps, "log_every": log_every, **others}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
            raise ValueError(f"run: found {name}={value!r}, wanted an integer")
    if num_steps > LARGEST_COUNT:
        raise ValueError(f"run: found num_steps={num_steps}, wanted at most {LARGEST_COUNT}, as a state's step holds")
    if num_steps < 0:
        raise ValueError(f"run: found num_steps={num_steps}, wanted 0 or more")
    if log_every < 1:
        raise ValueError(f"run: found log_every={log_every}, wanted at least 1")
    for name, value in others.items():
        if value is not None and (value < 1 or value % log_every):
            raise ValueError(f"run: found {name}={value}, wanted a positive multiple of log_every={log_every}")


def check_events(study: Study, num_steps: int, log_every: int) -> None:
    """Events must fall on chunk boundaries before the end; raises `ValueError` otherwise."""
    for step, _ in study.events:
        if not 0 < step < max(num_steps, 1) or step % log_every:
            raise ValueError(
                f"run: found an event after {step} steps, wanted a multiple of log_every={log_every} "
                f"between 1 and num_steps={num_steps}"
            )


def check_keep(study: Study, num_steps: int, evaluate_every: int | None) -> None:
    """Arrays are kept at evaluations; raises `ValueError` for steps that have none, and for a bad `best`."""
    for step in study.keep_at:
        evaluated = step in (0, num_steps) or (evaluate_every and step % evaluate_every == 0)
        if not evaluated or not 0 <= step <= num_steps:
            raise ValueError(
                f"run: found keep_at={study.keep_at}, wanted evaluations: 0, num_steps={num_steps} or multiples of "
                f"evaluate_every={evaluate_every} between"
            )
    if study.keep_at and study.keep is None:
        raise ValueError(f"run: found keep_at={study.keep_at} without `keep`, wanted the function of the arrays")
    best = study.best
    if best is not None:
        if best.direction not in ("min", "max"):
            raise ValueError(f"run: found best.direction={best.direction!r}, wanted 'min' or 'max'")
        if best.patience is not None and best.patience < 1:
            raise ValueError(f"run: found best.patience={best.patience}, wanted at least 1 evaluation, or None")


def bytes_needed(study: Study, abstract: Any, batch: Any, mesh: Mesh, how: str) -> int:
    """Estimate of the bytes one device needs, from shapes alone (rather too low than too high).

    The state counts three times for the trials placed there (before, after, and the update between; once more where
    the best one is kept), plus the largest array that one step makes over the devices of the data axis, or that
    `evaluate` or `keep` makes on one (the Jacobians of an evaluation set, say), once per trial that runs at the same
    time.
    """
    trials = jax.tree.leaves(abstract)[0].shape[0]
    one = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape[1:], s.dtype), abstract)
    largest = largest_array(jax.make_jaxpr(study.step)(one, batch).jaxpr) // mesh.shape["data"]
    for function in filter(None, (study.evaluate, study.keep)):
        largest = max(largest, largest_array(jax.make_jaxpr(function)(one, one.key).jaxpr))
    per_device = padded_size(trials, mesh) // mesh.shape["trial"]
    at_once = per_device if how == "vmap" else 1
    return _bytes_of_states(study, abstract, mesh) + at_once * largest


def _bytes_of_states(study: Study, abstract: Any, mesh: Mesh) -> int:
    states = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract))
    return (3 if study.best is None else 4) * states // mesh.shape["trial"]


def largest_array(jaxpr: Any) -> int:
    """Bytes of the largest array that a traced function makes, its inner functions included."""
    largest = 0
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            aval = variable.aval
            if hasattr(aval, "size") and jnp.issubdtype(aval.dtype, np.generic):
                largest = max(largest, aval.size * aval.dtype.itemsize)
        for parameter in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                largest = max(largest, largest_array(inner))
    return largest


def bytes_available(mesh: Mesh) -> int | None:
    """Bytes free for one device of the mesh: its own memory, or its share of this machine's. None if unknown."""
    local = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    stats = local[0].memory_stats() if local else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available // max(len(local), 1)


def check_memory(study: Study, abstract: Any, batch: Any, mesh: Mesh, how: str) -> None:
    """Raises `ValueError` when the trials cannot fit, saying how many would."""
    _check_fits(bytes_needed(study, abstract, batch, mesh, how), abstract, mesh)


def check_states(study: Study, abstract: Any, mesh: Mesh) -> None:
    """`check_memory` of the states alone, for which no step is traced: for a run that starts after others."""
    _check_fits(_bytes_of_states(study, abstract, mesh), abstract, mesh)


def _check_fits(needed: int, abstract: Any, mesh: Mesh) -> None:
    available = bytes_available(mesh)
    if available is None or needed <= available:
        return
    trials = jax.tree.leaves(abstract)[0].shape[0]
    raise ValueError(
        f"run: {trials} trials need at least {needed / 2**30:.2f} GiB per device, found "
        f"{available / 2**30:.2f} GiB free; at most about {int(trials * available / needed)} trials fit "
        "(run fewer at a time, use more devices, or trial_map='map')"
    )


def check_batch(batch: Any, mesh: Mesh) -> None:
    """A host batch must divide over the data axis and hold no NaN; raises `ValueError` naming the leaf."""
    data = mesh.shape["data"] // max(jax.process_count() // mesh.shape["trial"], 1)
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        name = jax.tree_util.keystr(path) or "batch"
        if np.ndim(leaf) == 0 or (data and leaf.shape[0] % data):
            raise ValueError(f"run: {name} has shape {np.shape(leaf)}, wanted a leading axis divisible by data={data}")
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and (wrong := int((~np.isfinite(leaf)).sum())):
            raise ValueError(f"run: {name} holds {wrong} values that are not finite")


def check_data_axis(study: Study, abstract: Any, batch: Any, mesh: Mesh) -> None:
    """Traces one step under the mesh, so that a sampled batch that does not divide is refused now.

    So are metrics that rows cannot hold, and a `loss` that is no single number: whether it is finite says which trials
    have failed.
    """
    one = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape[1:], s.dtype), abstract)
    with jax.set_mesh(mesh):
        _, metrics = jax.eval_shape(study.step, one, batch)
    loss = flat_metrics(metrics, "step").get("loss")
    if loss is not None and (is_weighted(loss) or np.shape(loss)):
        found = "a pair (sum, weight)" if is_weighted(loss) else f"shape {np.shape(loss)}"
        raise ValueError(f"step: metric 'loss': found {found}, wanted one number, which tells when a trial diverges")


@contextlib.contextmanager
def claimed(
    workdir: Path,
    config: Mapping[str, Any],
    *,
    resume: bool,
    file: str = CONFIG,
    differs: Callable[[], Iterable[str]] = tuple,
) -> Iterator[Lock]:
    """Holds `workdir`, which may be written for `config`; writes nothing but the folder itself and its lock.

    Raises `ValueError` when it exists and `resume` is not set, when its config differs (the fields are
    listed, and what `differs()` says beside them), when it or its config cannot be written, or when another process
    writes there.
    """
    try:
        wanted = json.loads(json.dumps(config, sort_keys=True))
    except TypeError as error:
        raise ValueError(
            f"run: found a config that JSON cannot hold ({error}); wanted numbers, texts, lists and dicts"
        ) from error
    with locked(workdir) as lock:
        if (workdir / file).exists():
            _check_same_run(workdir, wanted, file, differs, resume=resume)
        else:
            others = sorted({path.name for path in workdir.iterdir()} - LEFT_BEHIND)
            if others and not resume:
                raise ValueError(
                    f"run: workdir {workdir} is not empty (found {others[:3]}); wanted a new or empty folder"
                )
        yield lock


def _check_same_run(
    workdir: Path, wanted: Any, file: str, differs: Callable[[], Iterable[str]], *, resume: bool
) -> None:
    with naming_damage(workdir / file, AGAIN):
        found = read_json(workdir / file)["config"]
        if not isinstance(found, dict):
            raise ValueError(f"found {found!r} as its config")
    differing = [*_differences(found, wanted), *differs()]
    if differing:
        # Another experiment or preset differs in most fields: it is named before them.
        differing.sort(key=lambda line: line.partition(":")[0].count("."))
        raise ValueError(f"run: workdir {workdir} holds a run with another config: " + "; ".join(differing))
    if not resume:
        raise ValueError(
            f"run: workdir {workdir} holds a run already; continue it with resume (--resume) or name a new one"
        )


def _differences(found: Any, wanted: Any, path: str = ""):
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            inner = f"{path}.{key}" if path else key
            yield from _differences(found.get(key, "absent"), wanted.get(key, "absent"), inner)
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif found != wanted and not (found != found and wanted != wanted):  # NaN is what it was
        yield f"{path}: there {found!r}, here {wanted!r}"


def check_disk_of_all(workdir: Path, abstract: Mapping[str, Any], keep: int) -> None:
    """Raises `ValueError` when the checkpoints of several runs in one folder will not fit on the disk together."""
    sizes = [disk_space_needed(tree, keep - 1) for tree in abstract.values()]
    needed, free = sum(sizes) + max(sizes, default=0) // keep, free_disk_space(workdir)
    if needed > free:
        raise ValueError(
            f"run: the checkpoints of the arms {list(abstract)} need {needed / 2**20:.1f} MiB, found "
            f"{free / 2**20:.1f} MiB free on the disk of {workdir}"
        )


def check_disk(workdir: Path, abstract: Any, keep: int) -> None:
    """Raises `ValueError` when the checkpoints will not fit on the disk."""
    needed, free = disk_space_needed(abstract, keep), free_disk_space(workdir)
    if needed > free:
        raise ValueError(
            f"run: {keep + 1} checkpoints need {needed / 2**20:.1f} MiB, found {free / 2**20:.1f} MiB free "
            f"on the disk of {workdir}"
        )
