"""What `csi/imagenetx` compares, and what it is held against: stars, planted proxies, the published order."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from identax.assumptions import Prediction, Premise, Report
from identax.data import PROXIES
from identax.experiment import Arm, Reference
from identax.metrics import balanced_sizes
from identax.run import Results

SYNTHETIC = "synthetic"
NETWORKS = ("resnet50", "resnet50_untrained", "vit_b_16", "vit_b_16_untrained", "pixels")
EXCLUSIVE = "corrected, one factor per image"
PLANTED = ("class", "color", "darker", "style", "person_blocking", "pattern", "shape", "subcategory", "texture")
HIDDEN = ("subcategory",)
# As frequent as in the annotations, roughly: rare, middling and common ones, the class half of all.
COUNTS = (2000, 40, 640, 640, 40, 40, 40, 40, 160, 40, 40, 160, 640, 640, 160, 160, 40)
REAL_COUNTS = (22991, 40, 14751, 6150, 44, 122, 43, 150, 1450, 78, 60, 638, 5972, 15064, 679, 585, 282)
"""of the 46,110 images of ImageNet-X, selection "top\""""
ORDER = (
    "object_blocking", "background", "pose", "brighter", "color", "pattern", "larger", "partial_view", "smaller",
    "subcategory", "style", "multiple_objects", "shape", "texture", "darker", "person_blocking", "class",
)  # fmt: skip
"""by the accuracy of the trained ResNet50, from low to high (Fig. 3)"""
_STARRED = "planted proxies with a star"
_FALSE = "absent proxies with a star"
_RANKS = "rank correlation with Fig. 3"
# Bands were written down before the first run.
REFERENCES = (
    Reference(f"corrected: {_STARRED}", "1 (by construction)", {"quick": (0.99, None), "medium": (0.85, None)}),
    Reference(f"corrected: {_FALSE}", "0 (by construction)", {"quick": (None, 0.01), "medium": (None, 0.01)}),
    Reference("corrected: hidden proxies' accuracy", "", {"quick": (0.8, None)}, "In columns of negative mean alone."),
    Reference(
        "published: hidden proxies' accuracy",
        "0.5 (by construction)",
        {"quick": (0.35, 0.65)},
        "Columns of negative mean are dropped as if they were dead units.",
    ),
    Reference(f"published: {_STARRED}", "", note="All but the hidden ones can have one."),
    Reference(
        f"published: {_FALSE}",
        "0 (by construction)",
        note="The splits share images, which the published test does not know; accuracies below chance count too.",
    ),
    Reference(
        f"{EXCLUSIVE}: {_FALSE}",
        "> 0 (derived)",
        {"quick": (0.12, None)},
        "Positives of one factor have no other factor, so common planted factors tell them from the negatives.",
    ),
    Reference(f"resnet50, published: {_RANKS}", "1 (Fig. 3, trained ResNet50)"),
    Reference(f"resnet50, corrected: {_RANKS}", "1 (Fig. 3, trained ResNet50)"),
)


def prefix(table: str) -> str:
    """How the arms of a file of features are called."""
    return f"{Path(table).stem}, "


def arms(config: Any) -> Sequence[Arm]:
    """Every table as published and corrected; of the synthetic one also with one factor per image."""
    made = []
    for table in config.features or (SYNTHETIC,):
        ahead = prefix(table) if config.features else ""
        for reading in ("published", "corrected"):
            made.append(Arm(f"{ahead}{reading}", dataclasses.replace(config, table=table, reading=reading)))
    if not config.features:
        alone = dataclasses.replace(config, table=SYNTHETIC, reading="corrected", exclusive=True)
        made.append(Arm(EXCLUSIVE, alone))
    return made


