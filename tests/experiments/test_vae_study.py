"""The autoencoder study learns a small world of images, and a huge beta collapses it."""

import jax
import numpy as np
import pytest

from experiments.autoencoder import vae_study, variables
from identax.models import mlp_autoencoder
from identax.run import make_mesh, run
from identax.study import Trials

DIM, SIDE = 2, 6
MODEL = mlp_autoencoder(DIM, SIDE**2, hidden=(32,), activation="gelu")


def bumps(num, seed=0):
    """Images [num, 6, 6] of one bright spot whose place has two degrees of freedom."""
    place = np.random.RandomState(seed).uniform(1, SIDE - 2, (num, 2, 1, 1))
    grid = np.arange(SIDE)
    rows, columns = place[:, 0] - grid[None, :, None], place[:, 1] - grid[None, None, :]
    return np.exp(-0.5 * (rows**2 + columns**2)).astype(np.float32)


@pytest.mark.slow
def test_autoencoder_learns_and_a_huge_beta_collapses_it():
    study = vae_study(MODEL, bumps(256), bumps(64, seed=1), num_steps=600, batch_size=32)
    trials = Trials.grid(1, learning_rate=1e-2, beta=[0.1, 100.0])
    one = make_mesh(devices=jax.devices()[:1])
    trained = run(study, trials, num_steps=600, log_every=300, mesh=one, progress=False)
    assert {name: set(part) for name, part in variables(trained.state).items()} == {
        "params": {"encoder", "decoder"},
        "state": {"encoder", "decoder"},
    }
    start, end = trained.evaluation["nll"][:, 0], trained.final("nll")
    pixel = bumps(256).mean(axis=0, dtype=float)
    test = bumps(64, seed=1)
    constant = -(test * np.log(pixel) + (1 - test) * np.log(1 - pixel)).sum(axis=(1, 2)).mean()  # best without latents
    floor = -(test * np.log(test) + (1 - test) * np.log1p(-test)).sum(axis=(1, 2)).mean()  # a perfect reconstruction
    assert start[0] > constant
    assert end[0] - floor < 0.2 * (constant - floor)
    np.testing.assert_array_equal(trained.final("active_units"), [2, 0])
    np.testing.assert_allclose(trained.final("kl_per_dim").sum(axis=1), trained.final("kl"), rtol=1e-5)
    assert trained.final("kl")[0] > 2 and trained.final("kl")[1] < 1e-2
    assert abs(end[1] - constant) < 0.3


@pytest.mark.parametrize(
    ("train", "test", "batch_size", "message"),
    [
        (bumps(8) * 2, bumps(4), 4, r"train images between .* wanted \[0, 1\]"),
        (bumps(8), bumps(4) * np.nan, 4, r"test images between nan"),
        (bumps(8), bumps(4)[:, 1:], 4, "found 36 train and 30 test pixels"),
        (bumps(8), bumps(4), 9, "found batch_size=9, wanted between 1 and 8"),
    ],
)
def test_bad_images_are_refused(train, test, batch_size, message):
    with pytest.raises(ValueError, match=message):
        vae_study(MODEL, train, test, num_steps=10, batch_size=batch_size)
