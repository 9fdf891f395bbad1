"""A classifier of one factor makes the other factors of an image linearly readable.

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025, Table 4. A network
learns to tell one categorical factor (the shape of an object); then position, size, ... are read from its features by
least squares and scored by correlation on the validation split, beside the same readout of the pixels.
Rendered sprites and scenes by default: the grids of dSprites and Shapes3D, without a download.

    python -m experiments run csi/dislib --preset quick
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments.csi import dislib_claims as claims
from experiments.csi import dislib_figures as drawing
from experiments.csi.dislib_data import image_size, load, source_of, table_of
from identax.checks import check_choice
from identax.data import epoch_batches, random_splits, take
from identax.experiment import RunConfig
from identax.losses import softmax_cross_entropy
from identax.metrics import compiled_pearson_readout, pearson_readout
from identax.models import Model, by_chunk, mlp, resnet18, uniform_fan_in
from identax.rng import stream
from identax.study import HostTrial, Study, gradient_study
from identax.transforms import cosine

TRACED = ("learning_rate",)
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""
MODELS = ("mlp", "resnet18")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study. The defaults are the authors' setting; `set` and `model` are one arm's."""

    sets: tuple[str, ...] = ("dsprites", "shapes3d", "mpi3d_toy", "mpi3d_real", "cars3d", "smallnorb")
    """"sprites", "upright_sprites", "scenes" are rendered; the others are read as tensorflow-datasets prepared them"""
    models: tuple[str, ...] = MODELS
    set: str = "dsprites"
    model: str = "mlp"
    size: int = 64
    """pixels a side of rendered images"""
    width: int = 512
    """of the MLP's three layers, and of a ResNet's features"""
    coding: Literal["round", "truncate"] = "round"
    """of labels; "truncate" repeats a fault of the published code"""
    pixels: Literal["unit", "divided"] = "unit"
    """"divided": by 255 in every set, also the bits of dSprites, as published"""
    num_train: int = 0
    """images held on the device and drawn from at random; 0: the whole training split, in epochs, from a loader"""
    num_fit: int = 10_000
    num_score: int = 10_000
    """images of the training and of the validation split that readouts are fitted to and scored on"""
    chunk: int = 500
    """images that are embedded at once for the readouts"""
    split_seed: int = 42
    """of the split into 80 % training, 10 % validation and 10 % test; one for all trials"""
    batch_size: int = 4096
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    num_epochs: int = 100
    """sets `num_steps` of arms that are fed by a loader"""
    log_every: int = 50
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    num_seeds: int = 3


