"""Which human-annotated properties of ImageNet images can be read linearly out of features (ImageNet-X)?

Reizinger et al., "Cross-Entropy Is All You Need To Invert the Data Generating Process", ICLR 2025, ImageNet-X: 16
binary annotations and a binarised class stand for latents; of each, logistic regressions on balanced subsets are tested
against chance. A trial is one random split. Features are read from `.npz` files, one per network; without any, a
synthetic table in which some proxies are planted and the others absent shows what the test finds, as published and
corrected.

    python -m experiments run csi/imagenetx --preset quick
    python -m experiments run csi/imagenetx --preset paper --config.features resnet50.npz vit_b_16.npz
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.csi import imagenetx_claims as claims
from experiments.csi import imagenetx_figures as drawing
from experiments.csi.proxy_table import synthetic_features, synthetic_proxies
from identax.checks import check_choice
from identax.data import PROXIES, imagenet_x_proxies, load_features, load_imagenet_x
from identax.experiment import RunConfig
from identax.metrics import balanced_sizes, balanced_split, logistic_regression, z_score
from identax.rng import stream
from identax.study import State, Study

TRACED = ("l2",)
"""Numeric fields of `Config` that become traced hyper-parameters: sweeping them never recompiles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One study: one table of features, read in one way. The defaults are the authors' setting."""

    features: tuple[str, ...] = ()
    """`.npz` files with `file_names` and `features`, one per network; none: the synthetic table"""
    table: str = claims.SYNTHETIC
    """that of one arm"""
    annotations: str = ""
    """folder of the annotation files; "": that of the installed package imagenet-x"""
    selection: Literal["top", "multi"] = "top"
    """annotations: the decisive factor of each image alone, or all that were ticked"""
    class_threshold: Literal["mean", "500"] = "mean"
    """class is positive above the mean label (authors' code) or from 500 on (paper)"""
    reading: Literal["published", "corrected"] = "published"
    """see docs/papers/csi.md: columns that are dropped, rows that standardise, and the test"""
    train_share: float = 0.7
    l2: float = 1.0
    """penalty of the logistic regression, scikit-learn's 1/C"""
    alpha: float = 0.05
    """level of the test, before Bonferroni"""
    num_tests: int = 0
    """that Bonferroni corrects for; 0: proxies times tables"""
    planted: tuple[str, ...] = claims.PLANTED
    hidden: tuple[str, ...] = claims.HIDDEN
    """synthetic table: proxies that the features hold; those in columns of negative mean alone"""
    counts: tuple[int, ...] = claims.COUNTS
    """synthetic table: positives of each proxy"""
    num_images: int = 4000
    num_dims: int = 32
    signal: float = 4.0
    exclusive: bool = False
    """no image has two factors, as with selection "top\""""
    num_steps: int = 1
    num_seeds: int = 10
    seed: int = 42


PRESETS: dict[str, Config] = {
    "smoke": Config(num_images=400, counts=(200, *(30, 20) * 8), num_dims=8, num_seeds=3),
    "quick": Config(),
    "medium": Config(num_images=46_110, counts=claims.REAL_COUNTS, num_dims=128),
    "paper": Config(features=tuple(f"features/{name}.npz" for name in claims.NETWORKS)),
}


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def batches(config: Config, shard: tuple[int, int]) -> Iterator[Mapping[str, np.ndarray]]:
    """The whole table of features, again and again: all trials see the same one.

    Raises `ValueError` where annotations or features are missing or damaged, and where processes share the rows.
    """
    if shard[1] != 1:
        raise ValueError(f"csi/imagenetx: found {shard[1]} processes that share the rows, wanted the data axis in one")
    return itertools.repeat({"features": _table(_of_table(config))[1]})


def _of_table(config: Config) -> Config:
    """The config with what does not concern the table at its default, so that arms share it."""
    return dataclasses.replace(config, features=(), l2=1.0, alpha=0.05, num_tests=0, num_seeds=10, train_share=0.7)


