"""aninfonce/synthetic: smoke preset end to end, the cure, the paper preset's first steps against the shipped logs."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.aninfonce import spectra, synthetic
from identax.conduct import Options, run_experiment
from identax.experiment import Arm, Reference
from identax.run import make_mesh, run
from identax.study import Trials


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    said = []
    config = dataclasses.replace(synthetic.PRESETS["smoke"], control=True)
    options = Options(workdir=folder, mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(synthetic, "aninfonce/synthetic", "smoke", config=config, options=options, say=said.append)
    return outcome, folder, "\n".join(said)


@pytest.mark.slow
def test_one_arm_runs_and_drops_the_spare_dim(tmp_path):
    options = Options(workdir=tmp_path, mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=("bimodal",))
    outcome = run_experiment(synthetic, "aninfonce/synthetic", "smoke", options=options)
    assert outcome.report.exists() and outcome.measured
    result = outcome.results["bimodal"]
    assert all(np.isfinite(values).all() for values in result.evaluation.values())
    np.testing.assert_array_equal(result.state.model_state["used"], np.tile([1, 1, 1, 1, 1, 1, 0], (2, 1)))


@pytest.mark.slow
def test_every_arm_runs_and_is_reported(smoke):
    outcome, folder, said = smoke
    assert list(outcome.results) == ["bimodal", "linear", "hard", "hard, no cure", "infonce", "infonce hard", "theory"]
    for name, result in outcome.results.items():
        assert not result.failed_at.any(), name
        assert all(np.isfinite(values).all() for values in result.evaluation.values()), name
    page = outcome.report.read_text()
    assert outcome.report == folder / "report.html"
    assert page.count("data:image/png;base64,") >= 10
    assert "block-orthogonal, blocks of 3, 3" in said  # printed before training
    assert "signed permutation" in said
    assert json.loads((folder / "summary.json").read_text())["measured"].keys() == outcome.measured.keys()


@pytest.mark.slow
def test_every_reference_is_measured_and_none_has_a_band_in_smoke(smoke):
    outcome, _, _ = smoke
    assert {row.quantity for row in outcome.comparisons} == {r.quantity for r in synthetic.REFERENCES}
    assert all(row.in_band is None for row in outcome.comparisons)
    assert all(set(reference.bands) <= {"quick"} for reference in synthetic.REFERENCES)


@pytest.mark.slow
def test_infonce_is_run_at_every_temperature_and_judged_at_its_own(smoke):
    outcome, _, _ = smoke
    result = outcome.results["infonce"]
    assert sorted({round(t, 3) for t in np.asarray(result.trials.hparams["temperature"]).tolist()}) == [0.1, 0.333, 1.0]
    assert len(outcome.measured["infonce: style R2"]) == synthetic.PRESETS["smoke"].num_seeds


@pytest.mark.slow
def test_warm_start_drops_the_spare_dim(smoke):
    outcome, _, _ = smoke
    state = outcome.results["bimodal"].state
    np.testing.assert_array_equal(state.model_state["used"], np.tile([1, 1, 1, 1, 1, 1, 0], (2, 1)))
    np.testing.assert_array_equal(outcome.results["hard, no cure"].state.model_state["used"], np.ones((2, 6)))


def test_infonce_has_no_precision_to_start_warm():
    config = dataclasses.replace(synthetic.PRESETS["smoke"], objective="infonce")
    assert config.warm_starts
    assert synthetic.build(config).events == ()


def test_spectra_and_blocks():
    np.testing.assert_array_equal(spectra.precision("bimodal", 5, high=25.0, low=5.0), [25, 25, 5, 5, 5])
    assert spectra.blocks("bimodal", 5) == ([0, 1], [2, 3, 4])
    np.testing.assert_allclose(spectra.precision("linear", 5, high=25.0, low=5.0), [5, 10, 15, 20, 25])
    assert spectra.blocks("linear", 5) == ([3, 4], [0, 1, 2])


def test_the_paper_preset_is_the_authors_setting():
    config = synthetic.PRESETS["paper"]
    assert (config.dim, config.batch_size, config.threshold, config.pool_size) == (10, 1000, 0.1, 25_000)
    assert config.hidden == (100, 500, 500, 500, 500, 100)
    assert (config.learning_rate, config.precision_learning_rate, config.schedule) == (1e-4, 1e-3, "constant")
    assert (config.warm_starts, config.spare_dims, config.num_steps) == ((), 0, 100_000)


@pytest.mark.slow
def test_an_untrained_paper_encoder_starts_at_the_collapsed_loss():
    config = dataclasses.replace(synthetic.PRESETS["paper"], batch_size=64, pool_size=50)
    study = synthetic.build(config)
    trials = Trials.grid(1, **{name: getattr(config, name) for name in synthetic.TRACED})
    one = jax.tree.map(lambda leaf: leaf[0], trials)
    state = study.init(one.keys, one.hparams)
    _, metrics = jax.jit(study.step)(state, None)
    np.testing.assert_allclose(metrics["loss"], np.log(2 * 64 - 1), atol=2e-3)
    assert 0.5 < jax.nn.softplus(state.params["raw_precision"]).min()
    assert jax.nn.softplus(state.params["raw_precision"]).max() < 1.0
    sizes = [leaf.size for leaf in jax.tree.leaves(state.params["encoder"])]
    assert sum(sizes) == 10 * 100 + 100 + 100 * 500 + 500 + 3 * (500 * 500 + 500) + 500 * 100 + 100 + 100 * 10 + 10


def test_a_recollected_number_cannot_carry_a_band():
    with pytest.raises(ValueError, match="recollected"):
        Reference("x", "0.9", {"quick": (0.8, None)}, recollected=True)


def test_presets_did_not_change_unseen():
    """A changed default must be visible in review.

    After an intended change, write the file again: `python tests/experiments/test_synthetic.py`.
    """
    assert json.loads(_golden().read_text()) == _presets()


def _golden():
    import pathlib

    return pathlib.Path(__file__).with_name("golden_synthetic.json")


def _presets():
    return json.loads(json.dumps({name: dataclasses.asdict(config) for name, config in synthetic.PRESETS.items()}))


@pytest.mark.slow
def test_paper_preset_follows_the_shipped_log_for_1000_steps():
    """Rusak et al., shipped logs: bimodal, loss log(2N - 1) at step 1, mean 6.739 over the 250 steps before 1001."""
    config = dataclasses.replace(synthetic.PRESETS["paper"], num_seeds=3, scheme="two_view_as_published")
    trials = Trials.grid(3, **{name: getattr(config, name) for name in synthetic.TRACED})
    result = run(synthetic.build(config), trials, num_steps=1000, log_every=250, progress=False)
    np.testing.assert_allclose(result.train["loss"][:, 0], np.log(1999), atol=2e-3)
    last = result.train["loss"][:, -1]
    assert abs(last.mean() - 6.739) < 3 * last.std(ddof=1)
    assert Arm("bimodal", config).config.spectrum == "bimodal"
    assert jnp.isfinite(result.final("R2")).all()


if __name__ == "__main__":
    _golden().write_text(json.dumps(_presets(), indent=1, sort_keys=True) + "\n")
