"""Every mixing that knows its inverse and its log-determinant: against forward mode, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp import (
    affine_coupling,
    compose,
    identity,
    moebius,
    monotone_rotation,
    orthogonal,
    random_invertible_mlp,
    rows_at_cosine,
    smooth_mlp,
    triangular_mlp,
    unit_column_linear,
    unit_determinant_linear,
    with_weights,
)
from tests.eager import compiled_by_second_call

NEW = {
    "moebius": (moebius(3), 3),
    "moebius 2-D": (moebius(2), 2),
    "moebius, epsilon 3.5": (moebius(3, epsilon=3.5, scale=-2.0), 3),
    "moebius, epsilon 0": (moebius(3, epsilon=0), 3),
    "unit determinant": (unit_determinant_linear(4), 4),
    "unit columns": (unit_column_linear(3), 3),
    "rows at a cosine": (rows_at_cosine(0.8), 2),
    "moebius + linear": (compose(unit_determinant_linear(3), moebius(3)), 3),
    "smooth MLP": (smooth_mlp(3), 3),
    "smooth MLP, steep bend": (smooth_mlp(3, alpha=1e-3, num_layers=1), 3),
    "smooth MLP, identity": (smooth_mlp(3, alpha=1), 3),
    "triangular": (triangular_mlp(3, num_layers=3), 3),
    "monotone + rotation": (monotone_rotation(3, scale=2.0), 3),
    "coupling, published": (affine_coupling(4), 4),
    "coupling, alternating": (affine_coupling(4, num_layers=3, parity="alternating"), 4),
}
OLD = {
    "orthogonal": (orthogonal(3), 3),
    "identity": (identity(), 3),
    "elu MLP": (random_invertible_mlp(3, activation="elu", pool_size=50), 3),
    "smooth MLP of a pool": (random_invertible_mlp(3, activation="smooth_leaky_relu", pool_size=50), 3),
}
ALL = NEW | OLD
FAST = ("moebius + linear", "smooth MLP", "triangular", "monotone + rotation", "coupling, alternating")


SOME = ("moebius + linear",)
"""whose dearer tests are of the default tier, most of which are compilations"""


def walk(names, default=SOME):
    return [pytest.param(name, marks=() if name in default else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", walk(ALL, FAST))
def test_inverse_and_log_determinant_are_exact(name, x64):
    mixing, n = ALL[name]
    key = jax.random.key(3)
    z = jax.random.uniform(jax.random.fold_in(key, 1), (40, n), minval=-0.5, maxval=0.5)

    @jax.jit
    def parts(key):
        weights = mixing.init(key)
        jacobian = jax.vmap(jax.jacfwd(lambda point: mixing.apply(weights, point[None, :])[0]))(z)
        x = mixing.apply(weights, z)
        return x, mixing.inverse(weights, x), mixing.log_det(weights, z), jacobian

    x, back, log_det, jacobian = parts(key)
    np.testing.assert_allclose(back, z, atol=1e-11)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-11)
    assert log_det.shape == (40,) and x.dtype == log_det.dtype == back.dtype == jnp.float64
    assert np.ptp(np.asarray(x), axis=0).min() > 1e-3  # no constant map passes


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_float32_loses_little(name):
    """Round trips to 1e-4 and log-determinants to 1e-4 nats, worst of 1000 points: what float32 costs here."""
    mixing, n = NEW[name]
    z = jax.random.uniform(jax.random.key(1), (1000, n), minval=-0.5, maxval=0.5)

    def parts(key, z):
        weights = mixing.init(key)
        return mixing.inverse(weights, mixing.apply(weights, z)), mixing.log_det(weights, z)

    back, log_det = jax.jit(parts)(jax.random.key(3), z)
    assert back.dtype == log_det.dtype == jnp.float32
    np.testing.assert_allclose(back, z, atol=1e-4)
    weights = mixing.init(jax.random.key(3))
    with jax.enable_x64(True):
        exact = mixing.log_det(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), weights), np.asarray(z, float))
    np.testing.assert_allclose(log_det, exact, atol=1e-4)


@pytest.mark.parametrize("name", walk(NEW))
@pytest.mark.slow
def test_ordinary_inputs(name, x64):
    """Lists and integers are points; complex numbers, text and other shapes are refused by the mixing's name."""
    mixing, n = NEW[name]
    weights = mixing.init(jax.random.key(0))
    floats = jnp.asarray([[1.0] * n, [2.0] * n])  # 0 is at the offset of a Moebius map, which has no inverse there
    for function in (mixing.apply, mixing.log_det, mixing.inverse):
        found = function(weights, floats.astype(int).tolist())
        np.testing.assert_allclose(found, function(weights, floats), atol=1e-13)
        np.testing.assert_allclose(found, function(weights, floats.astype(int)), atol=1e-13)
        for bad, words in ((floats + 1j, "complex"), (floats[:, 1:], r"wanted \[N"), (floats[0], r"wanted \[N")):
            with pytest.raises(ValueError, match=words):
                function(weights, bad)
        assert function(weights, np.zeros((0, n))).shape[0] == 0


@pytest.mark.parametrize("name", walk(NEW))
@pytest.mark.slow
def test_a_second_call_compiles_nothing_and_trials_map(name, getkey):
    mixing, n = NEW[name]

    def all_of_it(key, z):
        weights = mixing.init(key)
        x = mixing.apply(weights, z)
        return x, mixing.inverse(weights, x), mixing.log_det(weights, z)

    z, key = 0.3 * jax.random.normal(getkey(), (7, n)), getkey()
    assert compiled_by_second_call(all_of_it, (getkey(), z), (key, z + 0.01)) == 0
    together = jax.jit(jax.vmap(all_of_it, (0, None)))(jnp.stack([getkey(), key]), z)
    for mapped, alone in zip(together, all_of_it(key, z), strict=True):
        np.testing.assert_allclose(mapped[1], alone, rtol=2e-4, atol=2e-5)


def test_composition_names_its_parts_and_known_weights_stay(getkey):
    outer, inner = unit_determinant_linear(3), moebius(3)
    both = compose(outer, inner)
    weights, z = both.init(getkey()), 0.3 * jax.random.normal(getkey(), (5, 3))
    np.testing.assert_allclose(
        both.apply(weights, z), outer.apply(weights["outer"], inner.apply(weights["inner"], z)), rtol=1e-6
    )
    assert compose(outer, inner._replace(log_det=None)).log_det is None
    fixed = with_weights(both, weights)
    jax.tree.map(np.testing.assert_array_equal, fixed.init(getkey()), weights)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(fixed.init)(getkey()), weights)
