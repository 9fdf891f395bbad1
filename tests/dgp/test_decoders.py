"""Image generators: the autoencoder study learns, and its decoder is a mixing of pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import anisotropic_pairs, decoder_mixing, mlp_autoencoder, vae_study
from identax.run import make_mesh, run
from identax.study import Trials

DIM, SIDE = 2, 6


def bumps(num, seed=0):
    """Images [num, 6, 6] of one bright spot whose place has two degrees of freedom."""
    place = np.random.RandomState(seed).uniform(1, SIDE - 2, (num, 2, 1, 1))
    grid = np.arange(SIDE)
    rows, columns = place[:, 0] - grid[None, :, None], place[:, 1] - grid[None, None, :]
    return np.exp(-0.5 * (rows**2 + columns**2)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return mlp_autoencoder(DIM, SIDE**2, hidden=(32,), activation="gelu")


@pytest.fixture(scope="module")
def trained(model):
    study = vae_study(model, DIM, bumps(256), bumps(64, seed=1), num_steps=600, batch_size=32)
    trials = Trials.grid(1, learning_rate=1e-2, beta=[0.1, 100.0])
    return run(study, trials, num_steps=600, log_every=300, mesh=make_mesh(devices=jax.devices()[:1]), progress=False)


def test_autoencoder_learns_and_a_huge_beta_collapses_it(trained):
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


def test_decoder_is_sigmoid_of_logits_at_radius_sqrt_n(model, trained, getkey):
    weights = jax.tree.map(lambda leaf: leaf[0], trained.state.params["decoder"])
    mixing = decoder_mixing(model.decoder, weights, DIM)
    z = jax.random.normal(getkey(), (8, DIM))
    logits, _ = model.decoder.apply(weights, np.sqrt(DIM).astype(np.float32) * z)
    np.testing.assert_allclose(mixing.apply((), z), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    with pytest.raises(ValueError, match="wanted a mixing that has one"):
        mixing.inverse((), jnp.zeros((1, SIDE**2)))
    with pytest.raises(ValueError, match=r"wanted \[N, 2\]"):
        mixing.apply((), jnp.zeros((8, 3)))


def test_pairs_of_images_share_one_decoder_over_trials(model, trained):
    weights = jax.tree.map(lambda leaf: leaf[0], trained.state.params["decoder"])
    mixing = decoder_mixing(model.decoder, weights, DIM)
    world = anisotropic_pairs(DIM, mixing=mixing, precision=jnp.array([25.0, 5.0]))
    keys = jax.random.split(jax.random.key(0), 3)
    truths = jax.vmap(world.init)(keys)
    assert jax.tree.leaves(truths["mixing"]) == []  # no copy of the weights per trial
    drawn = jax.jit(jax.vmap(lambda truth, key: world.sample(truth, key, 16)))(truths, keys)
    for latents, images in zip(drawn.latents, drawn.observations, strict=True):
        assert images.shape == (3, 16, SIDE**2)
        assert (images > 0).all() and (images < 1).all()
        np.testing.assert_allclose(images[1], mixing.apply((), latents[1]), rtol=1e-5)


def test_decoder_serves_float64(x64, model, trained):
    weights = jax.tree.map(lambda leaf: np.asarray(leaf[0]), trained.state.params["decoder"])
    z = jnp.array([[0.6, -0.8]])
    assert decoder_mixing(model.decoder, weights, DIM).apply((), z).dtype == jnp.float64


@pytest.mark.parametrize(
    ("train", "test", "batch_size", "message"),
    [
        (bumps(8) * 2, bumps(4), 4, r"train images between .* wanted \[0, 1\]"),
        (bumps(8), bumps(4) * np.nan, 4, r"test images between nan"),
        (bumps(8), bumps(4)[:, 1:], 4, "found 36 train and 30 test pixels"),
        (bumps(8), bumps(4), 9, "found batch_size=9, wanted between 1 and 8"),
    ],
)
def test_bad_images_are_refused(model, train, test, batch_size, message):
    with pytest.raises(ValueError, match=message):
        vae_study(model, DIM, train, test, num_steps=10, batch_size=batch_size)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="found n=0"):
        mlp_autoencoder(0, 10)
