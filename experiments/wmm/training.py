"""One training of the paper: a network, its data, an optimiser, and an operator on the weights behind it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.wmm.config import NO_OPERATOR, TRACED, TrainingConfig
from experiments.wmm.examples import Examples
from experiments.wmm.weight_operator import weight_operator
from identax.checks import check_choice, check_count
from identax.data import epoch_indices
from identax.metrics import cumulative_entropy
from identax.models import Model, by_chunk
from identax.rng import step_key, stream
from identax.study import Best, Study, gradient_study


class Task(NamedTuple):
    """A network, the examples that it is trained, chosen and tested on, and what is measured of its outputs.

    * `loss(outputs [N, ...], targets [N, ...]) -> [N]`, minimised in training, its mean on `validation` selects
    * `scores(outputs, targets) -> {name: number}`, of all test examples together
    """

    model: Model
    train: Examples
    validation: Examples
    test: Examples
    loss: Callable[[Any, Any], Any]
    scores: Callable[[Any, Any], Mapping[str, Any]]


def training_study(config: TrainingConfig, task: Task) -> Study:
    """Trains `task` by SGD with Nesterov momentum, the operator behind every update, and evaluates.

    A step is batch, update, operator, as published. Weights and batches depend on the trial's key alone, so the trials
    of one seed of baseline and operators start from the same weights and see the same batches.

        g <- g + weight_decay w,   m <- momentum m + g,   w <- w - rate (g + momentum m),   w <- operator(w)

    An evaluation has `validation loss`, `test NAME` of every score, and `entropy`, the cumulative one of all weights in
    bit. A trial stops after `patience` evaluations without a smaller validation loss. As published its *last* weights
    are tested, perturbed as they are (`Results.final`); those of the smallest validation loss are `Results.at_best`.
    A trial whose c is above `max_c` counts as failed. Raises `ValueError` for a batch larger than the training set with
    "epochs", sizes below 1, a negative patience, and as `weight_operator`.
    Source: Reizinger & Gyires-Toth 2019, code.
    """
    check_choice("training_study", "sampling", config.sampling, ("draws", "epochs"))
    check_count("training_study", "batch_size", config.batch_size)
    check_count("training_study", "chunk", config.chunk)
    check_count("training_study", "patience", config.patience, 0)
    act, trained = weight_operator(config), _without_operator(plain(config), task)

    def step(state, batch):
        # Not `after_update`: through an update a permuted matrix would miss some of its values in the last digit.
        key = stream(step_key(state.key, state.step), "operator")
        state, metrics = trained.step(state, batch)
        p, c = state.hparams["p"], state.hparams["c"]
        params = act(key, state.params, p, c)
        value = metrics["loss"] if config.operator == "none" else jnp.where(c <= config.max_c, metrics["loss"], jnp.nan)
        return dataclasses.replace(state, params=params), {**metrics, "loss": value}

    return trained._replace(step=step)


def plain(config: TrainingConfig) -> Any:
    """The config without its operator and its traced numbers: what all arms of one task have in common.

    Tasks and studies are kept by it, so that the arms share the programs of their starts and evaluations.
    """
    neutral = NO_OPERATOR | {"role": "training", "max_c": 1.0} | dict.fromkeys(TRACED, 0.0)
    return dataclasses.replace(config, **neutral)


@functools.lru_cache(maxsize=8)
def _without_operator(config: TrainingConfig, task: Task) -> Study:
    def init(key, hparams):
        example = jax.eval_shape(task.train.get, jnp.zeros(2, jnp.int32))[0]
        variables = task.model.init(stream(key, "network"), jnp.zeros(example.shape, example.dtype))
        return {}, variables["params"], variables["state"]

    def sample(state, key):
        return task.train.get(_rows(config, state, key, task.train.num))

    def loss(params, state, batch, key):
        inputs, targets = batch
        variables = {"params": params, "state": state.model_state}
        outputs, model_state = task.model.apply(variables, inputs, train=True, key=key)
        return task.loss(outputs, targets), (model_state, {})

    def evaluate(state, key):
        found = {"validation loss": task.loss(*_predicted(config, task.model, state, task.validation)).mean()}
        scores = task.scores(*_predicted(config, task.model, state, task.test))
        found |= {f"test {name}": value for name, value in scores.items()}
        return found | {"entropy": cumulative_entropy(state.params)}

    return gradient_study(
        init=init,
        sample=sample,
        loss=loss,
        optimizer=lambda hparams: published_sgd(hparams["learning_rate"], config.momentum, config.weight_decay),
        evaluate=evaluate,
        best=Best("validation loss", patience=config.patience or None),
    )


def published_sgd(rate: Any, momentum: float, weight_decay: float) -> optax.GradientTransformation:
    """SGD as PyTorch has it with `nesterov=True`: decay is added to the gradient, the first buffer is the gradient."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=momentum, nesterov=True))


def _rows(config: TrainingConfig, state: Any, key: Any, num: int) -> Any:
    if config.sampling == "draws":
        return jax.random.randint(key, (config.batch_size,), 0, num)
    # One key for all steps: `epoch_indices` walks through the permutations itself.
    return epoch_indices(stream(state.key, "epochs"), state.step, num_examples=num, batch_size=config.batch_size)


def _predicted(config: TrainingConfig, model: Model, state: Any, examples: Examples) -> tuple[Any, Any]:
    """Outputs [N, ...] and targets [N, ...] of all examples, `chunk` at a time."""
    size = min(config.chunk, examples.num)
    rows = jnp.minimum(jnp.arange(-(-examples.num // size) * size), examples.num - 1)

    def predict(rows):
        inputs, targets = examples.get(rows)
        outputs, _ = model.apply({"params": state.params, "state": state.model_state}, inputs)
        return outputs, targets

    return jax.tree.map(lambda leaf: leaf[: examples.num], by_chunk(predict, rows, size))
