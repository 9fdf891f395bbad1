"""Cross-entropy on instance or class labels recovers the latents linearly, on clusters of a sphere.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025, simulations.
One batch: labels, latents around the vectors of their clusters, seen through a random invertible MLP; an encoder and a
linear head are trained jointly to tell the labels (DIET: of instances, supervised: of classes). The loss is logged
beside the smallest one possible, so that a run that has not converged is not taken for a failure of the theory.

    python -m experiments run csi/simulation --preset quick
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import optax

from experiments.csi import simulation_claims as claims
from experiments.csi import simulation_figures as drawing
from experiments.csi.clusters import init_world, world
from identax.assumptions import bayes_losses
from identax.dgp import label_noise, random_invertible_mlp, swap_labels
from identax.experiment import RunConfig
from identax.losses import project_rows, softmax_cross_entropy
from identax.metrics import head_r2, linear_r2, singular_value_error
from identax.models import mlp, uniform_fan_in
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import cosine

TRACED = ("kappa", "scale", "shape", "imbalance", "label_noise", "label_swaps", "beta", "learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the paper's default row and the authors' optimiser."""

    targets: Literal["instance", "class"] = "instance"
    """what is told apart: instances (DIET) or the clusters they belong to (supervised)"""
    dim: int = 5
    num_clusters: int = 100
    num_labels: int = 1000
    """labels of instances; clusters are equally likely if num_clusters divides it"""
    conditional: Literal["vmf", "laplace", "normal", "generalized_normal", "truncated_laplace"] = "vmf"
    kappa: float = 10.0
    """concentration of vmf"""
    scale: float = 1.0
    """of the other conditionals: b of Laplace, standard deviation of Normal, alpha of the generalised normal"""
    shape: float = 2.0
    """p of the generalised normal; half-width of the box that truncates the Laplace"""
    marginal: Literal["uniform", "laplace", "normal"] = "uniform"
    """law of the cluster vectors; those around the first axis have scale 1"""
    balanced: bool = True
    imbalance: float = 0.0
    """unless balanced: labels of cluster c are drawn with a probability prop. to (1 + c)^-imbalance"""
    label_noise: float = 0.0
    """probability with which a label is replaced by a uniform one"""
    label_swaps: float = 0.0
    """probability with which a label goes to the partner of its cluster; 0.5 must fail"""
    unit_features: bool = False
    unit_rows: bool = False
    """the head's rows are projected to norm 1 before each step"""
    beta: float = 1.0
    learn_beta: bool = False
    """beta is where its training starts, as exp of a parameter"""
    pool_size: int = 25_000
    """matrices among which the best-conditioned layers of the mixing are chosen"""
    num_mixing_layers: int = 4
    hidden: tuple[int, ...] = (10, 50, 50, 50, 50, 10)
    """widths of the encoder's hidden layers, in multiples of dim"""
    batch_norm: bool = True
    batch_size: int = 1024
    head_block: int | None = None
    """rows of the head at a time; for heads of 10^5 rows"""
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """"cosine": constant for `flat` of the steps, then a half cosine to 0"""
    flat: float = 0.3
    num_steps: int = 50_000
    num_supervised_steps: int = 50_000
    """steps of the arms with class labels"""
    log_every: int = 500
    evaluate_every: int = 1000
    checkpoint_every: int = 10_000
    num_evaluate: int = 8192


_QUICK = Config(
    hidden=(10, 20, 20, 10),
    learning_rate=5e-3,
    schedule="cosine",
    num_steps=5000,
    num_supervised_steps=5000,
    log_every=250,
    evaluate_every=250,
    checkpoint_every=5000,
    num_evaluate=4096,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK,
        dim=3,
        num_clusters=10,
        num_labels=20,
        pool_size=100,
        hidden=(4, 4),
        batch_size=32,
        num_steps=20,
        num_supervised_steps=20,
        log_every=10,
        evaluate_every=20,
        checkpoint_every=20,
        num_evaluate=64,
        num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_QUICK, num_steps=6000, num_supervised_steps=6000, num_evaluate=8192),
    "paper": Config(),
}


