"""The benchmark of VAEs runs at a tiny size, and the eager PyTorch step is the same step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import vae
from experiments.imavae import moebius
from experiments.imavae.vae import synthetic_parts
from experiments.imavae.worlds import moebius_world
from identax.losses import elbo, uniform_prior
from identax.models import reconstruct_mean

pytestmark = pytest.mark.slow
TINY = dataclasses.replace(moebius.PRESETS["smoke"], precision=50.0)


def test_it_times_every_count():
    pytest.importorskip("torch")
    found = vae.measure(counts=(1, 2), rounds=1, num_steps=2, config=TINY)
    assert set(found["timings"]) == {"1 seeds", "2 seeds", "torch"}
    assert found["derived"]["2 seeds: speedup"] > 0


def test_both_sides_have_one_loss_and_one_world():
    torch = pytest.importorskip("torch")
    study = moebius.build(TINY)
    trainer = vae._trainer(TINY, study)
    x = np.asarray(trainer.batch())
    expected = moebius_world(3, "reference").dgp
    truth = expected.init(jax.random.key(0))
    fresh = np.asarray(expected.sample(truth, jax.random.key(1), 4096).observations)
    assert (x > fresh.min(axis=0) - 0.05).all() and (x < fresh.max(axis=0) + 0.05).all()
    hparams = {"precision": 50.0, "beta": 1.0, "learning_rate": 1e-3}
    trial = vae.Trials.grid(1, **hparams)[0]
    state = study.init(trial.keys, trial.hparams)
    parts = synthetic_parts(TINY, expected)
    found = reconstruct_mean(
        parts.model, {"params": state.params, "state": state.model_state}, x, prior=uniform_prior()
    )
    bound = elbo(
        x, found.reconstruction, found.u, found.mean, found.log_variance, prior=uniform_prior(), precision=50.0
    )
    with torch.no_grad():
        theirs = trainer.loss(torch.from_numpy(x), torch.zeros(x.shape)).item()
    np.testing.assert_allclose(theirs, -float(jnp.mean(bound.value)), rtol=1e-5)
