"""`run`: schedules, failures, sinks, trial functions, and that sweeps compile once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from regression import regression_study, same_rows, same_trees

from identax.rng import stream
from identax.run import Results, make_mesh, program, run
from identax.run.records import read_rows
from identax.study import Study, Trials, gradient_study

STUDY = regression_study()
MESH = make_mesh(trial=2)
TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2])


def train(study=STUDY, trials=TRIALS, **options):
    options = {"num_steps": 20, "log_every": 5, "mesh": MESH, "progress": False, **options}
    return run(study, trials, **options)


def test_learns_and_keeps_trials_apart():
    found = train(num_steps=400, log_every=100)
    assert found.final("error").shape == (4,) and found.final("entries").shape == (4, 9)
    assert (found.final("error")[2:] < 0.05).all()
    assert (found.evaluation["error"][:, -1] < found.evaluation["error"][:, 0]).all()
    assert len(np.unique(found.final("entries")[:, 0])) == 4 and (found.failed_at == 0).all()
    assert found.seconds["run"] > 0


def test_the_schedule():
    found = train(num_steps=23, evaluate_every=10)
    assert found.train_steps.tolist() == [1, 5, 10, 15, 20, 23]
    assert found.evaluation_steps.tolist() == [0, 10, 20, 23]
    assert found.train["loss"].shape == (4, 6) and found.state.step.tolist() == [23] * 4
    assert train(num_steps=1, log_every=1).train_steps.tolist() == [1]


def test_rows_hold_the_first_step_and_means_of_chunks():
    found = train(num_steps=10)
    state = jax.vmap(STUDY.init)(TRIALS.keys, TRIALS.hparams)
    step, losses = jax.jit(jax.vmap(lambda state: STUDY.step(state, None))), []
    for _ in range(10):
        state, metrics = step(state)
        losses.append(metrics["loss"])
    losses = np.stack(losses, axis=1)
    wanted = np.stack([losses[:, 0], losses[:, :5].mean(axis=1), losses[:, 5:].mean(axis=1)], axis=1)
    np.testing.assert_allclose(found.train["loss"], wanted, rtol=1e-5)


def test_no_steps_is_an_evaluation():
    found = train(num_steps=0)
    assert found.evaluation_steps.tolist() == [0] and found.train == {} and found.final("error").shape == (4,)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    found = train()
    with pytest.raises(ValueError, match=r"found 'mcc', wanted one of \['entries', 'error'\]"):
        found.final("mcc")
    assert found.where(learning_rate=3e-2).tolist() == [False, False, True, True]


# --- compile once


def _counted(study):
    """The study and a dict that counts how often Python runs its functions."""
    counts = dict.fromkeys(("init", "step", "evaluate"), 0)

    def counting(name, function):
        def counted(*args):
            counts[name] += 1
            return function(*args)

        return counted

    return study._replace(**{name: counting(name, getattr(study, name)) for name in counts}), counts


def test_sweeps_compile_once():
    study, counts = _counted(regression_study())
    first = train(study, Trials.grid(2, learning_rate=[1e-2, 3e-2], explode_at=0))
    before = dict(counts)
    second = train(study, Trials.grid(2, seed=5, learning_rate=[1e-3, 2e-3], explode_at=[7]))
    assert counts == before and second.seconds["compile"] == 0.0 < first.seconds["compile"]
    assert not np.allclose(first.train["loss"], second.train["loss"])
    # Negative control: without `explode_at` the hyper-parameters have another shape.
    train(study, Trials.grid(2, learning_rate=[1e-2, 3e-2]), num_steps=0)
    assert counts["init"] > before["init"] and counts["evaluate"] > before["evaluate"]


def test_other_numerics_compile_anew():
    study, trials = regression_study(), Trials.grid(2, learning_rate=0.1)
    train(study, trials, num_steps=0)
    assert train(study, trials, num_steps=0).seconds["compile"] == 0
    with jax.default_matmul_precision("highest"):
        assert train(study, trials, num_steps=0).seconds["compile"] > 0
    with jax.enable_x64(True):
        found = train(study, Trials.grid(2, learning_rate=0.1), num_steps=0)
    assert found.state.params["w"].dtype == jnp.float64


# --- failures


@pytest.mark.parametrize("log_every", [5, 10, 20])
def test_a_trial_that_turns_nan_is_frozen_and_disturbs_nobody(log_every):
    calm = Trials.grid(2, learning_rate=[1e-2, 3e-2], explode_at=0.0)
    explode_at = jnp.array([0.0, 13.0, 0.0, 10.0])
    wild = dataclasses.replace(calm, hparams={**calm.hparams, "explode_at": explode_at})
    wanted, found = (train(trials=t, log_every=log_every, evaluate_every=20) for t in (calm, wild))
    assert wanted.failed_at.tolist() == [0] * 4 and found.failed_at.tolist() == [0, 13, 0, 10]
    same_trees(found.state.params["w"][::2], wanted.state.params["w"][::2])
    for name in ("loss", "scale"):
        np.testing.assert_array_equal(found.train[name][::2], wanted.train[name][::2])
    np.testing.assert_array_equal(found.final("error")[::2], wanted.final("error")[::2])
    # The failed ones stay where the chunk began, and say nothing from there on.
    assert found.state.step.tolist() == [20, 12 // log_every * log_every, 20, 9 // log_every * log_every]
    assert np.isfinite(found.state.params["w"]).all() and np.isnan(found.final("error")[[1, 3]]).all()
    for name in ("loss", "scale"):
        np.testing.assert_array_equal(np.isnan(found.train[name][1]), found.train_steps >= 13)
        np.testing.assert_array_equal(np.isnan(found.train[name][3]), found.train_steps >= 10)


def _cusp_study():
    """Its loss stays finite while its gradient does not: sqrt at 0, reached at step 5."""

    def init(key, hparams):
        return None, {"x": jnp.asarray(4.0)}, None

    def loss(params, state, batch, key):
        return jnp.sqrt(params["x"])[None] * 0 + params["x"][None], (None, {})

    return gradient_study(
        init=init,
        sample=lambda state, key: jnp.zeros(1),
        loss=loss,
        optimizer=lambda hparams: optax.sgd(1.0),
        evaluate=lambda state, key: {"x": state.params["x"]},
    )


@pytest.mark.parametrize("log_every", [1, 4, 5, 8])
def test_when_a_trial_failed_does_not_depend_on_the_chunks(log_every):
    # x = 4, 3, 2, 1, 0: the loss of step 5 is finite, its gradient is 0/0, the loss of step 6 is not a number.
    found = train(_cusp_study(), Trials.grid(1), num_steps=8, log_every=log_every, mesh=make_mesh(trial=1))
    assert found.failed_at.tolist() == [6]
    assert np.isfinite(found.state.params["x"]).all() and np.isnan(found.final("x")).all()


def test_a_failure_in_the_last_update_is_seen():
    found = train(_cusp_study(), Trials.grid(1), num_steps=5, mesh=make_mesh(trial=1))
    assert found.failed_at.tolist() == [6] and np.isfinite(found.train["loss"]).all()


def test_a_state_never_starts_weakly_typed():
    # A checkpoint does not keep the weak type of jnp.asarray(4.0); a resumed run must compile the same program.
    assert jnp.asarray(4.0).weak_type
    found = train(_cusp_study(), Trials.grid(1), num_steps=0, mesh=make_mesh(trial=1))
    assert found.state.params["x"].tolist() == [4.0] and not found.state.params["x"].weak_type


def test_float64_runs_and_failures(x64):
    found = train(trials=Trials.grid(1, learning_rate=[1e-2, 3e-2], explode_at=[0, 7]), num_steps=10)
    assert found.failed_at.tolist() == [0, 7, 0, 7] and found.state.params["w"].dtype == jnp.float64
    assert np.isnan(found.final("error")).tolist() == [False, True, False, True]


# --- sinks


class Sink:
    """Remembers what it got; `fault` is raised at the first row of training."""

    def __init__(self, fault=None):
        self.rows, self.closed, self.fault = [], 0, fault

    def write(self, step, phase, metrics):
        if self.fault is not None and phase == "train":
            raise self.fault
        self.rows.append((step, phase, metrics))

    def close(self):
        self.closed += 1


def test_sinks_get_every_row_and_are_closed(tmp_path):
    sinks = [Sink(), Sink()]
    found = train(num_steps=10, sinks=sinks, workdir=tmp_path / "run")
    rows = [(row["step"], row["kind"]) for row in read_rows(tmp_path / "run/records.jsonl")]
    assert rows == [(0, "eval"), (1, "train"), (5, "train"), (10, "train"), (10, "eval")]
    for sink in sinks:
        assert [row[:2] for row in sink.rows] == rows and sink.closed == 1
        np.testing.assert_array_equal(sink.rows[-1][2]["error"], found.final("error"))
        assert sink.rows[1][2]["loss"].shape == (4,)


def test_sinks_and_records_are_closed_when_something_breaks(tmp_path):
    sink = Sink(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        train(sinks=[sink], workdir=tmp_path / "run")
    assert sink.closed == 1
    found = train(workdir=tmp_path / "run", resume=True)  # no checkpoint yet: from the beginning
    train(workdir=tmp_path / "whole")
    same_rows(tmp_path / "run/records.jsonl", tmp_path / "whole/records.jsonl")
    assert found.train_steps[-1] == 20


# --- trial functions and studies with a state of their own


def _estimate(key, hparams):
    """Structure identification in miniature: no training, metrics straight from data."""
    x = hparams["scale"] * jax.random.normal(stream(key, "x"), (1000,))
    return {"sd": x.std(), "quartiles": jnp.quantile(x, jnp.array([0.25, 0.75]))}


@pytest.mark.parametrize("trial_map", ["vmap", "map"])
def test_a_trial_function_is_a_study(trial_map):
    trials = Trials.grid(3, scale=[1.0, 2.0])
    found = run(_estimate, trials, trial_map=trial_map, progress=False)
    wanted = [_estimate(key, {"scale": scale}) for key, scale in zip(trials.keys, trials.hparams["scale"], strict=True)]
    np.testing.assert_allclose(found.final("sd"), [w["sd"] for w in wanted], rtol=1e-5)
    np.testing.assert_allclose(found.final("quartiles"), [w["quartiles"] for w in wanted], rtol=1e-4)
    again = run(_estimate, Trials.grid(3, scale=[3.0, 4.0]), trial_map=trial_map, progress=False)
    assert again.seconds["compile"] == 0.0


def test_a_trial_function_has_no_steps():
    with pytest.raises(ValueError, match="wanted num_steps=0"):
        run(_estimate, Trials.grid(1, scale=1.0), num_steps=10, progress=False)


def test_a_finished_trial_function_is_not_run_again(tmp_path):
    trials = Trials.grid(3, scale=[1.0, 2.0])
    first = run(_estimate, trials, workdir=tmp_path, progress=False)
    before = (tmp_path / "records.jsonl").read_text()
    again = run(_estimate, trials, workdir=tmp_path, progress=False, resume=True)
    np.testing.assert_array_equal(again.final("sd"), first.final("sd"))
    assert (tmp_path / "records.jsonl").read_text() == before


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Walk:
    """A state that is not identax's: a random walk."""

    step: jax.Array
    key: jax.Array
    place: jax.Array


