"""What an arm owns it sets itself: a config that says otherwise changes no arm of `llm`, and is refused."""

import dataclasses
import importlib

import docstring_parser
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


@pytest.mark.parametrize("name", OWNED)
def test_every_field_has_its_text_in_help(name):
    """Texts as tyro finds them: those below a field, here or in a class above."""
    config = importlib.import_module(f"experiments.llm.{name}").Config
    told = [param for kind in config.__mro__[:-1] for param in docstring_parser.parse_from_object(kind).params]
    texts = {param.arg_name for param in told if param.description}
    assert {field.name for field in dataclasses.fields(config)} == texts
