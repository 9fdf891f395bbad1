"""One cell of contrastive ICA's matrix: true space x marginal x conditional x model space x loss, and how it trains.

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021. All laws of the paper but
the von Mises-Fisher one are generalised normals,

    p(z+ | z) proportional to exp(-sum_j |(z+_j - z_j) / scale|^p),    Laplace p=1, Normal(std) p=2, scale=sqrt(2) std,

so p and scale are traced numbers: cells that differ only in them are one compiled program.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from identax._choices import check_choice
from identax.dgp import (
    Box,
    Conditional,
    Euclidean,
    LogConcaveGeneralizedNormal,
    Sphere,
    Uniform,
    VonMisesFisher,
    contrastive_pairs,
    random_invertible_mlp,
)
from identax.losses import infonce, lp_infonce
from identax.metrics import linear_r2, mcc
from identax.models import mlp
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = (
    "marginal_p",
    "marginal_scale",
    "conditional_p",
    "conditional_scale",
    "temperature",
    "learning_rate",
)
"""Numeric fields of `Cell` that become traced hyper-parameters: cells that differ in them share their programs."""

LAWS = ("uniform", "power", "vmf")
OBJECTIVES = ("infonce", "lp_infonce", "supervised")


@dataclasses.dataclass(frozen=True)
class Config:
    """What all cells of a table share. The defaults are the authors' setting (their code)."""

    dim: int = 10
    sphere_dim: int = 10
    """dim where latents lie on a sphere"""
    rotation_dim: int = 10
    """dim where the model is unbounded and p=2: only in many dims is a random rotation far from the truth"""
    batch_size: int = 6144
    weak_batch_size: int = 6144
    """batch of the von Mises-Fisher positives with kappa=1: nearly uniform, so their gradient is mostly noise"""
    pool_size: int = 25_000
    """matrices among which the best-conditioned layers of the mixing are chosen"""
    hidden: tuple[int, ...] = (100, 500, 500, 500, 500, 100)
    scheme: str = "one_view_with_self"
    """the authors' negatives: all anchors of the batch, the anchor itself included"""
    temperatures: Literal["one", "matched"] = "one"
    """1 everywhere; or, for Lp losses, what fits the conditional in latent units, so that no encoder has to grow first"""
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    """constant; or constant for half of the steps, then a half cosine to 0"""
    num_steps: int = 300_003
    num_supervised_steps: int = 100_001
    log_every: int = 250
    evaluate_every: int = 250
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096
    num_seeds: int = 5
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Cell(Config):
    """One cell: what is true, and what is assumed. `*_p` and `*_scale` are a law's exponent and scale (see above).

    For "vmf" the scale is the concentration kappa and the exponent plays no part; for "uniform" neither does.
    """

    space: Literal["sphere", "box", "unbounded"] = "box"
    marginal: Literal["uniform", "power", "vmf"] = "uniform"
    marginal_p: float = 2.0
    marginal_scale: float = 1.0
    conditional: Literal["power", "vmf"] = "power"
    conditional_p: float = 1.0
    conditional_scale: float = 0.05
    objective: Literal["infonce", "lp_infonce", "supervised"] = "lp_infonce"
    loss_p: int = 1
    head: str = "none"
    temperature: float = 1.0


def check(cell: Cell) -> None:
    """Raises `ValueError` for a combination of space, laws, objective and head that does not exist."""
    check_choice("contrastive_ica", "space", cell.space, tuple(_SPACES))
    check_choice("contrastive_ica", "objective", cell.objective, OBJECTIVES)
    for role in ("marginal", "conditional"):
        check_choice("contrastive_ica", role, getattr(cell, role), LAWS)
    if cell.conditional == "uniform":
        raise ValueError("contrastive_ica: found conditional='uniform', wanted positives near their anchors")
    if cell.objective == "infonce" and "sphere" not in cell.head:
        raise ValueError(
            f"contrastive_ica: found objective='infonce' with head={cell.head!r}, wanted a sphere:"
            " elsewhere the dot product has no maximum at equal points"
        )
    if cell.objective == "lp_infonce" and cell.loss_p < 1:
        raise ValueError(f"contrastive_ica: found loss_p={cell.loss_p}, wanted at least 1")
    if cell.objective == "supervised" and "sphere" in cell.head and cell.space != "sphere":
        raise ValueError(f"contrastive_ica: found head={cell.head!r} on latents in {cell.space}, wanted one that fits")
    _pairs(cell)  # the laws check their spaces
    mlp((cell.dim,), head=cell.head)


