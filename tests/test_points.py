"""Results are found by the exact values of arms and sweeps, in memory and read back, in any precision."""

import dataclasses

import numpy as np
import pytest

from identax.experiment import Arm, RunConfig
from identax.points import cells, points
from identax.run import Results
from identax.study import Trials


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Two traced fields, one of them a vector, and one that is static."""

    size: int = 4
    noise: float = 0.0
    weights: tuple[float, float] = (1.0, 1.0)
    num_seeds: int = 2


def _ran(arm, kind=np.float64, **sweep):
    """Results in which a trial's score is its number; `sweep` as the command line would add or replace it."""
    values = {"noise": arm.config.noise, "weights": [arm.config.weights]} | dict(arm.sweep) | sweep
    trials = Trials.grid(arm.config.num_seeds, **values)
    trials = dataclasses.replace(trials, hparams={k: np.asarray(v, kind) for k, v in trials.hparams.items()})
    score = np.arange(len(trials), dtype=float)
    empty = np.zeros(len(trials), int)
    evaluation = {"score": np.stack([-score, score], axis=1), "pair": np.tile(score[:, None, None], (1, 2, 3))}
    return Results(trials, 0, np.zeros(1), {}, np.zeros(2), evaluation, empty, None, {})


def test_cells_of_arms_that_were_run_with_last_values_of_their_seeds():
    arms = [
        Arm("left out", Config(), {"noise": (1.0,)}),
        Arm("swept", Config(size=7), {"weights": ((1.0, 2.0), (3.0, 4.0)), "noise": (0.5, 0.0)}),
        Arm("single", Config(noise=0.3)),
    ]
    found = list(points(arms, {arm.name: _ran(arm) for arm in arms[1:]}))
    assert [(at["arm"], at["weights"], at["noise"]) for at, _ in found] == [
        ("swept", (1.0, 2.0), 0.5),
        ("swept", (1.0, 2.0), 0.0),
        ("swept", (3.0, 4.0), 0.5),
        ("swept", (3.0, 4.0), 0.0),
        ("single", (1.0, 1.0), 0.3),
    ]
    assert [at["size"] for at, _ in found] == [7, 7, 7, 7, 4]
    # The grid has another order than the sweep: noise is the slower of the two there.
    assert [final["score"].tolist() for _, final in found] == [[0, 1], [4, 5], [2, 3], [6, 7], [0, 1]]
    assert found[0][1]["pair"].shape == (2, 3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_are_told_apart_exactly_and_named_as_the_sweep_names_them(kind):
    given = (0.1, 0.0, 1e-9, 0.3)
    arm = Arm("a", Config(), {"noise": given})
    results = _ran(arm, kind)
    found = {at["noise"]: final["score"].tolist() for at, final in points([arm], {"a": results})}
    assert found == {0.1: [0, 1], 0.0: [2, 3], 1e-9: [4, 5], 0.3: [6, 7]}
    # A record holds float32 values in float64.
    read = {name: np.asarray(np.asarray(values).tolist()) for name, values in results.trials.hparams.items()}
    results = dataclasses.replace(results, trials=dataclasses.replace(results.trials, hparams=read))
    assert [at["noise"] for at, _ in points([arm], {"a": results})] == list(given)


def test_close_values_of_float64_keep_their_own_names(x64):
    given = (1.0, 1.0 + 1e-12)
    arm = Arm("a", Config(num_seeds=1), {"noise": given})
    assert [at["noise"] for at, _ in points([arm], {"a": _ran(arm)})] == list(given)


def test_pooled_fields_and_sweeps_of_the_command_line_count_as_seeds():
    arm = Arm("a", Config(), {"noise": (0.0, 0.5), "weights": ((1.0, 2.0), (3.0, 4.0))})
    (first, one), (second, two) = points([arm], {"a": _ran(arm)}, pooled=("weights",))
    assert (first["noise"], second["noise"]) == (0.0, 0.5)
    assert first["weights"] == second["weights"] == ((1.0, 2.0), (3.0, 4.0))
    assert one["score"].tolist() == [0, 1, 2, 3] and two["score"].tolist() == [4, 5, 6, 7]
    plain = Arm("a", Config(), {"weights": ((1.0, 2.0), (3.0, 4.0))})
    crossed = _ran(plain, noise=[0.0, 0.5])
    assert [final["score"].tolist() for _, final in points([plain], {"a": crossed})] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_a_sweep_that_the_command_line_replaced_has_its_own_values():
    arm = Arm("a", Config(), {"noise": (0.0, 0.5)})
    assert [at["noise"] for at, _, _ in cells([arm], {"a": _ran(arm, noise=[0.25, 0.5])})] == [0.25, 0.5]