def stars(config: Any, accuracies: np.ndarray) -> np.ndarray:
    """Which of the accuracies [T, P] differ from chance at level alpha, Bonferroni corrected: [P] (bool).

    Published: two-sided, splits taken as independent. Corrected: greater than chance, splits overlap.
    """
    num_tests = config.num_tests or len(PROXIES) * max(1, len(config.features))
    corrected = config.reading == "corrected"
    # As `identax.metrics.one_sample_t_test`, in SciPy: a page drawn again compiles nothing.
    above, error = accuracies.mean(axis=0) - 0.5, _standard_error(config, accuracies, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((error == 0) & (above == 0), 0.0, above / error)
    p_values = stats.t.sf(t if corrected else np.abs(t), len(accuracies) - 1) * (1 if corrected else 2)
    return num_tests * p_values < config.alpha


def errors(config: Any, accuracies: np.ndarray) -> np.ndarray:
    """Standard errors [P] of the mean of the accuracies [T, P], as published or for splits that overlap."""
    return _standard_error(config, accuracies, ddof=1 if config.reading == "corrected" else 0)


def _standard_error(config: Any, accuracies: np.ndarray, *, ddof: int) -> np.ndarray:
    """As `identax.metrics.standard_error`, in NumPy."""
    overlap = _overlap(config) if config.reading == "corrected" else 0.0
    deviation = np.where(np.ptp(accuracies, axis=0) > 0, accuracies.std(axis=0, ddof=ddof), 0.0)
    return deviation * np.sqrt(1 / len(accuracies) + overlap)


def _overlap(config: Any) -> float:
    return (1 - config.train_share) / config.train_share


def premises(config: Any) -> Mapping[str, Any]:
    """Per arm a function that says what the readout can show."""
    return {arm.name: lambda arm=arm: _report(arm.config) for arm in arms(config)}


def _report(config: Any) -> Report:
    synthetic = config.table == SYNTHETIC
    excluding = config.exclusive if synthetic else config.selection == "top"
    found = [
        Premise(
            "the network minimises a cross-entropy",
            None,
            "synthetic features" if synthetic else config.table,
            "label smoothing, mixup and cutmix change the loss that the theorem speaks about",
        ),
        Premise(
            "one factor does not exclude another",
            not excluding,
            "at most one per image" if excluding else "any number per image",
            "otherwise the others tell positives of each from its negatives",
        ),
    ]
    if not synthetic:
        return Report(found, [])
    labels = np.arange(config.num_images) < min(config.counts)
    _, num_test = balanced_sizes(labels, train_share=config.train_share)
    found.append(
        Premise(
            "accuracies are fine enough",
            2 * num_test >= 20,
            f"steps of 1/{2 * num_test} for the rarest proxy",
            "balanced sets are as small as the rarest class",
        )
    )
    kept = [name for name in config.planted if config.reading == "corrected" or name not in config.hidden]
    why = "the others lie in columns that are dropped" if config.reading == "published" else "all are in the features"
    predictions = [Prediction(_STARRED, len(kept) / max(1, len(config.planted)), why)]
    if config.reading == "corrected" and not config.exclusive:
        predictions.append(Prediction(_FALSE, 0.0, "nothing of them is in the features"))
    return Report(found, predictions)


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """Accuracies, one value per split, as `arm: proxy`; shares of proxies with a star, one value per arm."""
    measured: dict[str, np.ndarray] = {}
    for name, settings, found in accuracies_of(config, results):
        measured |= {f"{name}: {proxy}": found[:, number] for number, proxy in enumerate(PROXIES)}
        starred = stars(settings, found)
        if settings.table != SYNTHETIC:
            mean = found.mean(axis=0)
            ranks = stats.spearmanr([mean[PROXIES.index(proxy)] for proxy in ORDER], np.arange(len(ORDER)))
            measured[f"{name}: {_RANKS}"] = np.array([np.asarray(ranks)[0]])
            measured[f"{name}: proxies with a star"] = np.array([starred.mean()])
            continue
        planted = np.isin(PROXIES, settings.planted)
        for what, which in ((_STARRED, planted), (_FALSE, ~planted)):
            if which.any():
                measured[f"{name}: {what}"] = np.array([starred[which].mean()])
        if settings.hidden:
            measured[f"{name}: hidden proxies' accuracy"] = found[:, np.isin(PROXIES, settings.hidden)].mean(axis=1)
    return measured


def accuracies_of(config: Any, results: Mapping[str, Results]):
    """Name, config and accuracies [T, P] of every arm, of a sweep those with the config's own penalty."""
    for arm in arms(config):
        if arm.name in results:
            result = results[arm.name]
            yield arm.name, arm.config, result.final("accuracy")[result.where(l2=arm.config.l2)]
