"""Reweighting, signed precision, ensembles and the losses beside InfoNCE: against formulas, SciPy and quadrature."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from identax.losses import (
    alignment,
    alignment_uniformity,
    aninfonce,
    cross_entropy_to_laplace,
    cross_entropy_to_normal,
    ensemble,
    infonce,
    jacobian_determinant,
    normal_entropy,
    r2_loss,
    slow_vae,
    uniformity,
)

N, M, DIM = 6, 4, 3
PRECISION = np.array([4.0, 1.0, 0.3])


def _arrays(seed=0, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def _reweighted(positive, negatives, beta, weights_from=None):
    """The definition, one anchor: weights ~ exp(beta s) of mean 1, of other logits where they are to stand still."""
    weights = np.exp(beta * (negatives if weights_from is None else weights_from))
    return -positive + np.log(np.exp(positive) + (weights / weights.mean() * np.exp(negatives)).sum())


def _mahalanobis(u, v):
    return -0.5 * (PRECISION * (u - v) ** 2).sum(-1)


def test_reweighted_negatives_are_those_of_the_definition(x64):
    a, b, c = _arrays(0, (N, DIM), (N, DIM), (N, M, DIM))
    precision = jnp.asarray(PRECISION)
    got = aninfonce(a, b, precision, negatives=c, reweighting=0.7)
    want = [_reweighted(_mahalanobis(a[i], b[i]), _mahalanobis(a[i], c[i]), 0.7) for i in range(N)]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    got = aninfonce(a, b, precision, reweighting=jnp.asarray(0.7))
    for i in range(N):
        others = [k for k in range(N) if k != i]
        first = _mahalanobis(a[i], np.concatenate([a[others], b[others]]))
        second = _mahalanobis(b[i], np.concatenate([a[others], b[others]]))
        positive = _mahalanobis(a[i], b[i])
        want = [_reweighted(positive, first, 0.7), _reweighted(positive, second, 0.7)]
        np.testing.assert_allclose([got[i], got[N + i]], want, rtol=1e-12)


def test_weights_stand_still_in_the_gradient(x64):
    a, b, c, step = _arrays(1, (N, DIM), (N, DIM), (N, M, DIM), (N, DIM))

    def value(t):
        moved = a + t * step
        return sum(
            _reweighted(
                _mahalanobis(moved[i], b[i]), _mahalanobis(moved[i], c[i]), 0.7, weights_from=_mahalanobis(a[i], c[i])
            )
            for i in range(N)
        )

    grad = jax.grad(lambda z: aninfonce(z, b, jnp.asarray(PRECISION), negatives=c, reweighting=0.7).sum())(a)
    np.testing.assert_allclose((grad * step).sum(), (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-7)


def test_no_reweighting_is_the_plain_loss_static_or_traced(x64):
    a, b = _arrays(2, (N, DIM), (N, DIM))
    plain = infonce(a, b, scheme="one_view_with_self")
    np.testing.assert_array_equal(infonce(a, b, scheme="one_view_with_self", reweighting=0.0), plain)
    swept = jax.jit(jax.vmap(lambda beta: infonce(a, b, scheme="one_view_with_self", reweighting=beta)))(
        jnp.array([0.0, 2.0])
    )
    np.testing.assert_allclose(swept[0], plain, rtol=1e-12)
    assert (swept[1] > plain).all()  # hard negatives count more


def test_signed_precision_is_the_same_formula(x64):
    a, b, c = _arrays(3, (N, DIM), (N, DIM), (N, M, DIM))
    precision = np.array([2.0, 0.0, -0.5])
    logits = -0.5 * (precision * (a[:, None] - c) ** 2).sum(-1)
    positive = -0.5 * (precision * (a - b) ** 2).sum(-1)
    want = -positive + np.log(np.exp(positive) + np.exp(logits).sum(1))
    np.testing.assert_allclose(aninfonce(a, b, jnp.asarray(precision), negatives=c, signed=True), want, rtol=1e-12)
    # a precision of 0 is the loss without that dim
    kept = aninfonce(a[:, :1], b[:, :1], jnp.array([2.0]), block_size=2)
    got = aninfonce(a, b, jnp.array([2.0, 0.0, 0.0]), signed=True, block_size=2)
    np.testing.assert_allclose(got, kept, rtol=1e-12)


def test_ensemble_is_the_weighted_sum():
    first, second = jnp.arange(3.0), jnp.array([1.0, 0.0, 5.0])
    np.testing.assert_allclose(ensemble([first, second]), [0.5, 0.5, 3.5])
    np.testing.assert_allclose(ensemble([first, second], [2, 1]), [1.0, 2.0, 9.0])
    np.testing.assert_allclose(jax.jit(ensemble)((first, second), jnp.array([0.0, 3.0])), 3 * second)


@pytest.mark.parametrize("p", [1, 2, 3, 0.5])
def test_alignment_and_uniformity(x64, p):
    a, b, c = _arrays(4, (N, DIM), (N, DIM), (N, DIM))
    want_a = (np.abs(a - b) ** p).sum(1)
    want_u = np.log(np.exp(-(np.abs(a[:, None] - c[None]) ** p).sum(-1)).mean(axis=0))
    np.testing.assert_allclose(alignment(a, b, p=p), want_a, rtol=1e-12)
    np.testing.assert_allclose(uniformity(a, c, p=p), want_u, rtol=1e-10)
    got = alignment_uniformity(a, b, c, alpha=0.3, p=p)
    np.testing.assert_allclose(got, 0.7 * want_a + 0.3 * want_u, rtol=1e-10)
    both = alignment_uniformity(a, b, p=p)
    np.testing.assert_allclose(both, 0.5 * want_a + 0.5 * uniformity(a, a, p=p), rtol=1e-10)
    assert np.isfinite(jax.grad(lambda z: alignment_uniformity(z, b, p=p).sum())(a)).all()


def test_r2_is_that_of_the_definition(x64):
    prediction, target = _arrays(5, (50, DIM), (50, DIM))
    want = 1 - ((target - prediction) ** 2).mean(0) / target.var(0)
    np.testing.assert_allclose(r2_loss(prediction, target, reduction="none"), want, rtol=1e-12)
    np.testing.assert_allclose(r2_loss(prediction, target), want.mean(), rtol=1e-12)
    np.testing.assert_allclose(r2_loss(prediction, target, reduction="sum", negative=True), -want.sum(), rtol=1e-12)
    np.testing.assert_allclose(r2_loss(target, target), 1.0)


def test_jacobian_determinant_and_its_gradient(x64):
    (weights, z) = _arrays(6, (4, 4), (5, 4))
    weights[0, 0] = 0.0  # elimination without pivoting would divide by it

    def total(weights, z):
        return jacobian_determinant(lambda row: jnp.tanh(weights @ row), z).mean()

    slopes = 1 - np.tanh(z @ weights.T) ** 2
    want = np.abs(np.linalg.det(weights)) * slopes.prod(axis=1)
    np.testing.assert_allclose(jacobian_determinant(lambda row: jnp.tanh(weights @ row), z), want, rtol=1e-11)
    step = np.random.default_rng(1).normal(size=(4, 4))
    step[0, 0] = 0.0
    grad = jax.jit(jax.grad(total))(weights, z)
    numeric = (total(weights + 1e-6 * step, z) - total(weights - 1e-6 * step, z)) / 2e-6
    np.testing.assert_allclose((grad * step).sum(), numeric, rtol=1e-6)
    singular = jacobian_determinant(lambda row: jnp.array([[1.0, 2.0], [2.0, 4.0]]) @ row, z[:, :2])
    np.testing.assert_allclose(singular, 0.0, atol=1e-15)


@pytest.mark.parametrize("mean, log_variance", [(0.0, 0.0), (0.7, -1.0), (-2.0, 0.5)])
def test_entropies_by_quadrature(x64, mean, log_variance):
    law = stats.norm(mean, np.exp(log_variance / 2))

    def expected(log_density):
        return -quad(lambda x: law.pdf(x) * log_density(x), mean - 30, mean + 30, points=[0.0, mean], limit=200)[0]  # pyright: ignore

    args = (jnp.asarray(mean), jnp.asarray(log_variance))
    np.testing.assert_allclose(normal_entropy(args[1]), law.entropy(), rtol=1e-12)
    np.testing.assert_allclose(cross_entropy_to_normal(*args), expected(stats.norm.logpdf), rtol=1e-8)
    laplace = stats.laplace(scale=1 / 6).logpdf
    np.testing.assert_allclose(cross_entropy_to_laplace(*args, 6.0), expected(laplace), rtol=1e-8)


def test_slow_vae_reduces_as_the_published_loss(x64):
    """Frames stacked as there: entropy and normal cross-entropy are means over 2N rows, the Laplace term over N."""
    nll, m0, m1, v0, v1 = _arrays(7, (N,), (N, DIM), (N, DIM), (N, DIM), (N, DIM))
    beta, gamma, rate = 0.7, 3.0, 2.5
    entropy = normal = laplace = 0.0
    for mean, log_variance in [*zip(m0, v0, strict=True), *zip(m1, v1, strict=True)]:
        for m, v in zip(mean, log_variance, strict=True):
            entropy += 0.5 * (v + math.log(2 * math.pi * math.e)) / (2 * N)
            normal += (0.5 * (m**2 + math.exp(v)) + math.log(math.sqrt(2 * math.pi))) / (2 * N)
    for here, there, log_variance in [*zip(m0, m1, v0, strict=True), *zip(m1, m0, v1, strict=True)]:
        for m, v in zip(here - there, log_variance, strict=True):
            sigma = math.exp(0.5 * v)
            inside = sigma * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * sigma**2))
            laplace += (-math.log(rate / 2) + rate * inside - rate * m * (1 - 2 * stats.norm.cdf(m / sigma))) / N
    want = 2 * nll.mean() + beta * (normal - entropy) + gamma * (laplace - entropy)
    got = slow_vae(nll, (m0, m1), (v0, v1), beta=beta, gamma=gamma, rate=rate)
    assert got.shape == (N,)
    np.testing.assert_allclose(got.mean(), want, rtol=1e-12)
    # One value per pair: a pair alone has the value that it has among others.
    alone = slow_vae(nll[2:3], (m0[2:3], m1[2:3]), (v0[2:3], v1[2:3]), beta=beta, gamma=gamma, rate=rate)
    np.testing.assert_allclose(alone, got[2:3], rtol=1e-12)


GOOD = np.ones((N, DIM), np.float32)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: infonce(GOOD, GOOD, reweighting=-0.1), "reweighting=-0.1"),
        (lambda: infonce(GOOD, GOOD, reweighting=jnp.ones(2)), "reweighting of shape"),
        (lambda: aninfonce(GOOD, GOOD, -jnp.ones(DIM)), "signed=True permits"),
        (lambda: aninfonce(GOOD, GOOD, jnp.full(DIM, jnp.nan), signed=True), "finite"),
        (lambda: alignment(GOOD, GOOD[:2]), "one shape"),
        (lambda: alignment(GOOD, GOOD, p=0), "p=0"),
        (lambda: uniformity(GOOD, GOOD[:, :2]), "others of shape"),
        (lambda: alignment_uniformity(GOOD, GOOD, alpha=1.5), "alpha=1.5"),
        (lambda: r2_loss(GOOD, GOOD, reduction="avg"), "reduction='avg'"),
        (lambda: jacobian_determinant(lambda row: row[:2], GOOD), r"wanted \(3,\)"),
        (lambda: ensemble([]), "K >= 1"),
        (lambda: ensemble([jnp.ones(3), jnp.ones(2)]), "one shape"),
        (lambda: ensemble([jnp.ones(3)], [1.0, 2.0]), "2 weights for 1 losses"),
        (lambda: slow_vae(GOOD[:, 0], (GOOD, GOOD), (GOOD, GOOD[:2])), "slow_vae: found"),
        (lambda: slow_vae(GOOD[:, 0], (GOOD, GOOD), (GOOD, GOOD), rate=-1.0), "rate=-1"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