def test_a_study_may_bring_its_own_state(tmp_path):
    def step(state, batch):
        place = state.place + jax.random.normal(jax.random.fold_in(state.key, state.step))
        return Walk(state.step + 1, state.key, place), {"place": place.astype(jnp.bfloat16), "count": state.step}

    study = Study(
        lambda key, hparams: Walk(jnp.zeros((), jnp.int32), key, jnp.zeros(())),
        step,
        lambda state, key: {"place": state.place},
    )
    options = {"num_steps": 10, "workdir": tmp_path / "run"}
    found = train(study, Trials.grid(2), **options)
    wanted = [sum(jax.random.normal(jax.random.fold_in(key, t)) for t in range(10)) for key in found.trials.keys]
    np.testing.assert_allclose(found.final("place"), wanted, rtol=1e-5)
    assert found.train["count"][:, -1].tolist() == [7.0, 7.0]
    same_trees(train(study, Trials.grid(2), resume=True, **options).state, found.state)


def test_results_say_how_long_and_where(tmp_path):
    found = train(workdir=tmp_path / "run")
    assert isinstance(found, Results) and found.workdir == (tmp_path / "run").resolve()
    assert set(found.seconds) == {"compile", "run"} and found.num_steps == 20


SCHEDULER_OFF = "--xla_cpu_enable_concurrency_optimized_scheduler=false"  # or the runner warns: it is too late here


