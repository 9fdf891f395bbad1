"""Random splits with equally many samples of every class on both sides."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from identax.metrics._samples import Samples


class BalancedSplit(NamedTuple):
    """Rows of the samples to fit on [k n_train] and to score on [k n_test], class after class, each n of them."""

    train: Int[Array, " n"]
    test: Int[Array, " t"]


def balanced_sizes(labels: Samples, *, train_share: float | int = 0.7) -> tuple[int, int]:
    """Samples of each class in the two parts of `balanced_split`: n_train, n_test.

    The test part has ceil((1 - share) N) samples, the training part the others; classes are represented in both as
    they are in all, up to rounding (largest remainder first). Of either part, the smallest class sets the number.
    Raises `ValueError` for fewer than two classes, a share outside (0, 1), and a class without a sample in a part.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not 0 < train_share < 1:
        raise ValueError(
            f"balanced_split: found labels of shape {labels.shape} and train_share={train_share}, wanted [N] and a "
            "share between 0 and 1"
        )
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:
        raise ValueError(f"balanced_split: found {len(counts)} classes among {len(labels)} labels, wanted 2 or more")
    # Rounded first: 1 - 0.7 is not 0.3.
    num_test = int(np.ceil(np.round((1 - train_share) * len(labels), 9)))
    wanted = counts * (len(labels) - num_test) / len(labels)
    train = np.floor(wanted).astype(int)
    extra = len(labels) - num_test - train.sum()
    train[np.argsort(train - wanted, kind="stable")[:extra]] += 1
    smallest = int(train.min()), int((counts - train).min())
    if min(smallest) < 1:
        raise ValueError(
            f"balanced_split: found classes of {counts.tolist()} samples, which leaves {smallest} in the two parts, "
            "wanted at least 1"
        )
    return smallest


def balanced_split(key: Key[Array, ""], labels: Samples, *, train_share: float | int = 0.7) -> BalancedSplit:
    """Draws a stratified split and keeps as many samples of every class as the smallest has, in either part.

    Samples are shuffled within their classes; of class c the first n_train are to fit on and the n_test behind those
    to score on, see `balanced_sizes`. In distribution this is a stratified split of all samples of which each part
    keeps the first n rows of every class. Sizes depend on the labels alone, so splits by many keys can be stacked.
    Args: `labels` [N], known (not traced). Raises as `balanced_sizes`.
    Source: Reizinger et al. 2025, code (balanced readout of ImageNet-X).
    """
    num_train, num_test = balanced_sizes(labels, train_share=train_share)
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Sorted by class, then at random: one sort, where a permutation of every class takes several to compile.
    lots = jax.random.bits(key, codes.shape, jnp.uint32)
    rows = jnp.arange(len(codes), dtype=jnp.int32)
    shuffled = jax.lax.sort((jnp.asarray(codes, jnp.int32), lots, rows), num_keys=2)[2]
    starts = np.cumsum(counts) - counts
    train = [shuffled[start : start + num_train] for start in starts]
    test = [shuffled[start + num_train : start + num_train + num_test] for start in starts]
    return BalancedSplit(jnp.concatenate(train), jnp.concatenate(test))
