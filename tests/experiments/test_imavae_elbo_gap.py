"""The ELBO gap: the rate that is measured, the encoder's objective against its oracle, and a whole smoke run."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.imavae import elbo_gap, elbo_gap_claims
from identax.assumptions import global_c_ima
from identax.conduct import Options, run_experiment
from identax.run import make_mesh, run
from identax.study import Trials

SMOKE = elbo_gap.PRESETS["smoke"]


def test_the_rate_is_the_slope_of_the_late_gaps_and_encoders_are_below_the_optimum(monkeypatch):
    def points(arms, results):
        for precision, gap in {1e3: -7.0, 1e4: -3e-3, 1e5: -3e-5}.items():
            row = {"L_IMA": np.zeros(1), "log p": np.ones(1), "ELBO*": np.array([-gap])}
            yield {"arm": "triangular", "precision": precision}, row
        yield {"arm": "triangular, encoder", "precision": 1e4}, {"ELBO": np.array([-0.5])}
        yield {"arm": "triangular, encoder", "precision": 1e2}, {"ELBO": np.array([-0.5])}  # without an optimum

    monkeypatch.setattr(elbo_gap_claims, "points", points)
    found = elbo_gap.measure(SMOKE, {})
    np.testing.assert_allclose(found["triangular: slope of log |gap| from gamma^2 1e4"], -2.0)
    np.testing.assert_allclose(found["triangular, gamma^2 1e5: L_IMA - ELBO*"], -3e-5)
    np.testing.assert_allclose(found["triangular: C_IMA"], 1.0)
    np.testing.assert_allclose(found["triangular, encoder, gamma^2 1e4: below ELBO*"], 0.503)
    assert "triangular, encoder, gamma^2 100: below ELBO*" not in found
    assert found["triangular, encoder, gamma^2 100: ELBO"] == -0.5


def test_the_rate_is_judged_over_five_decades():
    arms = {arm.name: arm.sweep["precision"] for arm in elbo_gap.arms(elbo_gap.PRESETS["quick"])}
    assert {1e4, 1e9} <= set(arms["triangular"]) and max(arms["triangular"]) == 1e9
    assert min(arms["IMA class"]) == 1e1 and max(arms["IMA class"]) == 1e6
    judged = {row.quantity: row.bands["quick"] for row in elbo_gap.REFERENCES if "slope" in row.quantity}
    assert len(judged) == 3 and judged["triangular: slope of log |gap| from gamma^2 1e4"] == (-1.01, -0.99)


@pytest.mark.slow
@pytest.mark.parametrize("name, precisions, constant", [("triangular", (1e4, 1e9), 56), ("IMA class", (1e2, 1e6), 1.5)])
def test_the_gap_times_the_precision_settles(x64, name, precisions, constant):
    trial = jax.jit(elbo_gap.build(dataclasses.replace(elbo_gap.PRESETS["quick"], mixing=name)))
    rows = [trial(jax.random.key(0), {"precision": precision}) for precision in precisions]
    products = [abs(row["L_IMA"] - row["ELBO*"]) * at for row, at in zip(rows, precisions, strict=True)]
    np.testing.assert_allclose(products, constant, rtol=0.07)


def test_one_map_is_of_the_class_and_the_other_is_not(x64):
    z = jax.random.normal(jax.random.key(0), (64, 2))
    inside, outside = (
        global_c_ima(elbo_gap.true_map(dataclasses.replace(SMOKE, mixing=name)), z)
        for name in ("IMA class", "triangular")
    )
    assert inside < 1e-14 and 1.0 < outside < 1.5


@pytest.mark.slow
def test_an_encoder_comes_near_its_oracle_and_stays_below(x64):
    config = dataclasses.replace(
        SMOKE, trained=True, width=10, batch_size=128, num_steps=600, num_nodes=10, num_evaluate=16, evaluate_every=200,
        log_every=200,
    )  # fmt: skip
    trials = Trials.grid(1, precision=[10.0, 100.0], learning_rate=3e-3)
    mesh = make_mesh(devices=jax.devices()[:1])
    trained = run(
        elbo_gap.build(config), trials, num_steps=600, log_every=200, evaluate_every=200, mesh=mesh, progress=False
    )
    exact = run(
        elbo_gap.build(dataclasses.replace(config, trained=False)), trials, num_steps=0, mesh=mesh, progress=False
    )
    below = exact.final("ELBO*")[:, None] - trained.evaluation["ELBO"]
    assert (below > 0).all()
    assert (below[:, -1] < 0.5).all() and (below[:, -1] < below[:, 0] / 3).all()


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(elbo_gap, "imavae/elbo_gap", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for name in elbo_gap_claims.MAPS:
        assert np.abs(outcome.measured[f"{name}, gamma^2 1e5: L_IMA - ELBO*"]).max() < 1e-3
