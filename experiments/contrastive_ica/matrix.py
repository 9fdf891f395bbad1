"""One cell of contrastive ICA's matrix: true space x marginal x conditional x model space x loss, and how it trains.

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021. All laws of the paper but
the von Mises-Fisher one are generalised normals, truncated to a box or projected to a sphere,

    p(z+ | z) proportional to exp(-sum_j |(z+_j - z_j) / scale|^p),    Laplace p=1, Normal(std) p=2, scale=sqrt(2) std,

so space, marginal, conditional and the model's head are all traced numbers. Cells of one shape and one loss are one
compiled program, and its start and evaluation serve all losses.
"""

import dataclasses
import functools
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
from identax.models import mlp, normalize
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = (
    *worlds.TRACED,
    "head_sphere",
    "head_box",
    "head_learned",
    "temperature",
    "press",
    "learning_rate",
    "press_from",
    "press_to",
    "pressed_rate",
    "schedule_steps",
)
"""Numeric fields of `Cell` that become traced hyper-parameters: cells that differ in them share their programs."""

HEADS = {
    "none": (0.0, 0.0, 0.0),
    "sphere": (1.0, 0.0, 0.0),
    "learnable_sphere": (1.0, 0.0, 1.0),
    "box": (0.0, 1.0, 0.0),
    "learnable_box": (0.0, 1.0, 1.0),
}
"""head -> (head_sphere, head_box, head_learned)"""
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
    """One cell: what is true and what is assumed. `worlds` explains the first numbers, `HEADS` the head's.

    `space` and `head` name what the numbers say, for checks and reports.
    """

    space: str = "box"
    on_sphere: float = 0.0
    low: float = 0.0
    high: float = 1.0
    marginal: Literal["power", "vmf"] = "power"
    marginal_center: float = 0.0
    marginal_p: float = 2.0
    marginal_scale: float = worlds.FLAT
    conditional: Literal["power", "vmf"] = "power"
    conditional_p: float = 1.0
    conditional_scale: float = 0.05
    objective: Literal["infonce", "lp_infonce", "supervised"] = "lp_infonce"
    loss_p: int = 1
    head: str = "none"
    head_sphere: float = 0.0
    head_box: float = 0.0
    head_learned: float = 0.0
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
    check_choice("contrastive_ica", "head", cell.head, tuple(HEADS))
    if cell.objective == "infonce" and "sphere" not in cell.head:
        raise ValueError(
            f"contrastive_ica: found objective='infonce' with head={cell.head!r}, wanted a sphere:"
            " elsewhere the dot product has no maximum at equal points"
        )
    if cell.objective == "lp_infonce" and cell.loss_p < 1:
        raise ValueError(f"contrastive_ica: found loss_p={cell.loss_p}, wanted at least 1")
    if cell.objective == "supervised" and "sphere" in cell.head and cell.space != "sphere":
        raise ValueError(f"contrastive_ica: found head={cell.head!r} on latents in {cell.space!r}, wanted another")


def build(cell: Cell) -> Study:
    """Sampler, encoder, loss, optimiser and metrics of one trial of a cell; cells of one shape give the same study.

    Metrics of an evaluation: linear R2 and MCC of the embedding, and of the observations themselves ("identity").
    Raises `ValueError` as `check`.
    """
    check(cell)
    unused = {"loss_p": 0} if cell.objective != "lp_infonce" else {}
    unused |= {"conditional": "power"} if cell.objective == "supervised" else {}
    kept = ("dim", "batch_size", "pool_size", "hidden", "scheme", "schedule", "num_evaluate")
    kept += ("marginal", "conditional", "objective", "loss_p")
    shape = dataclasses.replace(Cell(**{name: getattr(cell, name) for name in kept}), **unused)
    common = _common(dataclasses.replace(shape, objective="", loss_p=0, conditional="", batch_size=0))
    return _study(shape, common)


@functools.lru_cache
def _common(shape: Cell) -> Study:
    """Start and evaluation, which the losses and conditionals share; its step is never run."""
    return _compose(shape)


@functools.lru_cache
def _study(shape: Cell, common: Study) -> Study:
    return _compose(shape)._replace(init=common.init, evaluate=common.evaluate)


def _compose(cell: Cell) -> Study:
    mixing = random_invertible_mlp(cell.dim, pool_size=cell.pool_size)
    encoder = mlp((*cell.hidden, cell.dim))

    def init(key, hparams):
        params = {
            "encoder": encoder.init(stream(key, "encoder"), jnp.zeros((1, cell.dim)))["params"],
            "size": jnp.ones(cell.dim),
            "radius": jnp.ones(()),
        }
        return mixing.init(stream(key, "truth")), params, None

    def sample(state, key):
        z = worlds.anchors(state.hparams, stream(key, "anchor"), cell.batch_size, cell.dim, cell.marginal)
        z_pos = worlds.positives(state.hparams, stream(key, "positive"), z, cell.conditional)
        return z, mixing.apply(state.truth, z), mixing.apply(state.truth, z_pos)

    def embed(params, hparams, x):
        return _head(params, hparams, encoder.apply({"params": params["encoder"]}, x)[0])

    def loss(params, state, batch, key):
        latents, x, x_pos = batch
        z = embed(params, state.hparams, x)
        if cell.objective == "supervised":
            return jnp.square(z - latents).mean(axis=1), (None, {})
        z_pos = embed(params, state.hparams, x_pos)
        how = {"temperature": _temperature(state, cell), "scheme": cell.scheme}
        if cell.objective == "infonce":
            return infonce(z, z_pos, **how), (None, {})
        return lp_infonce(z, z_pos, p=cell.loss_p, **how), (None, {})

    def evaluate(state, key):
        latents = worlds.anchors(state.hparams, key, cell.num_evaluate, cell.dim, cell.marginal)
        x = mixing.apply(state.truth, latents)
        # One program scores both: the embedding, and the observations as they are.
        codes = jnp.stack([embed(state.params, state.hparams, x), x])
        r2 = jax.vmap(lambda code: linear_r2(code, latents))(codes)
        found = jax.vmap(lambda code: mcc(latents, code))(codes)
        return {"R2": r2[0], "MCC": found[0], "identity R2": r2[1], "identity MCC": found[1]}

    def optimizer(hparams):
        return optax.adam(_rate(hparams, cell))

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def _head(params, hparams, x):
    """The output space, chosen by numbers: elementwise maps, so computing all of them costs nothing."""
    learned = hparams["head_learned"] > 0
    size, radius = (jnp.where(learned, params[name], jnp.ones_like(params[name])) for name in ("size", "radius"))
    boxed = jnp.where(hparams["head_box"] > 0, jax.nn.sigmoid(x) * size[None, :], x)
    return jnp.where(hparams["head_sphere"] > 0, normalize(x, radius), boxed)


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
