"""Cross-entropy theory: Bayes losses against the perfect encoder and published settings, ranks, regimes, reports."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.assumptions import (
    BayesLoss,
    ClusterWorld,
    CrossEntropyObjective,
    affine_generator_rank,
    bayes_cross_entropy,
    bayes_losses,
    cross_entropy_report,
    diversity_rank,
    divides,
    predicted_relation,
)
from identax.dgp import (
    Normal,
    Sphere,
    TruncatedLaplace,
    VonMisesFisher,
    identity,
    label_prior,
    sphere_clusters,
)
from identax.losses import softmax_cross_entropy

# d, C, kappa; mean and standard deviation over 8 draws of the cluster vectors, 10-40k samples each
MEASURED = [
    (5, 100, 10.0, 2.279, 0.011),
    (10, 100, 10.0, 2.255, 0.016),
    (20, 100, 10.0, 2.786, 0.009),
    (5, 10, 10.0, 0.594, 0.073),
    (5, 1000, 10.0, 4.498, 0.012),
    (5, 100, 5.0, 3.342, 0.006),
    (5, 100, 50.0, 0.339, 0.016),
]


_VMF = VonMisesFisher(1.0)


def _vectors(dim, num, seed=0):
    return Sphere(dim).uniform(jax.random.key(seed), num)


def _sample(vectors, law, num, num_labels, key=None):
    world = sphere_clusters(vectors.shape[1], len(vectors), _VMF, identity(), num_labels=num_labels)
    truth = {"mixing": (), "vectors": vectors, "conditional": law}
    return jax.jit(world.sample, static_argnums=2)(truth, jax.random.key(5) if key is None else key, num)


@partial(jax.jit, static_argnums=(0, 1))
def _bayes_and_perfect(dim, num_clusters, kappa):
    """Bayes loss and loss of the perfect encoder on other draws, for 8 draws of the cluster vectors."""

    def one(seed):
        key = jax.random.key(seed)
        vectors = Sphere(dim).uniform(key, num_clusters)
        bayes = bayes_cross_entropy(jax.random.fold_in(key, 1), vectors, VonMisesFisher(kappa), num_samples=16_000)
        drawn = _sample(vectors, VonMisesFisher(kappa), 5000, num_clusters, jax.random.fold_in(key, 2))
        perfect = softmax_cross_entropy(drawn.latents, kappa * vectors, drawn.clusters)
        return bayes, perfect.mean(), perfect.std() / 5000**0.5

    return jax.vmap(one)(jnp.arange(8))


@pytest.mark.parametrize(
    "dim, num_clusters, kappa, mean, sd",
    [MEASURED[0], *(pytest.param(*row, marks=pytest.mark.slow) for row in MEASURED[1:])],
)
def test_the_perfect_encoder_reaches_the_bayes_loss_and_the_measured_value(dim, num_clusters, kappa, mean, sd):
    bayes, perfect, error = jax.tree.map(np.asarray, _bayes_and_perfect(dim, num_clusters, kappa))
    combined = np.hypot(error, bayes.standard_error)
    assert (np.abs(perfect - bayes.mean) < 4 * combined).all()
    # the mean over vectors and draws: three standard errors
    assert abs((perfect - bayes.mean).sum()) < 3 * np.sqrt((combined**2).sum())
    # two means over 8 draws of the vectors, one of them rounded
    spread = np.hypot(sd, bayes.mean.std(ddof=1)) / np.sqrt(8)
    assert abs(bayes.mean.mean() - mean) < 3 * spread + 0.0005


@pytest.mark.slow
def test_worse_encoders_and_heads_cost_more():
    vectors, kappa = _vectors(5, 20), 10.0
    drawn = _sample(vectors, VonMisesFisher(kappa), 8000, 20)
    best = bayes_losses(drawn.latents, drawn.clusters, vectors, VonMisesFisher(kappa))
    squashed = drawn.latents.at[:, 0].set(0.0)
    for z, head in ((squashed, kappa * vectors), (drawn.latents, 0.7 * kappa * vectors)):
        excess = softmax_cross_entropy(z, head, drawn.clusters) - best
        assert excess.mean() > 6 * excess.std() / 8000**0.5


@pytest.mark.parametrize("num_labels", [pytest.param(30, marks=pytest.mark.slow), 33])
def test_instance_loss_adds_the_log_of_the_labels_in_a_cluster(x64, num_labels):
    vectors, law = _vectors(4, 10), VonMisesFisher(8.0)
    drawn = _sample(vectors, law, 500, num_labels)
    instance = bayes_losses(drawn.latents, drawn.labels, vectors, law, num_labels=num_labels, targets="instance")
    by_class = bayes_losses(drawn.latents, drawn.clusters, vectors, law, num_labels=num_labels)
    counts = np.bincount(np.arange(num_labels) % 10)
    np.testing.assert_allclose(instance - by_class, np.log(counts)[np.asarray(drawn.clusters)], rtol=1e-9)
    # N rows kappa v_c(i), equal for labels of one cluster, are optimal whether or not C divides N
    head = 8.0 * vectors[jnp.arange(num_labels) % 10]
    np.testing.assert_allclose(softmax_cross_entropy(drawn.latents, head, drawn.labels), instance, rtol=1e-9)
    if num_labels == 30:
        free = bayes_losses(drawn.latents, drawn.clusters, vectors, law)
        np.testing.assert_allclose(instance, free + np.log(3), rtol=1e-9)
        got = bayes_cross_entropy(jax.random.key(0), vectors, law, num_labels=30, targets="instance", num_samples=1000)
        want = bayes_cross_entropy(jax.random.key(1), vectors, law, num_samples=1000)
        assert abs(got.mean - want.mean - np.log(3)) < 4 * np.hypot(got.standard_error, want.standard_error)


def test_bayes_losses_are_log_posteriors_by_the_rule_of_bayes(x64):
    vectors, law = _vectors(3, 4), TruncatedLaplace(0.6, 1.5)
    z = jnp.asarray(np.random.default_rng(0).uniform(-1.4, 1.4, (6, 3)))
    labels = jnp.array([0, 1, 2, 3, 0, 5])
    cut = [[stats.laplace(v, 0.6) for v in row] for row in np.asarray(vectors)]

    def density(x, row):
        return np.prod([law.pdf(a) / (law.cdf(1.5) - law.cdf(-1.5)) for a, law in zip(x, row, strict=True)])

    prior = np.asarray(label_prior(6, 4, 0.5))
    joint = np.array([[p * density(x, row) for p, row in zip(prior, cut, strict=True)] for x in np.asarray(z)])
    posterior = (joint / joint.sum(axis=1, keepdims=True))[np.arange(6), np.asarray(labels) % 4]
    posterior = posterior / np.array([2, 2, 1, 1])[np.asarray(labels) % 4]
    options = {"num_labels": 6, "targets": "instance", "imbalance": 0.5}
    np.testing.assert_allclose(bayes_losses(z, labels, vectors, law, **options), -np.log(posterior), rtol=1e-8)
    noisy = bayes_losses(z, labels, vectors, law, label_noise=0.3, **options)
    np.testing.assert_allclose(noisy, -np.log(0.7 * posterior + 0.3 / 6), rtol=1e-8)
    # partners 0-1, 2-3, 4-5 (clusters 0-1, 2-3, 0-1)
    others = bayes_losses(z, labels ^ 1, vectors, law, **options)
    swapped = bayes_losses(z, labels, vectors, law, label_swaps=0.2, label_noise=0.3, **options)
    np.testing.assert_allclose(swapped, -np.log(0.7 * (0.8 * posterior + 0.2 * np.exp(-others)) + 0.3 / 6), rtol=1e-8)
    np.testing.assert_allclose(
        bayes_losses(z, labels, vectors, law, label_noise=jnp.asarray(0.0), **options), -np.log(posterior), rtol=1e-8
    )


def test_bayes_loss_of_projected_normals_is_below_that_of_any_other_score(x64):
    """Cross-entropy with the true posterior is the smallest; that of the nearest vMF is a little larger."""
    vectors, law = _vectors(4, 8), Normal(0.4)
    drawn = _sample(vectors, law, 3000, 8)
    best = bayes_losses(drawn.latents, drawn.clusters, vectors, law)
    others = [bayes_losses(drawn.latents, drawn.clusters, vectors, VonMisesFisher(k)) for k in np.geomspace(1, 30, 12)]
    excess = np.asarray(others) - np.asarray(best)[None]
    assert (excess.mean(axis=1) > -2 * excess.std(axis=1) / 3000**0.5).all()
    assert excess.mean(axis=1).min() < 0.02


def test_pure_noise_costs_the_log_of_the_number_of_labels():
    got = bayes_cross_entropy(jax.random.key(0), _vectors(3, 7), VonMisesFisher(9.0), label_noise=1.0, num_samples=50)
    np.testing.assert_allclose(got.mean, np.log(7), rtol=1e-6)


def test_affine_rank_needs_one_vector_more_than_dims(x64):
    for num, want in ((1, 0), (2, 1), (5, 4), (6, 5), (50, 5)):
        assert affine_generator_rank(_vectors(5, num)) == want
    vectors = _vectors(5, 50)
    # in a hyperplane that misses the origin: they span R^5 linearly but not affinely
    flat = vectors.at[:, 0].set(0.5)
    assert np.linalg.matrix_rank(flat) == 5 and affine_generator_rank(flat) == 4
    assert affine_generator_rank(np.asarray(flat, np.float32)) == 4


def test_diversity_rank_needs_twice_as_many_vectors_as_dims(x64):
    assert diversity_rank(_vectors(5, 9)) == 9
    assert diversity_rank(_vectors(5, 10)) == 10
    signs = jnp.asarray(np.sign(np.random.default_rng(0).normal(size=(50, 5))) / 5**0.5)
    assert diversity_rank(signs) == 6  # squares are all alike
    assert diversity_rank(_vectors(5, 200).astype(jnp.float32)) == 10


def test_regimes_satisfy_the_optimality_equation(x64):
    """beta <w_i - w_k, f(g(z))> = kappa <v_i - v_k, z>, with O (or any invertible A), and their scales."""
    rng, kappa, beta, dim = np.random.default_rng(0), 7.0, 2.0, 4
    v, z, psi = np.asarray(_vectors(dim, 6)), np.asarray(_vectors(dim, 9, 1)), rng.normal(size=dim)
    rotation, general = np.linalg.qr(rng.normal(size=(dim, dim)))[0], rng.normal(size=(dim, dim))
    want = kappa * (v[:, None] - v[None, :]) @ z.T
    for features, rows in ((True, True), (True, False), (False, True), (False, False)):
        b = kappa if features and rows else beta
        regime = predicted_relation(kappa, unit_features=features, unit_rows=rows, beta=b)
        if regime.relation == "orthogonal":
            f, w = regime.feature_scale * z @ rotation.T, regime.head_scale * v @ rotation.T
            assert not features or np.allclose(np.linalg.norm(f, axis=1), 1)
            assert not rows or np.allclose(np.linalg.norm(w, axis=1), 1)
        else:
            assert (regime.name, regime.feature_scale, regime.head_scale) == ("C4", None, None)
            f, w = z @ np.linalg.inv(general), kappa / b * v @ general.T
        w = w + psi if regime.head_offset else w
        np.testing.assert_allclose(b * (w[:, None] - w[None, :]) @ f.T, want, atol=1e-9)
    assert predicted_relation(kappa, unit_rows=True, beta=None).feature_scale is None


def test_report_of_a_covered_world_predicts_the_relation_and_the_loss():
    world = ClusterWorld(5, 100, 1000, kappa=10.0, affine_rank=5, diversity_rank=10)
    report = cross_entropy_report(
        world, CrossEntropyObjective("instance", unit_rows=True), bayes=BayesLoss(jnp.asarray(4.58), jnp.asarray(0.01))
    )
    assert report.covered and report.prediction("relation").value == "orthogonal (C3)"
    assert report.prediction("scale of features").value == 10.0 and report.prediction("scale of rows").value == 1.0
    assert report.prediction("Bayes loss").value == pytest.approx(4.58)
    assert report.prediction("loss of constant features").value == pytest.approx(np.log(1000))
    assert "uniform prior" in report.as_text()
    free = cross_entropy_report(world, CrossEntropyObjective("class"))
    assert free.prediction("relation").value == "linear (C4)"
    assert free.prediction("loss of constant features").value == pytest.approx(np.log(100))


@pytest.mark.parametrize(
    "change, objective, failed",
    [
        ({"num_clusters": 5, "num_labels": 1000}, {}, "affine generator system"),
        ({"affine_rank": 4}, {}, "affine generator system"),
        ({"num_labels": 1010}, {}, "uniform prior"),
        ({"imbalance": 0.5}, {"targets": "instance"}, "uniform prior"),
        ({"kappa": None, "conditional": "Laplace"}, {}, "von Mises-Fisher clusters"),
        ({"label_noise": 0.2}, {}, "labels tell the cluster"),
        ({"label_swaps": 0.5}, {}, "labels tell the cluster"),
        ({"mixing_is_invertible": False}, {}, "invertible mixing"),
        ({"num_clusters": 9, "num_labels": 900}, {"unit_rows": True}, "diverse data"),
        ({}, {"unit_rows": True, "unit_features": True}, "matched temperature"),
    ],
)
def test_one_failed_premise_at_a_time(change, objective, failed):
    world = ClusterWorld(**{"dim": 5, "num_clusters": 100, "num_labels": 1000, "kappa": 10.0, **change})
    report = cross_entropy_report(world, CrossEntropyObjective(**{"targets": "class", **objective}))
    assert [premise.name for premise in report.premises if premise.holds is False] == [failed]
    assert report.prediction("relation").value == "no theorem applies"
    if "num_clusters" in change and failed.startswith("affine"):
        assert report.prediction("dims that labels speak about").value == 4


def test_cases_at_the_edge_of_the_premises_are_covered():
    world = ClusterWorld(5, 9, 1000, kappa=10.0)  # neither diverse nor divisible, and neither is asked for
    assert cross_entropy_report(world, CrossEntropyObjective("instance")).covered
    both = {"unit_rows": True, "unit_features": True}
    assert cross_entropy_report(world, CrossEntropyObjective("instance", beta=10.0, **both)).covered
    assert cross_entropy_report(world, CrossEntropyObjective("instance", beta=None, **both)).covered
    assert divides(1000, 100) and not divides(1000, 9)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: ClusterWorld(5, 10, 9), "num_labels=9"),
        (lambda: ClusterWorld(5, 10, 10, kappa=0.0), "kappa=0"),
        (lambda: CrossEntropyObjective("classes"), "did you mean 'class'"),
        (lambda: CrossEntropyObjective("class", beta=-1.0), "beta=-1"),
        (lambda: predicted_relation(-1.0), "kappa=-1"),
        (lambda: affine_generator_rank(np.ones(3)), "wanted .C, d."),
        (lambda: diversity_rank(np.ones((0, 3))), "wanted .C, d."),
        (lambda: divides(3, 4), "C=4"),
        (lambda: bayes_cross_entropy(jax.random.key(0), _vectors(3, 4), _VMF, num_samples=1), "at least 2"),
        (lambda: bayes_losses(jnp.ones((2, 3)), jnp.zeros(2, int), _vectors(4, 4), _VMF), "wanted .S, d."),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()
