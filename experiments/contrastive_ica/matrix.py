"""One cell of contrastive ICA's matrix: true space x marginal x conditional x model space x loss, and how it trains.

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021. Space, marginal, conditional,
head and loss are choices, so cells that differ in one of them train as programs of their own; concentrations, scales,
temperatures and rates are traced numbers. A start serves all cells of one size, an evaluation all losses.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.contrastive_ica import worlds
from identax.checks import check_choice
from identax.dgp import random_invertible_mlp
from identax.experiment import RunConfig
from identax.losses import infonce, lp_infonce
from identax.metrics import linear_r2, mcc
from identax.models import mlp
from identax.models.mlp import HEADS
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = (
    *worlds.TRACED,
    "temperature",
    "press",
    "learning_rate",
    "press_from",
    "press_to",
    "pressed_rate",
    "schedule_steps",
)
"""Numeric fields of `Cell` that become traced hyper-parameters: cells that differ in them share their programs."""

OBJECTIVES = ("infonce", "lp_infonce", "supervised")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """What all cells of a table share. The defaults are the authors' setting (their code)."""

    dim: int = 10
    sphere_dim: int = 10
    """dim where latents lie on a sphere"""
    rotation_dim: int = 10
    """dim where the model is unbounded and p=2: only in many dims is a random rotation far from the truth"""
    batch_size: int = 6144
    weak_batch_size: int = 6144
    """batch of the von Mises-Fisher positives with kappa=1: nearly uniform, so their gradient is mostly noise"""
    box_head: Literal["box", "learnable_box"] = "learnable_box"
    pool_size: int = 25_000
    """matrices among which the best-conditioned layers of the mixing are chosen"""
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    scheme: str = "one_view_with_self"
    """the authors' negatives: all anchors of the batch, the anchor itself included"""
    temperatures: Literal["one", "fast"] = "one"
    """1 everywhere; or those of `cells.fast_temperature`, with which no encoder has to grow first"""
    sphere_press: float = 0.25
    """with "fast", the `press` of narrow positives all over the sphere: 1/4 ends at 1/80, 1 stays at 1/20"""
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    """constant; or constant for half of the steps, then a half cosine to 0"""
    num_steps: int = 300_003
    num_long_steps: int = 300_003
    """of cells that settle late, see `cells`"""
    num_pressed_steps: int = 300_003
    """where the loss prefers a rotation and only the box's walls forbid it (GenNorm3 positives, L1)"""
    num_supervised_steps: int = 100_001
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(Config):
    """One cell: what is true and what is assumed; `worlds` explains the laws, `mlp` the heads."""

    space: Literal["sphere", "box", "unbounded"] = "box"
    marginal: Literal["uniform", "normal", "laplace", "vmf"] = "uniform"
    marginal_scale: float = 1.0
    """standard deviation, b of Laplace or kappa; of no meaning for a uniform marginal"""
    conditional: Literal["vmf", "normal", "laplace", "generalized_normal"] = "laplace"
    conditional_scale: float = 0.05
    """kappa, standard deviation, b of Laplace or alpha of the generalised normal"""
    conditional_p: float = 3.0
    """of the generalised normal alone"""
    objective: Literal["infonce", "lp_infonce", "supervised"] = "lp_infonce"
    loss_p: int = 1
    head: Literal["none", "sphere", "learnable_sphere", "box", "learnable_box"] = "none"
    temperature: float = 1.0
    schedule_steps: float = 1.0
    """`num_steps`, as a number the schedules read: cells of different length then share their programs"""
    press: float = 1.0
    """the temperature goes to `press`^p times itself (dot product: p=1), see `_temperature`"""
    press_from: float = 0.25
    press_to: float = 0.6
    """shares of the steps between which that happens"""
    pressed_rate: float = 1.0
    """times the learning rate as far as the temperature is pressed"""


def check(cell: Cell) -> None:
    """Raises `ValueError` for a combination of space, laws, objective and head that does not exist."""
    worlds.check(cell)
    check_choice("contrastive_ica", "objective", cell.objective, OBJECTIVES)
    check_choice("contrastive_ica", "head", cell.head, HEADS)
    if cell.objective == "infonce" and "sphere" not in cell.head:
        raise ValueError(
            f"contrastive_ica: found objective='infonce' with head={cell.head!r}, wanted a sphere:"
            " elsewhere the dot product has no maximum at equal points"
        )
    if cell.objective == "lp_infonce" and cell.loss_p < 1:
        raise ValueError(f"contrastive_ica: found loss_p={cell.loss_p}, wanted at least 1")
    if cell.objective == "supervised" and "sphere" in cell.head and cell.space != "sphere":
        raise ValueError(f"contrastive_ica: found head={cell.head!r} on latents in {cell.space!r}, wanted another")


