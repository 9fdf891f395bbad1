"""The benchmarks of linear systems run at a tiny size, and the eager PyTorch step is the same step."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import linear_systems
from experiments.lti.worlds import flat_pairs
from identax.lti.sgd import orthonormal_rows, published_epoch
from identax.rng import permutation

pytestmark = pytest.mark.slow


def _check(found):
    for timing in found["timings"].values():
        assert 0 < timing["fastest"] <= timing["low"] <= timing["median"] <= timing["high"] <= timing["slowest"]
    assert all(np.isfinite(value) for value in found["derived"].values())
    json.dumps(found)


@pytest.mark.slow
def test_systems_are_identified_while_they_are_timed():
    found = linear_systems.identification(num_systems=4, dim=2, rounds=1, num_samples=400)
    _check(found)
    assert found["derived"]["conditional: share of MCC above .99"] >= 0.75
    assert found["derived"]["closed form: systems per second"] > 0


@pytest.mark.slow
def test_steps_of_training_are_timed_on_both_sides():
    pytest.importorskip("torch")
    found = linear_systems.training((2,), rounds=1, num_epochs=1, num_samples=200)
    _check(found)
    assert set(found["timings"]) == {"d 2 identax float32", "d 2 identax float64", "d 2 torch"}
    assert "d 2: speedup" in found["derived"]


def test_an_epoch_in_torch_is_an_epoch(x64):
    pytest.importorskip("torch")
    from benchmarks.linear_systems_torch import Trainer

    z, means, variances = flat_pairs(linear_systems._world(2, 200))
    start, key = orthonormal_rows(jax.random.key(1), 2, 4), jax.random.key(2)
    how = {"batch_size": 64, "learning_rate": 1e-2, "max_norm": 0.5}
    trainer = Trainer(start, z, means, variances, **how)
    trainer.epochs(1, [np.asarray(permutation(key, len(z)))])
    found = published_epoch(key, start, jnp.asarray(z), means, variances, **how)
    assert np.abs(np.asarray(found - start)).max() > 0.01
    np.testing.assert_allclose(trainer.unmixing.detach().numpy(), found, atol=2e-6)
