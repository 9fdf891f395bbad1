"""Trials are told in order and none is lost, cells of a layer share a program, and one shared model confounds all."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.rng import step_key, stream
from identax.search import Choice, Uniform, best_of, by_choice, carried, search, window_space
from identax.transforms import reinitialise

SPACE = {"layer": Choice(("a", "b", "c")), "x": Uniform(0, 1)}


def test_every_trial_is_kept_in_the_order_in_which_it_was_suggested():
    sizes = []

    def evaluate(cells):
        sizes.append(len(cells))
        return {"loss": [cell["x"] for cell in cells], "score": np.arange(len(cells))}

    tried = search(evaluate, SPACE, objective="loss", num_trials=11, batch=4, seed=2)
    assert sizes == [4, 4, 3] and len(tried) == 11
    assert all(trial.value == trial.cell["x"] == trial.metrics["loss"] for trial in tried)
    assert [trial.metrics["score"] for trial in tried] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert tried[best_of(tried)].value == min(trial.value for trial in tried)


def test_the_best_is_the_first_of_equals_and_no_failed_one():
    values = iter([math.nan, 2.0, math.inf, 1.0, 1.0])
    tried = search(
        lambda cells: {"loss": [next(values) for _ in cells]}, SPACE, objective="loss", num_trials=5, batch=2
    )
    assert best_of(tried) == 3
    with pytest.raises(ValueError, match="found 1 trials without a finite value"):
        best_of(tried[:1])


def test_cells_of_a_choice_share_one_program():
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def program(layer, x):
        traced.append(layer)
        return x * {"a": 1.0, "b": 10.0, "c": 100.0}[layer]

    evaluate = by_choice(lambda fixed, columns: {"loss": program(fixed["layer"], columns["x"])}, ["layer"], block=4)
    tried = search(evaluate, SPACE, objective="loss", num_trials=30, batch=11, seed=1)
    assert sorted(traced) == ["a", "b", "c"]  # groups of a batch have other sizes; each is one shape all the same
    for trial in tried:
        np.testing.assert_allclose(trial.value, trial.cell["x"] * 10.0 ** "abc".index(trial.cell["layer"]), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search(lambda cells: {}, SPACE, objective="loss", num_trials=2), "found no metric 'loss'"),
        (
            lambda: search(lambda cells: {"loss": [1, 2]}, SPACE, objective="loss", num_trials=2),
            r"shape \(2,\), wanted \(1,\)",
        ),
        (lambda: search(lambda cells: {}, SPACE, objective="loss", num_trials=0), "found num_trials=0"),
        (lambda: search(lambda cells: {}, SPACE, objective="loss", num_trials=3, batch=0), "found batch=0"),
        (lambda: search(lambda cells: {}, {}, objective="loss", num_trials=3), "found an empty space"),
        (lambda: by_choice(lambda fixed, columns: {}, ["layer"], block=0), "found block=0"),
        (lambda: by_choice(lambda fixed, columns: {}, ["gate"], block=2)([{"x": 1.0}]), "wanted 'gate' among them"),
        (lambda: best_of([]), "found 0 trials"),
    ],
)
def test_bad_trials_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- the published protocol on a regression small enough to see through


@jax.jit
def _trained(w, key, p, c):
    """60 steps of gradient descent on a linear map of 8 inputs, the operator after each; w and the loss at its end."""
    x, truth = jax.random.normal(jax.random.key(1), (64, 8)), jax.random.normal(jax.random.key(2), (8, 4))

    def loss(w):
        return ((x @ (w - truth)) ** 2).mean()

    def step(w, count):
        w = w - 0.003 * jax.grad(loss)(w)
        return reinitialise(stream(step_key(key, count), "operator"), w, 0.003 * p, c), None

    w, _ = jax.lax.scan(step, w, jnp.arange(60))
    return w, loss(w)


def _trials(shared):
    start = jnp.zeros((8, 4))

    def train(state, cell):
        w, key = state
        new, value = _trained(w, key, cell["p"], cell["c"])
        return (new if shared else start, jax.random.split(key)[0]), {"loss": value}

    return search(carried(train, (start, jax.random.key(0))), window_space(["w"]), objective="loss", num_trials=25)


def test_one_model_shared_by_all_trials_ranks_them_by_when_they_were_tried():
    number = np.arange(25)
    shared, apart = _trials(shared=True), _trials(shared=False)
    assert [trial.cell for trial in shared] == [trial.cell for trial in apart]
    found = {
        name: stats.spearmanr(number, [trial.value for trial in tried])
        for name, tried in {"shared": shared, "apart": apart}.items()
    }
    assert found["shared"].statistic < -0.9 and best_of(shared) >= 20
    assert found["apart"].pvalue > 0.05 and abs(found["apart"].statistic) < 0.4
