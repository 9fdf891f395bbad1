import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from identax.dgp import Box, Euclidean, GeneralizedNormal, Laplace, Normal, Sphere, Uniform, VonMisesFisher
from identax.dgp.truncated import truncated_generalized_normal, truncated_laplace, truncated_normal

LAWS = [
    (Normal(0.3), stats.norm(scale=0.3)),
    (Laplace(0.2), stats.laplace(scale=0.2)),
    (GeneralizedNormal(3.0, 0.4), stats.gennorm(3.0, scale=0.4)),
    (GeneralizedNormal(1.5, 0.1), stats.gennorm(1.5, scale=0.1)),
]
IDS = ["normal", "laplace", "gennorm3", "gennorm1.5"]
DENSITY = jax.jit(lambda law, value, mean, space: law.log_prob(value, mean, space), static_argnums=3)
DRAW = jax.jit(lambda law, key, mean, space: law.sample(key, mean, space), static_argnums=3)


@pytest.mark.parametrize("law, reference", LAWS, ids=IDS)
def test_unconstrained_moments_and_density(getkey, assert_mean, x64, law, reference):
    mean = jnp.broadcast_to(jnp.array([-1.0, 0.5]), (30_000, 2))
    noise = DRAW(law, getkey(), mean, Euclidean(2)) - mean
    for power in (1, 2, 4):
        assert_mean(noise**power, reference.moment(power))
    value = mean[:50] + noise[:50]
    expected = reference.logpdf(np.asarray(noise[:50])).sum(axis=1)
    np.testing.assert_allclose(DENSITY(law, value, mean[:50], None), expected, rtol=1e-10)


@pytest.mark.parametrize("law, reference", LAWS, ids=IDS)
def test_box_truncates_every_coordinate_exactly(getkey, x64, law, reference):
    space = Box(3, -0.5, 1.0)
    anchor = jnp.array([-0.5, 0.1, 0.98])
    drawn = np.asarray(DRAW(law, getkey(), jnp.broadcast_to(anchor, (20_000, 3)), space))
    assert ((drawn >= -0.5) & (drawn <= 1.0)).all()
    for i, center in enumerate(np.asarray(anchor)):
        low, high = reference.cdf(-0.5 - center), reference.cdf(1.0 - center)
        test = stats.kstest(drawn[:, i], lambda x, c=center, a=low, b=high: (reference.cdf(x - c) - a) / (b - a))
        assert test.pvalue > 1e-6
    uniform_scores = [
        (reference.cdf(drawn[:, i] - c) - reference.cdf(-0.5 - c)) for i, c in enumerate(np.asarray(anchor))
    ]
    correlation = np.corrcoef(uniform_scores) - np.eye(3)
    assert np.abs(correlation).max() < 6 / np.sqrt(20_000)


@pytest.mark.slow
@pytest.mark.parametrize("law, reference", LAWS, ids=IDS)
def test_box_density_is_normalised(x64, law, reference):
    space = Box(1, -0.5, 1.0)
    grid, weights = np.polynomial.legendre.leggauss(400)
    for center in (-0.5, 0.2, 1.3, -2.0):
        # split at the centre, where Laplace has a kink
        pieces = np.unique(np.clip([-0.5, center, 1.0], -0.5, 1.0))
        total = 0.0
        for a, b in itertools.pairwise(pieces):
            value = jnp.asarray(a + (b - a) * (grid[:, None] + 1) / 2)
            density = jnp.exp(DENSITY(law, value, jnp.full_like(value, center), space))
            total += (b - a) / 2 * (weights * np.asarray(density)).sum()
        assert total == pytest.approx(1, abs=1e-8)
    outside = law.log_prob(jnp.array([[1.01]]), jnp.array([[0.3]]), space)
    assert outside.tolist() == [-np.inf]


LOWS = np.array([0.0, 4.0, 9.0, 30.0, -1.0], np.float32)
HIGHS = np.array([3.0, 5.0, 49.0, 32.0, 0.001], np.float32)


def _excess_moments(low, high, p, scale):
    """E (x - low) and E (x - low)^2 of the density prop. to exp(-scale |x|^p) on [low, high], by quadrature."""
    # beyond 30 decay lengths there is nothing left to integrate
    reach = min(high, low + 30 / max(scale * p * max(low, 0) ** (p - 1), 1.0))
    breaks = [0.0] if low < 0 < reach else None

    def moment(k):
        return integrate.quad(
            lambda x: (x - low) ** k * np.exp(-scale * (abs(x) ** p - max(low, 0.0) ** p)), low, reach, points=breaks
        )[0]

    return [moment(k) / moment(0) for k in (1, 2)]