def preset(kind: Callable[..., Any], name: str, **changes: Any) -> Any:
    """A `kind` of config that extends `Config`, with the settings of the preset `name`, changed."""
    return kind(**{**dataclasses.asdict(PRESETS[name]), **changes})


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config) -> Study:
    """Sampler, encoder, head, loss, optimiser and metrics of one trial."""
    mixing = random_invertible_mlp(config.dim, num_layers=config.num_mixing_layers, pool_size=config.pool_size)
    dgp = world(config, mixing)
    widths = [*(multiple * config.dim for multiple in config.hidden), config.dim]
    head = "sphere" if config.unit_features else "none"
    encoder = mlp(widths, head=head, batch_norm=config.batch_norm)
    num_rows = config.num_labels if config.targets == "instance" else config.num_clusters

    def init(key, hparams):
        variables = encoder.init(stream(key, "encoder"), jnp.zeros((1, config.dim)))
        rows = uniform_fan_in(stream(key, "head"), (num_rows, config.dim), fan_in=config.dim)
        params = {"encoder": variables["params"], "head": rows}
        if config.learn_beta:
            params["log_beta"] = jnp.log(hparams["beta"])
        return init_world(config, dgp, key, hparams), params, variables["state"]

    def draw(state, key, num):
        drawn: Any = dgp.sample(state.truth, stream(key, "sample"), num)
        labels = drawn.labels if config.targets == "instance" else drawn.clusters
        labels = swap_labels(stream(key, "swaps"), labels, state.hparams["label_swaps"], num_rows, config.num_clusters)
        return drawn, label_noise(stream(key, "noise"), labels, state.hparams["label_noise"], num_rows)

    def sample(state, key):
        drawn, labels = draw(state, key, config.batch_size)
        return drawn.observations, labels

    def loss(params, state, batch, key):
        x, labels = batch
        z, model_state = encoder.apply({"params": params["encoder"], "state": state.model_state}, x, train=True)
        beta = _beta(params, state.hparams)
        values = softmax_cross_entropy(z, params["head"], labels, beta=beta, block_size=config.head_block)
        return values, (model_state, {})

    def optimizer(hparams):
        rate = hparams["learning_rate"]
        return optax.adam(rate if config.schedule == "constant" else cosine(rate, config.num_steps, config.flat))

    def evaluate(state, key):
        drawn, labels = draw(state, key, config.num_evaluate)
        z, _ = encoder.apply({"params": state.params["encoder"], "state": state.model_state}, drawn.observations)
        return _measure(config, state, drawn, labels, z)

    study = gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate)
    return _with_unit_rows(study) if config.unit_rows else study


def _with_unit_rows(study: Study) -> Study:
    """Projects the stored rows before every step, as the authors do; evaluation sees them as the step left them."""

    def step(state, batch):
        params = {**state.params, "head": project_rows(state.params["head"])}
        return study.step(dataclasses.replace(state, params=params), batch)

    return study._replace(step=step)


def _beta(params, hparams):
    return jnp.exp(params["log_beta"]) if "log_beta" in params else hparams["beta"]


def _measure(config: Config, state, drawn, labels, z):
    hparams, rows, vectors = state.hparams, state.params["head"], state.truth["vectors"]
    # As published: without an intercept where norms are fixed.
    intercept = not (config.unit_rows or config.unit_features)
    beta = _beta(state.params, hparams)
    losses = softmax_cross_entropy(z, rows, labels, beta=beta, block_size=config.head_block)
    found = {
        "R2": linear_r2(z, drawn.latents, split="half", fit_intercept=intercept),
        "R2 of observations": linear_r2(drawn.observations, drawn.latents, split="half"),
        "head R2": head_r2(rows, vectors, fit_intercept=intercept),
        "head R2, unseen clusters": head_r2(rows, vectors, split="clusters", fit_intercept=intercept),
        "loss on fresh data": losses.mean(),
    }
    # Projected laws take an integral for each pair of latent and cluster: fewer of them.
    count = config.num_evaluate if config.conditional in claims.CLOSED_FORMS else min(config.num_evaluate, 512)
    best = bayes_losses(
        drawn.latents[:count],
        labels[:count],
        vectors,
        state.truth["conditional"],
        num_labels=config.num_labels,
        targets=config.targets,
        label_noise=hparams["label_noise"],
        label_swaps=hparams["label_swaps"],
        imbalance=None if config.balanced else hparams["imbalance"],
    )
    found |= {"Bayes loss": best.mean(), "loss above Bayes": (losses[:count] - best).mean()}
    if config.unit_features or config.unit_rows:
        # f(g(z)) = O z, or (kappa/beta) O z; the target for other conditionals is as published, scale 1/kappa.
        target = 1.0 if config.unit_features else beta / hparams["kappa"]
        found["singular value error"] = singular_value_error(z, drawn.latents, target=target)
        found["relative singular value error"] = singular_value_error(z, drawn.latents, target=target, relative=True)
    if config.unit_rows:
        own = vectors[jnp.arange(rows.shape[0]) % config.num_clusters]
        found["head singular value error"] = singular_value_error(rows, own, target=1.0)
    if config.learn_beta:
        found["beta"] = beta
    return found
