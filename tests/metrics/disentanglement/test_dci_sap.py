"""DCI and SAP against scikit-learn and closed forms."""

import jax
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.svm import LinearSVC

from identax.metrics import dci, dci_scores, sap

N = 300
_RNG = np.random.default_rng(0)
FACTORS = _RNG.normal(size=(N, 3))
LEVELS = _RNG.integers(0, 4, (N, 2))
MIXED = FACTORS @ _RNG.normal(size=(3, 4)) + 0.3 * _RNG.normal(size=(N, 4)) + 2


def _reference_scores(matrix):
    weights = matrix / matrix.sum()
    rows = [1 - entropy(row, base=matrix.shape[1]) for row in matrix]
    columns = [1 - entropy(column, base=matrix.shape[0]) for column in matrix.T]
    return weights.sum(1) @ rows, weights.sum(0) @ columns


@pytest.mark.parametrize("predictor", ["lasso", "ridge"])
def test_linear_importances_agree_with_scikit_learn(x64, predictor):
    train, test = slice(0, 150), slice(150, None)
    x, y = ((part - part[train].mean(0)) / part[train].std(0) for part in (MIXED, FACTORS))
    model = Lasso(alpha=0.05, tol=1e-12, max_iter=10**5) if predictor == "lasso" else Ridge(alpha=0.05 * 150)
    weights = model.fit(x[train], y[train]).coef_.T
    got = dci(FACTORS[train], MIXED[train], predictor=predictor, penalty=0.05)
    np.testing.assert_allclose(got["importances"], np.abs(weights), atol=1e-8)
    want = _reference_scores(np.abs(weights))
    np.testing.assert_allclose([got["disentanglement"], got["completeness"]], want, atol=1e-8)
    np.testing.assert_allclose(got["informativeness"], model.score(x[train], y[train]), atol=1e-8)
    others = {"test_factors": FACTORS[test], "test_estimates": MIXED[test]}
    held_out = dci(FACTORS[train], MIXED[train], predictor=predictor, penalty=0.05, **others)
    np.testing.assert_allclose(held_out["informativeness"], model.score(x[test], y[test]), atol=1e-8)
    np.testing.assert_allclose(held_out["importances"], got["importances"], atol=1e-12)


@pytest.mark.parametrize("factors, kind", [(LEVELS, GradientBoostingClassifier), (FACTORS, GradientBoostingRegressor)])
def test_boosted_importances_are_those_of_scikit_learn(x64, factors, kind):
    estimates = factors @ np.array([[1, 0.5, 0], [0.2, -1, 1], [0, 0, 1]])[: factors.shape[1]] + 0.1 * MIXED[:, :3]
    got = dci(factors, estimates, predictor="boosted", num_trees=8, max_depth=2, seed=3)
    models = [kind(n_estimators=8, max_depth=2, random_state=3).fit(estimates, factor) for factor in factors.T]
    matrix = np.stack([model.feature_importances_ for model in models], axis=1)
    np.testing.assert_allclose([got["disentanglement"], got["completeness"]], _reference_scores(matrix), atol=1e-8)
    scores = [model.score(estimates, factor) for model, factor in zip(models, factors.T, strict=True)]
    np.testing.assert_allclose(got["informativeness"], np.mean(scores))


def test_scores_of_importances_in_closed_form():
    def scores(matrix):
        found = dci_scores(np.asarray(matrix, np.float32))
        return float(found["disentanglement"]), float(found["completeness"])

    assert scores([[0, 2, 0], [1, 0, 0], [0, 0, 5]]) == pytest.approx((1, 1), abs=1e-6)
    assert scores(np.ones((3, 3))) == pytest.approx((0, 0), abs=1e-6)
    # Two estimates share each of two factors evenly: disentangled, half complete.
    assert scores([[1, 0], [1, 0], [0, 1], [0, 1]]) == pytest.approx((1, 0.5), abs=1e-6)
    # One estimate holds both factors, the others are dead.
    assert scores([[1, 1], [0, 0]]) == pytest.approx((0, 1), abs=1e-6)
    # A rotation by angle a: importances cos a and sin a.
    cos, sin = np.cos(0.3), np.sin(0.3)
    want = 1 - entropy([cos, sin], base=2)
    assert scores([[cos, sin], [sin, cos]]) == pytest.approx((want, want), abs=1e-6)
    assert scores(np.zeros((2, 2))) == (0, 0)
    assert scores(1e-30 * np.eye(2)) == pytest.approx((1, 1))


