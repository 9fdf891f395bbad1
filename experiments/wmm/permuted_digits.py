"""Permuted digits: does a classifier of ever new permutations of the pixels learn the next one as well as the first?

Tasks follow each other without notice: in each the pixels of all 5,000 packaged digits are permuted anew, and every
image is seen once (Dohare et al. 2024 and Hernandez-Garcia et al. 2025, with all 60,000). The accuracy on each batch
before it is learned from is what is compared, operator by operator, on the same tasks and from the same start.

    python -m experiments run wmm/permuted_digits --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.wmm import permuted_digits_claims as claims
from experiments.wmm import plasticity
from experiments.wmm.networks import relu_network
from experiments.wmm.small_digits import pooled
from identax.data import load_digits
from identax.experiment import RunConfig
from identax.metrics import dormant_share, effective_rank, weight_magnitude
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import after_update

TRACED = plasticity.TRACED
STEPS = 167
"""of a task: 5,000 images in batches of 30, the last one filled up with the first images"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One learner on a sequence of tasks of `STEPS` updates."""

    operator: str = plasticity.BACKPROP
    operators: tuple[str, ...] = plasticity.OPERATORS
    """an arm each, which sets `operator`"""
    pool: int = 1
    """pixels on a side that become one"""
    hidden: tuple[int, ...] = (100, 100, 100)
    batch_size: int = 30
    every: int = STEPS
    """updates between actions of what acts rarely: ReDo, SWR, Weights Reset, and the paper's two"""
    step_size: float = 0.05
    weight_decay: float = 1e-4
    sigma: float = 1e-4
    rate: float = 1e-4
    maturity: int = 100
    mode: Literal["intended", "released"] = "released"
    p: float = 0.05
    c: float = 0.2
    tau: float = 0.01
    share: float = 1e-5
    num_statistics: int = 1000
    """images of which the evaluation computes dormant units and rank"""
    num_seeds: int = 8
    num_steps: int = 200 * STEPS
    log_every: int = STEPS
    evaluate_every: int = 10 * STEPS
    checkpoint_every: int = 10 * STEPS


_QUICK = Config(
    operators=(plasticity.BACKPROP, plasticity.CBP, plasticity.L2, plasticity.REDO), pool=2, hidden=(50, 50),
    num_steps=20 * STEPS,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, pool=4, hidden=(4,), num_statistics=16, num_seeds=2, num_steps=2 * STEPS, evaluate_every=2 * STEPS,
        checkpoint_every=2 * STEPS,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_QUICK, operators=plasticity.OPERATORS, hidden=(100, 100), num_steps=100 * STEPS),
    "paper": Config(),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def batch_rows(order: Any, step: Any, batch_size: int) -> Any:
    """Rows [batch_size] of the batch of a step: the images of `order` one after the other, anew with every task."""
    place = (step % STEPS) * batch_size + jnp.arange(batch_size)
    return order[place % len(order)]


def build(config: Config) -> Study:
    """Digits under the task's permutation, a ReLU network, its updates and the operator behind them."""
    digits = load_digits()
    if -(-len(digits.labels) // config.batch_size) != STEPS:
        raise ValueError(
            f"permuted_digits: found batch_size={config.batch_size}, wanted 30: a task has {STEPS} updates"
        )
    images, labels = jnp.asarray(pooled(digits.images, config.pool)), jnp.asarray(digits.labels)
    num, size = images.shape
    network = relu_network((size, *config.hidden, 10))

    def new_task(state, key):
        task = {"pixels": jax.random.permutation(stream(key, "pixels"), size)}
        return dataclasses.replace(state, truth=task | {"order": jax.random.permutation(stream(key, "order"), num)})

    def init(key, hparams):
        first = {name: jax.random.permutation(stream(key, name), n) for name, n in (("pixels", size), ("order", num))}
        return first, network.init(stream(key, "network")), None

    def shown(state, rows):
        return images[rows][:, state.truth["pixels"]]

    def sample(state, key):
        rows = batch_rows(state.truth["order"], state.step, config.batch_size)
        return shown(state, rows), labels[rows]

    def loss(params, state, batch, key):
        x, y = batch
        logits, activations = network.apply(params, x)
        per_example = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        accuracy = jnp.mean(jnp.argmax(logits, axis=1) == y)
        return per_example, (None, {"accuracy": accuracy}, {"activations": activations})

    def optimizer(hparams):
        acts = plasticity.perturbation_of(
            config.operator, hparams, network.hidden, c=config.c, maturity=config.maturity, mode=config.mode,
            every=config.every,
        )  # fmt: skip
        plain = plasticity.descent(config.operator, hparams)
        return plain if acts is None else optax.chain(plain, after_update(acts))

    def evaluate(state, key):
        rows = jax.random.permutation(key, num)[: config.num_statistics]
        _, activations = network.apply(state.params, shown(state, rows))
        last = activations[f"layer{len(config.hidden)}"]
        return {
            "dead units": dormant_share(activations),
            "dormant units": dormant_share(activations, threshold=0.025),
            "effective rank": effective_rank(last),
            "weight magnitude": weight_magnitude(state.params),
        }

    changes = [(start, new_task) for start in range(STEPS, config.num_steps, STEPS)]
    return gradient_study(
        init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, events=changes,
        context=("activations",),
    )  # fmt: skip
