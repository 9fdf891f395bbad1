"""Real pairs and cells: files of the published form are scored, whichever order they have, and refusals say why."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import real_data, real_data_claims
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from tests.data.test_cause_effect import write

PAIRS, CELLS = real_data_claims.PAIRS, real_data_claims.CELLS


def lines(values):
    return " ".join(f"{value:.6f}" for value in values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four skewed linear pairs, the second and the fourth with the effect first, and three proteins in a chain."""
    draws = np.random.default_rng(0).exponential(size=(4, 2, 200))
    causes, effects = draws[:, 0], 2 * draws[:, 0] + draws[:, 1]
    rows, targets = ["SampleID,A,B"], ["SampleID,Target,Weight"]
    for number, (cause, effect) in enumerate(zip(causes, effects, strict=True)):
        columns = (cause, effect) if number % 2 == 0 else (effect, cause)
        rows.append(f"pair{number},{lines(columns[0])},{lines(columns[1])}")
        targets.append(f"pair{number},{1 if number % 2 == 0 else -1},{number + 1}")
    chain = np.exp(0.3 * np.cumsum(np.random.default_rng(1).laplace(size=(300, 3)), axis=1))
    cells = ["raf,mek,erk", *(",".join(f"{value:.5f}" for value in row) for row in chain)]
    texts = {"pairs": rows, "targets": targets, "cells": cells, "edges": ['"Cause","Effect"', "raf,mek", "mek,erk"]}
    made = tmp_path_factory.mktemp("files")
    return write(made, **{kind: "\n".join(content) + "\n" for kind, content in texts.items()})


def scores(folder, data):
    config = dataclasses.replace(real_data.PRESETS["paper"], folder=str(folder), data=data)
    with jax.enable_x64(True):
        return real_data.build(config).trial(jax.random.key(0), {})


def test_pairs_are_turned_by_rules_that_do_not_know_their_order(folder):
    found = scores(folder, PAIRS)
    np.testing.assert_array_equal(found["pairwise LiNGAM"], 1.0)
    np.testing.assert_array_equal(found["larger variance is the effect"], 1.0)
    np.testing.assert_array_equal(found["NOTEARS 0.3"], 1.0)
    np.testing.assert_array_equal(found[real_data_claims.WEIGHT], [1, 2, 3, 4])


def test_a_rule_that_always_says_the_first_or_nothing_is_a_coin(folder):
    pair = real_data.cause_effect_pairs(folder)[1]
    assert real_data._score(pair, lambda columns: np.array([[0.0, 1.0], [0.0, 0.0]])) == 0.5
    assert real_data._score(pair, lambda columns: np.zeros((2, 2))) == 0.5


def test_cells_are_scored_by_edges(folder):
    found = scores(folder, real_data_claims.LOGARITHMS)
    assert found["no edge: SHD"] == 2 and found["no edge: F1"] == 0 and found["varsortability"] == 1
    assert found["NOTEARS 0.3: SHD"] == 0 and found["NOTEARS 0.3: F1"] == 1 and found["NOTEARS 0.3: edges"] == 2
    # Every edge with both directions open: half of each of two edges, and a third that is not there.
    assert found["NOTEARS 0: SHD"] == 2 and found["NOTEARS 0: edges"] == 3


def test_refusals_come_before_anything_is_run(tmp_path):
    for data in real_data_claims.SETS:
        with pytest.raises(ValueError, match=r"found no file .*pip install --no-deps cdt"):
            scores(tmp_path / "nothing", data)
    report = real_data.premises(real_data.PRESETS["smoke"])[f"{PAIRS}, own"]
    assert report.premise("environments").holds is False


@pytest.mark.filterwarnings("default")  # of the optional package
@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(real_data, "iem/real_data", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured[f"{PAIRS}: pairwise LiNGAM: accuracy"].shape == (6,)
    assert outcome.measured[f"{CELLS}: NOTEARS 0.3: F1"].shape == (1,)
    assert {row.quantity for row in real_data.REFERENCES} <= outcome.measured.keys()
