"""Penalties on Jacobians: closed forms, the estimator against its moments, gradients of second order, dead columns."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.jacobians import forward_differences, jacobian
from identax.losses import c_ima_penalty, jacobian_l1, jacobian_l2, orojar, orojar_estimate
from identax.metrics import c_ima
from identax.models import mlp

THREE = np.array([[1, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 1]])
TURN = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
PENALTIES = {
    "c_ima": c_ima_penalty,
    "orojar": orojar,
    "orojar, normalised": lambda j: orojar(j, normalize=True),
    "jacobian_l1": jacobian_l1,
    "jacobian_l2": jacobian_l2,
}
ORTHOGONALITY = list(PENALTIES)[:3]


def bent(z):
    """(z1 + z1^2 / 2, z1 z2): J = [[1 + z1, 0], [z2, z1]], at (1, 2) with G_12 = 2."""
    return jnp.stack([z[:, 0] + z[:, 0] ** 2 / 2, z[:, 0] * z[:, 1]], axis=1)


def test_values_of_one_matrix(x64):
    """Wei et al. 2021's target is half of the variance that they estimate, 12.375 here."""
    off = [(THREE @ THREE)[i, j] for i, j in itertools.permutations(range(3), 2)]
    np.testing.assert_allclose(orojar(THREE[None]), [np.square(off).sum()], rtol=1e-14)
    np.testing.assert_allclose(2 * orojar(THREE[None]), [12.375], rtol=1e-14)
    signs = np.array(list(itertools.product([-1, 1], repeat=3)))
    np.testing.assert_allclose(np.var(np.square(signs @ THREE).sum(axis=1)), 12.375, rtol=1e-14)
    np.testing.assert_allclose(c_ima_penalty(THREE[None]), [1.05003041444129], rtol=1e-13)
    np.testing.assert_allclose(jacobian_l1(THREE[None]), [5.5], rtol=1e-14)
    np.testing.assert_allclose(jacobian_l2(THREE[None]), [np.square(THREE).sum()], rtol=1e-14)
    correlation = THREE @ THREE
    correlation = correlation / np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
    np.testing.assert_allclose(orojar(THREE[None], normalize=True), [np.square(correlation).sum() - 3], rtol=1e-13)


def test_l1_is_no_penalty_for_orthogonality(x64):
    """Turned by 45 degrees the columns stay orthogonal: all others are 0 before and after, L1 rises from 2 to 2.83."""
    both = np.stack([np.eye(2), TURN])
    np.testing.assert_allclose(jacobian_l1(both), [2, 2 * np.sqrt(2)], rtol=1e-14)
    np.testing.assert_allclose(jacobian_l2(both), [2, 2], rtol=1e-14)
    for name in ORTHOGONALITY:
        np.testing.assert_allclose(PENALTIES[name](both), 0, atol=1e-15)
    # And it prefers parallel columns to orthogonal ones of the same length.
    parallel = np.array([[[1.0, 1.0], [0.0, 0.0]]])
    assert jacobian_l1(parallel) < jacobian_l1(both[1:]) and orojar(parallel) > 1


@pytest.mark.parametrize("shape", [(7, 4, 4), (5, 20, 3), (3, 2, 5, 2)], ids=str)
def test_contrast_is_that_of_the_metrics(x64, getkey, shape):
    matrices = jax.random.normal(getkey(), shape)
    flat = matrices.reshape(shape[0], -1, shape[-1])
    np.testing.assert_allclose(c_ima_penalty(matrices), c_ima(flat), atol=1e-13)
    squares = np.einsum("nDi,nDj->nij", flat, flat)
    wanted = 0.5 * np.log(np.diagonal(squares, axis1=1, axis2=2)).sum(1) - 0.5 * np.linalg.slogdet(squares)[1]
    np.testing.assert_allclose(c_ima_penalty(matrices), wanted, atol=1e-11)


def test_sizes_matter_to_the_published_form_alone(x64, getkey):
    matrices, sizes = jax.random.normal(getkey(), (6, 5, 3)), jnp.array([2.0, 0.1, 7.0])[None, None]
    for name in ("c_ima", "orojar, normalised"):
        np.testing.assert_allclose(PENALTIES[name](matrices * sizes), PENALTIES[name](matrices), rtol=1e-12)
    np.testing.assert_allclose(orojar(3 * matrices), 81 * orojar(matrices), rtol=1e-12)
    assert (
        orojar(matrices * jnp.array([1.0, 1e-4, 1e-4])[None, None]) < 1e-3 * orojar(matrices)
    ).all()  # killed columns


def test_near_orthogonality_the_normalised_form_is_four_contrasts(x64, getkey):
    matrices = jnp.eye(4)[None] + 1e-4 * jax.random.normal(getkey(), (8, 4, 4))
    np.testing.assert_allclose(orojar(matrices, normalize=True) / c_ima_penalty(matrices), 4, rtol=2e-3)


