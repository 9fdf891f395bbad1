"""A run that starts where another one ended."""

import dataclasses
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import same_rows, same_trees

from identax.run import make_mesh, run
from identax.study import Best, HostTrial, State, Study, Trials

OPTIONS = {"log_every": 2, "evaluate_every": 2, "progress": False}


def counting(best=None) -> Study:
    """Adds `rate` + the trial's own noise a step; NaN at `fails_at`."""

    def init(key, hparams):
        return State(jnp.zeros((), jnp.int32), key, None, {"x": jax.random.uniform(key)}, None, None, hparams)

    def step(state, batch):
        x = state.params["x"] + state.hparams["rate"]
        x = jnp.where(state.step + 1 == state.hparams.get("fails_at", -1.0), jnp.nan, x)
        return State(state.step + 1, state.key, None, {"x": x}, None, None, state.hparams), {"loss": x}

    return Study(init, step, lambda state, key: {"x": state.params["x"]}, best=best)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Other:
    """A state of another kind."""

    step: Any
    key: Any
    y: Any


def doubling() -> Study:
    """Starts from `factor` times the x of the earlier state and doubles it every step."""

    def init(key, hparams, before):
        return Other(jnp.zeros((), jnp.int32), key, before.params["x"] * hparams["factor"])

    def step(state, batch):
        return Other(state.step + 1, state.key, 2 * state.y), {"loss": state.y}

    return Study(init, step, lambda state, key: {"y": state.y})


PRE, POST = counting(), doubling()
EARLY = Trials.grid(3, rate=1.0)
LATE = Trials.grid(3, factor=[1.0, 10.0])


@pytest.fixture(scope="module")
def earlier():
    return run(PRE, EARLY, num_steps=4, **OPTIONS)


def test_every_trial_starts_from_that_of_its_seed(earlier):
    later = run(POST, LATE, num_steps=2, after=earlier, **OPTIONS)
    start = earlier.final("x")
    np.testing.assert_allclose(later.evaluation["y"][:, 0], np.concatenate([start, 10 * start]), rtol=1e-6)
    np.testing.assert_allclose(later.final("y"), 4 * np.concatenate([start, 10 * start]), rtol=1e-6)
    alone = run(POST, LATE[np.array([4])], num_steps=2, after=earlier, mesh=make_mesh(trial=1), **OPTIONS)
    np.testing.assert_array_equal(alone.final("y"), later.final("y")[4:5])


def test_a_study_that_takes_no_earlier_state_is_refused(earlier):
    with pytest.raises(ValueError, match=r"init takes \(key, hparams\), wanted init\(key, hparams, before\)"):
        run(PRE, EARLY, num_steps=2, after=earlier, **OPTIONS)


def test_the_best_state_where_that_is_asked_for():
    earlier = run(counting(Best("x", "min")), EARLY, num_steps=4, **OPTIONS)
    later = run(POST, LATE, num_steps=2, after=earlier, after_state="best", **OPTIONS)
    np.testing.assert_allclose(later.evaluation["y"][:3, 0], earlier.evaluation["x"][:, 0], rtol=1e-6)


def test_a_sweep_of_the_earlier_run_is_matched_by_value_and_one_trial_serves_all(earlier):
    swept = run(PRE, Trials.grid(2, rate=[1.0, 2.0]), num_steps=4, **OPTIONS)
    later = run(POST, Trials.grid(2, rate=[2.0], factor=1.0), num_steps=2, after=swept, **OPTIONS)
    np.testing.assert_allclose(later.evaluation["y"][:, 0], swept.final("x")[2:], rtol=1e-6)
    with pytest.raises(ValueError, match="found 2 earlier trials of seed 0"):
        run(POST, Trials.grid(2, factor=1.0), num_steps=2, after=swept, **OPTIONS)
    with pytest.raises(ValueError, match=r"found 0 earlier trials of seed 0 with \{'rate': 3.0\}"):
        run(POST, Trials.grid(2, rate=3.0, factor=1.0), num_steps=2, after=swept, **OPTIONS)
    with pytest.raises(ValueError, match="seed 3"):
        run(POST, Trials.grid(4, factor=1.0), num_steps=2, after=earlier, **OPTIONS)
    one = run(PRE, Trials.grid(1, rate=1.0), num_steps=4, **OPTIONS)
    many = run(POST, LATE, num_steps=2, after=one, **OPTIONS)
    np.testing.assert_allclose(many.evaluation["y"][:3, 0], np.repeat(one.final("x"), 3), rtol=1e-6)


