"""How trials are mapped where nobody says it: batched, on a CPU as the experiment asks."""

from types import SimpleNamespace

import jax
import pytest

from experiments import __main__ as main
from experiments import registry
from experiments.cli import Machine
from identax.conduct import Options


@pytest.mark.parametrize(
    ("asked", "machine", "backend", "wanted"),
    [
        ({"TRIAL_MAP": "map"}, Machine(), "cpu", "map"),
        ({}, Machine(), "cpu", "vmap"),
        ({"TRIAL_MAP": "map"}, Machine(), "gpu", "vmap"),
        ({"TRIAL_MAP": "map"}, Machine(data_devices=2), "cpu", "vmap"),
        ({"TRIAL_MAP": "map"}, Machine(trial_map="vmap"), "cpu", "vmap"),
        ({}, Machine(trial_map="map"), "gpu", "map"),
    ],
)
def test_trials_are_mapped_as_asked(asked, machine, backend, wanted, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(main, "run_experiment", lambda *args, options, say: seen.append(options.trial_map))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    main._execute(SimpleNamespace(**asked), "paper/experiment", "quick", Options(workdir=tmp_path), machine)
    assert seen == [wanted]


def test_what_experiments_ask_for_is_known():
    asked = {name: getattr(registry.load(name), "TRIAL_MAP", "vmap") for name in registry.matching(["wmm"])}
    assert set(asked.values()) <= {"vmap", "map"} and asked["wmm/digits"] == "map"
