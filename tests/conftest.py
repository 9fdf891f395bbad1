"""Strict settings for every test: 8 virtual CPU devices, no silent broadcasting, no legacy keys."""

import ctypes
import gc
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
_DEVICES = "--xla_force_host_platform_device_count=8"
if _DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()

import jax
import pytest

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
