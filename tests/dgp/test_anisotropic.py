import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import Box, FisherBingham, ShellProjectedNormal, Sphere, bimodal_precision, linear_precision

DENSITY = jax.jit(lambda law, value, mean, space: law.log_prob(value, mean, space), static_argnums=3)
DRAW = jax.jit(lambda law, key, mean, space: law.sample(key, mean, space), static_argnums=3)


def _plain_shell(rng, anchor, precision, threshold):
    """The published loop, in NumPy: redraw what missed the shell. Also returns the first pass's hits."""
    out, todo, first = np.empty_like(anchor), np.arange(len(anchor)), None
    while len(todo):
        m = anchor[todo] + rng.normal(size=(len(todo), anchor.shape[1])) / np.sqrt(precision)
        norm = np.linalg.norm(m, axis=1)
        hit = np.abs(norm - 1) < threshold
        first = hit.mean() if first is None else first
        out[todo[hit]] = m[hit] / norm[hit, None]
        todo = todo[~hit]
    return out, first


def _moments(anchor, drawn):
    """z z+ and z+^2 per axis and the full second moment, for comparing two samplers by their means."""
    cross = (drawn[:, :, None] * drawn[:, None, :]).reshape(len(drawn), -1)
    return np.concatenate([anchor * drawn, anchor**2 * drawn**2, drawn**4, cross], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("precision, threshold", [((25.0, 25.0, 5.0, 5.0), 0.1), ((0.5, 0.5, 0.5, 0.5, 8.0, 8.0), 0.9)])
def test_shell_law_equals_the_published_loop(getkey, precision, threshold):
    precision, num = np.array(precision), 200_000
    anchor = Sphere(len(precision)).uniform(getkey(), num)
    drawn = np.asarray(DRAW(ShellProjectedNormal(jnp.asarray(precision), threshold), getkey(), anchor, None))
    anchor = np.asarray(anchor, np.float64)
    reference, _ = _plain_shell(np.random.default_rng(0), anchor, precision, threshold)
    ours, theirs = _moments(anchor, drawn.astype(np.float64)), _moments(anchor, reference)
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / num)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 6 * error + 1e-9).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision, acceptance, rho, second",
    [
        (bimodal_precision(10), 0.098, {0: 0.806, 9: 0.459}, {0: 0.957, 9: 1.042}),
        (linear_precision(10), 0.146, {0: 0.47, 9: 0.82}, {0: 1.07, 9: 0.98}),
    ],
    ids=["bimodal", "linear"],
)
def test_measured_moments_of_the_published_sampler(getkey, precision, acceptance, rho, second):
    """rho_i = E z_i z+_i / E z_i^2 and n E (z+_i)^2 as measured with the authors' code, 2e5 draws, n = 10."""
    num, n = 200_000, 10
    anchor = Sphere(n).uniform(getkey(), num)
    drawn = DRAW(ShellProjectedNormal(precision), getkey(), anchor, None)
    got_rho = (anchor * drawn).mean(axis=0) / (anchor**2).mean(axis=0)
    got_second = n * (drawn**2).mean(axis=0)
    for axis, value in rho.items():
        assert got_rho[axis] == pytest.approx(value, abs=0.012)
    for axis, value in second.items():
        assert got_second[axis] == pytest.approx(value, abs=0.012)
    # the density integrates to the chance that one plain proposal is accepted
    elsewhere = Sphere(n).uniform(getkey(), num)
    density = jnp.exp(DENSITY(ShellProjectedNormal(precision), elsewhere, anchor, None) + Sphere(n).log_volume())
    assert density.mean() == pytest.approx(acceptance, abs=6 * float(density.std()) / np.sqrt(num) + 0.001)


@pytest.mark.parametrize("exact", [False, True], ids=["shell", "fisher_bingham"])
@pytest.mark.parametrize("precision", [(30.0, 2.0), (0.3, 0.1)])
def test_circle_against_the_density(assert_mean, x64, exact, precision):
    """n = 2, radius 1.5: the angle of draws around one anchor, against quadrature of the written-out density.

    Precisions count in absolute units; the shell is relative to the radius.
    """
    law = (FisherBingham if exact else ShellProjectedNormal)(jnp.array(precision))
    space, anchor = Sphere(2, 1.5), 1.5 * np.array([np.cos(0.7), np.sin(0.7)])
    grid = 2 * np.pi * (np.arange(720) + 0.5) / 720
    points = 1.5 * np.stack([np.cos(grid), np.sin(grid)], axis=1)
    nodes = [1.0] if exact else np.linspace(0.9, 1.1, 2001)
    density = sum(r * np.exp(-0.5 * ((r * points - anchor) ** 2 * np.array(precision)).sum(axis=1)) for r in nodes)
    log_prob = DENSITY(law, jnp.asarray(points), jnp.broadcast_to(jnp.asarray(anchor), points.shape), space)
    np.testing.assert_allclose(log_prob - log_prob[0], np.log(density / density[0]), atol=1e-2)
    density /= density.sum()
    drawn = DRAW(law, jax.random.key(5), jnp.broadcast_to(jnp.asarray(anchor), (40_000, 2)), space)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.5, rtol=1e-12)
    angle = np.arctan2(drawn[:, 1], drawn[:, 0])
    for order in (1, 2, 3):
        for wave in (np.cos, np.sin):
            assert_mean(wave(order * angle), (density * wave(order * grid)).sum())


