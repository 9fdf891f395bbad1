"""Strict binary pairs: what varies is what is asked for, data sets are trials, and a smoke run ends in a report."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import variability, variability_claims
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from identax.study import Trials


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(variability, "iem/variability", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured["E = 50, none: accuracy"].shape == (4,)


def test_directions_come_with_either_variability_and_from_data_of_it_alone():
    config = dataclasses.replace(variability.PRESETS["smoke"], num_environments=2000)
    trials = Trials.grid(40, cause=[1.0, 0.0], mechanism=[1.0, 0.0], level=0.05)
    found = jax.jit(jax.vmap(variability.build(config)))(trials.keys, trials.hparams)
    truth, correct = (np.asarray(found[name]).reshape(4, 40) for name in ("truth", "accuracy"))
    assert (truth == truth[0]).all() and set(truth[0]) == {0, 1, 2}
    right = [values[values >= 0].mean() for values in np.asarray(found["direction"]).reshape(4, 40)]
    assert min(right[:3]) > 0.85 and 0.2 < right[3] < 0.8 and correct[:3].mean() > 0.8


def test_every_judged_row_is_a_cell_of_quick():
    cells = {
        variability_claims._name(num, condition, quantity)
        for num in variability.PRESETS["quick"].environments
        for condition in variability_claims.CONDITIONS
        for quantity in ("accuracy", "direction, of edges found")
    }
    assert {row.quantity for row in variability.REFERENCES} == cells
