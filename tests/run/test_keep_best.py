"""Kept arrays, best states, early stopping, weighted and nested metrics: whole, resumed, on one device or eight."""

import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import same_rows, same_trees

from identax.rng import stream
from identax.run import Interrupted, make_mesh, run
from identax.run.arrays import step_of
from identax.run.saved import finished_rows
from identax.run.values import flat_metrics, ratio
from identax.study import Best, State, Study, Trials

TURN = 12


def walk(best=None, *, keep=True, keep_at=(), weight=None) -> Study:
    """`x` grows by `hparams["rate"]` a step up to step `TURN` and falls afterwards; `fails_at` makes it NaN."""

    def init(key, hparams):
        return State(jnp.zeros((), jnp.int32), key, None, {"x": jnp.zeros(())}, None, None, hparams)

    def step(state, batch):
        up = jnp.where(state.step < TURN, 1.0, -1.0) * state.hparams["rate"]
        x = state.params["x"] + jnp.where(state.step + 1 == state.hparams["fails_at"], jnp.nan, up)
        done = (state.step % 4 == 3).astype(float) if weight is None else jnp.asarray(float(weight))
        found = {"loss": x, "nested": {"return": (x * done, done)}}
        return State(state.step + 1, state.key, None, {"x": x}, None, None, state.hparams), found

    def evaluate(state, key):
        return {"x": state.params["x"], "of": {"key": jax.random.uniform(stream(key, "u"))}, "share": (state.step, 2)}

    def kept(state, key):
        x = state.params["x"]
        return {"path": x + jnp.arange(3.0), "spectrum": jnp.exp(1j * x), "count": state.step}

    return Study(init, step, evaluate, (), kept if keep else None, keep_at, best)


TRIALS = Trials.grid(2, rate=[1.0, 2.0], fails_at=[-1.0, 7.0])
MESH = make_mesh(trial=2)
OPTIONS = {"num_steps": 24, "log_every": 2, "evaluate_every": 4, "checkpoint_every": 8, "progress": False}
ALIVE = np.asarray(TRIALS.hparams["fails_at"]) < 0
RATE = np.asarray(TRIALS.hparams["rate"])


