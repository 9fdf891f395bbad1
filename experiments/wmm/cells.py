"""The arms that the recurrent experiments compare: a baseline, both operators, both readings of the shuffle."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.wmm.config import NO_OPERATOR, TRACED, TrainingConfig
from experiments.wmm.paired import BASELINE
from experiments.wmm.weight_operator import window_premises
from identax.assumptions import Premise, Report
from identax.experiment import Arm
from identax.models import Model
from identax.rng import stream

REINIT, PERMUTED, RELEASED = "reinit", "shuffle", "shuffle, released"


class Cell(NamedTuple):
    """A published choice of one operator: where it acted, and how strongly."""

    layer: str
    gate: str
    p: float
    c: float


def operator_arms(
    config: TrainingConfig, reinit: Cell, shuffle: Cell, grid: Mapping[str, Sequence[float]]
) -> list[Arm]:
    """Baseline, redrawn, shuffled as meant and as released: the published (p, c) crossed with others of `grid`."""
    made = [Arm(BASELINE, dataclasses.replace(config, **NO_OPERATOR), fixed=("p", "c"))]
    for name, cell in ((REINIT, reinit), (PERMUTED, shuffle), (RELEASED, shuffle)):
        reading = "released" if name == RELEASED else "intended"
        operator = "reinit" if name == REINIT else "shuffle"
        own = dataclasses.replace(config, operator=operator, reading=reading, **cell._asdict())
        sweep = {field: (getattr(cell, field), *grid.get(field, ())) for field in ("p", "c")}
        made.append(Arm(name, own, sweep))
    return made


def cell_of(arm: str, cell: Cell) -> str:
    """The name of the published cell of an arm, as `measured` has it."""
    return f"{arm}, p = {cell.p:g}, c = {cell.c:g}"


def published_cells(reinit: Cell, shuffle: Cell) -> tuple[str, str, str]:
    """Names of the published cells, redrawn, shuffled as meant and as released: the first cell of every arm."""
    return cell_of(REINIT, reinit), cell_of(PERMUTED, shuffle), cell_of(RELEASED, shuffle)


def operator_premises(arms: Sequence[Arm], model: Model, example: tuple[int, ...]) -> dict[str, Report]:
    """For every arm with an operator whether its windows can act, and what follows for the entropy of the weights."""
    shape = jax.ShapeDtypeStruct(example, jnp.float32)
    params = jax.eval_shape(lambda key, x: model.init(stream(key, "network"), x)["params"], jax.random.key(0), shape)
    found = {}
    for arm in arms:
        if arm.sweep.keys() >= {"p", "c"}:
            premises: list[Premise] = window_premises(arm.config, params, arm.sweep["c"])
            found[arm.name] = Report(premises, [])
    return found


def without_training(name: str, config: Any) -> Arm:
    """An arm of predictors that learn nothing: one trial."""
    alone = dataclasses.replace(config, role="predictors", num_steps=0, num_seeds=1, **NO_OPERATOR)
    return Arm(name, alone, fixed=TRACED)