@pytest.mark.parametrize(
    ("flags", "few", "wanted"),
    [
        ("", False, {"xla_backend_optimization_level": 1}),
        ("--xla_dump_max_hlo_modules=1", False, {"xla_backend_optimization_level": 1}),
        ("--xla_backend_optimization_level=3", False, {}),
        ("", True, {}),
    ],
)
def test_cpu_programs_compile_at_level_1_unless_told_otherwise(monkeypatch, flags, few, wanted):
    found, compile_ = [], jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda lowered, options: found.append(options) or compile_(lowered, options)
    )
    monkeypatch.setenv("XLA_FLAGS", f"{flags} {SCHEDULER_OFF}")
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", few)
    try:
        train(regression_study(), num_steps=1, log_every=1)
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
    assert found and all(options == wanted for options in found)


def test_a_long_run_compiles_its_steps_and_nothing_else_at_xlas_own_level(monkeypatch):
    found, compile_ = [], jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda lowered, options: found.append(options) or compile_(lowered, options)
    )
    monkeypatch.setenv("XLA_FLAGS", SCHEDULER_OFF)
    monkeypatch.setattr(program, "LONG_RUN", 4)
    study, level = regression_study(), {"xla_backend_optimization_level": 1}
    short = train(study, num_steps=2, log_every=2)
    assert found == [level] * 3, "start, evaluation, steps"
    long = train(study, num_steps=4, log_every=2)
    assert found == [level] * 3 + [{}], "the steps again, of the same study and length"
    np.testing.assert_allclose(long.train["loss"][:, :2], short.train["loss"], rtol=1e-5)
