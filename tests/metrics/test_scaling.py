"""Z-scores against scikit-learn's, with statistics of the same and of other rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.preprocessing import StandardScaler

from identax.metrics import z_score

X = np.random.default_rng(0).normal(size=(30, 4)) * [1, 1e3, 1e-3, 1] + [0, 5, 5, 1e3]


def test_agrees_with_scikit_learn(x64):
    np.testing.assert_allclose(z_score(jnp.asarray(X)), StandardScaler().fit_transform(X), rtol=1e-9, atol=1e-9)
    wanted = StandardScaler().fit(X[:20]).transform(X[20:])
    np.testing.assert_allclose(
        z_score(jnp.asarray(X[20:]), reference=jnp.asarray(X[:20])), wanted, rtol=1e-9, atol=1e-9
    )


def test_constant_columns_become_zero_and_sizes_do_not_matter():
    x = jnp.asarray(X, jnp.float32).at[:20, 1].set(0.3)
    found = z_score(x, reference=x[:20])
    assert not found[:, 1].any() and np.isfinite(found).all()
    for scale in (2.0**-80, 2.0**80):  # squares leave float32
        np.testing.assert_allclose(z_score(x[:20] * scale), z_score(x[:20]), atol=1e-5)


def test_gradients_are_those_of_differences_and_finite_where_a_column_is_constant(x64):
    x = jnp.asarray(X[:6, [0, 3]])
    weights = jnp.asarray(np.random.default_rng(1).normal(size=x.shape))
    check_grads(lambda x: jnp.sum(weights * z_score(x)), (x,), order=1, modes=["rev"], eps=1e-5)
    constant = x.at[:, 0].set(2.0)
    gradient = jax.grad(lambda x: jnp.sum(weights * z_score(x)))(constant)
    assert np.isfinite(gradient).all() and not gradient[:, 0].any() and gradient[:, 1].any()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(3, 1\)"):
        z_score(jnp.ones((3, 2)), reference=jnp.ones((3, 1)))
