"""Events: changes of the state between chunks, once each, also when a run is resumed."""

import dataclasses
import functools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import regression_study, same_rows, same_trees

from identax.rng import stream
from identax.run import Interrupted, make_mesh, program, run
from identax.run.mesh import trial_sharding
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


@pytest.fixture
def compiled(monkeypatch):
    """A list that grows by one with every program that is compiled."""
    found, compile_ = [], jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda lowered, options: found.append(1) or compile_(lowered, options)
    )
    return found


@pytest.fixture
def after(compiled, monkeypatch):
    """Returns `after(*changes) -> (factor, num_traced, num_compiled)`: weights after all changes over those before."""

    def after(*changes, devices=2):
        mesh = make_mesh(trial=devices)
        sharding = trial_sharding(mesh)
        start = jax.device_put(jax.vmap(STUDY.init)(TRIALS.keys, TRIALS.hparams), sharding)
        monkeypatch.setattr(program, "_CACHE", {})
        monkeypatch.setattr(program, "_CACHE_SIZE", 2 * len(changes))
        TRACED.clear()
        compiled.clear()
        programs = program.Programs(STUDY._replace(events=tuple((5, c) for c in changes)), mesh, "vmap", lambda _: None)
        state = start
        for number in range(len(changes)):
            state = programs.intervene(state, jax.device_put(jnp.ones(len(TRIALS), bool), sharding), number)
        factors = np.asarray(state.params["w"] / start.params["w"])
        np.testing.assert_allclose(factors, np.full_like(factors, factors[0, 0, 0]), rtol=1e-5)
        return round(float(factors[0, 0, 0]), 4), len(TRACED), len(compiled)

    return after


TRACED = []


def scale(state, key, factor=2.0, offset=0):
    TRACED.append(1)
    return dataclasses.replace(state, params={"w": (factor + offset) * state.params["w"]})


@dataclasses.dataclass
class Scaling:
    factor: float

    def apply(self, state, key):
        return scale(state, key, self.factor)


TWICE = Scaling(2.0)


def closure(value):
    return lambda state, key: scale(state, key, value)


def defaults(*values):
    return [lambda state, key, value=value: scale(state, key, value) for value in values]


@pytest.mark.parametrize(
    "changes",
    [
        [scale] * 4,
        [functools.partial(scale, factor=2.0, offset=0) for _ in range(4)],
        [functools.partial(functools.partial(scale, factor=2.0), offset=(0, 1)[0]) for _ in range(4)],
        [lambda state, key: scale(state, key) for _ in range(4)],
        [closure(2.0) for _ in range(4)],
        defaults(2.0, 2.0, 2.0, 2.0),
        [TWICE.apply for _ in range(4)],
    ],
    ids=["function", "partial", "nested partial", "lambda", "closure", "default", "method"],
)
def test_equal_events_are_traced_and_compiled_once(after, changes):
    assert after(*changes) == (16.0, 1, 1)


def test_events_that_lower_to_the_same_text_compile_once(after):
    # Nothing tells that two arrays hold the same numbers but the program.
    assert after(*[closure(np.full((3, 3), 2.0, np.float32)) for _ in range(4)]) == (16.0, 4, 1)
    assert after(*[Scaling(2.0).apply for _ in range(4)]) == (16.0, 4, 1)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ([closure(2.0), closure(3.0)], 6.0),
        (defaults(2.0, 3.0), 6.0),
        ([functools.partial(scale, factor=2.0), functools.partial(scale, factor=3.0)], 6.0),
        ([functools.partial(scale, factor=2.0), functools.partial(scale, offset=2)], 8.0),
        ([closure(np.full((3, 3), value, np.float32)) for value in (2.0, 3.0)], 6.0),
        ([closure(jnp.full((3, 3), value)) for value in (2.0, 3.0)], 6.0),
        ([TWICE.apply, Scaling(3.0).apply], 6.0),
    ],
    ids=["closure", "default", "partial", "other name", "numpy", "jax", "method"],
)
def test_events_that_differ_stay_apart(after, changes, wanted):
    assert after(*changes) == (wanted, 2, 2)


def test_one_and_a_half_true_and_one_are_not_the_same_number(after):
    def by_type(state, key, value):
        return scale(state, key, {int: 2.0, float: 3.0, bool: 5.0}[type(value)])

    assert after(*(functools.partial(by_type, value=value) for value in (1, 1.0, True))) == (30.0, 3, 3)


def test_an_event_that_calls_the_host_is_never_taken_for_another(after):
    # In its text the function that is called back is a number, the same for all.
    heard = []

    def says(word):
        def change(state, key):
            jax.debug.callback(lambda step: heard.append(word), state.step)
            return scale(state, key)

        return change

    assert after(says("first"), says("second"), devices=1) == (4.0, 2, 2)
    jax.effects_barrier()
    assert set(heard) == {"first", "second"}


def test_a_function_that_holds_itself_is_compared_to_an_end(after):
    def recursive():
        def change(state, key, times=3):
            return scale(change(state, key, times - 1), key) if times else state

        return change

    assert after(recursive(), recursive())[::2] == (64.0, 1)


def test_many_events_drive_no_other_program_out_of_the_cache(compiled, monkeypatch):
    monkeypatch.setattr(program, "_CACHE", {})
    monkeypatch.setattr(program, "_CACHE_SIZE", 6)
    events = tuple((5 * k, functools.partial(scale, factor=float(k))) for k in range(1, 5))
    train(STUDY._replace(events=events), num_steps=25, evaluate_every=5)
    assert len(compiled) == 4 + 3  # start, advance, evaluate


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["function", "closures"])
def test_forty_events_cost_little_more_to_compile_than_one(monkeypatch, kind):
    """Of all programs of a run, on a busy machine: 1.10 and 0.89 (a different program for each: 9.3)."""

    def resets(num):
        def make():
            names = ("first", "second", "third")

            def reset(state, key):
                drawn = sum(jax.nn.initializers.orthogonal()(stream(key, name), (3, 3)) for name in names)
                return dataclasses.replace(state, params={"w": drawn})

            return reset

        made = make()
        return tuple((5 * number + 5, make() if kind == "closures" else made) for number in range(num))

    def seconds(num):
        monkeypatch.setattr(program, "_CACHE", {})
        return train(STUDY._replace(events=resets(num)), num_steps=205).seconds["compile"]

    seconds(1)  # JAX's own caches are warm then
    one, forty = np.min([[seconds(num) for num in (1, 40)] for _ in range(3)], axis=0)
    assert forty <= 1.3 * one
