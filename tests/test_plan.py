"""Which arms are run: what a config cannot list, and values of a sweep that the experiment's own checks refuse."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from identax.checks import check_between
from identax.experiment import Arm, RunConfig
from identax.plan import chosen_arms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    names: tuple[str, ...] = ("one", "other")
    discount: float = 0.9
    sizes: tuple[float, ...] = (1.0,)


def arms(config):
    check_between("here", "discount", config.discount, 0, 1)
    return [Arm(name, config) for name in config.names]


PARTS = ("PRESETS", "REFERENCES", "build", "premises", "measure", "figures")
MODULE: Any = SimpleNamespace(TRACED=("discount", "sizes"), arms=arms, **dict.fromkeys(PARTS, len))


def chosen(sweep=None, only=(), **fields):
    return chosen_arms(MODULE, "paper/one", Config(**fields), only, sweep or {})


def test_arms_are_those_of_the_config_with_the_sweep():
    found = chosen({"discount": [0.5, 1.0], "sizes": [(1.0, 2.0)]}, only=["other"])
    assert [(arm.name, arm.sweep["discount"]) for arm in found] == [("other", [0.5, 1.0])]


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ({"names": ()}, "paper/one: found no arm, wanted one arm at least"),
        ({"names": ("one", "other", "one")}, "found the arm 'one' 2 times"),
        ({"sweep": {"discount": [0.5, 2.0]}}, "here: found discount=2.0, wanted a number from 0 to 1"),
        ({"discount": -1.0}, "here: found discount=-1.0"),
    ],
)
def test_what_cannot_be_run_is_refused(how, part):
    with pytest.raises(ValueError, match=part):
        chosen(**how)
