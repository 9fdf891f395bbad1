"""What can be chosen of one autoencoder on one world, in all experiments of this paper."""

import dataclasses
from typing import Any, Literal

from identax.checks import check_between, check_count, check_nonnegative, check_positive, sizes_of
from identax.experiment import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class VaeConfig(RunConfig):
    """One autoencoder on one world. The defaults are the authors' (their code)."""

    dim: int = 3
    prior: Literal["uniform", "logistic", "gaussian", "laplace", "beta"] = "gaussian"
    """of z; for "uniform" and "beta" z = sigmoid(u); "beta" is learned, of images only"""
    num_layers: int = 2
    """linear maps of the encoder, and of the decoder"""
    width: int = 10
    """hidden units, in multiples of dim"""
    precision: float = 1e4
    """of the decoder: gamma^2 = 1 / decoder variance"""
    beta: float = 1.0
    """weight of the KL term; 1 in the paper"""
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """"cosine": constant for half of the steps, then a half cosine to 0"""
    batch_size: int = 64
    num_examples: int | None = 42_000
    """size of the training set, drawn once, from which batches are drawn with replacement (the authors walk through it
    epoch by epoch); None: every batch is fresh"""
    num_steps: int = 262_800
    log_every: int = 657
    evaluate_every: int = 3285
    checkpoint_every: int = 26_280
    num_evaluate: int = 12_000
    """fresh samples at every evaluation"""
    published_batch: int = 64
    """samples of the mini-batches whose MCC, and whose mean Jacobian, the paper averages"""
    num_seeds: int = 20
    precision_rule: Literal["fixed", "grown", "learned", "largest likelihood"] = "fixed"
    """"grown": the loss takes `grown_from` for the first 15 % of the steps and from 60 % on `precision`, in between a
    geometric mean of both; "learned": its logarithm is a parameter, which starts at that of `precision`; "largest
    likelihood": one over the mean squared residual of posterior means, of every batch, through which no gradient
    passes"""
    grown_from: float = 1.0
    """of the rule "grown", which is not the paper's: while the precision is small, factors of much information find a
    latent each and the others stay dead, so that they do not share latents later on"""
    num_importance: int = 0
    """draws of the importance-weighted bound at evaluations; 0: none"""
    further: bool = False
    """synthetic worlds: evaluations also give Amari distance, conformal contrast, MIG and SAP"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformConfig(VaeConfig):
    """One autoencoder whose prior is uniform unless another one, without parameters, is asked for."""

    prior: Literal["uniform", "logistic", "gaussian", "laplace"] = "uniform"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig(VaeConfig):
    """One autoencoder on one set of images. The defaults are the authors' (their code)."""

    dim: int = 4
    prior: Literal["uniform", "logistic", "gaussian", "laplace", "beta"] = "beta"
    size: int = 64
    """pixels a side"""
    network: Literal["conv", "mlp"] = "conv"
    channels: int = 32
    """of the convolutions"""
    hidden: tuple[int, ...] = (256, 256)
    """of the perceptron; the convolutional network has two layers as wide as the first"""
    correlation: float = 0.0
    """of every pair of factors: a Gaussian copula that leaves their Beta laws as they are; 0 as published"""
    precision: float = 1.0
    learning_rate: float = 5e-4
    batch_size: int = 512
    num_steps: int = 41_500
    log_every: int = 83
    evaluate_every: int = 2075
    checkpoint_every: int = 4150
    num_evaluate: int = 512
    published_batch: int = 512
    num_seeds: int = 10


_COUNTS = {
    "dim": 1, "num_layers": 1, "width": 1, "batch_size": 1, "num_examples": 1, "num_evaluate": 2, "published_batch": 2,
    "num_importance": 0, "mixing_layers": 1, "num_nodes": 1, "num_factors": 1, "num_couplings": 1, "channels": 1,
}  # fmt: skip
_POSITIVE = ("precision", "precisions", "late_precisions", "encoder_precisions", "beta", "grown_from")
_NONNEGATIVE = ("learning_rate", "weights")
_SEVERAL = ("precisions", "encoder_precisions", "priors", "dims", "weights", "worlds")


def check_config(config: Any) -> None:
    """Refuses values that no run can have, by the names that the configs of this paper share, before one begins.

    Traced fields are the reason: `build` does not see their values, and a trial of gamma^2 = 0 is NaN from its start.
    Raises `ValueError`.
    """
    given = {name: value for name, value in vars(config).items() if value is not None}
    for name, least in _COUNTS.items():
        if name in given:
            check_count("imavae", name, given[name], least)
    if "hidden" in given:
        sizes_of("imavae", "hidden", given["hidden"] if isinstance(given["hidden"], tuple) else (given["hidden"],))
    for names, check in ((_POSITIVE, check_positive), (_NONNEGATIVE, check_nonnegative)):
        for name in names:
            if name in given:
                check("imavae", name, given[name])
    if "obliques" in given:
        check_between("imavae", "obliques", given["obliques"], 0, 0.999)
    for name in _SEVERAL:
        if name in given and not given[name]:
            raise ValueError(f"imavae: found no {name}, wanted at least one")
