"""Scores of recovered sources under both readings: what is exact, what a wrong reading costs, what collapses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.metrics import duality_scores, ica_mcc, mcc

RNG = np.random.default_rng(0)
K, P, N = 12, 200, 3
SCALES = RNG.uniform(0.05, 1, size=(K, 1, N))
BASE = RNG.laplace(size=(K, P, N))
MODULATED = SCALES * BASE


def flat(x):
    return x.reshape(-1, x.shape[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistic", "q"), [("absolute", np.abs), pytest.param("square", np.square, marks=pytest.mark.slow)]
)
def test_affine_features_of_the_statistic_are_recovered(x64, statistic, q):
    features = q(flat(MODULATED)) @ RNG.normal(size=(N, N)) + 5
    assert ica_mcc(flat(MODULATED), features, statistic=statistic) > 0.97
    assert mcc(q(flat(MODULATED)), features) < 0.93
    assert ica_mcc(flat(MODULATED), features, statistic="none") < 0.2  # the sign is lost


@pytest.mark.slow
def test_collapsed_features_are_scored_without_nan():
    features = np.abs(flat(MODULATED))
    features[:, 2] = features[:, 0]
    assert 0.6 < ica_mcc(flat(MODULATED), features) < 0.85
    features[:, :] = 0.1
    assert ica_mcc(flat(MODULATED), features) == 0
    assert np.isnan(ica_mcc(flat(MODULATED), features * np.nan))


def test_perfect_estimates_of_the_modulated_sources(x64):
    """Pooled they are not the base; inside a segment, and with the law of the base, they are."""
    estimates = -np.abs(MODULATED)[:, :, [2, 0, 1]] * 7 + 3
    found = duality_scores(MODULATED, BASE, estimates)
    np.testing.assert_allclose([found.modulated, found.within_mean, found.within_median], 1, atol=1e-10)
    pooled = [np.corrcoef(np.abs(flat(MODULATED))[:, i], np.abs(flat(BASE))[:, i])[0, 1] for i in range(N)]
    np.testing.assert_allclose(found.base, np.mean(pooled), rtol=1e-10)
    assert found.base < 0.9
    assert found.rank_normalised > 0.98


@pytest.mark.slow
def test_rank_normalisation_undoes_monotone_maps_of_segments(x64):
    """The literal loop; monotone maps that differ between segments change nothing, rotations of segments do."""
    estimates = np.abs(MODULATED) + 0.05 * RNG.normal(size=BASE.shape)
    found = duality_scores(MODULATED, BASE, estimates).rank_normalised
    scores = []
    for i in range(N):
        law = np.empty((K, P))
        for k in range(K):
            shares = (estimates[k, :, i].argsort().argsort() + 0.5) / P
            law[k] = np.quantile(np.abs(BASE)[:, :, i], shares, method="hazen")
        scores.append(np.corrcoef(law.reshape(-1), np.abs(BASE)[:, :, i].reshape(-1))[0, 1])
    np.testing.assert_allclose(found, np.mean(scores), rtol=1e-10)
    bent = estimates ** np.linspace(0.9, 1.1, K)[:, None, None] if estimates.min() > 0 else np.exp(SCALES * estimates)
    np.testing.assert_allclose(duality_scores(MODULATED, BASE, bent).rank_normalised, found, rtol=1e-10)
    turned = estimates @ np.linalg.qr(RNG.normal(size=(K, N, N)))[0]
    assert duality_scores(MODULATED, BASE, turned).rank_normalised < 0.8 * found


@pytest.mark.slow
def test_mapped_over_trials_and_constant_estimates():
    latents = [jnp.asarray(x[:4, :50], jnp.float32) for x in (MODULATED, BASE)]
    batch = jnp.stack([jnp.abs(latents[0]), jnp.zeros((4, 50, N)), jnp.full((4, 50, N), jnp.nan)])
    scores = jax.jit(lambda m, b, batch: jax.vmap(lambda e: duality_scores(m, b, e))(batch))(*latents, batch)
    for name, found in scores._asdict().items():
        np.testing.assert_array_equal(np.isnan(found), [False, False, True], err_msg=name)
        assert found[1] == 0 < found[0]


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: ica_mcc(flat(BASE), flat(BASE), statistic="abs"), "did you mean 'absolute'"),
        (lambda: ica_mcc(flat(BASE), flat(BASE)[:5]), "one number of samples"),
        (lambda: ica_mcc(flat(BASE) * 1j, flat(BASE)), "ica_mcc: found latents of type complex128"),
        (lambda: ica_mcc(flat(BASE) + 1e9, flat(BASE)), "ica_mcc: found latents around an offset"),
        (lambda: duality_scores(BASE, BASE, flat(BASE)), r"estimates of shape \(2400, 3\)"),
        (lambda: duality_scores(BASE, BASE[:, :, :2], BASE), r"found \[3, 2, 3\] modulated"),
        (lambda: duality_scores(BASE, BASE, BASE[:, :, :2]), r"found \[3, 3, 2\] modulated"),
        (lambda: duality_scores(BASE, BASE[:, :5], BASE), "duality_scores: found modulated of shape"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
