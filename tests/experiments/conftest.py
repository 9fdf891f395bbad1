"""A tiny experiment beside the real ones, for tests of the command line."""

import os
import signal
from pathlib import Path

import jax
import pytest

import experiments
from experiments import registry
from experiments.__main__ import main
from identax.run.program import Programs

HERE = Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def _precision_as_before():
    """The command line pins the precision of products for its process, which here is that of other tests too."""
    precision = jax.config.jax_default_matmul_precision
    yield
    jax.config.update("jax_default_matmul_precision", precision)


@pytest.fixture
def line(monkeypatch, tmp_path):
    """The module of `fakepaper/line`, which the command line then finds like any other."""
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(HERE)])
    monkeypatch.setattr(registry, "ROOTS", [*registry.ROOTS, HERE])
    monkeypatch.chdir(tmp_path)  # `runs/` would lie here
    precision = jax.config.jax_default_matmul_precision
    yield registry.load("fakepaper/line")
    jax.config.update("jax_default_matmul_precision", precision)


@pytest.fixture
def run_line(line):
    """Runs its smoke preset with further options; returns the exit code."""

    def call(*options, workdir=None):
        where = [] if workdir is None else ["--workdir", str(workdir)]
        return main(["run", "fakepaper/line", "--preset", "smoke", "--no-progress", *where, *options])

    return call


@pytest.fixture
def advances(monkeypatch):
    """The training chunks run so far, each by its number of steps; a signal is sent as chunk `stop_at` begins."""

    class Calls(list):
        stop_at: int | None = None

    calls, advance = Calls(), Programs.advance

    def counted(self, *args):
        calls.append(args[-1])
        if len(calls) == calls.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, *args)

    monkeypatch.setattr(Programs, "advance", counted)
    return calls
