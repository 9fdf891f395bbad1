"""AnInfoNCE keeps what augmentations change in real images, where InfoNCE throws it away.

Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", AISTATS 2025, CIFAR10 and ImageNet experiment.
Two random views of every image are pulled together (SimCLR); InfoNCE has one temperature, AnInfoNCE a learned precision
for every dimension of the embedding. Then linear classifiers are asked for the class of an image and for the parameters
of its augmentation (where was it cropped, how bright was it made), before and after the projector.

    python -m experiments run aninfonce/images --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.aninfonce import images_claims as claims
from experiments.aninfonce import images_figures as drawing
from experiments.aninfonce.images_readout import Labelled, as_floats, augmentations, readouts
from experiments.aninfonce.optimizers import two_rate_adam
from identax.augment import Pipeline
from identax.data import epoch_batches, epoch_indices, image_source, load_digits, take
from identax.dgp.mixings import inverse_softplus
from identax.experiment import RunConfig
from identax.losses import aninfonce
from identax.models import Model, normalize, projector, resnet18, resnet50, small_convnet
from identax.models.cached_gradient import micro_batched_model
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import cosine

TRACED = ("precision_start", "learning_rate", "precision_learning_rate", "weight_decay")
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are CIFAR10 with ResNet-18 and SimSiam's settings, as far as the paper's are known."""

    data_set: str = "cifar10"
    """"digits" (lies whole on the device), or what tensorflow-datasets prepared, see `identax.data.image_source`"""
    score_split: str = "test"
    """split on which the readouts are scored; "validation" for ImageNet"""
    trains: bool = True
    """of one arm; the other one only draws views of some digits, for the page"""
    own_style: bool = False
    """gives every image a crop, a brightness, ... of its own, as photographs have: the views' pipeline, drawn once"""
    views: Literal["digits", "cifar", "imagenet"] = "cifar"
    encoder: Literal["small_convnet", "resnet18", "resnet50"] = "resnet18"
    stem: Literal["cifar", "imagenet"] = "cifar"
    width: int = 64
    """of a ResNet's first stage"""
    channels: tuple[int, ...] = (16, 32, 64)
    features: int = 128
    """sizes of the small convnet"""
    projector: tuple[int, ...] = (2048,)
    """hidden widths"""
    dim: int = 128
    """of the embedding"""
    compute: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    """recompute the blocks of a ResNet in the backward pass"""
    micro_batch: int | None = None
    """views that pass the backbone at once in training; its batch statistics are then those of micro-batches"""
    batch_size: int = 512
    temperature: float = 0.5
    """of InfoNCE; AnInfoNCE has none"""
    other_temperatures: tuple[float, ...] = ()
    """InfoNCE also runs at each of these"""
    precision_start: float = 2.0
    """of every dimension; at 1 / temperature AnInfoNCE starts as InfoNCE"""
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.06
    """SimSiam's 0.03 batch_size / 256"""
    precision_learning_rate: float = 1e-3
    """Adam's, whatever the encoder's optimiser is; with 0 the precision stays, and the loss is InfoNCE"""
    weight_decay: float = 5e-4
    """of SGD; never of the precision"""
    num_fit: int = 10_000
    num_score: int = 10_000
    """images that readouts are fitted to and scored on"""
    chunk: int = 500
    """images that are embedded at once for the readouts"""
    l2: float = 1e-3
    """of the readouts"""
    num_steps: int = 77_600
    log_every: int = 97
    evaluate_every: int = 7760
    checkpoint_every: int = 970
    num_seeds: int = 3