def test_linear_dci_under_jit_vmap_invariances_and_controls():
    function = jax.jit(jax.vmap(lambda z: dci(FACTORS, z)))
    noise = np.random.default_rng(1).normal(size=(N, 3))
    signed = -5 * FACTORS[:, [2, 0, 1]] + 3
    dead = FACTORS * [1, 0, 0]
    broken = np.where(np.arange(N)[:, None] == 4, np.nan, FACTORS)
    got = function(np.stack([FACTORS, signed, noise, dead, broken]).astype(np.float32))
    for name in ("disentanglement", "completeness", "informativeness"):
        assert got[name][0] > 0.97 and np.isnan(got[name][4])
        np.testing.assert_allclose(got[name][1], got[name][0], atol=1e-3)
    assert got["informativeness"][2] < 0.05 and got["disentanglement"][2] < 0.75
    assert 0.3 < got["informativeness"][3] < 0.4


def test_continuous_sap_is_the_gap_of_squared_correlations(x64):
    squares = np.corrcoef(FACTORS.T, MIXED.T)[:3, 3:] ** 2
    ordered = np.sort(squares, axis=1)
    want = ordered[:, -1] - ordered[:, -2]
    np.testing.assert_allclose(sap(FACTORS, MIXED, per_factor=True), want, atol=1e-10)
    compiled = jax.jit(jax.vmap(lambda z: sap(FACTORS, z)))
    trials = np.stack([MIXED, -3 * MIXED[:, ::-1] + 1, np.random.default_rng(2).normal(size=MIXED.shape)])
    got = compiled(trials)
    np.testing.assert_allclose(got[:2], want.mean(), atol=1e-10)
    assert got[2] < 0.03
    # A rotation by angle a of independent factors: cos^2 a - sin^2 a.
    turned = FACTORS[:, :2] @ np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    assert sap(FACTORS[:, :2], turned) == pytest.approx(np.cos(0.6), abs=0.1)


def test_discrete_sap_agrees_with_the_classifier_on_single_estimates():
    estimates = LEVELS @ np.array([[1, 0, 0.4], [0, 1, 0.4]]) + 0.2 * MIXED[:, :3]
    x = (estimates - estimates[:200].mean(0)) / estimates[:200].std(0)
    scores = np.zeros((2, 3))
    for k, j in np.ndindex(2, 3):
        model = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(x[:200, [j]], LEVELS[:200, k])
        scores[k, j] = np.mean(model.predict(x[200:, [j]]) == LEVELS[200:, k])
    ordered = np.sort(scores, axis=1)
    parts = {"test_factors": LEVELS[200:], "test_estimates": estimates[200:], "kind": "discrete"}
    got = sap(LEVELS[:200], estimates[:200], **parts, per_factor=True)
    np.testing.assert_allclose(got, ordered[:, -1] - ordered[:, -2], atol=1e-6)
    binary = LEVELS // 2
    separate = np.concatenate([-100.0 * binary[:, ::-1], np.ones((N, 1))], axis=1)
    # The other estimates say nothing on the factor, up to the imbalance of the sample.
    assert sap(binary, separate, kind="discrete") == pytest.approx(0.5, abs=0.1)
    assert sap(binary, np.random.default_rng(3).normal(size=(N, 3)), kind="discrete") < 0.1


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: dci(FACTORS, MIXED[:-1]), "one number of samples"),
        (lambda: dci(FACTORS, np.where(MIXED > 2, np.inf, MIXED)), "not finite"),
        (lambda: dci(FACTORS * [1, 0, 1], MIXED), r"columns \[1\]"),
        (lambda: dci(FACTORS[:, :1], MIXED), "1 columns of factors"),
        (lambda: dci(FACTORS, MIXED[:, :1]), "1 columns of estimates"),
        (lambda: dci(FACTORS, MIXED, predictor="boost"), "did you mean 'boosted'"),
        (lambda: dci(FACTORS, MIXED, penalty=-1), "penalty=-1"),
        (lambda: dci(FACTORS, MIXED, num_trees=0), "num_trees=0"),
        (lambda: jax.jit(lambda v: dci(v, v, predictor="boosted"))(FACTORS), "scikit-learn"),
        (lambda: dci_scores(np.ones((1, 3))), "m, K >= 2"),
        (lambda: dci_scores(np.array([[1.0, -1.0], [1.0, 1.0]])), "negative"),
        (lambda: sap(FACTORS, MIXED, kind="both"), "wanted one of"),
        (lambda: sap(FACTORS, MIXED[:, :1]), "wanted at least 2"),
        (lambda: sap(FACTORS, MIXED, kind="discrete"), "wanted integers"),
        (lambda: sap(FACTORS * [0, 1, 1], MIXED), "constant factors"),
        (lambda: sap(LEVELS, MIXED, kind="discrete", test_factors=LEVELS), "both or none"),
        (lambda: sap(FACTORS, MIXED, test_factors=FACTORS, test_estimates=MIXED), "'discrete' alone"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