@pytest.mark.parametrize(
    "p, sampler",
    [
        (1, truncated_laplace),
        (2, truncated_normal),
        (1, lambda key, low, high: truncated_generalized_normal(key, low, high, jnp.asarray(1.0))),
        (3, lambda key, low, high: truncated_generalized_normal(key, low, high, jnp.asarray(3.0))),
    ],
    ids=["laplace", "normal", "gennorm1", "gennorm3"],
)
def test_float32_tails(getkey, assert_mean, p, sampler):
    """Far from the centre a float32 distribution function is 1; both signs, against quadrature."""
    num = 20_000
    low, high = np.repeat(LOWS, num), np.repeat(HIGHS, num)
    signs = np.tile(np.repeat([1.0, -1.0], num // 2), len(LOWS)).astype(np.float32)
    bounds = np.where(signs > 0, low, -high), np.where(signs > 0, high, -low)
    drawn = np.asarray(jax.jit(sampler)(getkey(), *map(jnp.asarray, bounds))) * signs
    assert ((drawn >= low) & (drawn <= high)).all()
    for excess, start, end in zip((drawn - low).reshape(-1, num).astype(float), LOWS, HIGHS, strict=True):
        first, second = _excess_moments(float(start), float(end), p, 0.5 if p == 2 else 1.0)
        for half in (excess[: num // 2], excess[num // 2 :]):
            if first > 1e-2 * start or start == 0:
                assert_mean(half, first)
                assert_mean(half**2, second)
            else:  # here the spacing of float32 decides, not the law
                assert half.mean() == pytest.approx(first, rel=0.1, abs=1e-6 * float(start))


def test_sphere_draws_are_projected_and_scale_with_the_radius(getkey):
    law = Laplace(0.2)
    key = getkey()
    anchor = Sphere(4, 3.0).uniform(getkey(), 500)
    drawn = DRAW(law, key, anchor, Sphere(4, 3.0))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 3.0, rtol=1e-5)
    free = DRAW(law, key, anchor, Euclidean(4))
    np.testing.assert_allclose(drawn, Sphere(4, 3.0).project(free), rtol=1e-5)


@pytest.mark.slow
def test_gradients_flow_through_inverse_distribution_functions(x64):
    key, mean = jax.random.key(1), jnp.array([[0.0, 0.4], [0.9, 1.0]])
    for kind in (Normal, Laplace):

        @jax.jit
        def total(scale, kind=kind):
            return (kind(scale).sample(key, mean, Box(2)) ** 2).sum()

        step = 1e-6
        numeric = (total(0.3 + step) - total(0.3 - step)) / (2 * step)
        np.testing.assert_allclose(jax.jit(jax.grad(total))(jnp.asarray(0.3)), numeric, rtol=1e-6)
        density_grad = jax.jit(jax.grad(lambda law: law.log_prob(mean * 0.9, mean, Box(2)).sum()))
        law_grad = density_grad(kind(jnp.asarray(0.3)))
        assert isinstance(law_grad, kind) and np.isfinite(jax.tree.leaves(law_grad)[0])


def test_parameters_can_be_vmapped_and_be_vectors(getkey):
    mean = jnp.zeros((2000, 3))
    laws = Normal(jnp.array([0.1, 1.0]))
    drawn = jax.vmap(lambda law, key: law.sample(key, mean))(laws, jax.random.split(getkey(), 2))
    np.testing.assert_allclose(drawn.std(axis=(1, 2)), [0.1, 1.0], rtol=0.1)
    per_axis = Laplace(jnp.array([0.1, 1.0, 5.0])).sample(getkey(), mean).std(axis=0)
    np.testing.assert_allclose(per_axis, np.sqrt(2) * np.array([0.1, 1.0, 5.0]), rtol=0.15)


def test_uniform_and_marginals_around_a_centre(getkey):
    assert Uniform().marginal(getkey(), 7, Box(2)).shape == (7, 2)
    density = Uniform().log_prob(jnp.array([[0.5, 0.5], [0.5, 1.5]]), jnp.zeros((2, 2)), Box(2, 0.0, 2.0))
    np.testing.assert_allclose(density, [-np.log(4), -np.log(4)], rtol=1e-6)
    on_sphere = Normal(0.1).marginal(getkey(), 500, Sphere(3, 2.0))
    np.testing.assert_allclose(on_sphere.mean(axis=0) / 2, [0.99, 0, 0], atol=0.03)  # around radius * e_1
    moved = Normal(0.1).marginal(getkey(), 500, Euclidean(2), jnp.array([3.0, -3.0]))
    np.testing.assert_allclose(moved.mean(axis=0), [3.0, -3.0], atol=0.03)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: Normal(0.0), "std=0.0"),
        (lambda: Laplace(-1.0), "scale=-1.0"),
        (lambda: GeneralizedNormal(0.0), "p=0.0"),
        (lambda: GeneralizedNormal(3.0, float("inf")), "scale=inf"),
        (lambda: GeneralizedNormal(0.5).sample(jax.random.key(0), jnp.zeros((1, 2)), Box(2)), "p=0.5"),
        (lambda: Uniform().sample(jax.random.key(0), jnp.zeros((1, 2)), Euclidean(2)), "Euclidean"),
        (lambda: Normal(1.0).sample(jax.random.key(0), jnp.zeros((1, 2)), Box(3)), "n=3"),
        (lambda: Laplace(1.0).log_prob(jnp.ones((1, 2)), jnp.ones((1, 2)), Sphere(2)), "Sphere"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()


LAWS_OF_INTEGERS = {"uniform": Uniform(), "normal": Normal(0.3), "vMF": VonMisesFisher(0.3)}


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS_OF_INTEGERS)
def test_integers_are_points_like_any_other(getkey, law):
    # A scale of 0.3 that took their type would be 0.
    law, key, corners = LAWS_OF_INTEGERS[law], getkey(), np.eye(3, dtype=int)
    sample = jax.jit(law.sample)
    wanted = sample(key, jnp.eye(3))
    for given in (corners, jnp.asarray(corners, jnp.int8)):
        found = sample(key, given)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert found.dtype == wanted.dtype
    if not isinstance(law, VonMisesFisher):  # a rejection sampler: a second to compile
        np.testing.assert_allclose(law.sample(key, corners.tolist()), wanted, atol=1e-6)
    np.testing.assert_array_equal(law.log_prob(corners, corners[::-1]), law.log_prob(jnp.eye(3), jnp.eye(3)[::-1]))
    with pytest.raises(ValueError, match=r"found mean of type complex.*, wanted real numbers"):
        law.sample(key, jnp.eye(3) + 0j)
