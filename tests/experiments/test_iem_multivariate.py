"""Graphs of three variables: trivial predictors are what enumeration says, tests beat them with data enough."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.iem import multivariate, multivariate_claims
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from identax.study import Trials


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(multivariate, "iem/multivariate", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured["E = 50: normalised SHD"].shape == (4,)


def test_graphs_are_found_and_predictors_are_as_enumerated():
    config = dataclasses.replace(multivariate.PRESETS["smoke"], num_environments=6000)
    trials = Trials.grid(40, level=0.05)
    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(multivariate.build(config)))(trials.keys, trials.hparams))
    for order in multivariate_claims.ORDERS:
        for name in multivariate_claims.PREDICTORS:
            mean, sd = multivariate_claims.exact_moments(name, order)
            distances = found[f"{name}, order {order}"]
            assert abs(distances.mean() - mean) <= 4 * sd / np.sqrt(40) + 1e-5
    assert found["likeliest"].mean() < 0.1 and found["likeliest, right"].mean() > 0.75
    settled = found["settled"] == 1
    np.testing.assert_array_equal(found["stop"][settled], found["likeliest"][settled])
    assert found["stop"].mean() >= found["likeliest"].mean()


def test_premises_say_that_perfect_tests_find_every_graph():
    (report,) = multivariate.premises(multivariate.PRESETS["quick"]).values()
    values = [one.value for one in report.predictions]
    assert values == ["2 of 2", 0.0] * 3 + ["3 of 3", 0.0] and report.covered


def test_every_judged_row_is_measured_in_quick():
    quick = multivariate.PRESETS["quick"]
    wanted = {multivariate_claims._shd(num) for num in quick.environments}
    wanted |= {
        multivariate_claims._predictor(name, order)
        for name in multivariate_claims.PREDICTORS
        for order in multivariate_claims.ORDERS
    }
    assert {row.quantity for row in multivariate.REFERENCES} == wanted
    assert {"quick", "medium"} == set(multivariate.REFERENCES[0].bands)
