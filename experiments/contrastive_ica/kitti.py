"""Pairs of near frames of real pedestrian masks: which loss finds position and area of the masks (KITTI Masks)?

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021, KITTI Masks: InfoNCE
with Lp losses, unbounded or in a learnable box, and the SlowVAE of Klindt et al. 2021, on frames at most 1 or 5 steps
apart. Score: MCC of the three known factors padded with noise. Needs the published file; `smoke` makes a miniature of
its format, which says nothing about the paper.

    python -m experiments run contrastive_ica/kitti --preset paper --config.data data/kitti_peds_v2.pickle
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.autoencoder import variables, variational_study
from experiments.contrastive_ica import kitti_claims as claims
from experiments.contrastive_ica.miniatures import miniature_kitti
from identax.checks import check_choice
from identax.data import KittiMasks, KittiPairs, epoch_batches, load_kitti_masks
from identax.experiment import RunConfig
from identax.losses import bernoulli_nll, lp_infonce, slow_vae
from identax.metrics import padded_mcc
from identax.models import Autoencoder, convnet, convnet_decoder, posterior
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("learning_rate", "temperature", "beta", "gamma", "rate")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""
MINIATURE = "miniature"
_SIDE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the authors' setting (their code)."""

    data: str = "data/kitti_peds_v2.pickle"
    """the published file or its folder; "miniature": sequences that this experiment draws itself"""
    max_delta_ts: tuple[int, ...] = (1, 5)
    """largest distances in frames that are run: 0.05 s and 0.15 s in the mean"""
    max_delta_t: int = 1
    """that of one arm"""
    objective: Literal["lp_infonce", "slow_vae"] = "lp_infonce"
    loss_p: int = 1
    head: str = "none"
    """"none" or "learnable_box\""""
    dim: int = 10
    channels: tuple[int, ...] = (32, 32, 64, 64)
    features: int = 256
    """sizes of the encoder, see `identax.models.convnet`; SlowVAE's decoder mirrors them"""
    batch_size: int = 32
    """pairs"""
    scheme: str = "one_view_with_self"
    temperature: float = 1.0
    beta: float = 1.0
    gamma: float = 10.0
    rate: float = 6.0
    """SlowVAE's weights and the rate of its Laplace prior"""
    learning_rate: float = 1e-4
    num_evaluate: int = 4096
    """frames that are scored, evenly spread over all; fewer where there are not as many"""
    chunk: int = 256
    """frames that are embedded at once for it"""
    num_steps: int = 300_000
    log_every: int = 50
    evaluate_every: int = 10_000
    checkpoint_every: int = 10_000
    num_seeds: int = 10


PRESETS: dict[str, Config] = {
    "smoke": Config(
        data=MINIATURE, dim=4, channels=(2, 2, 2, 2), features=4, batch_size=4, num_evaluate=32, chunk=16,
        num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def batches(config: Config, shard: tuple[int, int]):
    """Shuffled pairs of frames; raises `ValueError` as `load_kitti_masks` where the file is missing or damaged."""
    pairs = KittiPairs(_masks(config.data), max_delta_t=config.max_delta_t)
    return epoch_batches(pairs, batch_size=config.batch_size, seed=config.seed, shard=shard)


@functools.lru_cache(maxsize=1)
def _masks(data: str) -> KittiMasks:
    return load_kitti_masks(miniature_kitti() if data == MINIATURE else data)


def build(config: Config) -> Study:
    """Encoder, loss, optimiser and score of one trial; arms that differ in their frames alone give the same study.

    Raises `ValueError` for an unknown objective or head, and as `load_kitti_masks`.
    """
    check_choice("contrastive_ica/kitti", "objective", config.objective, ("lp_infonce", "slow_vae"))
    check_choice("contrastive_ica/kitti", "head", config.head, ("none", "learnable_box"))
    traced: dict[str, Any] = dict.fromkeys(TRACED, 0.0)
    return _study(dataclasses.replace(config, max_delta_t=1, max_delta_ts=(), **traced))


@functools.lru_cache
def _study(config: Config) -> Study:
    frames, factors = scored(_masks(config.data), config.num_evaluate, config.chunk)
    make = _slow_vae if config.objective == "slow_vae" else _contrastive
    return make(config, jnp.zeros((1, _SIDE, _SIDE, 1)), frames, factors)


def _contrastive(config: Config, example: Any, frames: np.ndarray, factors: np.ndarray) -> Study:
    encoder = convnet(config.dim, head=config.head, channels=config.channels, features=config.features)

    def init(key, hparams):
        return {}, {"encoder": encoder.init(stream(key, "encoder"), example)["params"]}, None

    def embed(params, x):
        return encoder.apply({"params": params["encoder"]}, x)[0]

    def loss(params, state, batch, key):
        z, z_pos = (embed(params, x) for x in batch.observations)
        how = {"temperature": state.hparams["temperature"], "scheme": config.scheme}
        return lp_infonce(z, z_pos, p=config.loss_p, **how), (None, {})

    def evaluate(state, key):
        return _scores(lambda x: embed(state.params, x), frames, factors, key)

    return gradient_study(init=init, loss=loss, optimizer=_adam, evaluate=evaluate)


def _slow_vae(config: Config, example: Any, frames: np.ndarray, factors: np.ndarray) -> Study:
    """Its codes are the means of the posteriors."""
    sizes: dict[str, Any] = {"channels": config.channels, "features": config.features}
    model = Autoencoder(convnet(2 * config.dim, head=config.head, **sizes), convnet_decoder(**sizes))

    def bound(found, x, state):
        nll = jnp.stack(jnp.split(bernoulli_nll(found.logits, x), 2)).mean(axis=0)
        weights = {name: state.hparams[name] for name in ("beta", "gamma", "rate")}
        (first, second), (noise, second_noise) = jnp.split(found.mean, 2), jnp.split(found.log_variance, 2)
        return slow_vae(nll, (first, second), (noise, second_noise), **weights), {}

    def evaluate(state, key):
        return _scores(lambda x: posterior(model, variables(state), x)[0][0], frames, factors, key)

    def images(batch):
        return jnp.concatenate(batch.observations)

    return variational_study(model, example, bound=bound, optimizer=_adam, evaluate=evaluate, images=images)


def _adam(hparams):
    return optax.adam(hparams["learning_rate"])


def _scores(embed, frames, factors, key):
    codes = jax.lax.map(lambda part: embed(part[..., None].astype(jnp.float32)), frames)
    codes = codes.reshape(-1, codes.shape[-1])
    return {
        "MCC": padded_mcc(key, factors, codes),
        "MCC of ranks": padded_mcc(key, factors, codes, method="spearman"),
    }


def scored(data: KittiMasks, num: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames [parts, chunk, 64, 64], bytes, evenly spread over all sequences, and their factors [parts * chunk, 3].

    Raises `ValueError` where there are fewer frames than one chunk, or fewer than one chunk is asked for.
    """
    frames, factors = np.concatenate(data.masks), np.concatenate(data.latents)
    parts = min(num, len(frames)) // chunk
    if parts < 1:
        raise ValueError(
            f"contrastive_ica/kitti: found {len(frames)} frames and num_evaluate={num}, wanted at least chunk={chunk}"
        )
    chosen = np.linspace(0, len(frames) - 1, parts * chunk).round().astype(int)
    return frames[chosen].reshape(parts, chunk, *frames.shape[1:]), factors[chosen]
