"""Renderings with ten known factors: InfoNCE finds each of them if its output space is a box (3DIdent).

Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", ICML 2021, 3DIdent: a ResNet-18 under
matched and mismatched losses and output spaces; R2 and MCC on held-out renderings. Needs the published files;
`smoke` makes a miniature of their format, which says nothing about the paper.

    python -m experiments run contrastive_ica/three_d_ident --preset paper --config.train data/train
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.contrastive_ica import three_d_ident_claims as claims
from experiments.contrastive_ica.miniatures import miniature_three_d_ident
from identax.checks import check_choice
from identax.data import ThreeDIdent, ThreeDIdentPairs, epoch_batches
from identax.data.three_d_ident import MEAN, STD
from identax.experiment import RunConfig
from identax.losses import infonce, lp_infonce
from identax.metrics import linear_r2, mcc
from identax.models import block_heads, mlp, resnet18, small_convnet
from identax.rng import stream
from identax.study import Study, gradient_study

TRACED = ("learning_rate", "temperature")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""
MINIATURE = "miniature"
OBJECTIVES = ("infonce", "lp_infonce", "supervised")
HEADS = ("none", "sphere", "learnable_box", "blocks")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the authors' setting (their code) for angles coded as a box."""

    train: str = "data/3dident/train"
    """folder of the split that is trained on; "miniature": images that this experiment makes itself"""
    test: str = "data/3dident/test"
    """folder of the split that is scored; "miniature" as above"""
    side: int = 224
    """of the square images"""
    columns: Literal[10, 11] = 10
    """latents: three positions, and seven angles in [-1, 1] (10) or as a point of the sphere in R^8 (11)"""
    conditional: str = "normal"
    """law of the positives in the box: "normal", "laplace", "gennorm3\""""
    sigma: float = 0.1
    num_pairs: int = 1_000_000
    """different pairs before they come again"""
    objective: str = "lp_infonce"
    loss_p: int = 2
    head: str = "learnable_box"
    """"none", "sphere", "learnable_box", or "blocks": a box for positions, a sphere of learned radius for angles"""
    encoder: Literal["resnet18", "small_convnet"] = "resnet18"
    width: int = 64
    """of the ResNet's first stage"""
    channels: tuple[int, ...] = (16, 32, 64)
    """of the small convnet"""
    batch_size: int = 512
    scheme: str = "one_view_with_self"
    temperature: float = 1.0
    learning_rate: float = 1e-4
    num_evaluate: int = 1024
    """renderings that are scored (the authors: 4096); they lie on the device"""
    chunk: int = 128
    """renderings that are embedded at once for it"""
    num_steps: int = 30_000
    log_every: int = 2
    """small: two chunks of so many batches lie on the device"""
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    num_seeds: int = 3


