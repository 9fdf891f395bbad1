"""One training of the weight-matrix paper: its step against NumPy, its operators on and off, its evaluations."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.wmm.config import TrainingConfig
from experiments.wmm.examples import held, of_series
from experiments.wmm.training import Task, published_sgd, training_study
from experiments.wmm.weight_operator import targets, weight_operator, window_premises
from identax.data import windows
from identax.models import GATES, digit_convnet, lstm_network
from identax.run import make_mesh, run
from identax.study import Trials

CONFIG = TrainingConfig(batch_size=4, chunk=5, num_steps=6, log_every=2, evaluate_every=2, checkpoint_every=6)
WIDTH = 6


def task():
    series = windows(np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32), 3)
    train, validation, test = (
        of_series(series, rows) for rows in (np.arange(20), np.arange(23, 30), np.arange(31, 37))
    )

    def squared(outputs, targets):
        return jnp.sum((outputs - targets) ** 2, axis=-1)

    def scores(outputs, targets):
        return {"MSE": squared(outputs, targets).mean(), "outputs": outputs}

    return Task(lstm_network((WIDTH,), outputs=2), train, validation, test, squared, scores)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lstm_network((WIDTH,), outputs=2).init)(jax.random.key(0), jnp.zeros((1, 3, 2)))["params"]


def shapes_of_digits():
    return jax.eval_shape(digit_convnet().init, jax.random.key(0), jnp.zeros((2, 28, 28, 1)))["params"]


@functools.cache
def program(operator, reading):
    config = dataclasses.replace(CONFIG, max_c=1.0, layer="lstm", operator=operator, reading=reading, gate="cell")
    act = weight_operator(config)

    @jax.jit
    def repeated(params, p, calls):
        keys = jax.random.split(jax.random.key(0), 100)
        return jax.lax.fori_loop(0, calls, lambda i, w: act(keys[i], w, p, jnp.float32(0.9)), params)

    return repeated


def acted(params, operator, reading="intended", calls=100, p=1.0):
    return jax.tree.map(np.asarray, program(operator, reading)(params, p, calls))


def slices(params):
    """{name: {gate: [in, units]}} of the LSTM's kernels, cut in NumPy."""
    cut = {name: np.split(np.asarray(params["lstm1"][name]), 4, axis=1) for name in ("ih_kernel", "hh_kernel")}
    return {name: dict(zip(GATES, parts, strict=True)) for name, parts in cut.items()}


def test_the_optimiser_is_sgd_as_pytorch_has_it():
    w, m, params = np.array([1.0, -2.0]), 0.0, jnp.array([1.0, -2.0])
    optimizer = published_sgd(0.05, 0.75, 0.1)
    state = optimizer.init(params)
    for gradient in np.random.default_rng(1).normal(size=(5, 2)):
        g = gradient + 0.1 * w
        m = 0.75 * m + g
        w = w - 0.05 * (g + 0.75 * m)
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = params + updates
    np.testing.assert_allclose(params, w, rtol=1e-5)


def test_the_gates_of_an_lstm_are_apart_and_other_layers_are_whole(params):
    config = dataclasses.replace(CONFIG, operator="shuffle", layer="all")
    slices = {f"lstm1/{kernel}:{gate}" for kernel in ("ih_kernel", "hh_kernel") for gate in GATES}
    found = targets(config, params)
    assert found.keys() == {*slices, "fc/kernel"}
    assert found["lstm1/ih_kernel:cell"] == (2, WIDTH) and found["fc/kernel"] == (WIDTH, 2)
    assert targets(dataclasses.replace(config, layer="fc"), params).keys() == {"fc/kernel"}


@pytest.mark.parametrize("operator", ["reinit", "shuffle"])
def test_the_meant_gate_alone_changes_and_all_of_its_units_do(params, operator):
    new = acted(params, operator)
    for name, gates in slices(new).items():
        for gate in GATES:
            changed = gates[gate] != slices(params)[name][gate]
            seen = changed.mean() > 0.8 and changed[:, -1].any()
            assert seen if gate == "cell" else not changed.any(), gate
    for rest in (lambda tree: tree["fc"], lambda tree: tree["lstm1"]["ih_bias"]):
        jax.tree.map(np.testing.assert_array_equal, rest(new), rest(params))


