"""Image generators learned from data: a variational autoencoder whose decoder is the mixing."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from identax.data.batches import epoch_indices
from identax.dgp.mixings import Mixing
from identax.losses.elbo import bernoulli_nll, gaussian_kl, negative_elbo, sample_gaussian
from identax.models import Model, mlp
from identax.rng import stream
from identax.study import Study, gradient_study

_WARM_UP = 0.5  # share of the steps over which the KL term's weight rises to beta


class Autoencoder(NamedTuple):
    """`encoder`: images [N, m] -> posterior mean and log variance [N, 2n]; `decoder`: z [N, n] -> logits [N, m]."""

    encoder: Model
    decoder: Model


def mlp_autoencoder(
    n: int, pixels: int, *, hidden: Sequence[int] = (256, 128), activation: str = "leaky_relu"
) -> Autoencoder:
    """MLPs pixels -> hidden -> 2n and, mirrored, n -> reversed hidden -> pixels. Raises `ValueError` for n < 1."""
    if n < 1 or pixels < 1:
        raise ValueError(f"mlp_autoencoder: found n={n}, pixels={pixels}, wanted at least 1 of each")
    encoder = mlp((*hidden, 2 * n), activation=activation)
    return Autoencoder(encoder, mlp((*reversed(tuple(hidden)), pixels), activation=activation))


def vae_study(
    model: Autoencoder,
    n: int,
    train: Float[np.ndarray | Array, "..."],
    test: Float[np.ndarray | Array, "..."],
    *,
    num_steps: int,
    batch_size: int = 128,
) -> Study:
    """Variational autoencoder: q(z|x) = N(mean(x), diag variance(x)), p(z) = N(0, I_n), Bernoulli pixels.

        minimise E_x [ -log p(x|z) + beta KL(q(z|x) || p(z)) ],    z ~ q(z|x)

    with Adam, a cosine decay over `num_steps` and a KL weight that rises linearly to beta over the first half, on
    batches of `epoch_indices`. Hyper-parameters of a trial: `learning_rate`, `beta`. Images in [0, 1] may have any
    shape; they are flattened.
    `evaluate` gives, on `test`: `nll` and `kl` (nats per image, at one draw of z), `kl_per_dim` [n], and
    `active_units`, the number of latents with Var_x[mean_j(x)] > 0.01 (Burda et al. 2016, section 2).

    Raises `ValueError` for images outside [0, 1] or not finite, sets of different image shape, or a batch larger
    than the training set. Source: Kingma and Welling 2014; as the mixing of Rusak et al. 2025's image experiment.
    """
    train, test = _flat("train", train), _flat("test", test)
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"vae_study: found {train.shape[1]} train and {test.shape[1]} test pixels, wanted one size")
    if not 1 <= batch_size <= len(train):
        raise ValueError(f"vae_study: found batch_size={batch_size}, wanted between 1 and {len(train)} images")

    def init(key, hparams):
        encoder = model.encoder.init(stream(key, "encoder"), train[:1])
        decoder = model.decoder.init(stream(key, "decoder"), jnp.zeros((1, n), train.dtype))
        return (), {"encoder": encoder, "decoder": decoder}, ()

    def sample(state, key):
        indices = epoch_indices(stream(state.key, "epochs"), state.step, num_examples=len(train), batch_size=batch_size)
        return jnp.asarray(train)[indices]

    def forward(params, images, key):
        moments, _ = model.encoder.apply(params["encoder"], images)
        mean, log_variance = moments[:, :n], moments[:, n:]
        logits, _ = model.decoder.apply(params["decoder"], sample_gaussian(key, mean, log_variance))
        return logits, mean, log_variance

    def loss(params, state, batch, key):
        logits, mean, log_variance = forward(params, batch, key)
        # A KL weight that starts near 0 lets every latent find a use before the prior can switch it off.
        warmed = jnp.minimum((state.step + 1) / (_WARM_UP * num_steps), 1.0)
        beta = state.hparams["beta"] * warmed
        values = negative_elbo(logits, batch, mean, log_variance, beta=beta)
        return values, ((), {"kl": gaussian_kl(mean, log_variance).mean()})

    def evaluate(state, key):
        images = jnp.asarray(test)
        logits, mean, log_variance = forward(state.params, images, key)
        per_dim = gaussian_kl(mean, log_variance, per_dim=True).mean(axis=0)
        return {
            "nll": bernoulli_nll(logits, images).mean(),
            "kl": per_dim.sum(),
            "kl_per_dim": per_dim,
            "active_units": (mean.var(axis=0) > 0.01).sum(),
        }

    def optimizer(hparams):
        schedule = optax.cosine_decay_schedule(1.0, num_steps)
        return optax.chain(
            optax.scale_by_adam(),
            optax.scale_by_learning_rate(hparams["learning_rate"]),
            optax.scale_by_schedule(schedule),
        )

    return gradient_study(init=init, loss=loss, optimizer=optimizer, evaluate=evaluate, sample=sample)


def decoder_mixing(decoder: Model, variables: Any, n: int) -> Mixing:
    """An image generator as the mixing of a world on the unit sphere S^{n-1}.

        x = sigmoid(decoder(sqrt(n) z))

    A decoder trained on z ~ N(0, I_n) sees norms near sqrt(n), hence the factor. Its weights are the same for every
    trial: they are constants here and not part of a trial's truth, so that vmapped trials share one matrix product
    and no memory is spent on copies. `inverse` raises: images off the manifold have no latent.
    Source: Rusak et al. 2025 (image experiment); the scale is this library's choice.
    """
    shared = jax.tree.map(jnp.asarray, variables)

    def apply(weights: Any, z: Float[Array, "N n"]) -> Float[Array, "N m"]:
        if z.shape[-1] != n:
            raise ValueError(f"decoder_mixing: found latents of shape {z.shape}, wanted [N, {n}]")
        logits, _ = decoder.apply(shared, math.sqrt(n) * z)
        return jax.nn.sigmoid(logits)

    def inverse(weights: Any, x: Array) -> Array:
        raise ValueError("decoder_mixing: found a request for the inverse, wanted a mixing that has one")

    return Mixing(lambda key: (), apply, inverse)


def _flat(name: str, images) -> Float[np.ndarray, "N m"]:
    flat = np.asarray(images).reshape(len(images), -1)
    if not (np.isfinite(flat).all() and flat.min() >= 0 and flat.max() <= 1):
        raise ValueError(f"vae_study: found {name} images between {flat.min()} and {flat.max()}, wanted [0, 1]")
    return flat
