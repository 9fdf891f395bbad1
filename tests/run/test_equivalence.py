"""The same numbers however a study is executed: transforms, chunks, devices, ways of sharing a device."""

import functools
import re

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from regression import contrastive_study

from identax.losses import infonce
from identax.rng import step_key, stream
from identax.run import make_mesh, run
from identax.run.program import Programs, abstract_state
from identax.run.program import _advance as advance_program
from identax.study import Trials

STUDY = contrastive_study()
TRIALS = Trials.grid(4, learning_rate=[1e-2, 3e-2])  # one per device
STEPS = 20
MESHES = {
    "1 device": lambda: make_mesh(devices=jax.devices()[:1]),
    "8 devices": make_mesh,
    "4 x data 2": lambda: make_mesh(data=2),
    "1 x data 8": lambda: make_mesh(data=8),
}
COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|all-to-all|ragged-all-to-all|reduce-scatter|collective-permute|collective-broadcast)"
)


@functools.cache
def results(mesh="8 devices", *, trials=8, log_every=STEPS, trial_map="vmap"):
    return run(
        STUDY,
        TRIALS[:trials],
        num_steps=STEPS,
        log_every=log_every,
        mesh=MESHES[mesh](),
        trial_map=trial_map,
        progress=False,
    )


def assert_same(a, b, *, rtol=2e-5):
    """Same final parameters, losses and evaluations, to float tolerance."""
    np.testing.assert_array_equal(a.state.step, b.state.step)
    np.testing.assert_allclose(a.state.params["w"], b.state.params["w"], rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(a.train["loss"][:, [0, -1]], b.train["loss"][:, [0, -1]], rtol=rtol)
    for name in ("spread", "entries"):
        np.testing.assert_allclose(a.evaluation[name], b.evaluation[name], rtol=rtol, atol=1e-6)


def train(key, learning_rate):
    """The pure function that every transform is given."""
    state = STUDY.init(key, {"learning_rate": learning_rate})
    state, metrics = jax.lax.scan(STUDY.step, state, None, length=STEPS)
    return state.params["w"], metrics["loss"]


def test_training_moves_and_trials_differ():
    # Negative control: the comparisons below would pass for runs in which nothing happens.
    found = results()
    losses = found.train["loss"]
    assert np.abs(found.evaluation["entries"][:, -1] - found.evaluation["entries"][:, 0]).max(axis=1).min() > 1e-3
    assert len(np.unique(losses[:, -1])) == 8


def test_jit_vmap_pmap_and_shard_map_agree():
    keys, rates = TRIALS.keys, TRIALS.hparams["learning_rate"]
    one = jax.jit(train)
    alone = [
        np.stack(part) for part in zip(*(one(key, rate) for key, rate in zip(keys, rates, strict=True)), strict=True)
    ]
    spec = PartitionSpec("trial")
    mapped = {
        "vmap": jax.jit(jax.vmap(train)),
        "pmap": jax.pmap(train),
        "shard_map": jax.jit(
            jax.shard_map(jax.vmap(train), mesh=make_mesh(), in_specs=spec, out_specs=spec, check_vma=False)
        ),
    }
    for name, transformed in mapped.items():
        for found, wanted in zip(transformed(keys, rates), alone, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6, err_msg=name)
    # ... and the runner is one more of them.
    np.testing.assert_allclose(results().state.params["w"], alone[0], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(results().train["loss"][:, 0], alone[1][:, 0], rtol=2e-5)


def test_chunked_is_whole():
    chunked, whole = results(log_every=10), results(log_every=STEPS)
    assert chunked.train_steps.tolist() == [1, 10, 20] and whole.train_steps.tolist() == [1, 20]
    np.testing.assert_array_equal(chunked.state.params["w"], whole.state.params["w"])
    np.testing.assert_allclose(chunked.train["loss"][:, 1:].mean(axis=1), whole.train["loss"][:, 1], rtol=1e-6)


def test_one_trial_of_many_is_that_trial_alone():
    alone = run(STUDY, TRIALS[5:6], num_steps=STEPS, log_every=STEPS, mesh=MESHES["1 device"](), progress=False)
    for found in (results("1 device"), results("8 devices")):
        np.testing.assert_allclose(found.state.params["w"][5:6], alone.state.params["w"], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(found.train["loss"][5:6], alone.train["loss"], rtol=2e-5)


def test_one_device_is_eight():
    assert_same(results("1 device"), results("8 devices"))


@pytest.mark.parametrize("mesh", ["4 x data 2", "1 x data 8"])
def test_a_split_batch_is_a_whole_one(mesh):
    assert_same(results(mesh), results("1 device"))


def test_the_loss_sees_all_negatives_of_a_split_batch():
    # By hand, on the whole batch: the first loss of each trial. A loss over one device's rows would be near
    # log(2) instead of log(16).
    first = results("1 x data 8").train["loss"][:, 0]

    def by_hand(key):
        state = STUDY.init(key, {"learning_rate": 0.0})
        return STUDY.step(state, None)[1]["loss"], state.params["w"]

    wanted, _ = jax.jit(jax.vmap(by_hand))(TRIALS.keys)
    np.testing.assert_allclose(first, wanted, rtol=2e-5)
    z = jax.random.normal(stream(step_key(jax.random.key(0), 0), "x"), (16, 3))
    whole, local = (infonce(rows, rows, scheme="one_view").mean() for rows in (z, z[:2]))
    assert whole - local > 0.5  # the test could tell


@pytest.mark.parametrize("mesh", ["1 device", "4 x data 2"])
def test_map_is_vmap(mesh):
    assert_same(results(mesh, trial_map="map"), results(mesh))


def test_a_number_of_trials_that_the_mesh_does_not_divide():
    found = results(trials=5)
    assert found.train["loss"].shape == (5, 2) and found.state.params["w"].shape == (5, 3, 3)
    np.testing.assert_array_equal(found.state.params["w"], results().state.params["w"][:5])
    np.testing.assert_array_equal(found.train["loss"], results().train["loss"][:5])
    assert found.failed_at.shape == (5,)


def _advance_text(mesh, how):
    state = abstract_state(STUDY, mesh, TRIALS.keys, TRIALS.hparams)
    alive = jax.ShapeDtypeStruct((8,), bool, sharding=state.step.sharding)
    with jax.set_mesh(mesh):
        return advance_program(STUDY, mesh, how, 5).lower(state, alive, None).compile().as_text()


@pytest.mark.parametrize("how", ["vmap", "map"])
def test_no_collectives_on_the_trial_axis(how):
    text = _advance_text(make_mesh(), how)
    assert "while" in text  # the rejection loop and the scan are in there
    assert COLLECTIVE.findall(text) == []


def test_a_split_batch_needs_collectives_among_its_own_devices_only():
    text = _advance_text(make_mesh(data=2), "vmap")
    lines = [line for line in text.splitlines() if COLLECTIVE.search(line) and "replica_groups=" in line]
    pairs = re.compile(r"replica_groups=(\[4,2\]<=\[8\],|\{\{0,1\},\{2,3\},|mesh\[[^\]]*\] \{'(axis_[1-9]|data)'\})")
    assert len(lines) > 2
    for line in lines:
        # One bit of all trials: whether any of them still needs another pass of the rejection loop.
        assert pairs.search(line) or " = pred[] all-reduce" in line, line


def test_no_collectives_at_the_start_and_in_the_evaluation(monkeypatch):
    mesh, texts = make_mesh(), []
    placed = jax.device_put(TRIALS, jax.sharding.NamedSharding(mesh, PartitionSpec("trial")))
    programs = Programs(contrastive_study(), mesh, "vmap", lambda phase: None)
    compile_ = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered,
        "compile",
        lambda lowered, *options: texts.append(compiled := compile_(lowered, *options)) or compiled,
    )
    programs.evaluate(programs.start(placed.keys, placed.hparams))
    assert len(texts) == 2
    for compiled in texts:
        assert COLLECTIVE.findall(compiled.as_text()) == []
