"""What an arm owns it sets itself: a config that says otherwise changes no arm of `llm`, and is refused."""

import dataclasses
import importlib

import pytest

from identax.plan import check_overrides

OWNED = {
    "fine_tuning": {
        "phase": "pre-training", "optimizer": "AdamW", "by_row": True, "inside": True, "alpha": 7.0,
        "learning_rate": 7.0,
    },
    "in_context": {"prompts": "held out"},
    "languages": {"architecture": "LSTM", "place": 1},
    "rule_extrapolation": {"completed": True, "overshoot": True, "published": True},
    "scaling": {"optimizer": "SGD", "heads": 7, "layers": 3, "learning_rate": 7.0},
}  # fmt: skip


@pytest.mark.parametrize("name", OWNED)
@pytest.mark.parametrize("preset", ["smoke", "medium"])
def test_what_an_arm_owns_reaches_it_from_nowhere_else(name, preset):
    experiment = importlib.import_module(f"experiments.llm.{name}")
    config = experiment.PRESETS[preset]
    for field, value in OWNED[name].items():
        assert getattr(config, field) != value
        changed = dataclasses.replace(config, **{field: value})
        assert experiment.arms(changed) == experiment.arms(config), field
        with pytest.raises(ValueError, match=f"{field}=.*reaches no arm"):
            check_overrides(experiment, f"llm/{name}", preset, changed)
