"""One pass through encoder and decoder: what is drawn, what is decoded, and whose statistics move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import gaussian_prior, learned_beta_prior, uniform_prior
from identax.models import (
    Autoencoder,
    autoencode,
    decoder_function,
    init_autoencoder,
    mlp,
    mlp_autoencoder,
    posterior,
    prior_net,
    raw_parameters,
    reconstruct,
    reconstruct_mean,
)

MODEL = mlp_autoencoder(2, 5, hidden=(7,))


def test_one_draw_of_the_posterior_is_decoded(getkey):
    x = jax.random.normal(getkey(), (3, 5))
    variables = init_autoencoder(MODEL, jax.random.key(0), x[:1])
    assert set(variables) == {"params", "state"}
    assert all(set(part) == {"encoder", "decoder"} for part in variables.values())
    (mean, log_variance), _ = posterior(MODEL, variables, x)
    moments, _ = MODEL.encoder.apply({"params": variables["params"]["encoder"]}, x)
    np.testing.assert_array_equal(jnp.concatenate([mean, log_variance], axis=1), moments)
    found, _ = reconstruct(MODEL, variables, x, jax.random.key(1))
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(jax.random.key(1), mean.shape)
    wanted, _ = MODEL.decoder.apply({"params": variables["params"]["decoder"]}, z)
    np.testing.assert_allclose(found.logits, wanted, rtol=1e-5, atol=1e-6)
    other, _ = reconstruct(MODEL, variables, x, jax.random.key(2))
    assert np.abs(other.logits - found.logits).max() > 1e-3
    np.testing.assert_array_equal(other.mean, mean)


@pytest.mark.slow
def test_batch_statistics_of_both_move_in_training_alone(getkey):
    model = Autoencoder(mlp((6, 4), batch_norm=True), mlp((6, 5), batch_norm=True))
    x = jax.random.normal(getkey(), (8, 5))
    variables = init_autoencoder(model, jax.random.key(0), x[:1])
    _, still = reconstruct(model, variables, x, jax.random.key(1))
    _, moved = reconstruct(model, variables, x, jax.random.key(1), train=True)
    for name in ("encoder", "decoder"):
        same = jax.tree.map(np.array_equal, (still[name], moved[name]), (variables["state"][name],) * 2)
        assert jax.tree.all(same[0]) and not jax.tree.all(same[1])


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="found n=0"):
        mlp_autoencoder(0, 10)
    with pytest.raises(ValueError, match="found pixels=True"):
        mlp_autoencoder(1, True)


def test_an_encoder_of_rows_is_not_given_images(getkey):
    model = mlp_autoencoder(2, 4, hidden=(3,))
    variables = init_autoencoder(model, getkey(), jnp.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"posterior: found moments of shape \(5, 6, 4\)"):
        posterior(model, variables, jnp.zeros((5, 6, 4)))


@pytest.mark.parametrize("prior", [uniform_prior(), gaussian_prior()], ids=lambda prior: prior.name)
def test_any_prior_squashes_what_is_decoded(x64, getkey, prior):
    x = jax.random.normal(getkey(), (3, 5))
    variables = init_autoencoder(MODEL, jax.random.key(0), x[:1])
    found, _ = autoencode(MODEL, variables, x, jax.random.key(1), prior=prior)
    noise = jax.random.normal(jax.random.key(1), (3, 2))
    np.testing.assert_allclose(found.u, found.mean + jnp.exp(0.5 * found.log_variance) * noise, rtol=1e-12)
    squashed = 1 / (1 + np.exp(-np.asarray(found.u))) if prior.name == "uniform" else found.u
    np.testing.assert_allclose(found.z, squashed, rtol=1e-12)
    decode = decoder_function(MODEL, variables)
    np.testing.assert_array_equal(found.reconstruction, decode(found.z))
    at_mean = reconstruct_mean(MODEL, variables, x, prior=prior)
    np.testing.assert_array_equal(at_mean.mean, found.mean)
    np.testing.assert_array_equal(at_mean.reconstruction, decode(prior.squash(found.mean)))
    assert np.abs(at_mean.reconstruction - found.reconstruction).max() > 1e-3


def test_with_a_normal_prior_it_is_the_pass_there_was(getkey):
    x = jax.random.normal(getkey(), (3, 5))
    variables = init_autoencoder(MODEL, jax.random.key(0), x[:1])
    found, _ = autoencode(MODEL, variables, x, jax.random.key(1), prior=gaussian_prior())
    wanted, _ = reconstruct(MODEL, variables, x, jax.random.key(1))
    np.testing.assert_array_equal(found.reconstruction, wanted.logits)


def test_published_nets_have_the_published_sizes():
    """Reizinger et al. 2022, Moebius: 3-30-6 and 3-30-3."""
    model = mlp_autoencoder(3, 3, hidden=(30,), kernel_init="xavier_uniform", slope=0.2)
    params = jax.eval_shape(lambda key: init_autoencoder(model, key, jnp.zeros((1, 3))), jax.random.key(0))["params"]
    count = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    assert count == {"encoder": 3 * 30 + 30 + 30 * 6 + 6, "decoder": 3 * 30 + 30 + 30 * 3 + 3}


@pytest.mark.slow
@pytest.mark.parametrize("num_layers", [1, 3])
def test_prior_net_is_a_vector_that_learns(x64, num_layers):
    model = prior_net(3, num_layers=num_layers)
    variables = model.init(jax.random.key(0), jnp.ones((1, 1)))
    kernels = [leaf.shape for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 2]
    assert sorted(kernels) == sorted([(1, 12), (12, 12), (12, 6)] if num_layers == 3 else [(1, 6)])
    raw = raw_parameters(model, variables)
    assert raw.shape == (2, 3)
    np.testing.assert_allclose(raw.reshape(-1), model.apply(variables, jnp.ones((1, 1)))[0][0])

    def loss(variables):
        prior = learned_beta_prior(raw_parameters(model, variables))
        return -prior.log_prob(jnp.full((1, 3), 0.7)).sum()

    slopes = jax.grad(loss)(variables)["params"]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slopes))
    with pytest.raises(ValueError, match="found num_layers=0"):
        prior_net(3, num_layers=0)
