"""What all experiments have in common: configs of one base class, and claims that are named, not forwarded."""

import dataclasses
import functools
import importlib
import json
from typing import Any

import pytest

from experiments import registry
from experiments.cli import make_config
from identax.experiment import RunConfig

NAMES = sorted(registry.discover())
load = functools.cache(registry.load)  # it parses every file


@pytest.mark.parametrize("name", NAMES)
def test_configs_extend_the_base_and_take_no_field_by_position(name):
    module = load(name)
    for config in module.PRESETS.values():
        assert isinstance(config, RunConfig)
        assert all(field.kw_only for field in dataclasses.fields(config))  # a base's fields would come first
    kind: Any = module.Config if hasattr(module, "Config") else RunConfig
    with pytest.raises(TypeError, match="positional"):
        kind(8)


@pytest.mark.parametrize("name", NAMES)
def test_configs_come_back_from_their_records(name):
    module = load(name)
    for config in module.PRESETS.values():
        record = json.loads(json.dumps(dataclasses.asdict(config)))
        assert json.loads(json.dumps(dataclasses.asdict(make_config(module, record)))) == record


def _part(name: str, kind: str) -> Any:
    found = [root / f"{name}_{kind}.py" for root in registry.ROOTS if (root / f"{name}_{kind}.py").exists()]
    return importlib.import_module(f"experiments.{name.replace('/', '.')}_{kind}") if found else None


@pytest.mark.parametrize("name", [name for name in NAMES if _part(name, "claims")])
def test_what_stands_in_a_file_of_its_own_is_assigned(name):
    module, claims, drawing = load(name), _part(name, "claims"), _part(name, "figures")
    for one in ("arms", "premises", "measure"):
        assert getattr(module, one) is getattr(claims, one), one
    assert module.figures is (drawing or claims).figures


def test_a_trial_without_steps_names_none():
    config = load("lti/causal_de_finetti").Config
    own = set(vars(config)["__annotations__"])
    assert not own & {"num_steps", "log_every", "evaluate_every", "checkpoint_every"}
    assert config().num_steps == 0