def go(study, workdir=None, *, mesh=MESH, trials=TRIALS, **options):
    return run(study, trials, mesh=mesh, workdir=workdir, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run: patience over 8 steps after the turn."""
    return go(walk(Best("x", "max", patience=2), keep_at=(8, 20, 24)), tmp_path_factory.mktemp("whole") / "run")


def test_the_best_state_is_that_of_the_best_evaluation(whole):
    np.testing.assert_array_equal(whole.best_step[ALIVE], TURN)
    np.testing.assert_array_equal(whole.best_step[~ALIVE], 4)  # before it failed
    np.testing.assert_allclose(np.asarray(whole.best_state.params["x"])[ALIVE], TURN * RATE[ALIVE])
    np.testing.assert_allclose(whole.at_best("x")[ALIVE], TURN * RATE[ALIVE])
    np.testing.assert_array_equal(np.asarray(whole.best_state.step), whole.best_step)


def test_a_trial_without_patience_left_is_frozen_and_not_failed(whole):
    np.testing.assert_array_equal(whole.stopped_at[ALIVE], TURN + 8)
    np.testing.assert_array_equal(whole.failed_at > 0, ~ALIVE)
    assert whole.evaluation_steps[-1] == TURN + 8  # nobody is left: the run ends
    np.testing.assert_allclose(whole.final("x")[ALIVE], (TURN - 8) * RATE[ALIVE])
    np.testing.assert_array_equal(np.asarray(whole.state.step)[ALIVE], TURN + 8)


def test_without_patience_all_steps_are_made_and_the_best_state_is_the_same(whole):
    found = go(walk(Best("x", "max")))
    assert found.evaluation_steps[-1] == 24 and (found.stopped_at == 0).all()
    same_trees(found.best_state, whole.best_state)
    np.testing.assert_allclose(found.final("x")[ALIVE], 0.0)


def test_the_direction_and_an_absent_choice():
    assert (go(walk(Best("x", "min"), keep=False)).best_step == [0, 0, 0, 0, 0, 0, 0, 0])[ALIVE].all()
    plain = go(walk(keep=False))
    assert plain.best_state is None and plain.best_step is None and plain.arrays == {}
    with pytest.raises(ValueError, match="without `best`"):
        plain.at_best("x")


def test_kept_arrays_lead_with_trials_and_survive(whole):
    assert sorted(whole.arrays) == ["count", "path", "spectrum"]
    assert sorted(whole.arrays["path"]) == [8, 20]  # the run ended at 20
    np.testing.assert_allclose(whole.kept("path", 8)[ALIVE], 8 * RATE[ALIVE][:, None] + np.arange(3.0))
    assert np.isnan(whole.kept("path", 8)[~ALIVE]).all() and whole.kept("count", 8).dtype == np.int32
    np.testing.assert_allclose(whole.kept("spectrum")[ALIVE], np.exp(1j * 4 * RATE[ALIVE]), rtol=1e-5)
    assert sorted(p.name for p in (whole.workdir / "arrays").iterdir())[0] == "count@20.npy"
    with pytest.raises(ValueError, match="wanted one of"):
        whole.kept("path", 4)
    with pytest.raises(ValueError, match=r"wanted one of \['count'"):
        whole.kept("other")


def test_arrays_are_kept_after_the_last_step_alone_unless_asked():
    assert {name: list(found) for name, found in go(walk()).arrays.items()}["path"] == [24]


@pytest.mark.parametrize("at", [3, 9, 13])
def test_resumed_is_uninterrupted(whole, tmp_path, at):
    class Signal:
        def write(self, step, phase, metrics):
            if phase == "train" and step > at and not self.sent:
                self.sent = True
                os.kill(os.getpid(), signal.SIGTERM)

        sent = False

        def close(self):
            pass

    study = walk(Best("x", "max", patience=2), keep_at=(8, 20, 24))
    with pytest.raises(Interrupted):
        go(study, tmp_path / "run", sinks=[Signal()])
    found = go(study, tmp_path / "run", resume=True)
    same_rows(found.workdir / "records.jsonl", whole.workdir / "records.jsonl")
    same_trees((found.state, found.best_state), (whole.state, whole.best_state))
    for name in ("best_step", "stopped_at", "failed_at"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    for name, steps in whole.arrays.items():
        for step, values in steps.items():
            np.testing.assert_array_equal(found.arrays[name][step], values)
    again = go(study, tmp_path / "run", resume=True)  # a finished run
    same_trees(again.best_state, whole.best_state)


def test_on_eight_devices_and_one_after_the_other(whole):
    found = go(walk(Best("x", "max", patience=2), keep_at=(8, 20, 24)), mesh=make_mesh(), trial_map="map")
    same_trees(found.best_state, whole.best_state)
    np.testing.assert_array_equal(found.kept("path", 8), whole.kept("path", 8))


def test_a_weighted_metric_is_the_ratio_of_sums_and_empty_without_weight(whole):
    rate, name = RATE[0], "nested/return"
    found = dict(zip(whole.train_steps.tolist(), whole.train[name][0], strict=True))
    assert np.isnan(found[1]) and np.isnan(found[2])  # no episode ended: empty, not 0
    np.testing.assert_allclose([found[4], found[8]], [4 * rate, 8 * rate])
    one = go(walk(weight=1, keep=False), log_every=4)
    np.testing.assert_allclose(one.train[name][0][1], np.mean([1, 2, 3, 4]))
    assert np.isnan(go(walk(weight=0, keep=False)).train[name]).all()
    np.testing.assert_allclose(whole.evaluation["share"][0][:3], [0, 2, 4])
    assert "of/key" in whole.evaluation
    np.testing.assert_array_equal(ratio([1.0, 1.0, 0.0], [2, 0, 0]), [0.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"a": jnp.ones(2) * 1j}, "'a': found complex64"),
        ({"a": {"b": 1j}}, "'b': found complex"),
        ({"a": "text"}, "found str"),
        ({1: 2.0}, "called 1"),
        ({"a": {"b": 1.0}, "a/b": 2.0}, "'a/b' twice"),
        ({"a": (jnp.ones(2), jnp.ones(()))}, "one shape"),
        ([1.0], "found list"),
    ],
)
def test_metrics_that_rows_cannot_hold_are_refused_by_name(metrics, words):
    with pytest.raises(ValueError, match=words):
        flat_metrics(metrics)
    study = walk(keep=False)._replace(evaluate=lambda state, key: metrics)
    if words != "found str":  # no JAX type
        with pytest.raises(ValueError, match=words):
            go(study)


def test_what_cannot_be_kept_or_best_is_refused_before_training():
    with pytest.raises(ValueError, match="wanted evaluations"):
        go(walk(keep_at=(6,)))
    with pytest.raises(ValueError, match="without `keep`"):
        go(walk(keep=False, keep_at=(8,)))
    with pytest.raises(ValueError, match=r"best\.direction='up'"):
        go(walk(Best("x", "up")))
    with pytest.raises(ValueError, match="at least 1"):
        go(walk(Best("x", "min", patience=0)))
    with pytest.raises(ValueError, match="found no metric 'y'"):
        go(walk(Best("y", "min")))


def test_a_kept_array_that_was_changed_is_found(whole, tmp_path):
    folder = shutil.copytree(whole.workdir, tmp_path / "run")
    rows = finished_rows(folder, OPTIONS["num_steps"], len(whole.trials))  # ended early, as saved.json knows
    assert max(row["step"] for row in rows) == 20
    path = folder / "arrays/count@20.npy"
    np.save(path, np.load(path) + 1)
    with pytest.raises(ValueError, match=r"count@20.npy is missing or not as the run wrote it; put it back, or delete"):
        finished_rows(folder, OPTIONS["num_steps"], len(whole.trials))


@pytest.mark.parametrize("damage", ["changed", "missing"])
@pytest.mark.filterwarnings("ignore:checkpoint .* is unusable")
def test_a_kept_array_that_is_not_as_written_is_not_built_upon(whole, tmp_path, damage):
    study = walk(Best("x", "max", patience=2), keep_at=(8, 20, 24))
    copy = shutil.copytree(whole.workdir, tmp_path / "run")
    names = sorted(path.name for path in (copy / "arrays").iterdir())
    last, first = ([name for name in names if name.endswith(f"@{step}.npy")] for step in (20, 8))
    for name in (*last, *first):
        path = copy / "arrays" / name
        before = path.read_bytes()
        path.unlink() if damage == "missing" else path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        usable = any(int(folder.name) < step_of(name) for folder in (copy / "checkpoints").iterdir())
        if usable:
            go(study, copy, resume=True)
            assert path.read_bytes() == before
        else:
            with pytest.raises(ValueError, match=f"run: .*{name} is missing or not as the run wrote it; put it back"):
                go(study, copy, resume=True)
            path.write_bytes(before)
    found = go(study, copy, resume=True)
    for name, of_name in whole.arrays.items():
        for step, values in of_name.items():
            np.testing.assert_array_equal(found.arrays[name][step], values)
