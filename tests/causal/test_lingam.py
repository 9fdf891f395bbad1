"""The two-variable direction agrees with causal-learn's DirectLiNGAM, and stays defined where nothing is left."""

import jax
import numpy as np
import pytest

from identax.causal import pairwise_lingam


def _pair(seed, n, law, slope, reverse):
    draw = getattr(np.random.default_rng(seed), law)
    cause = draw(size=n)
    effect = slope * cause + draw(size=n) + 3
    return (effect, cause) if reverse else (cause, effect)


# Made once with causal-learn 0.1.4.8, scikit-learn 1.9.1, NumPy 2.4.6: the difference of entropies at least-squares
# residuals; at its own, whose slope is a covariance of divisor n - 1 over a variance of divisor n; what it decides.
ROWS = [
    (0, 40, "laplace", 1.0, False, 0.11730081735472675, 0.12152514148518323, 0),
    (1, 40, "laplace", 1.0, True, -0.10542835963644315, -0.10274339839587743, 1),
    (2, 300, "uniform", 0.7, False, 0.10225474089532449, 0.10236009367353072, 0),
    (3, 300, "uniform", -2.0, True, -0.07868307392589058, -0.07842241303679653, 1),
    (4, 300, "exponential", 0.15, False, 0.09539604947057878, 0.09571339867104722, 0),
    (5, 300, "laplace", 0.0, True, -0.011926914387224041, -0.011975562912323046, 2),
    (6, 300, "exponential", 0.12, True, -0.040475078442439916, -0.040648410676129565, 1),
    (7, 40, "laplace", 0.0, False, 0.007019588078198691, 0.0073105045195718255, 2),
    (8, 40, "uniform", 0.3, False, -0.0023043515636267387, -0.0020454998605305974, 2),
    (9, 40, "uniform", 0.3, True, -0.08764616149122828, -0.08977098817448548, 1),
]


def test_agrees_with_the_package(x64):
    for num in (40, 300):
        rows = [row for row in ROWS if row[1] == num]
        x, y = (np.stack(columns) for columns in zip(*(_pair(*row[:5]) for row in rows), strict=True))
        found = pairwise_lingam(x, y)
        np.testing.assert_allclose(found.likelihood_ratio, [row[5] for row in rows], atol=1e-12)
        np.testing.assert_allclose(found.likelihood_ratio, [row[6] for row in rows], atol=0.2 / num)
        np.testing.assert_array_equal(found.structure, [row[7] for row in rows])
        swapped = pairwise_lingam(y, x)
        np.testing.assert_allclose(swapped.likelihood_ratio, -found.likelihood_ratio, atol=1e-12)
        one = pairwise_lingam(x[0], y[0])
        assert one.structure.shape == () and one.structure == found.structure[0]


def test_without_noise_or_variation_and_far_from_zero():
    x = np.random.default_rng(0).laplace(size=(4, 50)).astype(np.float32)
    y = np.stack([2 * x[0], np.full(50, 7.0), x[2] + 1e6, -x[3]])
    found = pairwise_lingam(x, y)
    np.testing.assert_array_equal(found.structure != 2, [True, False, True, True])
    np.testing.assert_allclose(found.likelihood_ratio[np.array([0, 3])], 0, atol=1e-4)
    assert np.isfinite(found.likelihood_ratio).all() and found.t_squared[1] == 0
    np.testing.assert_array_equal(jax.vmap(pairwise_lingam)(x, y.astype(np.float32)).structure[:2], found.structure[:2])
    broken = jax.jit(pairwise_lingam)(x, np.where(np.eye(4, 50) > 0, np.nan, y))
    assert np.isnan(np.stack(broken[1:])).all() and (broken.structure == 2).all()


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: pairwise_lingam(np.ones(5), np.ones(6)), r"shapes \(5,\) and \(6,\), wanted both \[n\] or \[B, n\]"),
        (lambda: pairwise_lingam(np.ones(3), np.ones(3)), "n >= 4"),
        (lambda: pairwise_lingam(np.ones((2, 5, 1)), np.ones((2, 5, 1))), r"\(2, 5, 1\)"),
        (lambda: pairwise_lingam(np.array([1, 2, 3, np.nan]), np.arange(4.0)), "found 1 non-finite entries in x"),
    ],
)
def test_bad_input(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
