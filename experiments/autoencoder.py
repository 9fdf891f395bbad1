"""Variational autoencoders as studies, for the papers that train one."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from identax.data import epoch_indices
from identax.losses import bernoulli_nll, gaussian_kl, negative_elbo
from identax.models import Autoencoder, Reconstruction, init_autoencoder, reconstruct
from identax.rng import stream
from identax.study import State, Study, gradient_study

_WARM_UP = 0.5  # share of the steps over which the KL term's weight rises to beta


def variational_study(
    model: Autoencoder,
    example: Any,
    *,
    bound: Callable[[Reconstruction, Any, State], tuple[Any, dict[str, Any]]],
    optimizer: Callable[[Any], optax.GradientTransformation],
    evaluate: Callable[[State, Any], dict[str, Any]],
    sample: Callable[[State, Any], Any] | None = None,
    images: Callable[[Any], Any] = lambda batch: batch,
) -> Study:
    """Trains encoder and decoder together: one pass through both, and a bound on what came out.

    `images(batch)` are the images of a batch; `bound(reconstruction, images, state) -> (values [N], metrics)`, whose
    mean is minimised; the others as in `gradient_study`. `variables(state)` is what the models' functions take.
    """

    def init(key, hparams):
        made = init_autoencoder(model, key, example)
        return (), made["params"], made["state"]

    def loss(params, state, batch, key):
        x = images(batch)
        inputs = {"params": params, "state": state.model_state}
        found, model_state = reconstruct(model, inputs, x, key, train=True)
        values, metrics = bound(found, x, state)
        return values, (model_state, metrics)

    return gradient_study(init=init, loss=loss, optimizer=optimizer, evaluate=evaluate, sample=sample)


def variables(state: State) -> dict[str, Any]:
    """Variables of encoder and decoder in a state of `variational_study`."""
    return {"params": state.params, "state": state.model_state}


def vae_study(
    model: Autoencoder,
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

    def sample(state, key):
        indices = epoch_indices(stream(state.key, "epochs"), state.step, num_examples=len(train), batch_size=batch_size)
        return jnp.asarray(train)[indices]

    def bound(found, images, state):
        # A KL weight that starts near 0 lets every latent find a use before the prior can switch it off.
        warmed = jnp.minimum((state.step + 1) / (_WARM_UP * num_steps), 1.0)
        beta = state.hparams["beta"] * warmed
        values = negative_elbo(found.logits, images, found.mean, found.log_variance, beta=beta)
        return values, {"kl": gaussian_kl(found.mean, found.log_variance).mean()}

    def evaluate(state, key):
        images = jnp.asarray(test)
        found, _ = reconstruct(model, variables(state), images, key)
        per_dim = gaussian_kl(found.mean, found.log_variance, per_dim=True).mean(axis=0)
        return {
            "nll": bernoulli_nll(found.logits, images).mean(),
            "kl": per_dim.sum(),
            "kl_per_dim": per_dim,
            "active_units": (found.mean.var(axis=0) > 0.01).sum(),
        }

    def optimizer(hparams):
        schedule = optax.cosine_decay_schedule(1.0, num_steps)
        return optax.chain(
            optax.scale_by_adam(),
            optax.scale_by_learning_rate(hparams["learning_rate"]),
            optax.scale_by_schedule(schedule),
        )

    return variational_study(model, train[:1], bound=bound, optimizer=optimizer, evaluate=evaluate, sample=sample)


def _flat(name: str, images) -> Float[np.ndarray, "N m"]:
    flat = np.asarray(images).reshape(len(images), -1)
    if not (np.isfinite(flat).all() and flat.min() >= 0 and flat.max() <= 1):
        raise ValueError(f"vae_study: found {name} images between {flat.min()} and {flat.max()}, wanted [0, 1]")
    return flat
