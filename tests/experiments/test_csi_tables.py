"""Tables, sweeps and cases of csi: which arms there are, what is measured of them, what is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from experiments.csi import regimes, simulation, sweeps, tables, tables_claims
from experiments.csi.noise_size import drawn_sizes, mean_size, noise_sizes
from identax.conduct import Options, run_experiment
from identax.run import Results, make_mesh
from identax.study import Trials


def _run(module, name, folder, *only):
    mesh = make_mesh(devices=jax.devices()[:1])
    options = Options(workdir=folder / "run", mesh=mesh, progress=False, only=only)
    said = []
    return run_experiment(module, name, "smoke", options=options, say=said.append), "\n".join(said)


def _results(arm, values, traced=simulation.TRACED):
    """Results that hold `values`: metric -> one number per trial."""
    fields = {name: arm.sweep.get(name, getattr(arm.config, name)) for name in traced}
    trials = Trials.grid(arm.config.num_seeds, **fields)
    evaluation = {name: np.broadcast_to(value, (len(trials),))[:, None] for name, value in values.items()}
    return Results(
        trials=trials, num_steps=1, train_steps=np.array([1]), train={"loss": np.zeros((len(trials), 1))},
        evaluation_steps=np.array([1]), evaluation=evaluation, failed_at=np.zeros(len(trials), int), state=None,
        seconds={}, workdir=None,
    )  # fmt: skip


def _static(arm):
    return repr(dataclasses.replace(arm.config, **dict.fromkeys(simulation.TRACED, float("nan"))))


def _study(arm):
    """The study of an arm as the runner builds it, but for a mixing chosen among few, with key and hparams."""
    config = dataclasses.replace(arm.config, pool_size=10)
    static = dataclasses.replace(config, **dict.fromkeys(simulation.TRACED, float("nan")))
    trials = Trials.grid(1, **{name: getattr(config, name) for name in simulation.TRACED})
    key, hparams = trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams)
    return simulation.build(static), key, hparams


def _shapes(arm):
    """Traces the study of an arm and returns the shapes of its metrics."""
    study, key, hparams = _study(arm)
    return jax.eval_shape(study.evaluate, jax.eval_shape(study.init, key, hparams), key)


@pytest.mark.slow
def test_rows_of_one_shape_are_one_program_and_pair_their_worlds(tmp_path):
    outcome, said = _run(tables, "csi/tables", tmp_path, "supervised, default", "supervised, kappa 50")
    assert "kappa=50" in said and "kappa=10" in said
    programs = {_static(arm) for arm in tables.arms(tables.PRESETS["smoke"]) if arm.name in outcome.results}
    assert len(programs) == 1
    measured = outcome.measured
    below = measured["supervised, default: R2"] - measured["supervised, kappa 50: R2"]
    np.testing.assert_allclose(measured["supervised, kappa 50: R2 below default"], below)
    assert (measured["supervised, kappa 50: Bayes loss"] < measured["supervised, default: Bayes loss"]).all()
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 2
    assert "supervised, kappa 50: R2" in {row.quantity for row in outcome.comparisons}


def test_paper_has_every_row_of_the_tables():
    named = [arm.name for arm in tables.arms(tables.PRESETS["paper"])]
    assert len(named) == len(set(named)) == 10 + 12 + 12
    found = {arm.name: arm.config for arm in tables.arms(tables.PRESETS["paper"])}
    assert found["supervised, C 10000"].num_labels == 10_000
    assert found["DIET, N 100000"].num_steps == 4_850_000
    assert found["unit DIET, d 20"].unit_rows and found["unit DIET, d 20"].dim == 20
    known = {one.quantity.split(":")[0] for one in tables.REFERENCES if one.quantity.endswith(": R2")}
    assert known == set(named)


@pytest.mark.parametrize("name", ["DIET, N 100000", "unit DIET, d 20", "supervised, C 10000", "supervised, C 10"])
def test_extreme_rows_of_paper_trace(name):
    (arm,) = (arm for arm in tables.arms(tables.PRESETS["paper"]) if arm.name == name)
    assert all(value.shape == () for value in _shapes(arm).values())


def test_orderings_are_differences_by_seed():
    config = simulation.preset(
        tables.Config, "smoke", supervised=("default", "kappa 50"), diet=("default", "kappa 50"), unit_diet=()
    )
    score = {"supervised, default": 0.9, "supervised, kappa 50": 0.5, "DIET, default": 0.8, "DIET, kappa 50": 0.6}
    results = {arm.name: _results(arm, {"R2": score[arm.name], "Bayes loss": 1.0}) for arm in tables.arms(config)}
    measured = tables.measure(config, results)
    np.testing.assert_allclose(measured[f"default: {tables_claims.LESS}"], 0.1)
    np.testing.assert_allclose(measured[f"kappa 50: {tables_claims.LESS}"], -0.1)
    np.testing.assert_allclose(measured["DIET, kappa 50: R2 below default"], 0.2)


@pytest.mark.slow
def test_size_of_noise_is_the_laws_own_and_what_the_sampler_draws():
    powers, scales = (0.7, 1.0, 1.5, 2.0), (0.5, 2.0)
    drawn = drawn_sizes(powers, scales, seed=3)
    for i, scale in enumerate(scales):
        for j, p in enumerate(powers):
            law = stats.gennorm(p, scale=scale)
            expected = law.expect(abs)
            np.testing.assert_allclose(mean_size(p, scale), expected, rtol=1e-7)
            error = np.sqrt((law.var() - expected**2) / 20_000)
            assert abs(drawn[i, j] - expected) < 6 * error
    assert noise_sizes(powers, scales, np.asarray(drawn)).png.startswith(b"\x89PNG")


def test_unknown_rows_are_refused():
    with pytest.raises(ValueError, match="row"):
        tables.arms(dataclasses.replace(tables.PRESETS["smoke"], diet=("kappa 51",)))


@pytest.mark.slow
def test_noise_is_one_program_and_its_points_are_told_apart(tmp_path):
    outcome, _ = _run(sweeps, "csi/sweeps", tmp_path, "label noise")
    loss = [outcome.measured[f"label noise, share {share}: Bayes loss"] for share in ("0", "0.5", "1")]
    assert (loss[0] < loss[1]).all() and (loss[1] < loss[2]).all()
    np.testing.assert_allclose(loss[2], np.log(10), rtol=1e-5)
    lost = outcome.measured["label noise: R2 lost up to 0.5"]
    ends = [outcome.measured[f"label noise, share {share}: R2"] for share in ("0", "0.5")]
    np.testing.assert_allclose(lost, ends[0] - ends[1])


def test_sweeps_measure_what_they_say():
    config = dataclasses.replace(sweeps.PRESETS["medium"], num_seeds=2)
    results = {}
    *trained, noise = sweeps.arms(config)
    sizes = np.ones((1, 1, len(config.scales), len(config.powers)))
    results[noise.name] = dataclasses.replace(_results(noise, {}), evaluation={"size": sizes})
    for arm in trained:
        trials = Trials.grid(2, **{name: arm.sweep.get(name, getattr(arm.config, name)) for name in sweeps.TRACED})
        hparams = {name: np.asarray(value) for name, value in trials.hparams.items()}
        r2 = 1 - hparams["label_noise"] ** 8 - hparams["kappa"] / 1000 - 10 / arm.config.batch_size
        r2 = r2 - arm.config.dim / 100 * (arm.config.num_clusters == 10)
        if arm.config.conditional != "vmf":
            r2 = r2 - hparams["scale"] / 10 - hparams["shape"] / 100
        results[arm.name] = _results(
            arm, {"R2": r2, "head R2": r2 + 0.1, "R2 of observations": 0.5, "loss above Bayes": 0.0}
        )
    measured = sweeps.measure(config, results)
    wanted = {
        "label noise: R2 lost up to 0.8": 0.8**8,
        "label noise: R2 above observations at 1": -0.5 - 0.01 - 10 / 1024,
        "batch: R2 gained at the highest kappa": 10 / 128 - 10 / 1024,
        "batch: R2 lost at the highest kappa": 0.04,
        "C 10, d 20: R2 below C 100": 0.2,
        "generalised normal: R2 lost with scale": 0.15,
        "generalised normal: head R2 above R2": 0.1,
        "truncated Laplace: R2 lost with box": 0.02,
    }
    for quantity, value in wanted.items():
        np.testing.assert_allclose(measured[quantity], value, atol=1e-6, err_msg=quantity)
    assert {one.quantity for one in sweeps.REFERENCES} <= measured.keys()
    assert len(sweeps.figures(config, results)) == 6


def test_noise_needs_its_two_ends():
    with pytest.raises(ValueError, match="wanted 0 and 1"):
        sweeps.arms(dataclasses.replace(sweeps.PRESETS["smoke"], noises=(0.0, 0.5)))


@pytest.mark.slow
def test_few_clusters_fail_the_rank_check():
    config = dataclasses.replace(sweeps.PRESETS["medium"], num_seeds=1)
    report = sweeps.premises(config)["C 10, d 10"]()
    (affine,) = (premise for premise in report.premises if premise.name == "affine generator system")
    assert affine.holds is False and "affine rank 9" in affine.found


@pytest.mark.slow
def test_a_learned_temperature_starts_at_beta_and_is_trained():
    (arm,) = (arm for arm in regimes.arms(regimes.PRESETS["smoke"]) if arm.name == "C1, beta learned")
    study, key, hparams = _study(dataclasses.replace(arm, config=dataclasses.replace(arm.config, beta=2.0)))
    state = jax.jit(study.init)(key, hparams)
    np.testing.assert_allclose(state.params["log_beta"], np.log(2), rtol=1e-6)
    after, metrics = jax.jit(study.step)(state, None)
    np.testing.assert_allclose(abs(after.params["log_beta"] - np.log(2)), arm.config.learning_rate, rtol=1e-3)
    warm = dataclasses.replace(state, params={**state.params, "log_beta": jax.numpy.zeros(())})
    assert jax.jit(study.step)(warm, None)[1]["loss"] != metrics["loss"]
    report = regimes.premises(regimes.PRESETS["smoke"])[arm.name]()
    assert "beta is learned" in "\n".join(report.lines())


@pytest.mark.parametrize("arm", regimes.arms(regimes.PRESETS["smoke"]), ids=lambda arm: arm.name)
def test_every_case_traces_and_has_its_errors(arm):
    found = _shapes(arm)
    assert ("beta" in found) == arm.config.learn_beta
    wanted = {one.quantity.split(": ")[1] for one in regimes.REFERENCES if one.quantity.startswith(f"{arm.name}:")}
    assert wanted <= found.keys()


def test_the_first_case_has_the_beta_of_its_world():
    config = dataclasses.replace(regimes.PRESETS["smoke"], kappa=7.0)
    first = regimes.arms(config)[0]
    assert first.config.beta == 7.0
    report = regimes.premises(config)[first.name]()
    assert all(premise.holds is not False for premise in report.premises)