_START = ("dim", "pool_size", "hidden", "schedule")  # the optimiser's state counts steps if its rate has a schedule
_EVALUATION = ("dim", "pool_size", "hidden", "space", "marginal", "head", "num_evaluate")
_STEP = (*_EVALUATION, "schedule", "conditional", "objective", "loss_p", "batch_size", "scheme")


def build(cell: Cell) -> Study:
    """Sampler, encoder, loss, optimiser and metrics of one trial of a cell.

    Cells that differ in nothing that a part depends on (start, step, evaluation) get the same one, so that it compiles
    once. Metrics of an evaluation: linear R2 and MCC of the embedding, and of the observations themselves ("identity").
    Raises `ValueError` as `check`.
    """
    check(cell)
    # A radius or size that is learned is in the state; other heads add nothing to it.
    stateful = {"head": cell.head} if cell.head.startswith("learnable") else {}
    start, evaluation = _composed(cell, _START, **stateful), _composed(cell, _EVALUATION)
    return _composed(cell, _STEP)._replace(init=start.init, evaluate=evaluation.evaluate)


def _composed(cell: Cell, fields: Sequence[str], **more: Any) -> Study:
    return _compose(Cell(**{name: getattr(cell, name) for name in fields}, **more))


@functools.lru_cache
def _compose(cell: Cell) -> Study:
    mixing = random_invertible_mlp(cell.dim, pool_size=cell.pool_size)
    pairs, anchors = worlds.worlds(cell, mixing)
    encoder = mlp((*cell.hidden, cell.dim), head=cell.head)
    supervised = cell.objective == "supervised"

    def init(key, hparams):
        params = {"encoder": encoder.init(stream(key, "encoder"), jnp.zeros((1, cell.dim)))["params"]}
        return mixing.init(stream(key, "truth")), params, None

    def draw(world, state, key, num):
        # The laws are put beside the weights here, not in `init`: then a start serves every law.
        return world.sample({"mixing": state.truth, **worlds.laws(cell, state.hparams)}, key, num)

    def sample(state, key):
        drawn = draw(anchors if supervised else pairs, state, key, cell.batch_size)
        return drawn.latents, drawn.observations

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        latents, x = batch
        if supervised:
            return jnp.square(embed(params, x) - latents).mean(axis=1), (None, {})
        z, z_pos = (embed(params, one) for one in x)
        how = {"temperature": _temperature(state, cell), "scheme": cell.scheme}
        if cell.objective == "infonce":
            return infonce(z, z_pos, **how), (None, {})
        return lp_infonce(z, z_pos, p=cell.loss_p, **how), (None, {})

    def evaluate(state, key):
        drawn = draw(anchors, state, key, cell.num_evaluate)
        # One program scores both: the embedding, and the observations as they are.
        codes = jnp.stack([embed(state.params, drawn.observations), drawn.observations])
        r2 = jax.vmap(lambda code: linear_r2(code, drawn.latents))(codes)
        found = jax.vmap(lambda code: mcc(drawn.latents, code))(codes)
        return {"R2": r2[0], "MCC": found[0], "identity R2": r2[1], "identity MCC": found[1]}

    def optimizer(hparams):
        return optax.adam(_rate(hparams, cell))

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def _temperature(state, cell: Cell):
    """Growing, it drives the embedding against the walls of a fixed box, where no rotation of it fits any more.

    Shrinking, it shows the coarse structure first and the fine one later, as a slowly growing encoder would see it.
    """
    p = cell.loss_p if cell.objective == "lp_infonce" else 1
    done = _pressed(state.step, state.hparams)
    return state.hparams["temperature"] * (1 + (state.hparams["press"] - 1) * done) ** p


def _pressed(step, hparams):
    """From 0 to 1, not from the start: pressed too early, an encoder folds what it has not found yet."""
    start, end = hparams["press_from"], hparams["press_to"]
    return jnp.clip((step / hparams["schedule_steps"] - start) / (end - start), 0.0, 1.0)


def _rate(hparams: Any, cell: Cell):
    peak, half = hparams["learning_rate"], hparams["schedule_steps"] / 2
    if cell.schedule == "constant":
        return peak

    def rate(count):
        share = jnp.clip((count - half) / half, 0.0, 1.0)
        raised = 1 + (hparams["pressed_rate"] - 1) * _pressed(count, hparams)
        return peak * raised * 0.5 * (1 + jnp.cos(jnp.pi * share))

    return rate