def test_what_failed_before_fails_and_disturbs_nobody(earlier):
    trials = dataclasses.replace(EARLY, hparams={"rate": jnp.ones(3), "fails_at": jnp.array([-1.0, 2.0, -1.0])})
    broken = run(PRE, trials, num_steps=4, **OPTIONS)
    later = run(POST, LATE, num_steps=2, after=broken, **OPTIONS)
    np.testing.assert_array_equal(later.failed_at > 0, [False, True, False] * 2)
    assert np.isnan(later.final("y")[1]) and np.isfinite(later.final("y")[[0, 2]]).all()
    np.testing.assert_allclose(later.final("y")[0], 4 * earlier.final("x")[0], rtol=1e-6)
    every = dataclasses.replace(trials, hparams={"rate": jnp.ones(3), "fails_at": jnp.full(3, 2.0)})
    with pytest.raises(ValueError, match="all 3 trials failed"):
        run(POST, LATE, num_steps=2, after=run(PRE, every, num_steps=4, **OPTIONS), **OPTIONS)
    with pytest.raises(ValueError, match="no best states"):
        run(POST, LATE, num_steps=2, after=earlier, after_state="best", **OPTIONS)
    with pytest.raises(ValueError, match="wanted 'final' or 'best'"):
        run(POST, LATE, num_steps=2, after=earlier, after_state="first", **OPTIONS)


def test_resumed_is_uninterrupted_and_another_earlier_run_is_refused(earlier, tmp_path):
    whole = run(POST, LATE, num_steps=4, after=earlier, workdir=tmp_path / "whole", checkpoint_every=2, **OPTIONS)
    run(POST, LATE, num_steps=4, after=earlier, workdir=tmp_path / "cut", checkpoint_every=2, **OPTIONS)
    shutil.rmtree(tmp_path / "cut/checkpoints/4")
    found = run(
        POST, LATE, num_steps=4, after=earlier, workdir=tmp_path / "cut", resume=True, checkpoint_every=2, **OPTIONS
    )
    same_rows(tmp_path / "cut/records.jsonl", tmp_path / "whole/records.jsonl")
    same_trees(found.state, whole.state)
    other = run(PRE, EARLY, num_steps=6, **OPTIONS)
    with pytest.raises(ValueError, match=r"another config: after\.sha256.*after\.steps"):
        run(POST, LATE, num_steps=4, after=other, workdir=tmp_path / "cut", resume=True, checkpoint_every=2, **OPTIONS)


def read(key, hparams, before):
    """A trial without steps that looks at the earlier state."""
    return {"twice": 2 * before.params["x"] + hparams["factor"]}


def read_on_host(key, hparams, before):
    assert isinstance(before.params["x"], np.generic) and before.key.dtype == np.uint32
    return {"twice": 2 * float(before.params["x"]) + float(hparams["factor"])}


@pytest.mark.parametrize("trial", [read, HostTrial(read_on_host)], ids=["compiled", "host"])
def test_trials_without_steps_start_from_an_earlier_run_too(earlier, trial, tmp_path):
    found = run(trial, LATE, after=earlier, workdir=tmp_path / "w", progress=False)
    start = earlier.final("x")
    np.testing.assert_allclose(found.final("twice"), np.concatenate([2 * start + 1, 2 * start + 10]), rtol=1e-6)
    np.testing.assert_array_equal(found.trials.hparams["factor"], LATE.hparams["factor"])
    other = run(PRE, EARLY, num_steps=6, **OPTIONS)
    with pytest.raises(ValueError, match=r"after\.sha256"):
        run(trial, LATE, after=other, workdir=tmp_path / "w", resume=True, progress=False)
    broken = dataclasses.replace(earlier, failed_at=np.array([0, 3, 0]))
    with pytest.raises(ValueError, match=r"of the seeds \[1\]"):
        run(trial, LATE, after=broken, progress=False)