@functools.lru_cache
def build(cell: Cell) -> Study:
    """Sampler, encoder, loss, optimiser and metrics of one trial of a cell.

    The same cell is the same study, so that the two tables share its programs. Metrics of an evaluation: linear R2 and MCC of the embedding, and of the observations themselves ("identity").
    Raises `ValueError` as `check`.
    """
    check(cell)
    dgp = _pairs(cell)
    encoder = mlp((*cell.hidden, cell.dim), head=cell.head)

    def init(key, hparams):
        laws = {role: _law(getattr(cell, role), hparams, role) for role in ("marginal", "conditional")}
        truth = dgp.init(stream(key, "truth"), **laws)
        return truth, encoder.init(stream(key, "encoder"), jnp.zeros((1, cell.dim)))["params"], None

    def sample(state, key):
        return dgp.sample(state.truth, key, cell.batch_size)

    def embed(params, x):
        return encoder.apply({"params": params}, x)[0]

    def loss(params, state, batch, key):
        (x, x_pos), (latents, _) = batch.observations, batch.latents
        if cell.objective == "supervised":
            return jnp.square(embed(params, x) - latents).mean(axis=1), (None, {})
        z, z_pos = embed(params, x), embed(params, x_pos)
        how = {"temperature": state.hparams["temperature"], "scheme": cell.scheme}
        if cell.objective == "infonce":
            return infonce(z, z_pos, **how), (None, {})
        return lp_infonce(z, z_pos, p=cell.loss_p, **how), (None, {})

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, cell.num_evaluate)
        x, latents = drawn.observations[0], drawn.latents[0]
        # One program scores both: the embedding, and the observations as they are.
        codes = jnp.stack([embed(state.params, x), x])
        r2 = jax.vmap(lambda code: linear_r2(code, latents))(codes)
        found = jax.vmap(lambda code: mcc(latents, code))(codes)
        return {"R2": r2[0], "MCC": found[0], "identity R2": r2[1], "identity MCC": found[1]}

    def optimizer(hparams):
        return optax.adam(_rate(hparams["learning_rate"], cell))

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)


def fitted_temperature(conditional_p: float, scale: float, loss_p: float) -> float:
    """Temperature of an Lp loss that fits a generalised normal conditional best: tau = p E|z+_j - z_j|^p.

        tau = p scale^p Gamma((p+1)/q) / Gamma(1/q),    p of the loss, q and scale of the conditional

    It maximises the likelihood of exp(-|.|^p / tau); for p = q it is scale^p, e.g. 2 std^2 for Normal(std).
    """
    q = conditional_p
    return loss_p * scale**loss_p * math.gamma((loss_p + 1) / q) / math.gamma(1 / q)


def _rate(peak, cell: Config):
    if cell.schedule == "constant":
        return peak
    half = cell.num_steps / 2

    def rate(count):
        share = jnp.clip((count - half) / half, 0.0, 1.0)
        return peak * 0.5 * (1 + jnp.cos(jnp.pi * share))

    return rate


_SPACES = {"sphere": Sphere, "box": Box, "unbounded": Euclidean}


def _pairs(cell: Cell):
    some = {f"{role}_{number}": 1.0 for role in ("marginal", "conditional") for number in ("p", "scale")}
    laws = [_law(getattr(cell, role), some, role) for role in ("marginal", "conditional")]
    mixing = random_invertible_mlp(cell.dim, pool_size=cell.pool_size)
    return contrastive_pairs(_SPACES[cell.space](cell.dim), *laws, mixing=mixing)


def _law(kind: str, numbers: Any, role: str) -> Conditional:
    if kind == "uniform":
        return Uniform()
    if kind == "vmf":
        return VonMisesFisher(numbers[f"{role}_scale"])
    return LogConcaveGeneralizedNormal(numbers[f"{role}_p"], numbers[f"{role}_scale"])
