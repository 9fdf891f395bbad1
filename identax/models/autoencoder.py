"""Variational autoencoders: an encoder to a normal posterior and a decoder, and one pass through both."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.losses.elbo import sample_gaussian
from identax.models.base import Model
from identax.models.mlp import mlp
from identax.rng import stream


class Autoencoder(NamedTuple):
    """`encoder`: images [N, ...] -> posterior mean and log variance [N, 2n]; `decoder`: z [N, n] -> logits [N, ...]."""

    encoder: Model
    decoder: Model


class Reconstruction(NamedTuple):
    """`logits` [N, ...] of the images decoded from one draw of q(z|x), whose `mean` and `log_variance` are [N, n]."""

    logits: Any
    mean: Any
    log_variance: Any


def mlp_autoencoder(
    n: int, pixels: int, *, hidden: Sequence[int] = (256, 128), activation: str = "leaky_relu"
) -> Autoencoder:
    """MLPs pixels -> hidden -> 2n and, mirrored, n -> reversed hidden -> pixels. Raises `ValueError` for n < 1."""
    if n < 1 or pixels < 1:
        raise ValueError(f"mlp_autoencoder: found n={n}, pixels={pixels}, wanted at least 1 of each")
    encoder = mlp((*hidden, 2 * n), activation=activation)
    return Autoencoder(encoder, mlp((*reversed(tuple(hidden)), pixels), activation=activation))


def init_autoencoder(model: Autoencoder, key: Key[Array, ""], example: Any) -> dict[str, Any]:
    """Variables of both, for images like `example` [1, ...]: `params` and `state`, each of "encoder" and "decoder"."""
    encoder = model.encoder.init(stream(key, "encoder"), example)
    moments, _ = jax.eval_shape(model.encoder.apply, encoder, example)
    codes = jnp.zeros((1, moments.shape[1] // 2), moments.dtype)
    parts = {"encoder": encoder, "decoder": model.decoder.init(stream(key, "decoder"), codes)}
    return {kind: {name: part[kind] for name, part in parts.items()} for kind in ("params", "state")}


def posterior(
    model: Autoencoder, variables: Mapping[str, Any], images: Any, *, train: bool = False
) -> tuple[tuple[Float[Array, "N n"], Float[Array, "N n"]], Any]:
    """((mean, log_variance), new state of the encoder) of q(z|x) = N(mean, diag exp(log_variance))."""
    moments, state = model.encoder.apply(_of(variables, "encoder"), images, train=train)
    mean, log_variance = jnp.split(moments, 2, axis=1)
    return (mean, log_variance), state


def reconstruct(
    model: Autoencoder, variables: Mapping[str, Any], images: Any, key: Key[Array, ""], *, train: bool = False
) -> tuple[Reconstruction, Any]:
    """One draw z ~ q(z|x) for each image, decoded; and the new state of both models.

    `variables` as of `init_autoencoder`. What the parts are for: `negative_elbo`, `gaussian_kl`, `slow_vae`.
    Source: Kingma and Welling 2014, section 2.4.
    """
    (mean, log_variance), encoder = posterior(model, variables, images, train=train)
    z = sample_gaussian(key, mean, log_variance)
    logits, decoder = model.decoder.apply(_of(variables, "decoder"), z, train=train)
    return Reconstruction(logits, mean, log_variance), {"encoder": encoder, "decoder": decoder}


def _of(variables, name):
    return {kind: parts[name] for kind, parts in variables.items()}
