"""Random suggestions cover the space, TPE's find what there is to find; both repeat themselves for a seed."""

import importlib.util
import math

import numpy as np
import pytest
from scipy import stats

from identax.search import Choice, LogUniform, Tried, Uniform, best_of, search, suggest, tpe_installed, window_space
from tests.eager import compiled_by_second_call

SPACE = window_space([("fc", None), ("lstm2", "forget"), ("lstm2", "output")])
PLANE = {"p": LogUniform(0.05, 0.4), "c": Uniform(0.03, 0.35)}
needs_optuna = pytest.mark.skipif(not tpe_installed(), reason="needs optuna")
METHODS = ("random", pytest.param("tpe", marks=needs_optuna))


def _distance(cell):
    """Of (log p, c), both scaled to a unit square, from a place inside."""
    place = math.log(cell["p"] / 0.05) / math.log(8), (cell["c"] - 0.03) / 0.32
    return float(np.hypot(place[0] - 0.8, place[1] - 0.3))


def _bowl(cells):
    return {"loss": [_distance(cell) ** 2 for cell in cells]}


def _searched(method, seed, batch=5, num_trials=40):
    return search(_bowl, PLANE, objective="loss", num_trials=num_trials, batch=batch, method=method, seed=seed)


def test_random_cells_follow_their_laws():
    cells = suggest(SPACE, [], 2000, seed=3)
    c, p = (np.array([cell[name] for cell in cells]) for name in ("c", "p"))
    assert 0.05 <= p.min() and p.max() <= 0.4 and 0.03 <= c.min() and c.max() <= 0.35
    assert stats.kstest(c, stats.uniform(0.03, 0.32).cdf).pvalue > 1e-3
    assert stats.kstest(p, stats.loguniform(0.05, 0.4).cdf).pvalue > 1e-3
    assert stats.kstest(p, stats.uniform(0.05, 0.35).cdf).pvalue < 1e-6  # not the law of p itself
    _, counts = np.unique([str(cell["place"]) for cell in cells], return_counts=True)
    assert len(counts) == 3 and stats.chisquare(counts).pvalue > 1e-3
    assert abs(stats.spearmanr(c, p).statistic) < 0.1  # a dimension has a stream of its own


def test_random_cells_depend_on_their_number_alone():
    at_once = suggest(SPACE, [], 7, seed=5)
    one_by_one = []
    for _ in range(7):
        one_by_one += suggest(SPACE, [Tried(cell, 0.0, {}) for cell in one_by_one], 1, seed=5)
    assert at_once == one_by_one and at_once != suggest(SPACE, [], 7, seed=6)
    wider = suggest({**SPACE, "rate": Uniform(0, 1)}, [], 7, seed=5)
    assert [{name: cell[name] for name in SPACE} for cell in wider] == at_once


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_search_and_goes_on_from_its_record(method):
    whole = _searched(method, 4, num_trials=20)
    assert whole == _searched(method, 4, num_trials=20) != _searched(method, 5, num_trials=20)
    assert [trial.cell for trial in whole[15:]] == suggest(PLANE, whole[:15], 5, method=method, seed=4)


@needs_optuna
def test_tpe_comes_nearer_than_its_start_and_than_chance():
    """Mean distance of the best of 40 trials, 5 searches: TPE begins with the very cells of the random search."""
    nearest = {}
    for method in ("tpe", "random"):
        found = [[_distance(trial.cell) for trial in _searched(method, seed)] for seed in range(5)]
        nearest[method] = np.minimum.accumulate(np.array(found), axis=1)
    np.testing.assert_array_equal(nearest["tpe"][:, 9], nearest["random"][:, 9])
    assert nearest["tpe"][:, 39].mean() < 0.5 * nearest["tpe"][:, 9].mean()
    assert nearest["tpe"][:, 39].mean() < nearest["random"][:, 39].mean()


@needs_optuna
def test_cells_of_a_batch_spread():
    tried = _searched("tpe", 0, num_trials=15)
    cells = suggest(PLANE, tried, 8, method="tpe", seed=0)
    assert len({(cell["p"], cell["c"]) for cell in cells}) == 8


@needs_optuna
def test_tpe_finds_the_better_choice_and_leaves_where_trials_fail():
    space = {"place": Choice(("good", "bad", "broken")), "x": Uniform(0, 1)}
    losses = {"good": 0.0, "bad": 1.0, "broken": math.nan}

    def evaluate(cells):
        return {"loss": [losses[cell["place"]] + cell["x"] for cell in cells]}

    tried = search(evaluate, space, objective="loss", num_trials=40, batch=4, method="tpe", seed=1)
    late = [trial.cell["place"] for trial in tried[20:]]
    assert late.count("good") > 10 and late.count("broken") < late.count("good") / 2
    assert any(math.isnan(trial.value) for trial in tried) and tried[best_of(tried)].cell["place"] == "good"


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(ValueError, match=r"found no package optuna.*pip install -e \.\[search\]"):
        suggest(PLANE, [], 3, method="tpe")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: suggest({}, []), "found an empty space"),
        (lambda: suggest({"p": (0.1, 0.2)}, []), "wanted Uniform, LogUniform or Choice"),
        (lambda: suggest({"p": Uniform(0.2, 0.2)}, []), "wanted low < high"),
        (lambda: suggest({"p": LogUniform(0.0, 0.2)}, []), "wanted 0 < low < high"),
        (lambda: suggest({"p": Uniform(0.0, math.inf)}, []), "non-finite"),
        (lambda: suggest({"layer": Choice(())}, []), "wanted one or more"),
        (lambda: suggest({"layer": Choice(("fc", "fc"))}, []), "all different"),
        (lambda: suggest(PLANE, [], 0), "found batch=0, wanted at least 1"),
        (lambda: suggest(PLANE, [], 1.5), "wanted an integer"),
        (lambda: suggest(PLANE, [], method="tpee"), "did you mean 'tpe'"),
        (lambda: suggest(PLANE, [], seed=-1), "wanted an integer from 0"),
        (lambda: window_space([]), "wanted one or more"),
        (lambda: window_space(["fc"], p=(0.1, 1.5)), "found p from 0.1 to 1.5, wanted 0 to 1"),
        (lambda: window_space(["fc"], p=(-0.1, 0.5)), "wanted 0 to 1"),
        (lambda: window_space(["fc"], p=(0.0, 0.5)), "wanted 0 < low < high"),
        (lambda: window_space(["fc"], c=(0.0, 0.5)), r"wanted a share of an axis in \(0, 1\]"),
        (lambda: window_space(["fc"], c=(0.1, 1.1)), "wanted 0 to 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_of_a_search_is_compiled():
    """Cells are numbers of the host: whatever is compiled belongs to what is tried."""
    assert compiled_by_second_call(lambda seed: best_of(_searched("random", seed, num_trials=3)), (1,), (2,)) == 0
