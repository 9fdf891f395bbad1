"""Variational autoencoders: an encoder to a normal posterior and a decoder, and one pass through both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_count
from identax.losses.elbo import sample_gaussian
from identax.losses.priors import Prior
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


class Autoencoded(NamedTuple):
    """One draw u [N, n] of q(u|x) = N(`mean`, diag exp(`log_variance`)), z = squash(u) and its `reconstruction`."""

    reconstruction: Any
    z: Any
    u: Any
    mean: Any
    log_variance: Any


def mlp_autoencoder(
    n: int,
    pixels: int,
    *,
    hidden: Sequence[int] = (256, 128),
    activation: str = "leaky_relu",
    kernel_init: str = "uniform_fan_in",
    slope: float | None = None,
) -> Autoencoder:
    """MLPs pixels -> hidden -> 2n and, mirrored, n -> reversed hidden -> pixels; options as in `mlp`.

    The VAEs of Reizinger et al. 2022 with L linear maps: hidden (10 n,) * (L - 1) or (20 n,) * (L - 1),
    kernel_init "xavier_uniform", slope 0.2. Raises `ValueError` for n, pixels that are no integers >= 1, and as `mlp`.
    """
    check_count("mlp_autoencoder", "n", n)
    check_count("mlp_autoencoder", "pixels", pixels)
    hidden, options = tuple(hidden), {"activation": activation, "kernel_init": kernel_init, "slope": slope}
    return Autoencoder(mlp((*hidden, 2 * n), **options), mlp((*reversed(hidden), pixels), **options))


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
    """((mean, log_variance), new state of the encoder) of q(z|x) = N(mean, diag exp(log_variance)).

    Raises `ValueError` where the encoder gives no moments [N, 2n], as an MLP does of images [N, H, W].
    """
    moments, state = model.encoder.apply(_of(variables, "encoder"), images, train=train)
    if moments.ndim != 2 or moments.shape[1] % 2:
        raise ValueError(f"posterior: found moments of shape {moments.shape} from the encoder, wanted [N, 2n]")
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


def autoencode(
    model: Autoencoder, variables: Mapping[str, Any], x: Any, key: Key[Array, ""], *, prior: Prior, train: bool = False
) -> tuple[Autoencoded, Any]:
    """One draw u ~ q(u|x) for each example, z = prior.squash(u) decoded; and the new state of both models.

    What the parts are for: `elbo`, which takes the densities of u. Everything is differentiable in the variables.
    Source: Reizinger et al. 2022, code (uniform and Beta priors see sigmoid(u), others u).
    """
    (mean, log_variance), encoder = posterior(model, variables, x, train=train)
    u = sample_gaussian(key, mean, log_variance)
    z = prior.squash(u)
    reconstruction, decoder = model.decoder.apply(_of(variables, "decoder"), z, train=train)
    return Autoencoded(reconstruction, z, u, mean, log_variance), {"encoder": encoder, "decoder": decoder}


def reconstruct_mean(model: Autoencoder, variables: Mapping[str, Any], x: Any, *, prior: Prior) -> Autoencoded:
    """As `autoencode`, at u = mean, without a draw: codes z = squash(mean) and reconstructions to be judged."""
    (mean, log_variance), _ = posterior(model, variables, x)
    z = prior.squash(mean)
    reconstruction, _ = model.decoder.apply(_of(variables, "decoder"), z)
    return Autoencoded(reconstruction, z, mean, mean, log_variance)


def decoder_function(
    model: Autoencoder, variables: Mapping[str, Any]
) -> Callable[[Float[Array, "N n"]], Float[Array, "N ..."]]:
    """The decoder as a function of z alone, as Jacobians and oracles take it."""
    return lambda z: model.decoder.apply(_of(variables, "decoder"), z)[0]


def _of(variables, name):
    return {kind: parts[name] for kind, parts in variables.items()}