def test_fisher_bingham_on_the_two_sphere_against_quadrature(assert_mean, x64):
    precision, anchor = np.array([20.0, 3.0, 8.0]), np.array([0.6, 0.48, 0.64])
    nodes, weights = np.polynomial.legendre.leggauss(80)
    angle = 2 * np.pi * np.arange(160) / 160
    height, phi = (grid.ravel() for grid in np.meshgrid(nodes, angle, indexing="ij"))
    side = np.sqrt(1 - height**2)
    points = np.stack([side * np.cos(phi), side * np.sin(phi), height], axis=1)
    mass = np.repeat(weights, 160) * np.exp(-0.5 * ((points - anchor) ** 2 * precision).sum(axis=1))
    mass /= mass.sum()
    where = jnp.broadcast_to(jnp.asarray(anchor), (40_000, 3))
    drawn = np.asarray(DRAW(FisherBingham(jnp.asarray(precision)), jax.random.key(2), where, None))
    assert_mean(drawn, mass @ points)
    assert_mean(drawn[:, :, None] * drawn[:, None, :], np.einsum("k,ki,kj->ij", mass, points, points))
    assert_mean(drawn**4, mass @ points**4)


@pytest.mark.slow
@pytest.mark.parametrize("low, high", [(5.0, 25.0), (2.0, 50.0)])
def test_fisher_bingham_against_importance_sampling(getkey, x64, low, high):
    """n = 6, one anchor: self-normalised weights exp(log_prob) on draws from a wide projected normal."""
    n, num = 6, 100_000
    precision = bimodal_precision(n, high, low)
    anchor = Sphere(n).project(jnp.array([[0.5, -0.3, 0.6, 0.4, 0.2, -0.3]]))
    law = FisherBingham(precision)
    drawn = np.asarray(DRAW(law, getkey(), jnp.broadcast_to(anchor, (num, n)), Sphere(n)))
    # proposals: projections of N(z, 1/precision) onto the sphere in a wide shell, whose density is known
    wide = ShellProjectedNormal(precision, 0.9)
    around = jnp.broadcast_to(anchor, (num, n))
    proposals = DRAW(wide, getkey(), around, Sphere(n))
    log_weight = DENSITY(law, proposals, around, None) - DENSITY(wide, proposals, around, None)
    weight = np.asarray(jnp.exp(log_weight - log_weight.max()))
    weight = weight / weight.sum()
    for power in (1, 2):
        expected = weight @ np.asarray(proposals) ** power
        spread = np.sqrt((weight[:, None] ** 2 * (np.asarray(proposals) ** power - expected) ** 2).sum(axis=0))
        error = np.sqrt(spread**2 + (drawn**power).var(axis=0) / len(drawn))
        assert (np.abs((drawn**power).mean(axis=0) - expected) < 6 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ShellProjectedNormal, FisherBingham])
def test_vmap_over_precisions_equals_each_alone_and_blocks_gradients(x64, kind):
    """A lane of NaNs among them ends as NaN and holds nobody up."""
    precisions = jnp.array([[25.0, 5.0, 5.0], [50.0, 2.0, 2.0], [jnp.nan, 1.0, 1.0]])
    keys = jax.random.split(jax.random.key(0), 3)
    anchor = Sphere(3).uniform(jax.random.key(1), 64)

    def total(precision, key):
        drawn = kind(precision).sample(key, anchor)
        return drawn.sum(), drawn

    together = jax.jit(jax.vmap(lambda precision, key: total(precision, key)[1]))(precisions, keys)
    one = jax.jit(jax.value_and_grad(total, has_aux=True))
    assert np.isnan(together[2]).all()
    for i in range(2):
        (_, alone), gradient = one(precisions[i], keys[i])
        np.testing.assert_allclose(together[i], alone, atol=1e-12)
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    "build, found",
    [
        (lambda: ShellProjectedNormal(np.array([1.0, 0.0])), "precision"),
        (lambda: ShellProjectedNormal(np.ones(2), 0.0), "threshold=0.0"),
        (lambda: ShellProjectedNormal(np.ones(2), 1.0), "threshold=1.0"),
        (lambda: FisherBingham(np.array([1.0, np.inf])), "precision"),
        (lambda: FisherBingham(np.ones(2)).sample(jax.random.key(0), jnp.ones((4, 3))), r"\(2,\)"),
        (lambda: FisherBingham(np.ones(2)).check(Box(2)), "Box"),
    ],
)
def test_bad_input_is_named(build, found):
    with pytest.raises(ValueError, match=found):
        build()