_QUICK = Config(
    data_set="digits",
    own_style=True,
    views="digits",
    encoder="small_convnet",
    projector=(64,),
    dim=32,
    batch_size=128,
    temperature=1.0,
    precision_start=1.0,
    optimizer="adam",
    learning_rate=2e-3,
    precision_learning_rate=0.2,
    num_fit=1000,
    num_score=1000,
    num_steps=100,
    log_every=25,
    evaluate_every=100,
    checkpoint_every=100,
    num_seeds=2,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, channels=(4,), features=8, projector=(8,), dim=4, batch_size=8, num_fit=64, num_score=32, chunk=32,
        num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, other_temperatures=(0.1,), num_fit=2000, num_steps=600, log_every=50, evaluate_every=300,
        checkpoint_every=300, num_seeds=4,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def batches(config: Config, shard: tuple[int, int]):
    """Batches of a data set too large to lie on the device; None for digits."""
    if config.data_set == "digits":
        return None
    source = image_source(config.data_set, "train")
    return epoch_batches(source, batch_size=config.batch_size, seed=config.seed, shard=shard)


def backbone(config: Config) -> Model:
    """The encoder before the projector."""
    if config.encoder == "small_convnet":
        return small_convnet(config.channels, features=config.features, compute=config.compute)
    make = resnet18 if config.encoder == "resnet18" else resnet50
    return make(stem=config.stem, width=config.width, compute=config.compute, remat=config.remat)


def build(config: Config):
    """Views, encoder, loss, optimiser and readouts of one trial; or nothing but views of some digits."""
    return _training(config) if config.trains else _views(config)


def _views(config: Config, num: int = 12):
    """Trial function that keeps digits and two views of each, [3, num, 28, 28, 1], the same for every key."""
    augment, digits = augmentations(config, 28), load_digits().images[:: 5000 // num][:num, :, :, None]

    def trial(key, hparams):
        views = [augment(jax.random.key(number), jnp.asarray(digits))[0] for number in range(2)]
        return {}, {"images and views": jnp.stack([jnp.asarray(digits), *views])}

    return trial


def _training(config: Config) -> Study:
    if config.own_style and config.data_set != "digits":
        raise ValueError(f"images: found own_style with data_set={config.data_set!r}, wanted it for 'digits' only")
    source = image_source(config.data_set, "train")
    augment = augmentations(config, source.image_shape[0])
    whole = None
    if config.data_set == "digits":
        whole = _styled(config, augment, source.read_batch(np.arange(len(source))), "train")
    fit = _subset(config, augment, source, "train", config.num_fit)
    score = _subset(config, augment, image_source(config.data_set, config.score_split), "score", config.num_score)
    parts, training = _models(config)

    def init(key, hparams):
        x = jnp.zeros((2, *source.image_shape), jnp.float32)
        variables, state = {}, {}
        for name, model in parts.items():
            made = model.init(stream(key, name), x)
            variables[name], state[name] = made["params"], made["state"]
            x = model.apply(made, x)[0]
        start = hparams["precision_start"] * jnp.ones(config.dim)
        return {}, {"encoder": variables, "raw_precision": inverse_softplus(start)}, state

    def sample(state, key):
        indices = epoch_indices(
            stream(state.key, "epochs"), state.step, num_examples=len(source), batch_size=config.batch_size
        )
        return take(whole, indices)

    def layers(params, state, x, train=False):
        """Features, normalised embedding, new batch statistics."""
        new = {}
        found = [x]
        for name, model in (training if train else parts).items():
            y, new[name] = model.apply(
                {"params": params["encoder"][name], "state": state[name]}, found[-1], train=train
            )
            found.append(y)
        return found[1], normalize(found[2]), new

    def loss(params, state, batch, key):
        images = as_floats(batch["image"])
        views = [augment(stream(key, name), images)[0] for name in ("first view", "second view")]
        # One pass for both views: batch statistics are over both.
        _, z, model_state = layers(params, state.model_state, jnp.concatenate(views), train=True)
        z, z_pos = jnp.split(z, 2)
        return aninfonce(z, z_pos, jax.nn.softplus(params["raw_precision"])), (model_state, {})

    def evaluate(state, key):
        def features(x):
            before, after, _ = layers(state.params, state.model_state, x)
            return {"before": before, "after": after}

        found = readouts(
            features, augment, key, fit, score, num_classes=source.num_classes, chunk=config.chunk, l2=config.l2
        )
        return found | {"precision": jnp.sort(jax.nn.softplus(state.params["raw_precision"]))}

    return gradient_study(
        init=init,
        sample=None if whole is None else sample,
        loss=loss,
        optimizer=lambda hparams: _optimizer(config, hparams),
        evaluate=evaluate,
    )


def _models(config: Config) -> tuple[dict[str, Model], dict[str, Model]]:
    """The model's parts, as they are and as they are trained."""
    parts = {"backbone": backbone(config), "projector": projector((*config.projector, config.dim))}
    if config.micro_batch is None:
        return parts, parts
    replayed = micro_batched_model(parts["backbone"], micro_batch=config.micro_batch, statistics="micro_batch")
    return parts, parts | {"backbone": replayed}


def _styled(config: Config, augment: Pipeline, batch, part: str):
    """Gives every image its own style, if asked for; the same for every trial."""
    if not config.own_style:
        return batch
    key = stream(jax.random.key(0), part)
    images = jax.jit(augment)(key, as_floats(batch["image"]))[0]
    return batch | {"image": np.asarray(jnp.round(255 * images)).astype(np.uint8)}


def _subset(config: Config, augment: Pipeline, source, part: str, count: int) -> Labelled:
    """`count` examples, the same for every trial; their style is drawn anew, also for images trained on."""
    if not 0 < count <= len(source):
        raise ValueError(f"images: found {count} images for a readout, wanted 1 to {len(source)} of {source.name}")
    if count % config.chunk:
        raise ValueError(f"images: found {count} images for a readout, wanted a multiple of chunk={config.chunk}")
    chosen = np.sort(np.random.RandomState(0).permutation(len(source))[:count])
    found = _styled(config, augment, source.read_batch(chosen), part)
    return Labelled(found["image"], found["label"])


def _optimizer(config: Config, hparams):
    if config.optimizer == "adam":
        return two_rate_adam(hparams, schedule="cosine", num_steps=config.num_steps)

    encoder_rate, precision_rate = (
        cosine(hparams[name], config.num_steps) for name in ("learning_rate", "precision_learning_rate")
    )
    encoder = optax.chain(optax.add_decayed_weights(hparams["weight_decay"]), optax.sgd(encoder_rate, momentum=0.9))
    groups: dict[Any, Any] = {"encoder": encoder, "raw_precision": optax.adam(precision_rate)}
    return optax.multi_transform(groups, lambda params: {name: name for name in params})