@functools.lru_cache(maxsize=2)
def _table(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Proxies [N, 17] and the columns of the features that are used [N, m]."""
    check_choice("csi/imagenetx", "reading", config.reading, ("published", "corrected"))
    if config.table == claims.SYNTHETIC:
        proxies, features = _synthetic(config)
    else:
        annotations = load_imagenet_x(config.annotations or None, selection=config.selection)
        proxies = imagenet_x_proxies(annotations, class_threshold=config.class_threshold)
        features = load_features(config.table, annotations.file_names)
    if config.reading == "published":  # meant for dead units, but takes half of the columns that can be negative
        features = features[:, features.mean(axis=0) > 0]
        if not features.shape[1]:
            raise ValueError(f"csi/imagenetx: found no column of positive mean in {config.table}, wanted at least one")
    return proxies, features


def _synthetic(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The table is drawn from the seed alone: trials differ in their splits."""
    for name in (*config.planted, *config.hidden):
        check_choice("csi/imagenetx", "proxy", name, PROXIES)
    if len(config.counts) != len(PROXIES):
        raise ValueError(f"csi/imagenetx: found {len(config.counts)} counts, wanted one for each of {list(PROXIES)}")
    key = stream(jax.random.key(config.seed), "table")
    planted, hidden = ([PROXIES.index(name) for name in names] for names in (config.planted, config.hidden))
    proxies = synthetic_proxies(stream(key, "proxies"), config.num_images, config.counts, exclusive=config.exclusive)
    features = synthetic_features(
        stream(key, "features"), proxies, config.num_dims, planted=planted, hidden=hidden, signal=config.signal
    )
    return np.asarray(proxies), np.asarray(features)


def build(config: Config) -> Study:
    """One step draws a balanced split for every proxy, fits on one part and scores on the other.

    Raises `ValueError` as `batches`, for fewer than two seeds, and for proxies too rare to be split.
    """
    if config.num_seeds < 2:
        raise ValueError(f"csi/imagenetx: found num_seeds={config.num_seeds}, wanted 2 or more splits to test with")
    proxies = _table(_of_table(config))[0]
    grouped: dict[tuple[int, int], list[int]] = {}  # proxies of equal sizes are fitted by one program
    for number, labels in enumerate(proxies.T):
        grouped.setdefault(balanced_sizes(labels, train_share=config.train_share), []).append(number)

    def init(key, hparams):
        scores = {"accuracy": jnp.zeros(len(PROXIES)), "training accuracy": jnp.zeros(len(PROXIES))}
        return State(jnp.zeros((), jnp.int32), key, None, scores, None, None, hparams)

    def step(state, batch):
        features = batch["features"]
        if config.reading == "published":
            features = z_score(features)
        scores = state.params
        for sizes, members in grouped.items():
            splits = [_split(state.key, proxies[:, number], number, config.train_share) for number in members]
            rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *splits)
            fit = functools.partial(_fit, features, sizes, config.reading, state.hparams["l2"])
            found = jax.vmap(fit)(rows)
            scores = {name: scores[name].at[jnp.array(members)].set(found[name]) for name in scores}
        state = dataclasses.replace(state, step=state.step + 1, params=scores)
        return state, {"mean accuracy": jnp.mean(scores["accuracy"])}

    return Study(init, step, lambda state, key: dict(state.params))


def _split(key: Any, labels: np.ndarray, number: int, train_share: float):
    return balanced_split(stream(key, f"split of {PROXIES[number]}"), labels, train_share=train_share)


def _fit(features, sizes: tuple[int, int], reading: str, l2, rows) -> dict[str, jax.Array]:
    """Accuracies of one proxy on one split; rows hold the negatives, then the positives."""
    train, test = features[rows.train], features[rows.test]
    if reading == "corrected":
        train, test = z_score(train), z_score(test, reference=train)
    labels = [jnp.repeat(jnp.arange(2), size) for size in sizes]
    fit = logistic_regression(train, labels[0], l2=l2)
    scores = [jnp.mean((fit.predict(x) == y).astype(x.dtype)) for x, y in zip((train, test), labels, strict=True)]
    return {"training accuracy": scores[0], "accuracy": scores[1]}
