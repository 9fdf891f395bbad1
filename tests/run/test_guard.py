"""What is refused before anything is compiled, overwritten or lost."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import contrastive_study, regression_study

from identax.run import guard, make_mesh, run
from identax.run.program import Programs, abstract_state
from identax.run.trials_file import read_trials
from identax.study import Trials

STUDY = regression_study()
TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2])
MESH = make_mesh(trial=4)


@pytest.fixture(autouse=True)
def nothing_compiles(monkeypatch):
    """Every refusal here comes before the first program is compiled."""

    def compiled(*_):
        raise AssertionError("a program was compiled")

    monkeypatch.setattr(Programs, "_call", compiled)


def train(workdir=None, *, study=STUDY, trials=TRIALS, mesh=MESH, **options):
    options = {"num_steps": 20, "log_every": 5, **options}
    return run(study, trials, mesh=mesh, workdir=workdir, progress=False, **options)


def test_the_fixture_works():
    with pytest.raises(AssertionError, match="was compiled"):
        train()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": -1}, "found num_steps=-1"),
        ({"num_steps": 10**24}, "found num_steps=1000000000000000000000000, wanted at most 2147483647"),
        ({"log_every": 0}, "found log_every=0"),
        ({"evaluate_every": 7}, "found evaluate_every=7, wanted a positive multiple of log_every=5"),
        ({"checkpoint_every": 12}, "found checkpoint_every=12"),
        ({"evaluate_every": 0}, "found evaluate_every=0"),
        ({"checkpoint_every": True}, "found checkpoint_every=True, wanted an integer"),
        ({"workdir": "gs://bucket/run"}, "run: workdir: found 'gs://bucket/run', wanted a folder of a file system of"),
        ({"workdir": Path("s3://b/x")}, "run: workdir: found 's3:/b/x'"),
        ({"workdir": "~nobody-of-this-name/run"}, "run: workdir: found '~nobody-of-this-name/run'"),
        ({"trials": TRIALS[:0]}, "found 0 trials"),
        ({"trial_map": "pmap"}, "found trial_map='pmap'"),
        ({"resume": True}, "resume without a workdir"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_checkpoints_kept_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="keep_checkpoints=0"):
        train(tmp_path / "run", keep_checkpoints=0)
    assert not (tmp_path / "run").exists()


def test_a_study_refuses_hyperparameters_of_its_own(tmp_path):
    seen = []

    def check(hparams):
        seen.append(hparams["learning_rate"])
        if (seen[-1] > 0.02).any():
            raise ValueError("found large steps")

    with pytest.raises(ValueError, match="found large steps"):
        train(tmp_path / "run", study=STUDY._replace(check=check))
    assert not (tmp_path / "run").exists()
    assert isinstance(seen[0], np.ndarray) and seen[0].shape == (len(TRIALS),)
    with pytest.raises(AssertionError, match="was compiled"):
        train(study=STUDY._replace(check=check), trials=TRIALS[:2])


def test_a_sampled_batch_must_divide_over_the_data_axis():
    with pytest.raises(ValueError, match=r"\(12, 3\) does not divide over the mesh's data axis of 8"):
        train(study=regression_study(batch=12), mesh=make_mesh(data=8))


def test_more_trials_than_memory_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: 2000)
    with pytest.raises(ValueError, match=r"run: 800 trials need at least .* at most about \d+ trials fit"):
        train(tmp_path / "run", trials=Trials.grid(200, learning_rate=[1e-2] * 4))
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: None)  # unknown: let it try
    with pytest.raises(AssertionError, match="was compiled"):
        train(trials=Trials.grid(200, learning_rate=[1e-2] * 4))


def _needed(trials=8, how="vmap", mesh=MESH, study=STUDY):
    trials = Trials.grid(trials, learning_rate=0.1)
    return guard.bytes_needed(study, abstract_state(study, mesh, trials.keys, trials.hparams), None, mesh, how)


def test_memory_grows_with_trials_and_with_the_step():
    assert _needed(64) == pytest.approx(8 * _needed(8), rel=0.01)
    assert _needed(64, mesh=make_mesh(trial=8)) == pytest.approx(_needed(64) / 2, rel=0.01)
    assert _needed(64, how="map") < _needed(64)
    # 2N x 2N similarities, 4 bytes each, twice per device of four.
    assert _needed(8, study=contrastive_study(batch=512)) >= 2 * (2 * 512) ** 2


@pytest.mark.parametrize("part", ["evaluate", "keep"])
def test_memory_covers_what_evaluations_make(part, monkeypatch, tmp_path):
    """800 x 800 floats that are summed at once: nothing that a step makes or a row holds is as large."""

    def pairwise(state, key):
        points = jax.random.normal(key, (800, 1))
        return {"spread": jnp.square(points - points.T).sum()}

    study = STUDY._replace(**{part: pairwise})
    for how, at_once in (("vmap", 2), ("map", 1)):
        grown = _needed(8, how=how, study=study) - _needed(8, how=how)
        assert 0.9 * at_once * 4 * 800**2 < grown <= at_once * 4 * 800**2
    assert _needed(8, mesh=make_mesh(data=8), study=study) > 8 * 4 * 800**2  # not over the data axis
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: 10**6)
    with pytest.raises(ValueError, match=r"run: 4 trials need at least .* GiB per device"):
        train(tmp_path / "run", study=study)


def test_memory_of_this_machine_is_known():
    assert (guard.bytes_available(MESH) or 0) > 2**20


def test_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(guard, "free_disk_space", lambda folder: 100)
    with pytest.raises(ValueError, match=r"3 checkpoints need 0.0 MiB, found 0.0 MiB free"):
        train(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"cannot write to workdir .*file/run: Not a directory"):
        train(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match=r"cannot write to workdir .*file: File exists"):
        train(tmp_path / "file")


@pytest.fixture
def claimed(tmp_path):
    """A run directory as a run leaves it when it is stopped before its first step."""
    with pytest.raises(AssertionError):
        train(tmp_path / "run", config={"dim": 3, "model": {"width": 8}})
    return tmp_path / "run"


def test_the_run_directory_says_what_it_holds(claimed):
    content = json.loads((claimed / "config.json").read_text())
    assert content["config"]["config"] == {"dim": 3, "model": {"width": 8}}
    assert content["config"]["num_steps"] == 20 and content["trials"]["count"] == 4
    assert "0.03" not in json.dumps(content)  # of the trials it has the digest alone
    assert read_trials(claimed).seeds.tolist() == [0, 1, 0, 1]
    assert content["environment"]["packages"]["jax"] == jax.__version__


def test_an_existing_run_is_refused_without_resume(claimed):
    with pytest.raises(ValueError, match=r"holds a run already; continue it with resume \(--resume\)"):
        train(claimed, config={"dim": 3, "model": {"width": 8}})


@pytest.mark.parametrize("resume", [True, False])
def test_another_config_is_refused_and_the_fields_are_listed(claimed, resume):
    before = (claimed / "config.json").read_text()
    with pytest.raises(ValueError, match="another config") as refusal:
        train(
            claimed,
            config={"dim": 4, "model": {"width": 8, "depth": 2}},
            num_steps=25,
            trials=Trials.grid(2, learning_rate=[1e-2, 5e-2]),
            resume=resume,
        )
    message = str(refusal.value)
    assert "config.dim: there 3, here 4" in message and "config.model.depth: there 'absent', here 2" in message
    assert "num_steps: there 20, here 25" in message
    assert message.index("num_steps") < message.index("config.dim")  # the run itself before the fields of its config
    assert "hparams.learning_rate: 2 of 4 differ, the first: there 0.03, here 0.05" in message
    assert "width" not in message and "seeds" not in message
    assert (claimed / "config.json").read_text() == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"not empty \(found \['thesis.tex'\]\)"):
        train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_config_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a config that JSON cannot hold .*object"):
        train(tmp_path / "run", config={"model": object()})
    assert not (tmp_path / "run").exists()


def test_a_damaged_config_is_refused(claimed):
    (claimed / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged, or not .*; put it back, or delete it"):
        train(claimed, resume=True)


def test_not_a_number_in_a_config_is_what_it_was(tmp_path):
    for resume in (False, True):
        with pytest.raises(AssertionError):  # it gets as far as compiling
            train(tmp_path / "run", config={"f": float("nan"), "more": [float("nan")]}, resume=resume)
    with pytest.raises(ValueError, match=r"config\.f: there nan, here 1"):
        train(tmp_path / "run", config={"f": 1.0, "more": [float("nan")]}, resume=True)


def test_a_config_whose_keys_cannot_be_ordered_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="a config that JSON cannot hold"):
        train(tmp_path / "run", config={"a": 1, 2: 3})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ((1.0, 2.0), r"metric 'loss': found a pair \(sum, weight\), wanted one number"),
        (np.zeros(3), r"metric 'loss': found shape \(3,\), wanted one number"),
        (1j, "metric 'loss': found complex64, wanted real values"),
    ],
)
def test_a_loss_is_one_number(tmp_path, loss, message):
    study = STUDY._replace(step=lambda state, batch: (STUDY.step(state, batch)[0], {"loss": loss}))
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", study=study)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_not_a_number_is_found_in_every_type(dtype):
    batch = np.asarray(jnp.array([1.0, np.nan, np.inf], "float32")).astype(jnp.dtype(dtype))
    with pytest.raises(ValueError, match=r"run: \['x'\] holds 2 values that are not finite"):
        guard.check_batch({"x": batch}, make_mesh(devices=jax.devices()[:1]))
    guard.check_batch({"x": batch[:1], "n": np.arange(3), "b": np.array([True])}, make_mesh(devices=jax.devices()[:1]))