@pytest.mark.slow
def test_estimate_has_the_mean_of_the_exact_form_and_a_step_biases_it(x64):
    z = jnp.broadcast_to(jnp.array([1.0, 2.0]), (16, 2))
    np.testing.assert_allclose(2 * orojar(jacobian(bent, z)), 16, rtol=1e-13)
    for step, wanted in ((None, 16.0), (0.1, 16.32)):
        found = np.asarray(orojar_estimate(bent, z, jax.random.key(1), num_draws=2000, step=step))
        assert abs(found.mean() - wanted) < 6 * found.std() / 4 + 0.01
        assert found.std() / 4 < 0.03
    pairs = np.asarray(orojar_estimate(bent, jnp.tile(z, (256, 1)), jax.random.key(2)))
    assert abs(pairs.mean() - 16) < 6 * 16 / 64 and abs((pairs < 1e-9).mean() - 0.5) < 6 * 0.5 / 64


def test_forward_differences_are_jacobians_up_to_their_step(x64):
    z = jnp.array([[1.0, 2.0], [0.5, -1.0]])
    exact = jacobian(bent, z)
    found = forward_differences(bent, z, step=1e-3)
    np.testing.assert_allclose(found - exact, 1e-3 * np.array([[[0.5, 0], [0, 0]]] * 2), atol=1e-12)
    for step in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="found step"):
            forward_differences(bent, z, step=step)
    with pytest.raises(ValueError, match=r"forward_differences: found z of shape \(2,\)"):
        forward_differences(bent, z[0])


@pytest.mark.parametrize("name", [*PENALTIES, "estimate", "none"])
@pytest.mark.slow
def test_gradients_in_the_decoders_parameters(name):
    """Of second order, in float32 finite, and those of the penalty: central differences along the gradient agree."""
    model = mlp((6, 4), activation="smooth_leaky_relu", slope=0.2)
    z = jax.random.normal(jax.random.key(0), (5, 3))
    params = jax.jit(model.init)(jax.random.key(1), z)["params"]

    def loss(params):
        def decode(z):
            return model.apply({"params": params}, z)[0]

        if name == "none":
            return 0.0 * decode(z).sum()
        if name == "estimate":
            return orojar_estimate(decode, z, jax.random.key(2)).mean()
        return PENALTIES[name](jacobian(decode, z)).mean()

    value, slopes = jax.jit(jax.value_and_grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    size = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(slopes))
    assert (size > 0) == (name != "none")
    if name != "none":
        step = 1e-2 * float(value) / size
        moved = [jax.tree.map(lambda p, s, t=t: p + t * s, params, slopes) for t in (-step, step)]
        low, high = jax.jit(lambda params: [loss(p) for p in params])(moved)
        np.testing.assert_allclose((high - low) / (2 * step), size, rtol=0.05)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.slow
def test_dependent_and_dead_columns_leave_values_and_gradients_finite(name):
    cases = jnp.array([[[1, 2], [1, 2], [1, 2]], [[1, 0], [2, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]], jnp.float32)
    values, slopes = jax.value_and_grad(lambda j: PENALTIES[name](j).sum())(cases)
    assert np.isfinite(values) and np.isfinite(slopes).all()
    if name in ORTHOGONALITY:
        found = PENALTIES[name](cases)
        assert found[0] > 1 and (found[1:] == 0).all()  # what is dead is orthogonal: look at column norms


def test_one_column_is_orthogonal_and_broken_ones_are_seen():
    one = jnp.ones((2, 3, 1))
    for name in ORTHOGONALITY:
        np.testing.assert_array_equal(PENALTIES[name](one), 0)
    for name in PENALTIES:
        found = PENALTIES[name](jnp.stack([jnp.eye(3), jnp.eye(3).at[1, 2].set(jnp.nan)]))
        assert np.isfinite(found[0]) and np.isnan(found[1])


def test_bad_input():
    for name in ORTHOGONALITY:
        with pytest.raises(ValueError, match="found Jacobians of 2 outputs in 3 latents"):
            PENALTIES[name](np.ones((4, 2, 3)))
    for function in PENALTIES.values():
        with pytest.raises(ValueError, match=r"found jacobian of shape \(4, 3\), wanted \[N, ..., d\]"):
            function(np.ones((4, 3)))
    with pytest.raises(ValueError, match="found num_draws=1, wanted at least 2"):
        orojar_estimate(bent, np.ones((1, 2)), jax.random.key(0), num_draws=1)
    with pytest.raises(ValueError, match=r"found step=0\.0"):
        orojar_estimate(bent, np.ones((1, 2)), jax.random.key(0), step=0.0)
    with pytest.raises(ValueError, match=r"wanted \[N, \.\.\.\]"):
        orojar_estimate(lambda z: z.sum(), np.ones((2, 2)), jax.random.key(0))
