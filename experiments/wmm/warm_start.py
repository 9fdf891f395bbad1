"""Warm start in two phases: does a network that has learned half of the data learn all of it as well as a new one?

First half of the training images, then all of them: from a new start (cold), from where the first phase ended (warm),
or from there after shrink-and-perturb (Ash & Adams 2020) or DASH (Shin et al. 2024). The packaged digits and a small
network, so that differences are small; they are reported with their intervals, whichever way they point.

    python -m experiments run wmm/warm_start --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.wmm import warm_start_claims as claims
from experiments.wmm.networks import relu_network
from experiments.wmm.small_digits import pooled
from identax.data import load_digits, take
from identax.experiment import RunConfig
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import average_descent, dash, shrink_and_perturb

TRACED = ("step_size", "shrink", "sigma", "floor")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One phase of one learner."""

    phase: Literal["half", "all"] = "all"
    """of the training images; drawn for each seed, the same in all arms"""
    start: str = claims.COLD
    """of one arm: one of `warm_start_claims.STARTS`"""
    pool: int = 1
    """pixels on a side that become one"""
    hidden: tuple[int, ...] = (100,)
    batch_size: int = 128
    step_size: float = 0.05
    momentum: float = 0.9
    shrink: float = 0.3
    """both of shrink-and-perturb as in DASH's code"""
    sigma: float = 0.01
    floor: float = 0.3
    """DASH's smallest factor"""
    alpha: float = 0.3
    """of the running mean of gradients that DASH compares weights with"""
    num_seeds: int = 20
    num_steps: int = 1000
    log_every: int = 50
    evaluate_every: int = 50
    checkpoint_every: int = 1000


_QUICK = Config(
    pool=2,
    hidden=(50,),
    step_size=0.2,
    num_seeds=10,
    num_steps=1200,
    log_every=40,
    evaluate_every=40,
    checkpoint_every=1200,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, pool=4, hidden=(4,), num_seeds=2, num_steps=4, log_every=2, evaluate_every=2, checkpoint_every=4
    ),
    "quick": _QUICK,
    "medium": Config(),
    "paper": Config(
        hidden=(200, 200), step_size=1e-3, num_seeds=40, num_steps=40_000, log_every=400, evaluate_every=400,
        checkpoint_every=4000,
    ),
}  # fmt: skip

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """Digits, a ReLU network and momentum; where the second phase starts is a matter of `init`."""
    train, test = load_digits().split()
    data, held_out = (
        {"image": jnp.asarray(pooled(part.images, config.pool)), "label": jnp.asarray(part.labels)}
        for part in (train, test)
    )
    total = len(train.labels)
    num = total // 2 if config.phase == "half" else total
    network = relu_network((data["image"].shape[1], *config.hidden, 10))

    def init(key, hparams):
        order = jax.random.permutation(stream(key, "order"), total)
        return {"order": order}, network.init(stream(key, config.phase)), None

    def per_example(params, batch):
        logits, _ = network.apply(params, batch["image"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])

    def sample(state, key):
        # With replacement: a new order of all images costs more than a step.
        rows = jax.random.randint(key, (config.batch_size,), 0, num)
        return take(data, state.truth["order"][rows])

    def loss(params, state, batch, key):
        return per_example(params, batch), (None, {})

    def accuracy(params, batch):
        logits, _ = network.apply(params, batch["image"])
        return jnp.mean(jnp.argmax(logits, axis=1) == batch["label"])

    def evaluate(state, key):
        seen = take(data, state.truth["order"][:num])
        return {"test accuracy": accuracy(state.params, held_out), "train accuracy": accuracy(state.params, seen)}

    def optimizer(hparams):
        return optax.sgd(hparams["step_size"], momentum=config.momentum)

    study = gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
    if config.start == claims.COLD:
        return study

    def warm(key, hparams, before):
        state = study.init(key, hparams)
        params = _restarted(config, hparams, stream(key, "restart"), before.params, direction(before.params, state))
        # The published comparison keeps the momentum of the first phase, but for one variant.
        forgets = config.start == claims.FORGETFUL
        return dataclasses.replace(state, params=params, opt_state=state.opt_state if forgets else before.opt_state)

    def direction(params, state):
        """The running mean of negative gradients over one pass through all images, a batch at a time."""
        rows = state.truth["order"][: total // config.batch_size * config.batch_size]

        def look(held, rows):
            grad = jax.grad(lambda params: per_example(params, take(data, rows)).mean())(params)
            return average_descent(held, grad, config.alpha), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(look, zeros, rows.reshape(-1, config.batch_size))[0]

    return study._replace(init=warm)


def _restarted(config: Config, hparams: Any, key: Any, params: Any, direction: Any) -> Any:
    """The parameters that the second phase starts from, of those in which the first one ended."""
    if config.start == claims.SHRINK:
        operator = shrink_and_perturb(hparams["shrink"], hparams["sigma"], key=key)
    elif config.start == claims.DASH:
        operator = dash(hparams["floor"])
    else:
        return params
    return operator.apply(params, operator.init(params), direction=direction)[0]
