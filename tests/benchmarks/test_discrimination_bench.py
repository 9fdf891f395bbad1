"""The csi benchmarks run at a tiny size, and the eager PyTorch step is the same step."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks import discrimination
from benchmarks.discrimination import CONFIGS, cases
from identax.rng import step_key, stream

pytestmark = pytest.mark.slow

TINY = dataclasses.replace(CONFIGS["smoke"], pool_size=10, hidden=(4,))


def _check(found):
    for timing in found["timings"].values():
        assert 0 < timing["fastest"] <= timing["low"] <= timing["median"] <= timing["high"] <= timing["slowest"]
    assert all(np.isfinite(value) for value in found["derived"].values())
    json.dumps(found)


def test_blocks_hold_less_than_all_logits_and_agree():
    found = discrimination.blocked(num_labels=4000, blocks=(100,), rounds=1, batch_size=64)
    _check(found)
    assert set(found["timings"]) == {"dense", "block 100"}
    assert found["derived"]["block 100: memory of dense (%)"] < 25
    assert found["derived"]["block 100: largest relative difference"] < 1e-4


def test_rows_that_differ_in_traced_fields_only_are_one_program():
    one = discrimination._fingerprint(TINY)
    assert discrimination._fingerprint(dataclasses.replace(TINY, kappa=50.0, learning_rate=1e-2)) == one
    assert discrimination._fingerprint(dataclasses.replace(TINY, num_clusters=5)) != one


@pytest.mark.slow
def test_programs_of_three_rows_are_two():
    found = discrimination.programs(rows=("default", "kappa 50", "d 10"), num_seeds=2)
    _check(found)
    assert found["derived"]["DIET: rows"] == 3 and found["derived"]["DIET: trials"] == 6
    assert found["derived"]["DIET: programs"] == found["derived"]["supervised: programs"] == 2


class TestTorch:
    """The eager PyTorch step is the same step."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")
        self.torch.set_num_threads(1)

    @pytest.mark.slow
    def test_every_step_is_timed_on_both_sides(self):
        found = discrimination.measure(("smoke",), num_labels=(20, 40), rounds=1, num_steps=2)
        _check(found)
        steps = ("supervised", "DIET N=20", "DIET N=40")
        assert set(found["timings"]) == {f"smoke {step} {side}" for step in steps for side in ("identax", "torch")}
        assert set(found["derived"]) == {f"smoke {step}: speedup" for step in steps}

    @pytest.mark.slow
    @pytest.mark.parametrize("case", ["supervised", "DIET N=20"])
    def test_updates_on_the_same_batches_agree(self, case):
        from benchmarks.discrimination_torch import Trainer
        from experiments.csi.clusters import world
        from identax.dgp import random_invertible_mlp

        config = cases(TINY, (20,))[case]
        study, state = discrimination._started(config)
        trainer = Trainer(config, jax.device_get(state.truth), jax.device_get(state.params))
        dgp = world(config, random_invertible_mlp(config.dim, num_layers=4, pool_size=config.pool_size))
        step = jax.jit(study.step)
        for _ in range(3):
            key = stream(step_key(state.key, state.step), "data")
            drawn: Any = dgp.sample(state.truth, stream(key, "sample"), config.batch_size)
            labels = drawn.labels if config.targets == "instance" else drawn.clusters
            before, (state, metrics) = state, step(state, None)
            x, targets = (self.torch.tensor(np.array(array)) for array in (drawn.observations, labels))
            loss = trainer.update(x, targets.long())
            np.testing.assert_allclose(loss.item(), metrics["loss"], rtol=1e-4)
        moved = np.abs(np.asarray(state.params["head"] - before.params["head"])).max()
        assert moved > 1e-3
        np.testing.assert_allclose(trainer.head.detach(), state.params["head"], atol=0.05 * moved)

    def test_latents_have_the_moments_of_their_law(self):
        from scipy.special import ive

        from benchmarks.discrimination_torch import sample_vmf

        num, d, kappa, torch = 100_000, 5, 10.0, self.torch
        mean = torch.nn.functional.normalize(torch.randn(1, d, generator=torch.Generator().manual_seed(1)))
        drawn = sample_vmf(mean.expand(num, d), kappa, generator=torch.Generator().manual_seed(0))
        np.testing.assert_allclose(drawn.norm(dim=1), 1, atol=1e-5)
        expected = ive(d / 2, kappa) / ive(d / 2 - 1, kappa)
        variance = 1 - (d - 1) * expected / kappa - expected**2
        cosine = (drawn @ mean[0]).numpy()
        assert abs(cosine.mean() - expected) < 6 * (variance / num) ** 0.5
        np.testing.assert_allclose(cosine.var(), variance, rtol=0.05)
        # uniform across the mean: the same second moment in every direction
        rest = drawn.numpy() - cosine[:, None] * mean.numpy()
        projector = np.eye(d) - np.outer(mean, mean)
        spread = (1 - expected**2 - variance) / (d - 1)
        np.testing.assert_allclose(rest.T @ rest / num, spread * projector, atol=6 * spread * (2 / num) ** 0.5)

    def test_batches_are_of_the_clusters_that_their_labels_belong_to(self):
        from benchmarks.discrimination_torch import Trainer
        from identax.dgp import random_invertible_mlp

        config = cases(dataclasses.replace(TINY, kappa=1e8, batch_size=500), (20,))["DIET N=20"]
        _, state = discrimination._started(config)
        trainer = Trainer(config, jax.device_get(state.truth), jax.device_get(state.params))
        x, labels = trainer.batch()
        assert np.bincount(labels, minlength=20).min() > 0
        mixing = random_invertible_mlp(config.dim, num_layers=4, pool_size=config.pool_size)
        centers = mixing.apply(state.truth["mixing"], state.truth["vectors"])
        np.testing.assert_allclose(x, centers[labels.numpy() % config.num_clusters], atol=5e-3)
