"""Outside `jit` a second call of one shape compiles nothing."""

import pytest

from tests.eager import compiled_by_second_call
from tests.losses.public_calls import CALLS, arrays_of


@pytest.mark.parametrize("name", CALLS)
def test_second_call_compiles_nothing(name):
    first, second = ([array + 0.5 for array in arrays_of(name, seed)] for seed in (0, 1))
    if "targets" in CALLS[name][1]:
        first[1], second[1] = first[1] - 0.5, second[1] - 0.5
    assert compiled_by_second_call(CALLS[name][0], first, second) == 0
