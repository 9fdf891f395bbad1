"""Events: changes of the state between chunks, once each, also when a run is resumed."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
from regression import regression_study, same_rows, same_trees

from identax.run import Interrupted, make_mesh, run
from identax.study import Trials

STUDY = regression_study()
TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2])


def train(study=STUDY, trials=TRIALS, **options):
    options = {"num_steps": 20, "log_every": 5, "mesh": make_mesh(trial=2), "progress": False, **options}
    return run(study, trials, **options)


def _eventful(after=10):
    """Regression whose weights are reset after `after` steps, with a little noise."""

    def reset(state, key):
        return dataclasses.replace(state, params={"w": 0.1 * jax.random.normal(key, state.params["w"].shape)})

    return regression_study()._replace(events=((after, reset),))


EVENTFUL = _eventful()


def test_an_event_changes_the_state_once():
    options = {"num_steps": 20, "evaluate_every": 5, "checkpoint_every": 10}
    found, calm = train(EVENTFUL, **options), train(**options)
    before, after = found.evaluation_steps < 10, found.evaluation_steps >= 10
    same_trees(found.evaluation["entries"][:, before], calm.evaluation["entries"][:, before])
    assert (found.evaluation["entries"][:, after] != calm.evaluation["entries"][:, after]).all()
    assert (np.abs(found.evaluation["entries"][:, 2]) < 0.6).all()
    assert len(np.unique(found.evaluation["entries"][:, 2, 0])) == 2  # by seed, as the keys are; not by cell


def test_a_resumed_run_repeats_and_misses_no_event(tmp_path):
    class Stop:
        def write(self, step, phase, metrics):
            if (step, phase) == (self.stop_at, "train"):
                os.kill(os.getpid(), signal.SIGTERM)

        def close(self):
            pass

    study = EVENTFUL
    whole = train(study, workdir=tmp_path / "whole")
    for stop_at in (1, 5, 10):  # noticed one chunk later: at the event's own boundary for 1 and 5
        sink = Stop()
        sink.stop_at = stop_at
        with pytest.raises(Interrupted):
            train(study, workdir=tmp_path / f"run-{stop_at}", sinks=[sink])
        found = train(study, workdir=tmp_path / f"run-{stop_at}", resume=True)
        same_rows(tmp_path / "whole/records.jsonl", tmp_path / f"run-{stop_at}/records.jsonl")
        same_trees(found.state, whole.state)


def test_an_event_leaves_a_failed_trial_alone():
    trials = Trials.grid(1, learning_rate=1e-2, explode_at=[0.0, 3.0])
    found = train(EVENTFUL, trials, num_steps=15)
    start = jax.vmap(STUDY.init)(trials.keys, trials.hparams).params["w"]
    assert found.failed_at.tolist() == [0, 3]
    np.testing.assert_allclose(found.state.params["w"][1], start[1], rtol=1e-6)


@pytest.mark.parametrize("after", [0, 7, 20, 25])
def test_an_event_off_the_chunk_boundaries_is_refused(after):
    with pytest.raises(ValueError, match=f"found an event after {after} steps, wanted a multiple of log_every=5"):
        train(_eventful(after))
