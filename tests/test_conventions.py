"""Every row of docs/conventions.md."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.svm import LinearSVC

from identax.losses import infonce
from identax.metrics import (
    block_r2,
    dci,
    explicitness,
    infomec,
    linear_r2,
    mcc,
    normalised_shd,
    sap,
    structural_hamming_distance,
)

RNG = np.random.default_rng(0)
LEVELS = np.repeat(np.arange(3), 40)[:, None]


def test_every_row_has_its_test():
    table = (Path(__file__).parents[1] / "docs" / "conventions.md").read_text()
    rows = re.findall(r"\| `(\w+)` \|$", table, flags=re.MULTILINE)
    assert sorted(rows) == sorted(name.removeprefix("test_row_") for name in globals() if name.startswith("test_row_"))


def test_row_explicitness():
    one_hot = (LEVELS == np.arange(3)).astype(float)
    found = explicitness(LEVELS, LEVELS.astype(float)), explicitness(LEVELS, one_hot)
    np.testing.assert_allclose(found, [(1 + 0.5 + 1) / 3, 1.0], atol=1e-3)
    noisy = LEVELS + 0.02 * RNG.normal(size=LEVELS.shape)
    assert 0.82 < explicitness(LEVELS, noisy) < 0.86


def test_row_sap():
    code = np.concatenate([LEVELS, RNG.normal(size=LEVELS.shape)], axis=1) + 0.1 * RNG.normal(size=(120, 2))
    small = 1e-3 * code + 5e-3
    np.testing.assert_allclose(sap(LEVELS, small, kind="discrete"), sap(LEVELS, code, kind="discrete"), atol=1e-6)
    assert sap(LEVELS, small, kind="discrete") > 0.2
    as_it_is = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(small[:, :1], LEVELS[:, 0])
    assert as_it_is.score(small[:, :1], LEVELS[:, 0]) < 0.4  # chance is 1/3


def test_row_infomec():
    factors = np.stack([(RNG.uniform(size=200) < 0.1).astype(int), RNG.integers(0, 2, 200)], axis=1)
    codes = factors + RNG.normal(size=(200, 2))
    scores = [infomec(factors, codes, estimator="histogram", **choice)["infoe"] for choice in ({}, {"balanced": True})]
    assert scores[0] == scores[1] != infomec(factors, codes, estimator="histogram", balanced=False)["infoe"]


def test_row_constant_target():
    codes, dead = RNG.normal(size=(50, 2)), np.full((50, 1), 0.5)
    assert linear_r2(codes, dead) == 0 and linear_r2(codes, dead, constant="exact") == 1
    np.testing.assert_array_equal(block_r2(codes, dead, [[0]]), [0])
    assert r2_score(dead, dead) == 1 and r2_score(dead, dead + 1e-15) == 0


def test_row_mcc():
    z = RNG.normal(size=(50, 2))
    with pytest.warns(UserWarning, match="the mean is over 1 pairs"):
        np.testing.assert_allclose(mcc(z, z[:, :1]), 1.0, rtol=1e-6)


def test_row_infonce():
    z = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    logits = np.asarray(z @ z.T, float) / 0.5
    with_positive = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    np.testing.assert_allclose(infonce(z, z, temperature=0.5, scheme="one_view"), with_positive, rtol=1e-5)
    assert with_positive.min() > 0


def test_row_dci():
    factors = RNG.normal(size=(100, 2))
    twice = np.concatenate([factors[:, :1], factors], axis=1)
    np.testing.assert_allclose(dci(factors, twice)["completeness"], 1.0, atol=0.02)
    np.testing.assert_array_equal(dci(factors, twice)["importances"][1], 0.0)
    assert dci(factors, twice, predictor="ridge")["completeness"] < 0.8


def test_row_directions():
    z = RNG.normal(size=(100, 2))
    small = z * np.array([1.0, 1e-9])
    np.testing.assert_allclose(linear_r2(small, z, per_dim=True), [1.0, 1.0], atol=1e-5)
    theirs = LinearRegression().fit(small, z).predict(small)
    assert r2_score(z, theirs, multioutput="raw_values")[1] < 0.1
    # A direction of two dims, not a dim: 1e-9 of the sum.
    near = np.stack([z[:, 0], z[:, 0] + 1e-9 * z[:, 1]], axis=1)
    assert linear_r2(near, z, per_dim=True)[1] < 0.1


def test_row_offset():
    z = np.round(RNG.normal(size=(60, 2)), 3)
    np.testing.assert_allclose(linear_r2(z + 1e9, z + 1e9), 1.0, atol=1e-5)
    with pytest.raises(ValueError, match="around an offset of 1e\\+09"):
        linear_r2(z + 1e9, z, fit_intercept=False)


def test_row_few():
    noise = RNG.normal(size=(4, 5))
    with pytest.warns(UserWarning, match="says nothing"):
        np.testing.assert_allclose(linear_r2(noise, RNG.normal(size=(4, 2))), 1.0, atol=1e-5)


def test_row_normalised_shd():
    chain, turned = np.eye(3, k=1), np.eye(3, k=1)
    turned[0, 1], turned[1, 0] = 0, 1
    assert normalised_shd(turned, chain) == 0.5 and structural_hamming_distance(turned, chain) == 1
    complete = np.triu(np.ones((3, 3)), 1)
    np.testing.assert_allclose(normalised_shd(complete, chain), 1 / 5, rtol=1e-6)
