"""`report` aggregates what is recorded: no program compiled or traced, nothing built, and the same numbers at once."""

import functools
import json
import sys
import time

import jax
import pytest

from experiments import registry
from experiments.cli import make_config
from identax.conduct import Options, run_experiment
from identax.recorded import load_outcome
from identax.run import make_mesh

CHEAP = ("lti/dc_motor",)
_TRACED, _COMPILED = "/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/backend_compile_duration"


def _with_smoke():
    found = [name for name, entry in registry.discover().items() if "smoke" in entry.presets]
    return [name if name in CHEAP else pytest.param(name, marks=pytest.mark.slow) for name in found]


@pytest.fixture
def programs():
    """Events of programs that JAX traces or compiles from here on."""
    seen = []

    def listen(event, duration, **_):
        if event in (_TRACED, _COMPILED):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def _forget():
    """As in a process of its own: no program and no remembered value is left of the run."""
    jax.clear_caches()
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("experiments", "identax"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


@pytest.mark.filterwarnings("default")  # of optional packages
@pytest.mark.parametrize("name", _with_smoke())
def test_a_finished_run_is_drawn_again_without_computing_anything(name, tmp_path, programs, monkeypatch):
    module = registry.load(name)
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, name, "smoke", options=options)
    assert programs  # the count counts
    _forget()
    programs.clear()
    for what in ("build", "premises", "batches"):
        if hasattr(module, what):
            monkeypatch.setattr(module, what, functools.partial(pytest.fail, f"report calls {what}"))
    summary = tmp_path / "run" / "summary.json"
    before, begin = json.loads(summary.read_text()), time.process_time()  # the machine may be busy
    pictures = sorted((tmp_path / "run" / "figures").iterdir())
    again = load_outcome(registry.load, tmp_path / "run", make_config)
    assert time.process_time() - begin < 10
    assert programs == []
    assert json.loads(summary.read_text()) == before
    assert sorted((tmp_path / "run" / "figures").iterdir()) == pictures
    assert again.measured.keys() == outcome.measured.keys()
