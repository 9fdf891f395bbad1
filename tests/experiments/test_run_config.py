"""What all configs of experiments have in common: seeds and steps of one base class, nothing by position."""

import dataclasses
import json
from typing import Any

import pytest

from experiments import registry
from experiments.cli import make_config
from identax.experiment import RunConfig

NAMES = sorted(registry.discover())


@pytest.mark.parametrize("name", NAMES)
def test_configs_extend_the_base_and_take_no_field_by_position(name):
    module = registry.load(name)
    for config in module.PRESETS.values():
        assert isinstance(config, RunConfig)
        assert all(field.kw_only for field in dataclasses.fields(config))  # a base's fields would come first
    kind: Any = module.Config if hasattr(module, "Config") else RunConfig
    with pytest.raises(TypeError, match="positional"):
        kind(8)


@pytest.mark.parametrize("name", NAMES)
def test_configs_come_back_from_their_records(name):
    module = registry.load(name)
    for config in module.PRESETS.values():
        record = json.loads(json.dumps(dataclasses.asdict(config)))
        assert json.loads(json.dumps(dataclasses.asdict(make_config(module, record)))) == record


def test_a_trial_without_steps_names_none():
    config = registry.load("lti/causal_de_finetti").Config
    own = set(vars(config)["__annotations__"])
    assert not own & {"num_steps", "log_every", "evaluate_every", "checkpoint_every"}
    assert config().num_steps == 0
