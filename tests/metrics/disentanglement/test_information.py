"""Mutual information, MIG, modularity and explicitness against scikit-learn, closed forms and controls."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score

from identax.metrics import explicitness, mig, modularity
from identax.metrics.disentanglement import discretise, entropies, mutual_information
from identax.metrics.disentanglement.explicitness import roc_area

SIZES = (3, 4, 5)
GRID = np.array(list(itertools.product(*(range(size) for size in SIZES))), dtype=np.int32)
"""[60, 3], every combination once: the factors are exactly independent"""


def _mixed(seed=0, num=400):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, num) for size in SIZES], axis=1)
    estimates = factors @ rng.normal(size=(3, 4)) + 0.3 * rng.normal(size=(num, 4))
    return factors, estimates


def _reference_information(factors, estimates, bins=20):
    binned = [np.digitize(column, np.histogram(column, bins)[1][:-1]) for column in estimates.T]
    return np.array([[mutual_info_score(factor, column) for column in binned] for factor in factors.T])


def test_agrees_with_scikit_learn_and_numpy(x64):
    factors, estimates = _mixed()
    want = _reference_information(factors, estimates)
    np.testing.assert_allclose(mutual_information(factors, estimates), want, atol=1e-12)
    want_entropy = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    np.testing.assert_allclose(entropies(factors), want_entropy, atol=1e-12)
    ordered = np.sort(want, axis=1)
    gaps = (ordered[:, -1] - ordered[:, -2]) / want_entropy
    np.testing.assert_allclose(mig(factors, estimates, per_factor=True), gaps, atol=1e-12)
    np.testing.assert_allclose(mig(factors, estimates), gaps.mean(), atol=1e-12)
    template = np.where(want == want.max(axis=0), want, 0)
    deviation = ((want - template) ** 2).sum(axis=0) / (want.max(axis=0) ** 2 * 2)
    np.testing.assert_allclose(modularity(factors, estimates), np.mean(1 - deviation), atol=1e-12)


def test_bins_are_those_of_numpy(x64):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2)) * [1, 1e-3] + 5
    want = np.stack([np.digitize(c, np.histogram(c, 20)[1][:-1]) - 1 for c in x.T], axis=1)
    np.testing.assert_array_equal(discretise(x), want)


def test_values_on_edges_are_in_the_bin_above_in_every_program():
    integers = np.arange(6 * 50).reshape(50, 6) % 7  # edges at multiples of 0.3: 3 is one
    want = np.minimum(integers * 20 // 6, 19)
    for scale in (1, 1e-3, 1e6, 1 / 3):
        np.testing.assert_array_equal(discretise(scale * integers), want)
        np.testing.assert_array_equal(jax.jit(discretise)(np.float32(scale) * integers.astype(np.float32)), want)
    constant = np.full((50, 6), 0.1, np.float32) * (1 + 1e-7 * (integers > 3)).astype(np.float32)
    assert len(np.unique(discretise(constant))) == 1


def test_perfect_shared_and_uninformative_representations():
    perfect = -3.0 * GRID[:, [2, 0, 1]] + 1
    assert mig(GRID, perfect, num_bins=60) == pytest.approx(1, abs=1e-5)
    assert modularity(GRID, perfect, num_bins=60) == pytest.approx(1, abs=1e-5)
    # One factor twice, one once, one not at all: only the second has a gap, all estimates are modular.
    twice = np.stack([GRID[:, 0], GRID[:, 1], 2.0 - GRID[:, 0]], axis=1)
    np.testing.assert_allclose(mig(GRID, twice, num_bins=60, per_factor=True), [0, 1, 0], atol=1e-5)
    assert modularity(GRID, twice, num_bins=60) == pytest.approx(1, abs=1e-5)
    # All factors in one estimate, the others constant: the gap is full, the modularity of that estimate is
    # 1 - (H_1^2 + H_2^2) / (2 H_3^2), and estimates without information count 0.
    joint = np.zeros((60, 3))
    joint[:, 1] = GRID @ [20, 5, 1]
    entropy = np.log(np.array(SIZES))
    assert mig(GRID, joint, num_bins=60) == pytest.approx(1, abs=1e-5)
    want = (1 - (entropy[0] ** 2 + entropy[1] ** 2) / (2 * entropy[2] ** 2)) / 3
    assert modularity(GRID, joint, num_bins=60) == pytest.approx(want, abs=1e-5)
    # Exactly independent columns: nothing but rounding, which must not look like information.
    independent = np.stack([GRID[:, 2], np.ones(60), GRID[:, 2]], axis=1).astype(np.float64)
    others = GRID[:, [0, 1, 0]]
    assert modularity(others, independent, num_bins=60, num_levels=5) == 0
    assert mig(others, independent, num_bins=60, num_levels=5) == 0


def test_a_rotation_by_45_degrees_has_no_gap():
    rng = np.random.default_rng(2)
    factors = rng.uniform(-1, 1, (4000, 2))
    turned = factors @ np.array([[1, 1], [-1, 1]])
    information = np.asarray(mutual_information(factors, turned))
    # Of s = x + y: h(s) - h(s | x) = 1/2 - log 1 + log 2 - log 2; bins and bias move it by a few hundredths.
    np.testing.assert_allclose(information, 0.5, atol=0.05)
    assert mig(factors, turned) < 0.02
    assert modularity(factors, turned) < 0.1
    assert mig(factors, factors) > 0.9


def test_invariances_jit_and_vmap():
    factors, estimates = _mixed()
    kept = jax.jit(lambda v, z: jnp.stack([mig(v, z, num_levels=5), modularity(v, z, num_levels=5)]))
    scores = kept(factors, estimates)
    np.testing.assert_allclose(scores, [mig(factors, estimates), modularity(factors, estimates)], rtol=1e-5)
    changed = 4 * estimates[:, [3, 1, 0, 2]] * [1, -1, 1, -1] + 2
    np.testing.assert_allclose(kept(factors[:, ::-1], changed), scores, rtol=1e-5)
    noise = np.random.default_rng(3).normal(size=estimates.shape)
    broken = np.where(np.arange(4)[None, :] == 2, np.nan, estimates)
    trials = jax.vmap(kept, in_axes=(None, 0))(factors, np.stack([estimates, noise, broken]))
    np.testing.assert_allclose(trials[0], scores, rtol=1e-5)
    assert trials[1, 0] < 0.05 and np.isnan(trials[2]).all()


def test_names_of_levels_do_not_matter():
    factors, estimates = _mixed()
    renamed = np.array([-7, 100, 3, 4, 90])[factors]
    assert mig(renamed, estimates) == pytest.approx(float(mig(factors, estimates)), rel=1e-6)


def test_explicitness_agrees_with_scikit_learn(x64):
    factors, estimates = _mixed()
    train, test = slice(0, 200), slice(200, None)
    mean, spread = estimates[train].mean(0), estimates[train].std(0)
    x, areas = (estimates - mean) / spread, []
    for factor in factors.T:
        fits = [
            LogisticRegression(C=1.0, tol=1e-9, max_iter=2000).fit(x[train], factor[train] == level)
            for level in np.unique(factor)
        ]
        areas.append(
            [
                roc_auc_score(factor[test] == level, fit.decision_function(x[test]))
                for level, fit in zip(np.unique(factor), fits, strict=True)
            ]
        )
    want = np.mean([np.mean(part) for part in areas])
    got = explicitness(factors[train], estimates[train], test_factors=factors[test], test_estimates=estimates[test])
    np.testing.assert_allclose(got, want, atol=1e-6)
    changed = explicitness(factors[train], 10 * estimates[train, ::-1] - 3)
    np.testing.assert_allclose(changed, explicitness(factors[train], estimates[train]), atol=1e-6)
    traced = jax.eval_shape(lambda v, z: explicitness(v, z, num_levels=5), factors, estimates)
    assert traced.shape == () and traced.dtype == np.float64
    noise = np.random.default_rng(4).normal(size=(400, 4))
    chance = explicitness(factors[train], noise[train], test_factors=factors[test], test_estimates=noise[test])
    assert 0.4 < chance < 0.6


def test_roc_area_counts_ties_half():
    scores = np.round(np.random.default_rng(5).normal(size=50), 1).astype(np.float32)
    positive = np.random.default_rng(6).random(50) < 0.3
    want = roc_auc_score(positive, scores)
    np.testing.assert_allclose(roc_area(jnp.asarray(scores), jnp.asarray(positive)), want, atol=1e-6)


@pytest.mark.parametrize("score", [mig, modularity, explicitness, mutual_information])
@pytest.mark.parametrize(
    "change, wanted",
    [
        (lambda v, z: (v, z[:-1]), "one number of samples"),
        (lambda v, z: (v, z[:, 0]), "matrices"),
        (lambda v, z: (v, np.where(z == z[0], np.nan, z)), "not finite"),
        (lambda v, z: (np.where(np.arange(3)[None, :] == 1, 2, v), z), r"constant factors \(columns \[1\]\)"),
    ],
)
def test_bad_arrays_are_refused(score, change, wanted):
    with pytest.raises(ValueError, match=wanted):
        score(*change(GRID, GRID + 0.5))


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: mig(GRID, GRID[:, :1]), "wanted at least 2"),
        (lambda: modularity(GRID[:, :1], GRID), "wanted at least 2"),
        (lambda: mig(GRID, GRID, num_levels=4), "wanted 0 to 3"),
        (lambda: mig(GRID, GRID, num_bins=1), "num_bins=1"),
        (lambda: jax.jit(mig)(GRID, GRID), "num_levels"),
        (lambda: explicitness(GRID + 0.5, GRID), "wanted integers"),
        (lambda: explicitness(GRID, GRID, test_factors=GRID), "both or none"),
        (lambda: explicitness(GRID, GRID, test_factors=GRID, test_estimates=GRID[:, :2]), "same columns"),
        (lambda: entropies(GRID[0]), r"wanted \[N, K\]"),
    ],
)
def test_bad_options_are_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
