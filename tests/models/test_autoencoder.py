"""One pass through encoder and decoder: what is drawn, what is decoded, and whose statistics move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import Autoencoder, init_autoencoder, mlp, mlp_autoencoder, posterior, reconstruct

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
