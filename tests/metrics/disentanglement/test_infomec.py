"""InfoMEC against scikit-learn, closed forms and controls."""

import itertools

import jax
import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score

from identax.metrics import infomec
from identax.metrics.disentanglement import info_modularity_compactness, mutual_information

SIZES = (3, 4, 5)
GRID = np.tile(np.array(list(itertools.product(*(range(size) for size in SIZES))), dtype=np.int32), (4, 1))


def _mixed(seed=0, num=300):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, num) for size in SIZES], axis=1)
    return factors, factors @ rng.normal(size=(3, 4)) + rng.normal(size=(num, 4))


def _scores(nmi):
    def from_chance(mean, chance):
        return (mean - chance) / (1 - chance)

    return (
        from_chance(np.mean(nmi.max(axis=0) / nmi.sum(axis=0)), 1 / nmi.shape[0]),
        from_chance(np.mean(nmi.max(axis=1) / nmi.sum(axis=1)), 1 / nmi.shape[1]),
    )


def test_neighbours_pruning_and_logistic_information_agree_with_scikit_learn(x64):
    factors, estimates = _mixed()
    widths = np.ptp(estimates, axis=0)
    estimates = np.concatenate([estimates, 0.01 * estimates[:, :1] * widths.min() / widths[0]], axis=1)
    got = infomec(factors, estimates, balanced=False)
    np.testing.assert_array_equal(got["active"], [True, True, True, True, False])
    x = (estimates - estimates.mean(0)) / estimates.std(0)
    entropy = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    rows = [mutual_info_classif(x, f, discrete_features=False, n_neighbors=10, random_state=5) for f in factors.T]
    nmi = np.stack(rows) / entropy[:, None]
    np.testing.assert_allclose(got["nmi"], nmi, atol=1e-4)  # another seed of the noise that breaks ties
    np.testing.assert_allclose([got["infom"], got["infoc"]], _scores(nmi[:, :4]), atol=1e-3)
    fits = [LogisticRegression(C=np.inf, max_iter=5000, tol=1e-8).fit(x[:, :4], factor) for factor in factors.T]
    losses = np.array([log_loss(f, fit.predict_proba(x[:, :4])) for f, fit in zip(factors.T, fits, strict=True)])
    np.testing.assert_allclose(got["infoe"], np.mean(1 - losses / entropy), atol=1e-4)
    balanced = infomec(factors, estimates)["infoe"]  # as published
    assert 0 < abs(balanced - got["infoe"]) < 0.05


def test_histogram_and_floating_factors_agree_with_the_plug_in_and_r2(x64):
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(300, 3))
    estimates = factors @ rng.normal(size=(3, 4)) + 0.2 * rng.normal(size=(300, 4))
    got = infomec(factors, estimates, estimator="histogram", num_bins=8)
    information = np.asarray(mutual_information(factors, estimates, num_bins=8))
    entropy = np.diag(np.asarray(mutual_information(factors, factors, num_bins=8)))
    np.testing.assert_allclose([got["infom"], got["infoc"]], _scores(information / entropy[:, None]), atol=1e-8)
    want = LinearRegression().fit(estimates, factors).score(estimates, factors)
    np.testing.assert_allclose(got["infoe"], want, atol=1e-8)


def test_discrete_estimates_are_levels():
    order = GRID[:, [1, 2, 0]]
    names = np.array([40, -3, 7, 90, 11])[order]  # any one-to-one map of the levels
    got = infomec(GRID, np.concatenate([names, np.full((240, 1), 3)], axis=1))
    np.testing.assert_array_equal(got["active"], [True, True, True, False])
    np.testing.assert_allclose(got["nmi"][:, :3], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-5)
    np.testing.assert_allclose([got["infom"], got["infoc"]], 1, atol=1e-5)
    assert got["infoe"] > 0.99
    # Sum and difference of two factors: together they tell of both, but neither has one to itself.
    sums = np.stack([GRID[:, 0] + GRID[:, 1], GRID[:, 0] - GRID[:, 1], GRID[:, 2], 0 * GRID[:, 0]], axis=1)
    turned = infomec(GRID, sums)
    assert turned["infom"] < 0.7 and turned["infoc"] < 0.7 and turned["infoe"] > 0.9


def test_noise_is_not_explicit_and_units_do_not_matter():
    factors, estimates = _mixed()
    noise = infomec(factors, np.random.default_rng(2).normal(size=(300, 4)), estimator="histogram", num_bins=5)
    assert noise["infoe"] < 0.06 and np.max(noise["nmi"]) < 0.1
    first = infomec(factors, estimates, estimator="histogram", num_bins=5)
    changed = infomec(factors[:, ::-1], -4 * estimates[:, [2, 0, 3, 1]] + 1, estimator="histogram", num_bins=5)
    for name in ("infom", "infoc", "infoe"):
        np.testing.assert_allclose(changed[name], first[name], rtol=1e-3)


def test_scores_of_information_in_closed_form():
    every = np.ones(3, bool)
    score = jax.jit(info_modularity_compactness)
    np.testing.assert_allclose(score(np.eye(3), every), (1, 1), atol=1e-6)
    np.testing.assert_allclose(score(np.ones((3, 3)), every), (0, 0), atol=1e-6)
    np.testing.assert_allclose(score(np.zeros((3, 3)), every), (0, 0), atol=1e-6)
    # The last estimate mixes two factors; pruned, it does not count.
    mixed = np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(score(mixed, every), ((2.5 / 3 - 1 / 3) * 1.5, (4 / 9 - 1 / 3) * 1.5), atol=1e-6)
    pruned = score(mixed, np.array([True, True, False]))
    np.testing.assert_allclose(pruned, (1, (2.5 / 3 - 0.5) * 2), atol=1e-6)
    np.testing.assert_allclose(score(mixed, np.zeros(3, bool)), (0, 0))
    single = score(mixed, np.array([True, False, False]))
    assert single[0] == pytest.approx(1) and np.isnan(single[1])
    np.testing.assert_allclose(jax.vmap(score, (0, None))(np.stack([np.eye(3), mixed]), every)[0], [1, 0.75], atol=1e-6)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda v, z: infomec(v, z[1:]), "one number of samples"),
        (lambda v, z: infomec(v, np.where(z > 0, np.nan, z)), "not finite"),
        (lambda v, z: infomec(v * [1, 0, 1], z), "constant factors"),
        (lambda v, z: infomec(v[:, :1], z), "at least 2"),
        (lambda v, z: infomec(v, z, estimator="knn"), "wanted one of"),
        (lambda v, z: infomec(v, z, num_neighbours=0), "num_neighbours=0"),
        (lambda v, z: jax.jit(lambda x: infomec(v, x))(z), "scikit-learn"),
        (lambda v, z: info_modularity_compactness(np.ones((3, 2)), np.ones(3, bool)), "K >= 2"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(*_mixed(num=40))