_QUICK = Config(
    sets=("upright_sprites", "scenes"),
    models=("mlp",),
    set="upright_sprites",
    size=32,
    width=512,
    num_train=14_000,
    num_fit=6000,
    num_score=1500,
    batch_size=128,
    schedule="cosine",
    num_steps=600,
    evaluate_every=300,
    checkpoint_every=300,
    num_seeds=4,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, models=MODELS, size=16, width=16, num_train=128, num_fit=64, num_score=64, chunk=32, batch_size=16,
        num_steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(_QUICK, num_fit=10_000, num_steps=1500),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def batches(config: Config, shard: tuple[int, int]):
    """Epochs of the training split of a set that does not lie on the device; None for one that does."""
    if config.num_train or config.model in claims.PIXELS:
        return None
    source = source_of(config.set, image_size(config), config.coding, config.pixels)
    training = source.part(random_splits(len(source), config.split_seed).train)
    return epoch_batches(training, batch_size=config.batch_size, seed=config.seed, shard=shard)


def network(config: Config) -> Model:
    """Images [N, H, W, C] -> features [N, width], behind a ReLU."""
    check_choice("dislib", "model", config.model, MODELS)
    if config.model == "mlp":
        flat = mlp((config.width,) * 3, activation="relu", activate_last=True, batch_norm=True)
        return Model(
            lambda key, x: flat.init(key, x.reshape(len(x), -1)),
            lambda variables, x, **how: flat.apply(variables, x.reshape(len(x), -1), **how),
        )
    if config.width % 8:
        raise ValueError(f"dislib: found width={config.width} of a ResNet-18, wanted a multiple of 8")
    return resnet18(stem="imagenet", width=config.width // 8)


def build(config: Config) -> Study | HostTrial:
    """Batches, network, loss, optimiser and readouts of one trial, or readouts of the pixels."""
    return _pixels(config) if config.model in claims.PIXELS else _training(config)


def _pixels(config: Config) -> HostTrial:
    """Readouts of the images themselves; keeps some images of the validation split.

    Fitted to all training images that lie on the device: pixels are many, and mislead when they outnumber images.
    At 64x64x3 the published solver takes minutes.
    """
    train, fit, score = load(config)
    fit = train if len(train.image) > len(fit.image) else fit
    table = table_of(config.set)
    names = (table.target, *table.euclid)
    columns = [table.grid.position(name) for name in names]

    def trial(key, hparams):
        x, seen = (part.image.reshape(len(part.image), -1) / 255 for part in (fit, score))
        solver = claims.PIXELS[config.model]
        r = pearson_readout(x, fit.codes[:, columns], seen, score.codes[:, columns], solver=solver)
        return {f"{name} r": value for name, value in zip(names, r, strict=True)}, {"images": score.image[:12]}

    return HostTrial(trial)


def _training(config: Config) -> Study:
    table = table_of(config.set)
    target = table.grid.position(table.target)
    train, fit, score = load(config)
    model = network(config)
    source = source_of(config.set, image_size(config), config.coding, config.pixels)
    brightest = source.table.max_pixel if config.pixels == "unit" else 255

    def floats(image):
        return image.astype(jnp.float32) / brightest if image.dtype == jnp.uint8 else image

    def init(key, hparams):
        variables = model.init(stream(key, "network"), jnp.zeros((2, *source.table.image_shape), jnp.float32))
        # A bias is the weight of a feature that is always 1.
        head = uniform_fan_in(stream(key, "head"), (table.num_classes, config.width + 1), fan_in=config.width)
        return {}, {"network": variables["params"], "head": head}, variables["state"]

    def sample(state, key):
        # With replacement: a permutation of the set would cost more than the step.
        chosen = jax.random.randint(key, (config.batch_size,), 0, config.num_train)
        drawn = take({"image": train.image, "codes": train.codes}, chosen)
        return {"image": drawn["image"], "label": drawn["codes"][:, target]}

    def features(state, params, image, train):
        variables = {"params": params["network"], "state": state.model_state}
        return model.apply(variables, floats(image), train=train)

    def loss(params, state, batch, key):
        z, model_state = features(state, params, batch["image"], train=True)
        return _cross_entropy(z, params["head"], batch["label"]), (model_state, {})

    def evaluate(state, key):
        def embed(image):
            return features(state, state.params, image, train=False)[0]

        fitted, seen = (by_chunk(embed, jnp.asarray(part.image), config.chunk) for part in (fit, score))
        found = readouts(fitted, fit.codes, seen, score.codes, table)
        logits = _with_one(seen) @ state.params["head"].T
        labels = score.codes[:, target]
        found["accuracy"] = (logits.argmax(axis=1) == labels).mean()
        return found | {"loss on fresh data": _cross_entropy(seen, state.params["head"], labels).mean()}

    return gradient_study(
        init=init,
        sample=sample if config.num_train else None,
        loss=loss,
        optimizer=lambda hparams: optax.adam(_rate(config, hparams)),
        evaluate=evaluate,
    )


def readouts(fitted: Any, codes: Any, seen: Any, seen_codes: Any, table: Any) -> dict[str, Any]:
    """Correlation of the class and of each reported factor with its least-squares readout, as `FACTOR r`.

    Without intercept and without centring, as published; the same number as `pearson_readout`, inside a program.
    """
    names = (table.target, *table.euclid)
    columns = jnp.asarray([table.grid.position(name) for name in names])
    wanted, true = (jnp.asarray(part)[:, columns].astype(fitted.dtype) for part in (codes, seen_codes))
    r = compiled_pearson_readout(fitted, wanted, seen, true)
    return {f"{name} r": r[i] for i, name in enumerate(names)}


def _cross_entropy(z, head, labels):
    return softmax_cross_entropy(_with_one(z), head, labels)


def _with_one(z):
    return jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1)


def _rate(config: Config, hparams):
    rate = hparams["learning_rate"]
    return rate if config.schedule == "constant" else cosine(rate, config.num_steps, 0.3)
