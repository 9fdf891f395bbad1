"""What of an experiment is to be run, refused before anything is written: arms, premises, studies, batches, trials."""

import contextlib
import dataclasses
import math
import typing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.assumptions import Report
from identax.checks import check_nonnegative
from identax.experiment import Arm, ExperimentModule
from identax.run import guard
from identax.run.loader import data_shard
from identax.run.mesh import make_mesh
from identax.run.runner import abstract_states
from identax.study import Study, Trials

_RATE = "learning_rate"
_SCALARS = (float, int, bool)


def check_overrides(module: ExperimentModule, name: str, preset: str, config: Any) -> None:
    """Raises `ValueError` for a field that differs from the preset's and changes no arm, as every arm sets its own."""
    given, arms = module.PRESETS[preset], repr(list(module.arms(config)))
    for field in dataclasses.fields(config):
        found, usual = getattr(config, field.name), getattr(given, field.name)
        if repr(found) == repr(usual):
            continue
        try:
            without = repr(list(module.arms(dataclasses.replace(config, **{field.name: usual}))))
        except ValueError:  # the preset's value does not go with the other ones, so this one is read
            continue
        if without == arms:
            raise ValueError(
                f"{name}: found {field.name}={found!r}, which reaches no arm of preset {preset!r}: each sets its own; "
                f"wanted {field.name}={usual!r}, or an `arms` that reads it"
            )


def chosen_arms(
    module: ExperimentModule, name: str, config: Any, only: Sequence[str], sweep: Mapping[str, Sequence[float]]
) -> list[Arm]:
    """The arms that are asked for by name (all if none is), and what they start after; `sweep` is crossed with each.

    Raises `ValueError` for no arm at all, two of one name, an unknown arm, a sweep over no traced field, values of it
    that `arms` refuses in a config, and an arm that starts after a later one.
    """
    arms = list(module.arms(config))
    names = [arm.name for arm in arms]
    twice = [arm for arm, count in Counter(names).items() if count > 1]
    if not names or twice:  # two would train into one folder, and one of them be lost from the table
        found = f"the arm {twice[0]!r} {names.count(twice[0])} times" if twice else "no arm"
        raise ValueError(f"{name}: found {found}, wanted one arm at least, each once: look at what the config lists")
    unknown = [arm for arm in only if arm not in names]
    if unknown:
        raise ValueError(f"{name}: found arm {unknown[0]!r}, wanted one of {names}")
    unknown = [field for field in sweep if field not in module.TRACED]
    if unknown:
        raise ValueError(f"{name}: found sweep over {unknown[0]!r}, wanted a traced field: {list(module.TRACED)}")
    kinds = typing.get_type_hints(type(config))
    for field, values in sweep.items():
        kind = kinds.get(field)
        for value in _of_kind(field, kind, values).tolist() if kind in _SCALARS else ():
            module.arms(dataclasses.replace(config, **{field: value}))  # whose checks a sweep would pass by
    for number, arm in enumerate(arms):
        if arm.after is not None and arm.after not in names[:number]:
            raise ValueError(
                f"{name}: arm {arm.name!r} starts after {arm.after!r}, wanted an arm before it: {names[:number]}"
            )
    wanted = set(only or names)
    for arm in reversed(arms):  # what a chosen arm starts after comes before it, and is run or resumed too
        if arm.name in wanted and arm.after is not None:
            wanted.add(arm.after)
    chosen = [arm for arm in arms if arm.name in wanted]
    return [dataclasses.replace(arm, sweep={**arm.sweep, **_without(arm.fixed, sweep)}) for arm in chosen]


