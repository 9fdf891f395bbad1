"""Clusters on the sphere: laws of labels, cluster vectors and latents; label noise and swaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import ive

from identax.dgp import (
    Box,
    GeneralizedNormal,
    Laplace,
    Normal,
    Sphere,
    TruncatedLaplace,
    VonMisesFisher,
    cluster_of,
    identity,
    label_noise,
    label_prior,
    random_invertible_mlp,
    sphere_clusters,
    swap_labels,
)

D, C, N, NUM = 4, 6, 20, 20_000


def _draw(conditional, num=NUM, **options):
    world = sphere_clusters(D, C, conditional, identity(), num_labels=N, **options)
    truth = world.init(jax.random.key(3))
    return truth, jax.jit(world.sample, static_argnums=2)(truth, jax.random.key(4), num)


def test_labels_are_uniform_and_clusters_follow_from_them(assert_mean):
    truth, drawn = _draw(VonMisesFisher(10.0))
    np.testing.assert_array_equal(drawn.clusters, np.asarray(drawn.labels) % C)
    assert_mean(np.eye(N)[np.asarray(drawn.labels)], np.full(N, 1 / N))
    # C does not divide N: the first two clusters have 4 labels, the others 3.
    prior = np.array([4, 4, 3, 3, 3, 3]) / N
    np.testing.assert_allclose(label_prior(N, C), prior, rtol=1e-6)
    assert_mean(np.eye(C)[np.asarray(drawn.clusters)], prior)
    np.testing.assert_allclose(jnp.linalg.norm(truth["vectors"], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(drawn.observations, drawn.latents)


@pytest.mark.parametrize(
    "conditional, spread",
    [
        (Laplace(1.0), lambda rng, shape: rng.laplace(size=shape)),
        (Normal(0.5), lambda rng, shape: 0.5 * rng.normal(size=shape)),
        # alpha is a scale: exp(-|x/alpha|^3) has standard deviation alpha sqrt(Gamma(1)/Gamma(1/3))
        (
            GeneralizedNormal(3.0, 0.7),
            lambda rng, shape: stats.gennorm.rvs(3.0, scale=0.7, size=shape, random_state=rng),
        ),
    ],
)
def test_projected_conditionals_have_the_law_of_projected_noise(conditional, spread):
    truth, drawn = _draw(conditional, 8000)
    np.testing.assert_allclose(jnp.linalg.norm(drawn.latents, axis=1), 1.0, rtol=1e-5)
    vectors = np.asarray(truth["vectors"])[np.asarray(drawn.clusters)]
    rng = np.random.default_rng(0)
    want = vectors + spread(rng, vectors.shape)
    want = want / np.linalg.norm(want, axis=1, keepdims=True)
    for direction in (vectors, np.eye(D)[[0]]):
        got = (np.asarray(drawn.latents) * direction).sum(axis=1)
        assert stats.ks_2samp(got, (want * direction).sum(axis=1)).pvalue > 1e-4


def test_vmf_latents_have_the_mean_resultant_of_their_concentration(assert_mean):
    truth, drawn = _draw(VonMisesFisher(10.0))
    cosine = (np.asarray(drawn.latents) * np.asarray(truth["vectors"])[np.asarray(drawn.clusters)]).sum(axis=1)
    assert_mean(cosine, ive(D / 2, 10.0) / ive(D / 2 - 1, 10.0))


def test_truncated_laplace_is_the_law_cut_by_an_absolute_box_and_stays_off_the_sphere():
    scale, bound = 0.8, 1.2
    truth, drawn = _draw(TruncatedLaplace(scale, bound))
    z, vectors = np.asarray(drawn.latents, float), np.asarray(truth["vectors"], float)
    assert np.abs(z).max() <= bound and np.abs(z).max() > bound - 0.01
    assert np.std(np.linalg.norm(z, axis=1)) > 0.1
    for cluster in range(2):
        for k in range(2):
            law = stats.laplace(vectors[cluster, k], scale)
            low, high = law.cdf([-bound, bound])
            mine = z[np.asarray(drawn.clusters) == cluster, k]
            assert stats.kstest(mine, lambda x, a=low, b=high, law=law: (law.cdf(x) - a) / (b - a)).pvalue > 1e-4


def test_density_of_the_truncated_laplace(x64):
    law, center = TruncatedLaplace(0.5, 1.1), Sphere(D).uniform(jax.random.key(0), 3)
    value = jnp.asarray(np.random.default_rng(0).uniform(-1.0, 1.0, (3, D)))
    cut = [stats.laplace(c, 0.5) for c in np.asarray(center)]
    want = [(law.logpdf(x) - np.log(law.cdf(1.1) - law.cdf(-1.1))).sum() for law, x in zip(cut, value, strict=True)]
    np.testing.assert_allclose(law.log_prob(value, center), want, rtol=1e-10)
    assert law.log_prob(value.at[0, 0].set(1.2), center)[0] == -np.inf


@pytest.mark.parametrize("marginal", [Laplace(1.0), Normal(1.0), GeneralizedNormal(3.0, 1.0)])
def test_cluster_vectors_gather_around_the_first_axis(marginal):
    world = sphere_clusters(D, 4000, VonMisesFisher(1.0), identity(), marginal=marginal)
    vectors = np.asarray(jax.jit(world.init)(jax.random.key(0))["vectors"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert vectors[:, 0].mean() > 0.3 and np.abs(vectors[:, 1:].mean(axis=0)).max() < 0.06


def test_parameters_are_traced_and_change_the_draw():
    world = sphere_clusters(D, C, VonMisesFisher(1.0), random_invertible_mlp(D, num_layers=4, pool_size=50))

    @jax.jit
    @jax.vmap
    def mean_cosine(kappa):
        truth = world.init(jax.random.key(0), conditional=VonMisesFisher(kappa))
        drawn = world.sample(truth, jax.random.key(1), 500)
        return (drawn.latents * truth["vectors"][drawn.clusters]).sum(axis=1).mean()

    low, high = mean_cosine(jnp.array([1.0, 50.0]))
    assert low < 0.5 < 0.9 < high


def test_imbalance_is_a_power_law_over_clusters(assert_mean):
    _, drawn = _draw(VonMisesFisher(10.0), imbalance=1.0)
    weights = np.array([4, 4, 3, 3, 3, 3]) / np.arange(1, C + 1)
    np.testing.assert_allclose(label_prior(N, C, 1.0), weights / weights.sum(), rtol=1e-6)
    assert_mean(np.eye(C)[np.asarray(drawn.clusters)], weights / weights.sum())
    mine = np.asarray(drawn.labels)[np.asarray(drawn.clusters) == 1]
    assert_mean(np.eye(N)[mine][:, [1, 7, 13, 19]], np.full(4, 1 / 4))
    assert np.asarray(drawn.labels).max() < N


def test_label_noise_replaces_by_uniform_labels(assert_mean):
    labels = jnp.full(NUM, 2)
    noisy = np.asarray(label_noise(jax.random.key(0), labels, 0.6, 5))
    assert_mean(np.eye(5)[noisy], np.full(5, 0.12) + 0.4 * np.eye(5)[2])
    np.testing.assert_array_equal(label_noise(jax.random.key(0), labels, 0.0, 5), labels)
    assert_mean(np.eye(5)[np.asarray(label_noise(jax.random.key(0), labels, 1.0, 5))], np.full(5, 0.2))


def test_swaps_exchange_the_clusters_of_a_pair(assert_mean):
    labels = jnp.arange(N)
    all_swapped = np.asarray(swap_labels(jax.random.key(0), labels, 1.0, N, C))
    # a renaming: 18 <-> 19 have partners of their own, every label is met once
    np.testing.assert_array_equal(np.sort(all_swapped), np.arange(N))
    np.testing.assert_array_equal(cluster_of(jnp.asarray(all_swapped), C), (np.arange(N) % C) ^ 1)
    odd = np.asarray(swap_labels(jax.random.key(0), jnp.arange(7), 1.0, 7, 3))
    np.testing.assert_array_equal(odd, [1, 0, 2, 4, 3, 5, 6])  # cluster 2 has no partner, label 6 neither
    half = swap_labels(jax.random.key(1), jnp.zeros(NUM, jnp.int32), 0.5, N, C)
    assert_mean(np.asarray(half), 0.5)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: sphere_clusters(1, 2, VonMisesFisher(1.0), identity()), "dim=1"),
        (lambda: sphere_clusters(3, 5, VonMisesFisher(1.0), identity(), num_labels=4), "num_labels=4"),
        (lambda: sphere_clusters(3, 0, VonMisesFisher(1.0), identity()), "num_clusters=0"),
        (lambda: sphere_clusters(3, 5, VonMisesFisher(0.0), identity()), "kappa=0"),
        (lambda: sphere_clusters(3, 5, VonMisesFisher(1.0), identity(), imbalance=-1.0), "imbalance=-1"),
        (lambda: sphere_clusters(2, 9, TruncatedLaplace(1.0, 0.7), identity()).init(jax.random.key(0)), "bound=0.7"),
        (
            lambda: sphere_clusters(2, 9, VonMisesFisher(1.0), identity()).init(
                jax.random.key(0), conditional=Laplace(1.0)
            ),
            "wanted a VonMisesFisher",
        ),
        (lambda: TruncatedLaplace(-1.0), "scale=-1"),
        (lambda: TruncatedLaplace(1.0).check(Box(2)), "wanted a Sphere"),
        (lambda: label_noise(jax.random.key(0), jnp.arange(3), 1.5, 3), "probability=1.5"),
        (lambda: label_noise(jax.random.key(0), jnp.arange(3), 0.5, 0), "num_labels=0"),
        (lambda: swap_labels(jax.random.key(0), jnp.arange(3), -0.1, 3, 3), "probability=-0.1"),
        (lambda: swap_labels(jax.random.key(0), jnp.arange(3), 0.5, 3, 4), "num_clusters=4"),
        (lambda: sphere_clusters(3, 5, VonMisesFisher(1.0), identity()).sample({}, jax.random.key(0), 0), "num=0"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, jnp.uint8])
def test_labels_of_narrow_types_are_the_numbers_they_were(getkey, kind):
    # In uint8 the 1,000 labels and 300 clusters would be others: 1000 mod 256, 300 mod 256.
    labels = np.arange(100, 128)
    given = kind(labels) if kind is not jnp.uint8 else jnp.asarray(labels, jnp.uint8)
    key = getkey()
    np.testing.assert_array_equal(cluster_of(given, 300), labels % 300)
    np.testing.assert_array_equal(swap_labels(key, given, 1.0, 1000, 300), swap_labels(key, labels, 1.0, 1000, 300))
    noisy = label_noise(key, given, 1.0, 1000)
    np.testing.assert_array_equal(noisy, label_noise(key, labels, 1.0, 1000))
    assert noisy.dtype == jnp.int32 and noisy.max() > 255


@pytest.mark.parametrize("labels", [np.ones(3), np.ones(3, bool), ["a", "b"], np.ones(3, complex)], ids=str)
def test_labels_that_are_no_integers_are_refused(getkey, labels):
    for call in (
        lambda: cluster_of(labels, 2),
        lambda: label_noise(getkey(), labels, 0.5, 2),
        lambda: swap_labels(getkey(), labels, 0.5, 2, 2),
    ):
        with pytest.raises(ValueError, match=r"found labels of type .*, wanted (integers|real numbers)"):
            call()
    with pytest.raises(ValueError, match="cluster_of: found num_clusters=0, wanted at least 1"):
        cluster_of(np.arange(3), 0)
