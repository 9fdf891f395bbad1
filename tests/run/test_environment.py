"""The description of a run's surroundings, and the persistent compilation cache."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jaxlib
import pytest

from identax.run import environment
from identax.run.environment import describe_environment, enable_compilation_cache

_COMPILE = """
import time, jax, jax.numpy as jnp
from identax.run.environment import enable_compilation_cache
hits = []
def listen(name, **_):
    hits.extend([name] if name.endswith("/cache_hits") else [])
jax.monitoring.register_event_listener(listen)
path = enable_compilation_cache()
def deep(x):
    for i in range(60):
        x = jnp.tanh(x @ x) + jnp.sort(x, axis=0) * i
    return x
lowered = jax.jit(deep).lower(jnp.ones((8, 8)))
start = time.perf_counter()
lowered.compile()
print(path, len(hits), time.perf_counter() - start)
"""


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """No cache set by the user, a home of its own; JAX's settings come back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    for name in (environment.CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield monkeypatch
    for name, value in before.items():
        jax.config.update(name, value)


def test_description_matches_this_process_and_is_json():
    found = describe_environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["jax"] == jax.__version__ and found["packages"]["jaxlib"] == jaxlib.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert sum(found["devices"].values()) == len(jax.devices())
    assert found["backend"] == jax.default_backend() and found["process_count"] == 1
    assert found["time_utc"].endswith("+00:00")


def test_description_names_no_path():
    text = json.dumps(describe_environment())
    for path in (Path.cwd(), Path.home(), Path(sys.prefix), Path(environment.__file__).parents[2]):
        assert str(path) not in text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_dirty_flag_of_the_source_tree(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    source = tmp_path / "environment.py"
    source.write_text("a = 1\n")
    monkeypatch.setattr(environment, "__file__", str(source))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "-q")
    assert environment._source_commit() == (None, None), "a copy that is not tracked has no commit"
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "notes.txt").write_text("not tracked")
    assert environment._source_commit() == (git("rev-parse", "HEAD"), False)
    source.write_text("a = 2\n")
    assert environment._source_commit() == (git("rev-parse", "HEAD"), True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment._source_commit() == (None, None), "no git at all"


def test_cache_is_used_by_the_second_process_without_a_word(tmp_path):
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    for name in (environment.CACHE_VARIABLE, "JAX_COMPILATION_CACHE_DIR"):
        variables.pop(name, None)
    runs = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", _COMPILE]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        runs.append(done.stdout.split())
    (path, cold_hits, cold), (_, warm_hits, warm) = runs
    assert Path(path) == tmp_path / "identax" / "jax" and any(Path(path).glob("jit_deep-*"))
    assert (int(cold_hits), int(warm_hits)) == (0, 1)
    assert float(warm) < float(cold)


def test_cache_goes_where_it_is_told(settings, tmp_path):
    def chosen(directory=None):
        jax.config.update("jax_compilation_cache_dir", None)
        path = enable_compilation_cache(directory)
        assert jax.config.jax_compilation_cache_dir == str(path) and path.is_dir()
        return path

    assert chosen() == tmp_path / "home" / ".cache" / "identax" / "jax"
    settings.setenv("XDG_CACHE_HOME", "not/absolute")
    assert chosen() == tmp_path / "home" / ".cache" / "identax" / "jax"
    settings.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert chosen() == tmp_path / "xdg" / "identax" / "jax"
    settings.setenv(environment.CACHE_VARIABLE, str(tmp_path / "variable"))
    assert chosen() == tmp_path / "variable"
    assert chosen(tmp_path / "argument") == tmp_path / "argument"
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.5


@pytest.mark.parametrize("word", ["off", "OFF", "0", " false "])
def test_cache_can_be_turned_off(settings, tmp_path, word):
    settings.setenv(environment.CACHE_VARIABLE, word)
    assert enable_compilation_cache(tmp_path / "argument") is None
    assert jax.config.jax_compilation_cache_dir is None and not (tmp_path / "argument").exists()


def test_cache_chosen_by_the_user_is_left_alone(settings, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 7.0)
    assert enable_compilation_cache(tmp_path / "other") == tmp_path / "mine"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 7.0


def test_unwritable_directory_is_a_warning_and_no_cache(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="compilation cache.*IDENTAX_COMPILATION_CACHE"):
        assert enable_compilation_cache(tmp_path / "file" / "below") is None
    assert jax.config.jax_compilation_cache_dir is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert enable_compilation_cache(tmp_path / "good") is not None


_SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler"
_TRIAL = """
def trial(key, hparams):
    return {"x": jax.random.normal(key)}
for _ in range(2):
    identax.run.run(trial, Trials.grid(num_seeds=1), progress=False)
print(os.environ["XLA_FLAGS"])
"""
_EARLY = "import os, jax, identax.run\nfrom identax.study import Trials\n" + _TRIAL
_LATE = "import os, jax\njax.devices()\nimport identax.run\nfrom identax.study import Trials\n" + _TRIAL


def _flags(code, flags=""):
    """XLA_FLAGS at the end of a process that ran `code`, and what it warned of."""
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", environment.CACHE_VARIABLE: "off", "XLA_FLAGS": flags}
    command = [sys.executable, "-W", "always::RuntimeWarning", "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_importing_the_runner_switches_the_scheduler_off_before_the_backend_starts():
    assert _flags(_EARLY, "--xla_backend_optimization_level=0") == (
        f"--xla_backend_optimization_level=0 {_SCHEDULER}=false",
        "",
    ), "once, behind the user's flags"
    assert _flags("import os, experiments.__main__; print(os.environ['XLA_FLAGS'])") == (f"{_SCHEDULER}=false", "")


def test_late_import_changes_nothing_and_warns_once_where_it_can_hang():
    flags, warned = _flags(_LATE)
    assert flags == "", "a flag that came too late would tell the next process that all is well"
    can_hang = environment._numbers(jaxlib.__version__) < (0, 11, 2)
    assert warned.count("RuntimeWarning") == can_hang, warned
    if can_hang:
        assert f"XLA_FLAGS={_SCHEDULER}=false" in warned


@pytest.mark.parametrize(
    ("code", "flags"),
    [(_LATE, f"{_SCHEDULER}=false"), pytest.param(_EARLY, f"{_SCHEDULER}=true", marks=pytest.mark.slow)],
)
def test_the_users_own_choice_of_scheduler_stays(code, flags):
    assert _flags(code, flags) == (flags, "")


@pytest.mark.parametrize(
    ("version", "platforms", "added"),
    [("0.10.0", "", True), ("0.12.0.1", "cuda,cpu", True), ("0.10.2", "cuda", False), ("0.12.1", "", False)],
)
def test_flag_is_for_cpus_and_known_versions(monkeypatch, version, platforms, added):
    monkeypatch.setattr(environment, "_version", lambda package: version)
    monkeypatch.setattr(environment, "_backend_runs", lambda: False)
    monkeypatch.setenv("XLA_FLAGS", "")
    before = jax.config.jax_platforms
    try:
        jax.config.update("jax_platforms", platforms)
        environment.avoid_cpu_hang()
    finally:
        jax.config.update("jax_platforms", before)
    assert os.environ["XLA_FLAGS"] == (f"{_SCHEDULER}=false" if added else "")
