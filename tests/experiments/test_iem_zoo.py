"""Worlds and learners of the zoo: volumes are kept, theory speaks of every case, and a smoke run ends in a report."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.iem import zoo, zoo_claims, zoo_figures, zoo_flows
from identax import plan
from identax.conduct import Options, run_experiment
from identax.run import make_mesh

QUICK = zoo.PRESETS["quick"]


@pytest.mark.slow
def test_the_mixing_keeps_volumes_is_inverted_and_is_not_linear():
    mixing = zoo_flows.volume_preserving_mixing(4)

    @jax.jit
    def looked_at(key):
        weights, z = mixing.init(key), jax.random.normal(key, (5, 4))
        x = mixing.apply(weights, z)
        slopes = jax.vmap(jax.jacfwd(lambda one: mixing.apply(weights, one[None])[0]))(z)
        return z, mixing.inverse(weights, x), slopes, mixing.log_det(weights, z)

    z, back, slopes, log_det = map(np.asarray, looked_at(jax.random.key(0)))
    np.testing.assert_allclose(back, z, atol=1e-4)
    np.testing.assert_allclose(np.log(np.abs(np.linalg.det(slopes))), log_det, atol=1e-4)
    assert np.abs(slopes - slopes[:1]).max() > 0.1


@pytest.mark.slow
def test_premises_are_met_where_something_varies_by_itself_and_fail_next_door():
    reports = {name: made() for name, made in zoo.premises(QUICK).items()}
    failing = {
        name: [premise.name for premise in report.premises if premise.holds is False]
        for name, report in reports.items()
    }
    assert {name for name, names in failing.items() if names} == {
        "pairs", "segments, nothing varies", "no interventions",
    }  # fmt: skip
    assert failing["pairs"] == ["none vary: cause or mechanism variability of every edge"]
    assert failing["segments, nothing varies"] == ["parameter differences of rank n"]
    cases = {
        name: report.prediction("special case").value for name, report in reports.items() if name != zoo_claims.PAIRS
    }
    assert cases == {
        "segments, sources vary": "nonlinear ICA, sources vary",
        "segments, mixing varies": "nonlinear ICA, mixing varies",
        "segments, contrasted in pairs": "nonlinear ICA, sources vary",
        "segments, nothing varies": "i.i.d.",
        "labels": "nonlinear ICA, sources vary",
        "interventions": "causal representation",
        "no interventions": "i.i.d.",
    }
    chances = [reports["pairs"].prediction(zoo_claims.pair_row(name)).value for name in zoo_claims.CONDITIONS]
    assert chances == [1, 1, 1, 0.5]
    # Every judged row says of a case what its report says.
    for row in zoo.REFERENCES:
        if row.bands and "MCC" in row.quantity:
            assert row.paper.startswith("not") == bool(failing[row.quantity.split(": ")[0]]), row.quantity


def test_neighbours_where_nothing_varies_have_the_programs_of_what_does():
    studies, _ = plan.built(zoo, zoo.arms(zoo.PRESETS["smoke"]), None)
    assert studies["interventions"] is studies["no interventions"]
    assert studies["segments, sources vary"] is studies["segments, nothing varies"]
    assert len({id(study) for study in studies.values()}) == 5


def test_every_variable_has_an_environment_with_its_intervention_and_one_world_has_none():
    single = np.concatenate([np.zeros((1, 4)), np.eye(4)])
    np.testing.assert_array_equal(zoo_flows.targets(0), single)
    np.testing.assert_array_equal(jax.jit(zoo_flows.targets)(1), 0 * single)


def test_labels_have_their_means_and_scales():
    means, scales = np.array([[0.0, 2.0], [1.0, -1.0]]), np.array([[1.0, 0.5], [2.0, 1.0]])
    identity = zoo_flows.Mixing(lambda key: (), lambda weights, z: z, lambda weights, x: x)
    world = zoo_flows.labelled_world(jnp.asarray(means), jnp.asarray(scales), identity, ())
    z = np.asarray(world.sample(jax.random.key(0), 2, 5000).observations)
    np.testing.assert_allclose(z.mean(axis=1), means, atol=0.1)
    np.testing.assert_allclose(z.std(axis=1), scales, rtol=0.05)


def test_graphs_have_parameters_where_something_varies():
    drawn = zoo_figures.cases()
    names = {case: {name for name in panel.names if name.startswith("θ")} for case, panel in drawn.items()}
    assert names["pair: cause"] == {"θX"} and names["pair: neither"] == set()
    assert names["mixing varies (TCL's dual)"] == {"θO"} and names["interventions (CauCA)"] == {"θa", "θb"}
    edges = {
        (panel.names[i], panel.names[j])
        for panel in [drawn["pair: mechanism"]]
        for i, j in np.argwhere(panel.adjacency)
    }
    assert edges == {("X1", "Y1"), ("X2", "Y2"), ("θY", "Y1"), ("θY", "Y2")}


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(zoo, "iem/zoo", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for reference in zoo.REFERENCES:
        assert np.isfinite(outcome.measured[reference.quantity]).all(), reference.quantity