def _without(fixed: Sequence[str], sweep: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    return {field: values for field, values in sweep.items() if field not in fixed}


def reports_of(module: ExperimentModule, config: Any, arms: Sequence[str]) -> dict[str, Report]:
    """What the module's premises say of these arms."""
    found: dict[str, Any] = {arm: report for arm, report in module.premises(config).items() if arm in arms}
    return {arm: made() if callable(made) else made for arm, made in found.items()}  # pyright: ignore[reportReturnType]


def built(module: ExperimentModule, arms: Sequence[Arm], mesh: Mesh | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Study and batches of every arm, so that what cannot be had is refused before anything is written.

    A study is built once per static config, so arms that differ in traced fields share their programs. `build` sees
    NaN in every traced field: it must read them from the state's `hparams`.
    """
    studies, feeds, known = {}, {}, {}
    shard = data_shard(make_mesh() if mesh is None else mesh)
    make_batches = getattr(module, "batches", lambda config, shard: None)
    for arm in arms:
        _check_numbers(dataclasses.asdict(arm.config), f"arm {arm.name!r}: config")
        static = dataclasses.replace(arm.config, **dict.fromkeys(module.TRACED, math.nan))
        if repr(static) not in known:
            known[repr(static)] = module.build(static)
        studies[arm.name] = known[repr(static)]
        if isinstance(studies[arm.name], Study):
            steps = ("num_steps", "log_every", "evaluate_every", "checkpoint_every")
            with _naming(arm):
                guard.check_run(studies[arm.name], *(getattr(arm.config, field) for field in steps))
        feeds[arm.name] = make_batches(arm.config, shard)
    return studies, feeds


def fitting(
    arms: Sequence[Arm], studies: Mapping[str, Any], trials: Mapping[str, Trials], mesh: Mesh | None
) -> dict[str, Any]:
    """Shapes of the states of every arm with steps that starts after no other one.

    Refuses those that memory cannot hold now, not when the arms before have trained.
    """
    mesh, found = make_mesh() if mesh is None else mesh, {}
    for arm in arms:
        study = studies[arm.name]
        if not isinstance(study, Study) or arm.after is not None:
            continue
        found[arm.name] = abstract_states(study, trials[arm.name], mesh)
        with _naming(arm):
            guard.check_states(study, found[arm.name], mesh)
    return found


@contextlib.contextmanager
def _naming(arm: Arm) -> Iterator[None]:
    """What is refused of an arm names it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"arm {arm.name!r}: {error}") from error


def _check_numbers(value: Any, what: str) -> None:
    """Refuses NaN in a config, which trains nothing."""
    if isinstance(value, dict):
        for name, entry in value.items():
            _check_numbers(entry, f"{what}.{name}")
    elif isinstance(value, list | tuple):
        for entry in value:
            _check_numbers(entry, what)
    elif isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{what}: found NaN, wanted a number")


def trials_of(module: ExperimentModule, arm: Arm) -> Trials:
    """Seeds crossed with the arm's values of every traced field.

    Raises `ValueError` for values of another kind, and for a field called a learning rate that is negative or infinite:
    the loss would rise, or be NaN, for all that the run takes.
    """
    kinds = typing.get_type_hints(type(arm.config))
    given = {field: arm.sweep.get(field, getattr(arm.config, field)) for field in module.TRACED}
    values = {field: _of_kind(field, kinds.get(field), value) for field, value in given.items()}
    for field in values:
        if field.endswith(_RATE):  # here, as a sweep passes by an experiment's own checks
            check_nonnegative(f"arm {arm.name!r}", field, values[field])
    return Trials.grid(arm.config.num_seeds, seed=arm.config.seed, **values)


def _of_kind(field: str, kind: Any, values: Any) -> Any:
    """Values of a traced field in the kind that its annotation says: 30 for a float is the program of 30.0.

    A sweep from the command line brings floats for any field.
    """
    if kind not in _SCALARS:
        return values
    found = np.asarray(values)
    with np.errstate(invalid="ignore"):
        cast = found.astype(kind)
    if kind is not float and not np.array_equal(found, cast):
        raise ValueError(f"sweep: found {field}={values!r}, wanted values of kind {kind.__name__}")
    single = jax.dtypes.canonicalize_dtype(np.float64)
    if kind is float and found.dtype.kind in "iu" and not np.array_equal(found, found.astype(single)):
        raise ValueError(f"sweep: found {field}={values!r}, wanted values that {single} holds")
    return cast