PRESETS: dict[str, Config] = {
    "smoke": Config(
        train=MINIATURE, test=MINIATURE, side=16, encoder="small_convnet", channels=(2,), num_pairs=64, batch_size=4,
        num_evaluate=32, chunk=16, num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def batches(config: Config, shard: tuple[int, int]):
    """Shuffled pairs of renderings; raises `ValueError` as `ThreeDIdent` where files are missing or damaged."""
    data = _split(config.train, config.side, config.columns)
    pairs = ThreeDIdentPairs(
        data, conditional=config.conditional, sigma=config.sigma, num_pairs=config.num_pairs, seed=config.seed
    )
    return epoch_batches(pairs, batch_size=config.batch_size, seed=config.seed, shard=shard)


@functools.lru_cache(maxsize=2)
def _split(root: str, side: int, columns: int) -> ThreeDIdent:
    """Raises `ValueError` as `ThreeDIdent`, and where latents are coded other than `columns` says."""
    data = ThreeDIdent(miniature_three_d_ident(columns) if root == MINIATURE else root, side=side)
    if data.latents.shape[1] != columns:
        raise ValueError(
            f"contrastive_ica/three_d_ident: found latents of {data.latents.shape[1]} columns in {root},"
            f" wanted columns={columns}; see --config.columns"
        )
    return data


def build(config: Config) -> Study:
    """Encoder, loss, optimiser and scores of one trial; arms that differ in their pairs alone give the same study.

    Raises `ValueError` for an unknown objective or head, the dot product without a sphere, blocks without
    sphere-coded angles, and as `ThreeDIdent`.
    """
    where = "contrastive_ica/three_d_ident"
    check_choice(where, "objective", config.objective, OBJECTIVES)
    check_choice(where, "head", config.head, HEADS)
    if config.objective == "infonce" and config.head != "sphere":
        raise ValueError(f"{where}: found objective='infonce' with head={config.head!r}, wanted 'sphere'")
    if config.head == "blocks" and config.columns != 11:
        raise ValueError(f"{where}: found head='blocks' with columns={config.columns}, wanted 11: angles on a sphere")
    traced: dict[str, Any] = dict.fromkeys(TRACED, 0.0)
    return _study(dataclasses.replace(config, train="", conditional="normal", sigma=0.0, **traced))


@functools.lru_cache
def _study(config: Config) -> Study:
    images, latents = scored(_split(config.test, config.side, config.columns), config.num_evaluate, config.chunk)
    parts = _parts(config)

    def init(key, hparams):
        x = jnp.zeros((2, config.side, config.side, 3))
        params, state = {}, {}
        for name, model in parts.items():
            made = model.init(stream(key, name), x)
            params[name], state[name] = made["params"], made["state"]
            x = model.apply(made, x)[0]
        return {}, params, state

    def embed(params, state, x, train=False):
        new = {}
        for name, model in parts.items():
            x, new[name] = model.apply({"params": params[name], "state": state[name]}, x, train=train)
            x = jax.nn.leaky_relu(x) if name == "backbone" else x
        return x, new

    def loss(params, state, batch, key):
        # One pass for both views: batch statistics are over both.
        x = batch.observations[:1] if config.objective == "supervised" else batch.observations
        codes, model_state = embed(params, state.model_state, jnp.concatenate(x), train=True)
        if config.objective == "supervised":
            return jnp.square(codes - batch.latents[0]).mean(axis=1), (model_state, {})
        how: dict[str, Any] = {"temperature": state.hparams["temperature"], "scheme": config.scheme}
        if config.objective == "infonce":
            return infonce(*jnp.split(codes, 2), **how), (model_state, {})
        return lp_infonce(*jnp.split(codes, 2), p=config.loss_p, **how), (model_state, {})

    def evaluate(state, key):
        codes = jax.lax.map(lambda part: embed(state.params, state.model_state, normalised(part))[0], images)
        codes = codes.reshape(-1, config.columns)
        return {"R2": linear_r2(codes, latents), "MCC": mcc(latents, codes)}

    return gradient_study(
        init=init,
        loss=loss,
        optimizer=lambda hparams: optax.adam(hparams["learning_rate"]),
        evaluate=evaluate,
    )


def _parts(config: Config):
    """Backbone with 10 n outputs, one linear layer to the n latents, output spaces."""
    size = 10 * config.columns
    if config.encoder == "resnet18":
        backbone = resnet18(stem="imagenet", width=config.width, num_classes=size)
    else:
        backbone = small_convnet(config.channels, features=size)
    if config.head != "blocks":
        return {"backbone": backbone, "head": mlp((config.columns,), head=config.head)}
    blocks = block_heads([(3, "learnable_box"), (8, "learnable_sphere")])
    return {"backbone": backbone, "linear": mlp((config.columns,)), "head": blocks}


def scored(data: ThreeDIdent, num: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [parts, chunk, side, side, 3] evenly spread over the split, bytes, and their latents [parts * chunk, n].

    Raises `ValueError` where there are fewer renderings than one chunk, or fewer than one chunk is asked for.
    """
    parts = min(num, len(data)) // chunk
    if parts < 1:
        raise ValueError(
            f"contrastive_ica/three_d_ident: found {len(data)} renderings and num_evaluate={num}, wanted at least"
            f" chunk={chunk}"
        )
    chosen = np.linspace(0, len(data) - 1, parts * chunk).round().astype(int)
    # Bytes again: they are constants of the program, and floats would be four times as large.
    images = np.stack([np.round(255 * (data.image(int(index)) * STD + MEAN)).astype(np.uint8) for index in chosen])
    return images.reshape(parts, chunk, *images.shape[1:]), data.latents[chosen]


def normalised(images):
    """Bytes to what `ThreeDIdent.image` gives."""
    return (images.astype(jnp.float32) / 255 - jnp.array(MEAN)[None, None, None]) / jnp.array(STD)[None, None, None]
