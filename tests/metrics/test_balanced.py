"""Balanced splits: sizes as scikit-learn's stratified splits give, disjoint, uniform over the samples."""

import jax
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from identax.metrics import balanced_sizes, balanced_split

LABELS = np.random.default_rng(0).permutation(np.repeat([False, True], [60, 13]))


def test_sizes_are_those_of_a_stratified_split():
    rng = np.random.default_rng(1)
    checked = 0
    for _ in range(120):
        counts = rng.integers(5, 300, size=rng.integers(2, 4))
        labels = np.repeat(np.arange(len(counts)), counts)
        parts = train_test_split(labels, test_size=0.3, stratify=labels, random_state=0)
        shares = counts * len(parts[0]) / len(labels)
        if len(np.unique(np.round(shares % 1, 6))) < len(counts):
            continue  # equal remainders, which scikit-learn decides by lot
        assert balanced_sizes(labels) == tuple(np.bincount(part).min() for part in parts), counts
        checked += 1
    assert checked > 60


def test_the_rarest_proxy_of_imagenet_x_leaves_28_and_12():
    labels = np.arange(46_110) < 40
    assert balanced_sizes(labels) == balanced_sizes(~labels) == (28, 12)
    assert balanced_sizes(np.arange(100) % 2, train_share=0.5) == (25, 25)


def test_parts_are_disjoint_and_balanced(getkey):
    split = balanced_split(getkey(), LABELS)
    num_train, num_test = balanced_sizes(LABELS)
    assert (num_train, num_test) == (9, 4)
    assert split.train.shape == (2 * num_train,) and split.test.shape == (2 * num_test,)
    assert len(set(split.train.tolist()) | set(split.test.tolist())) == 2 * (num_train + num_test)
    for rows, size in ((split.train, num_train), (split.test, num_test)):
        np.testing.assert_array_equal(LABELS[np.asarray(rows)], np.repeat([False, True], size))


def test_every_sample_of_a_class_is_drawn_equally_often(getkey):
    keys = jax.random.split(getkey(), 4000)
    split = jax.jit(jax.vmap(lambda key: balanced_split(key, LABELS)))(keys)
    for rows in split:
        share = rows.shape[1] / 2
        drawn = np.bincount(np.asarray(rows).ravel(), minlength=len(LABELS))
        for label in (False, True):
            expected = share / (LABELS == label).sum()
            error = np.sqrt(expected * (1 - expected) / len(keys))
            assert np.abs(drawn[LABELS == label] / len(keys) - expected).max() < 6 * error
    again = balanced_split(keys[7], LABELS)
    np.testing.assert_array_equal(again.train, split.train[7])
    assert (split.train[0] != split.train[1]).any()


@pytest.mark.parametrize(
    ("labels", "share", "wanted"),
    [
        (np.zeros(8), 0.7, "found 1 classes among 8 labels"),
        (np.arange(8) == 3, 0.7, r"classes of \[7, 1\] samples"),
        (np.arange(8) % 2, 1.0, "train_share=1.0"),
        (np.arange(8) % 2, 0.0, "train_share=0.0"),
        (np.zeros((8, 2)), 0.7, r"shape \(8, 2\)"),
    ],
)
def test_bad_input_is_refused(labels, share, wanted):
    with pytest.raises(ValueError, match=wanted):
        balanced_split(jax.random.key(0), labels, train_share=share)