@pytest.mark.parametrize("operator", ["reinit", "shuffle"])
def test_the_program_takes_all_gates_but_their_last_units(params, operator):
    new = slices(acted(params, operator, "released"))["hh_kernel"]
    for gate in GATES:
        changed = new[gate] != slices(params)["hh_kernel"][gate]
        assert not changed[:, -1].any() and changed[:, :-1].mean() > 0.8


def test_a_permutation_keeps_every_value_and_the_program_loses_most(params):
    permuted, copied = (slices(acted(params, "shuffle", reading)) for reading in ("intended", "released"))
    before = np.sort(slices(params)["hh_kernel"]["cell"].ravel())
    np.testing.assert_array_equal(np.sort(permuted["hh_kernel"]["cell"].ravel()), before)
    assert len(np.unique(copied["hh_kernel"]["cell"])) < 0.5 * len(before)


def test_without_probability_the_operators_are_off(params):
    for operator, reading in (("reinit", "released"), ("shuffle", "intended")):
        jax.tree.map(np.testing.assert_array_equal, acted(params, operator, reading, p=0.0), params)


def test_layers_are_chosen_by_a_part_of_their_names():
    network = shapes_of_digits()
    config = dataclasses.replace(CONFIG, operator="shuffle", layer="conv")
    assert {name.split("/")[0] for name in targets(config, network)} == {"conv1", "conv2"}
    every = targets(dataclasses.replace(config, layer="all"), network)
    assert {name.split("/")[0] for name in every} == {"conv1", "conv2", "fc1", "fc2"}
    for wrong, words in (({"layer": "lstm"}, "no leaf"), ({"layer": "fc", "gate": "cell"}, "no cell gate")):
        with pytest.raises(ValueError, match=f"found {words}"):
            targets(dataclasses.replace(config, **wrong), network)
    for wrong in ({"layer": ""}, {"operator": "drop"}, {"reading": "other"}, {"gate": "reset"}):
        with pytest.raises(ValueError, match="weight_operator: found"):
            weight_operator(dataclasses.replace(config, **wrong))


def test_windows_that_never_act_are_said_before_training():
    network = shapes_of_digits()
    config = dataclasses.replace(CONFIG, operator="shuffle", layer="conv")
    idle, acting = window_premises(config, network, (0.1188, 0.35))
    assert not idle.holds and "conv2/kernel" in idle.found and acting.holds
    assert window_premises(dataclasses.replace(config, operator="reinit"), network, (0.1188,))[0].holds
    assert window_premises(dataclasses.replace(config, operator="none"), network, (0.1,)) == []
    with pytest.raises(ValueError, match="above max_c"):
        window_premises(config, network, (0.5,))


def test_a_step_is_batch_then_update_then_operator():
    parts, config = task(), dataclasses.replace(CONFIG, operator="reinit", layer="lstm", max_c=0.9)
    trials = Trials.grid(2, learning_rate=[0.05], p=[0.5], c=[0.9])
    key, hparams = trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams)
    with_it, without = training_study(config, parts), training_study(CONFIG, parts)
    assert with_it.init is without.init  # the same start
    state = jax.jit(with_it.init)(key, hparams)
    step = jax.jit(with_it.step)
    (new, metrics), (plain, _) = step(state, None), jax.jit(without.step)(state, None)
    jax.tree.map(np.testing.assert_array_equal, new.opt_state, plain.opt_state)  # its memory stays
    changed = jax.tree.map(lambda a, b: bool((np.asarray(a) != np.asarray(b)).any()), new.params, plain.params)
    assert changed["lstm1"] == {"ih_kernel": True, "hh_kernel": True, "ih_bias": False, "hh_bias": False}
    assert not any(jax.tree.leaves(changed["fc"]))
    kept = (np.asarray(new.params["lstm1"]["hh_kernel"]) == np.asarray(plain.params["lstm1"]["hh_kernel"])).mean()
    assert 0.1 < kept < 1 and np.isfinite(metrics["loss"])
    wider = dataclasses.replace(state, hparams=hparams | {"c": jnp.float32(0.95)})
    assert np.isnan(step(wider, None)[1]["loss"])  # its windows would be cut at max_c


