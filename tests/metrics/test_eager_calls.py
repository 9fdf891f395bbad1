"""Every public metric, called as a notebook does: compiled once per shape, exact far from zero, refused by name."""

from pathlib import Path

import jax
import numpy as np
import pytest

from identax import metrics
from tests.eager import compilations
from tests.metrics.calls import CALLS, OFFSET, REFUSED, SHIFTED, Samples, samples


def test_every_public_metric_is_called_here():
    assert set(CALLS) == set(metrics.__all__)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_second_call_of_a_shape_compiles_nothing(name):
    jax.block_until_ready(CALLS[name](samples(0)))
    with compilations() as found:
        jax.block_until_ready(CALLS[name](samples(1)))
    assert not found


@pytest.mark.parametrize("name", sorted(SHIFTED))
def test_an_offset_of_the_host_changes_nothing(name):
    # The samples are rounded to what float64 holds at the offset.
    near, far = (jax.tree.map(np.asarray, SHIFTED[name](samples(0, offset))) for offset in (0.0, OFFSET))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4), near, far)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(far))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_loss_of_digits_is_refused_where_the_offset_matters(name):
    with pytest.raises(ValueError, match=rf"{name}: found \w+ around an offset of 1.7e\+09 with a spread of"):
        REFUSED[name](samples(0, OFFSET))


@pytest.mark.parametrize("kind", ["lists", "tables"])
@pytest.mark.parametrize("name", sorted(set(CALLS) - {"beta_vae_score", "factor_vae_score", "chance_mcc"}))
def test_lists_and_tables_are_arrays(name, kind):
    pandas = pytest.importorskip("pandas")

    def given(array):
        if kind == "lists" or array.ndim > 2:
            return array.tolist()
        return pandas.DataFrame(array) if array.ndim == 2 else pandas.Series(array)

    found, wanted = CALLS[name](Samples(*map(given, samples(0)))), CALLS[name](samples(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)


def test_calls_leave_nothing_behind():
    """A program compiled per call keeps memory maps, of which a process may have 65,530."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("counts memory maps, which Linux lists")

    def maps():
        return Path("/proc/self/maps").read_text().count("\n")

    call = CALLS["linear_readout_accuracy"]
    call(samples(0))
    before = maps()
    for _ in range(20):
        call(samples(1))
    assert maps() - before < 20
