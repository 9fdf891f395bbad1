"""Strict settings for every test: 8 virtual CPU devices, no silent broadcasting, no legacy keys.

Most of a test's time is the compiler's. `--quick-compile`, which `make test` passes, leaves out XLA's expensive passes,
but not in `FAST_PROGRAMS`: those tests are about compiled programs that agree to the bit, or spend their time in the
programs themselves. They have all programs at the level at which runs compile theirs on a CPU, 1. And loops are written
by XLA's older emitter, if jaxlib has it (0.10), in which a program costs half the compiler's time: what its newer one
writes is not tested then. `make test-all` compiles as users do.
"""

import ctypes
import gc
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
# The second: a program is compiled in one piece, which for small ones takes a sixth less.
_FLAGS = ["--xla_force_host_platform_device_count=8", "--xla_cpu_parallel_codegen_split_count=1"]
# As identax.run does, but many tests make arrays before anything imports it.
_FLAGS.append("--xla_cpu_enable_concurrency_optimized_scheduler=false")
if "--quick-compile" in sys.argv:  # pytest's workers inherit the variable
    _FLAGS.append("--xla_backend_optimization_level=1")
    if version("jaxlib").startswith("0.10."):  # later ones have no such flag, and an unknown one ends the process
        _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
for _flag in _FLAGS:
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}".strip()

import jax
import jaxtyping
import pytest

# The collector goes through a heap that earlier tests filled: left alone, it took a third of the command line's tests.
gc.set_threshold(20_000, 20, 20)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")


@pytest.fixture
def x64():
    """Runs the test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def getkey():
    """Returns a function that hands out a fresh key at every call."""
    count = iter(range(10**6))
    return lambda: jax.random.fold_in(jax.random.key(20240628), next(count))


@pytest.fixture
def untyped():
    """Annotations are checked in tests alone: users meet what comes behind them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


FAST_PROGRAMS = ("lti", "run")
"""folders of tests/"""


def pytest_addoption(parser):
    parser.addoption("--quick-compile", action="store_true", help="leave out XLA's expensive passes")


def pytest_collection_finish():
    """What is there before the first test stays, and the collector leaves it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _compiler(request):
    """Turns XLA's expensive passes off where asked for; programs compiled the other way are dropped."""
    quick = request.config.getoption("--quick-compile") and request.path.parent.name not in FAST_PROGRAMS
    if quick != jax.config.read("jax_disable_most_optimizations"):
        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def _bounded_memory():
    """Compiled programs of earlier modules go when a worker holds gigabytes of them: two workers share the machine."""
    yield
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    if pages * os.sysconf("SC_PAGE_SIZE") > 2.5e9:
        jax.clear_caches()
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
