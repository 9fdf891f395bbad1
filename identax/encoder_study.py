"""The study of most identifiability papers in one call: an encoder, trained on pairs, scored on held-out examples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from identax.data import ArraySource
from identax.metrics import linear_r2, mcc
from identax.models import Model
from identax.rng import stream
from identax.study import HParams, Metrics, State, Study, gradient_study


def adam(hparams: HParams) -> optax.GradientTransformation:
    """Adam with the trial's `learning_rate`, 1e-3 where the trials have none."""
    return optax.adam(hparams.get("learning_rate", 1e-3))


def two_views(batch: Any, key: Key[Array, ""]) -> tuple[Any, Any]:
    """The pair of a batch: `x` and `x_pos` of a dict, the first two entries of a tuple."""
    del key
    return (batch["x"], batch["x_pos"]) if isinstance(batch, dict) else (batch[0], batch[1])


def recovered(held_out: Any, embeddings: Float[Array, "N m"]) -> Metrics:
    """How much of the latents `z` of held-out examples their embeddings hold: MCC, and R2 of the linear map to them."""
    return {"MCC": mcc(held_out["z"], embeddings), "R2": linear_r2(embeddings, held_out["z"])}


def encoder_study(
    encoder: Model,
    *,
    loss: Callable[[Any, Any], Float[Array, " N"]],
    validation: ArraySource,
    optimizer: Callable[[HParams], optax.GradientTransformation] = adam,
    views: Callable[[Any, Key[Array, ""]], tuple[Any, Any]] = two_views,
    metrics: Callable[[Any, Any], Metrics] = recovered,
    sample: Callable[[State, Key[Array, ""]], Any] | None = None,
) -> Study:
    """A `gradient_study` that trains `encoder` on pairs and scores it on `validation`.

        step: x, x_pos = views(batch, key);  minimise mean_i loss(encoder(x), encoder(x_pos))_i
        evaluation: metrics(validation.all(), encoder(x of validation))

    * `loss(z, z_pos) -> [N]`, such as `infonce`
    * `validation`: a source of a dict with `x` [M, ...] and, for the default metrics, the latents `z` [M, n]
    * `views(batch, key) -> (x, x_pos)`: where augmentations enter
    * `optimizer`, `sample`: see `gradient_study`; with `sample=None` give `run` the batches of a loader

    A loss with parameters of its own, or a world drawn per trial, needs `gradient_study` itself.
    Raises `ValueError` where `validation` lacks one of the two arrays.
    """
    held_out = validation.all()
    wanted = ("x", "z") if metrics is recovered else ("x",)
    if not isinstance(held_out, dict) or any(name not in held_out for name in wanted):
        found = sorted(held_out) if isinstance(held_out, dict) else type(held_out).__name__
        raise ValueError(
            f"encoder_study: found validation data {found}, wanted a dict with {' and '.join(wanted)}"
            + (" (latents; without them give metrics=...)" if "z" in wanted else "")
        )
    held_out = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), held_out)

    def init(key, hparams):
        variables = encoder.init(stream(key, "encoder"), held_out["x"][:1])
        return None, variables["params"], variables["state"]

    def objective(params, state, batch, key):
        x, x_pos = views(batch, stream(key, "views"))
        variables = {"params": params, "state": state.model_state}
        z, model_state = encoder.apply(variables, x, train=True, key=stream(key, "x"))
        variables = {"params": params, "state": model_state}
        z_pos, model_state = encoder.apply(variables, x_pos, train=True, key=stream(key, "x_pos"))
        return loss(z, z_pos), (model_state, {})

    def evaluate(state, key):
        variables = {"params": state.params, "state": state.model_state}
        embeddings, _ = encoder.apply(variables, held_out["x"], key=key)
        return metrics(held_out, embeddings)

    return gradient_study(init=init, loss=objective, optimizer=optimizer, evaluate=evaluate, sample=sample)