def test_all_examples_are_evaluated():
    parts = task()
    study = training_study(CONFIG, parts)
    state = jax.jit(study.init)(jax.random.key(1), {"learning_rate": 0.1, "p": 0.1, "c": 0.1})
    found = jax.jit(study.evaluate)(state, None)
    for name, examples in (("validation loss", parts.validation), ("test MSE", parts.test)):
        inputs, truth = (np.asarray(part) for part in examples.get(np.arange(examples.num)))
        outputs = jax.jit(parts.model.apply)({"params": state.params, "state": {}}, inputs)[0]
        mean = np.mean(np.sum((np.asarray(outputs) - truth) ** 2, axis=1))
        np.testing.assert_allclose(found[name], mean, rtol=1e-5)
    assert found["test outputs"].shape == (6, 2)


@pytest.mark.slow
def test_the_trials_of_a_grid_are_one_run_and_without_probability_the_baseline():
    parts = task()
    trials = Trials.grid(2, learning_rate=[0.05], p=[0.0, 1.0], c=[0.2, 0.9])
    config = dataclasses.replace(CONFIG, operator="shuffle", reading="released", layer="lstm", max_c=0.5, patience=2)
    settings = {"num_steps": 4, "log_every": 2, "evaluate_every": 2, "checkpoint_every": 4, "progress": False}
    settings["mesh"] = make_mesh(devices=jax.devices()[:1])
    results = run(training_study(config, parts), trials, **settings)
    too_far = np.asarray(trials.hparams["c"]) > 0.5
    np.testing.assert_array_equal(results.failed_at > 0, too_far)  # their windows would be cut
    base = run(training_study(CONFIG, parts), Trials.grid(2, learning_rate=[0.05], p=[0.0], c=[0.2]), **settings)
    off = results.where(p=0.0, c=0.2)
    np.testing.assert_array_equal(results.evaluation["test MSE"][off], base.evaluation["test MSE"])
    on = results.where(p=1.0, c=0.2)
    assert (results.final("test MSE")[on] != base.final("test MSE")).all()
    lowest = base.evaluation["validation loss"].min(axis=1)
    np.testing.assert_array_equal(base.at_best("validation loss"), lowest)


def test_epochs_take_every_example_once():
    inputs = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    seen = []

    def loss(outputs, rows):
        jax.debug.callback(lambda rows: seen.extend(np.asarray(rows).tolist()), rows)
        return jnp.sum(outputs**2, axis=-1)

    whole = held(inputs, np.arange(12))
    parts = Task(lstm_network((2,)), whole, whole, whole, loss, lambda outputs, rows: {})
    study = training_study(dataclasses.replace(CONFIG, sampling="epochs"), parts)
    step = jax.jit(study.step)
    state = jax.jit(study.init)(jax.random.key(3), {"learning_rate": 0.1, "p": 0.1, "c": 0.1})
    for _ in range(6):
        state, _ = step(state, None)
    jax.effects_barrier()
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12)) and seen[:12] != seen[12:]


def test_series_are_held_without_their_windows():
    series = np.random.default_rng(2).normal(size=(30, 2)).astype(np.float32)
    found = windows(series, 4)
    rows = np.array([3, 0, 25])
    inputs, targets = of_series(found, np.arange(26)).get(rows)
    np.testing.assert_array_equal(inputs, found.inputs[rows])
    np.testing.assert_array_equal(targets, series[rows + 4])
    with pytest.raises(ValueError, match="several series"):
        of_series(windows([series[:10], series[10:]], 4))
    with pytest.raises(ValueError, match="wanted"):
        held(np.zeros((3, 2)), np.zeros(2))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"chunk": 0}, {"patience": -1}, {"sampling": "all"}])
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="training_study: found"):
        training_study(dataclasses.replace(CONFIG, **wrong), task())
