"""`Results.where`: trials are found by the values that they were given, without a tolerance."""

import numpy as np
import pytest

from identax.run import Results
from identax.study import Trials


def results_of(trials):
    empty = np.zeros(0, int)
    return Results(trials, 0, empty, {}, empty, {}, np.zeros(len(trials), int), None, {})


@pytest.mark.parametrize(
    ("column", "value", "places"),
    [
        ([0.0, 1e-10, 1e-9, 1e-8, 1e-3], 0.0, [0]),
        ([0.0, 1e-10, 1e-9, 1e-8, 1e-3], 1e-9, [2]),
        ([0.1, 0.1 + 1e-6], 0.1, [0]),
        ([0.1, 0.1 + 1e-6], np.float32(0.1), [0]),
        ([1.0, 1.00001], 1, [0]),
        ([0.0, 1.0], 1e-50, []),  # which float32 makes 0
        ([1.0, float("inf")], 1e39, []),
        ([1.0, float("inf")], float("inf"), [1]),
        ([16777216.0, 2.0], 16777217, []),
        ([2, 3], 2.0, [0]),
        ([2, 3], 2.5, []),
        ([False, True], True, [1]),
    ],
)
def test_trials_are_found_by_the_values_they_were_given(column, value, places):
    found = results_of(Trials.grid(x=column))
    assert np.flatnonzero(found.where(x=value)).tolist() == places


def test_trials_are_found_by_single_numbers_alone():
    found = results_of(Trials.grid(x=[[1.0, 2.0], [3.0, 4.0]], y=1.0))
    for values in ({"x": 1.0}, {"y": [1.0, 1.0]}):
        with pytest.raises(ValueError, match="wanted a single number for single numbers"):
            found.where(**values)
    with pytest.raises(ValueError, match="wanted a real number or a boolean"):
        found.where(y="1.0")
    with pytest.raises(ValueError, match=r"Results.where: found 'z', wanted one of \['x', 'y'\]"):
        found.where(z=1.0)


def test_in_a_notebook_results_are_a_line_and_what_was_not_evaluated_is_pointed_to():
    found = results_of(Trials.grid(2, x=[1.0, 2.0]))
    found.train["loss"] = np.zeros((4, 1))
    assert repr(found) == "Results(4 trials, 0 failed; 0 steps; train ['loss'], evaluation [])"
    with pytest.raises(ValueError, match=r"found 'loss', wanted one of \[\]; it is in train\['loss'\]"):
        found.final("loss")
