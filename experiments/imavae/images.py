"""What the experiments on images share: polygon sprites with the paper's factors, autoencoders of pixels, pictures."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import polygamma

from experiments.imavae.config import ImageConfig
from experiments.imavae.published_factors import published_factors
from experiments.imavae.vae import DEAD, PRIORS, Parts, variables
from identax.dgp import DGP, ImageWorld, Sample, polygon_sprites
from identax.losses import learned_beta_prior
from identax.models import (
    Autoencoder,
    Model,
    conv_autoencoder,
    decoder_function,
    mlp_autoencoder,
    prior_net,
    raw_parameters,
)

MIDDLE = 0.475
"""of the range of x and y"""
PICTURES, STEPS = 8, 9
"""images with their reconstructions, and values of each latent in a traversal, that are kept"""


def image_parts(config: ImageConfig, dgp: DGP) -> Parts:
    """Autoencoder of flat pixels; "beta" is the learned prior, alpha = |o_1| + 2, beta = |o_2| + 2."""
    shape, net = (config.size, config.size, 3), prior_net(config.dim)
    if config.network == "conv":
        model = _of_pixels(
            conv_autoencoder(config.dim, config.size, channels=config.channels, features=config.hidden[0]), shape
        )
    else:
        model = mlp_autoencoder(
            config.dim, 3 * config.size**2, hidden=config.hidden, kernel_init="xavier_uniform", slope=0.2
        )

    def render(truth, latents):
        return flat(draw(truth, latents, config.size))

    if config.prior != "beta":
        given = PRIORS[config.prior]
        return Parts(dgp, model, lambda params: given(), lambda params: DEAD[config.prior], render=render)

    def raw(params):
        return raw_parameters(net, params["prior"], jnp.float32)

    def dead(params):
        # Half the variance of logit z under the prior, which a posterior that knows nothing is close to.
        alpha, beta = jnp.abs(raw(params)) + 2
        return 0.5 * (polygamma(1, alpha) + polygamma(1, beta))[None]

    return Parts(
        dgp,
        model,
        lambda params: learned_beta_prior(raw(params)),
        dead,
        init_prior=lambda key: net.init(key, jnp.ones((1, 1))),
        render=render,
    )


def triangles(size: int, correlation: float = 0.0) -> DGP:
    """The published image set, pixels flat: truth {"oblique"}, 0 for the published one (see `oblique_world`).

    Latents are x, y, scale and hue (`published_factors`).
    """
    factors = published_factors(correlation)

    def sample(world, key, n):
        latents = factors(key, n)
        return Sample(latents, flat(draw(world, latents, size)))

    return DGP(lambda key: {"oblique": jnp.zeros(())}, sample)


def oblique_world(oblique: Any, size: int) -> ImageWorld:
    """Triangles whose x and y are oblique coordinates of the place: how far from orthogonal they are is chosen.

        (x', y') = m + [[1, t], [t, 1]] (x - m, y - m) / (1 + t),    t = `oblique`, 0 <= t < 1

    The columns of x and y meet at the cosine 2 t / (1 + t^2), so that they alone give a contrast of
    -1/2 log(1 - cos^2) = log((1 + t^2) / (1 - t^2)).
    """
    world = polygon_sprites(size=size)

    def draw(factors):
        centred = factors[:2] - MIDDLE
        return world.draw(factors.at[:2].set(MIDDLE + (centred + oblique * centred[::-1]) / (1 + oblique)))

    return dataclasses.replace(world, draw=draw)


def draw(truth: Any, latents: Any, size: int) -> jax.Array:
    """Images [N, size, size, 3] of the world of `triangles`."""
    return jax.vmap(oblique_world(truth["oblique"], size).draw)(latents)


def flat(images: jax.Array) -> jax.Array:
    """[N, H, W, C] as [N, H W C]."""
    return images.reshape(len(images), -1)


def shown(parts: Parts):
    """Arrays for pictures: a few images, their reconstructions, and traversals [n, STEPS, pixels].

    Row k of a traversal moves z_k from the 2nd to the 98th percentile of its codes, others stay at the first image's.
    """

    def keep(state, drawn, found):
        decode = decoder_function(parts.model, variables(state))
        low, high = jnp.quantile(found.z, jnp.asarray([0.02, 0.98]), axis=0)
        values = low[:, None] + (high - low)[:, None] * jnp.linspace(0, 1, STEPS)[None, :]
        dim = len(low)
        moved = jnp.where(jnp.eye(dim, dtype=bool)[:, None, :], values[:, :, None], found.z[0][None, None, :])
        return {
            "observations": drawn.observations[:PICTURES],
            "reconstructions": found.reconstruction[:PICTURES],
            "traversals": decode(moved.reshape(-1, dim)).reshape(dim, STEPS, -1),
        }

    return keep


def _of_pixels(model: Autoencoder, shape: tuple[int, int, int]) -> Autoencoder:
    """An autoencoder of images as one of flat pixels."""
    encoder, decoder = model

    def init(key, x):
        return encoder.init(key, x.reshape(-1, *shape))

    def encode(variables, x, *, train=False, key=None):
        return encoder.apply(variables, x.reshape(-1, *shape), train=train, key=key)

    def decode(variables, z, *, train=False, key=None):
        images, state = decoder.apply(variables, z, train=train, key=key)
        return flat(images), state

    return Autoencoder(Model(init, encode), Model(decoder.init, decode))
