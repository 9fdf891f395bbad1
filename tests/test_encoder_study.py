"""A study of pairs in one call."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.data import arrays
from identax.encoder_study import encoder_study
from identax.losses import infonce
from identax.metrics import linear_r2, mcc
from identax.models import mlp
from identax.rng import step_key, stream
from identax.study import gradient_study

Z = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
TRAIN, VALIDATION = arrays(x=Z @ np.array([[1.0, 1], [0, 2]], np.float32), x_pos=Z + 0.1, z=Z).split(validation=0.25)
ENCODER = mlp((8, 2), head="sphere")
KEY, HPARAMS = jax.random.key(3), {"learning_rate": jnp.array(1e-2)}


def trained(study, *batches):
    """The state after a step for each batch, its evaluation, and the losses."""

    def everything(key, hparams, batches):
        state, losses = study.init(key, hparams), []
        for batch in batches:
            state, metrics = study.step(state, batch)
            losses.append(metrics["loss"])
        return state, study.evaluate(state, key), jnp.stack(losses)

    return jax.jit(everything)(KEY, HPARAMS, batches)


def written_out(**options):
    """The same study by `gradient_study`, without state."""

    def init(key, hparams):
        return None, ENCODER.init(stream(key, "encoder"), jnp.zeros((1, 2)))["params"], {}

    def embed(params, x):
        return ENCODER.apply({"params": params, "state": {}}, x)[0]

    def loss(params, state, batch, key):
        return infonce(embed(params, batch["x"]), embed(params, batch["x_pos"])), (state.model_state, {})

    def evaluate(state, key):
        x, z = (jnp.asarray(VALIDATION.all()[name]) for name in ("x", "z"))
        return {"MCC": mcc(z, embed(state.params, x)), "R2": linear_r2(embed(state.params, x), z)}

    return gradient_study(
        init=init,
        loss=loss,
        optimizer=lambda hparams: optax.adam(hparams["learning_rate"]),
        evaluate=evaluate,
        **options,
    )


def test_it_is_the_gradient_study_that_one_would_write():
    batches = [TRAIN.read_batch(np.arange(10 * i, 10 * i + 10)) for i in range(2)]
    (state, scores, losses), (same, wanted, wanted_losses) = (
        trained(study, *batches)
        for study in (encoder_study(ENCODER, loss=infonce, validation=VALIDATION), written_out())
    )
    assert scores.keys() == wanted.keys() == {"MCC", "R2"}
    for found, other in ((scores, wanted), (losses, wanted_losses), (state.params, same.params)):
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5), found, other)
    assert losses[0] != losses[1]


def test_batches_on_the_device_views_metrics_and_optimizers_are_ones_own():
    held, seen = TRAIN.on_device(), []

    def views(batch, key):
        seen.append(key)
        return batch["x"], batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)

    study = encoder_study(
        ENCODER,
        loss=infonce,
        validation=arrays(x=VALIDATION.all()["x"]),
        optimizer=lambda hparams: optax.sgd(0.0),
        views=views,
        metrics=lambda held_out, embeddings: {"spread": embeddings.std(), "of": held_out["x"].mean()},
        sample=lambda state, key: held.batch(stream(state.key, "epochs"), state.step, batch_size=10),
    )
    state, scores, losses = trained(study, None)
    assert seen and scores.keys() == {"spread", "of"}
    np.testing.assert_allclose(scores["of"], VALIDATION.all()["x"].mean(), rtol=1e-5)
    # By hand; a rate of zero leaves the parameters as they start.
    start = ENCODER.init(stream(KEY, "encoder"), jnp.zeros((1, 2)))
    jax.tree.map(np.testing.assert_array_equal, state.params, start["params"])
    drawn = held.batch(stream(KEY, "epochs"), 0, batch_size=10)
    noisy = views(drawn, stream(stream(step_key(KEY, 0), "loss"), "views"))
    np.testing.assert_allclose(losses[0], infonce(*(ENCODER.apply(start, x)[0] for x in noisy)).mean(), rtol=1e-5)


def test_held_out_arrays_are_copied():
    x = np.ones((4, 2), np.float32)
    study = encoder_study(ENCODER, loss=infonce, validation=arrays(x=x), metrics=lambda held, _: {"x": held["x"].sum()})
    x[:] = 5
    assert trained(study, {"x": x, "x_pos": x})[1]["x"] == 8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: arrays(x=Z), r"found validation data \['x'\], wanted a dict with x and z \(latents; without them"),
        (lambda: arrays(a=Z, z=Z), r"found validation data \['a', 'z'\]"),
        (lambda: arrays(Z, Z), "found validation data tuple"),
    ],
)
def test_validation_without_what_is_scored_is_refused(data, message):
    with pytest.raises(ValueError, match="^encoder_study: " + message):
        encoder_study(ENCODER, loss=infonce, validation=data())
