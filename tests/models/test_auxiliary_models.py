"""Networks of nonlinear ICA: maxout features and the flow that keeps volumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import maxout, volume_preserving


def test_maxout_matches_the_formula(x64, getkey):
    for output, q in (("absolute", np.abs), ("square", np.square)):
        model = maxout((5, 3), output=output)
        x = jax.random.normal(getkey(), (4, 2))
        variables = jax.tree.map(lambda leaf: leaf + 0.1, model.init(getkey(), x))
        first, last = variables["params"]["Dense_0"], variables["params"]["Dense_1"]
        assert first["kernel"].shape == (2, 10)
        a = np.asarray(x) @ np.asarray(first["kernel"]) + np.asarray(first["bias"])
        hidden = np.maximum(a[:, 0::2], a[:, 1::2])
        wanted = q(hidden @ np.asarray(last["kernel"]) + np.asarray(last["bias"]))
        np.testing.assert_allclose(model.apply(variables, x)[0], wanted, rtol=1e-12)


def test_maxout_with_three_pieces_and_of_one_layer(getkey):
    x = jnp.ones((4, 2))
    assert maxout((5, 3), pieces=3).init(getkey(), x)["params"]["Dense_0"]["kernel"].shape == (2, 15)
    variables = maxout((3,)).init(getkey(), x)
    assert set(variables["params"]) == {"Dense_0"} and maxout((3,)).apply(variables, x)[0].shape == (4, 3)


@pytest.mark.slow
def test_maxout_starts_as_published(getkey):
    params = maxout((400, 5)).init(getkey(), jnp.zeros((1, 100)))["params"]["Dense_0"]
    kernel = np.asarray(params["kernel"])
    np.testing.assert_array_equal(params["bias"], 0)
    # variance 2 / fan_in after the cut at two deviations of the uncut law, which are 2.274 of the cut one
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / 100), rtol=0.01)
    assert 2.2 < np.abs(kernel).max() / np.sqrt(2 / 100) < 2.28


@pytest.mark.slow
@pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(5, marks=pytest.mark.slow)])
def test_the_flow_keeps_volumes_and_is_inverted(x64, getkey, n):
    model = volume_preserving(num_layers=2, hidden=8)
    x = jax.random.normal(getkey(), (6, n))
    variables = jax.tree.map(lambda leaf: 2 * leaf, jax.jit(model.init)(getkey(), x))

    @jax.jit
    def g(x):
        return model.apply(variables, x[None])[0][0]

    y = jax.vmap(g)(x)
    jacobians = np.asarray(jax.vmap(jax.jacfwd(g))(x))
    np.testing.assert_allclose(np.linalg.det(jacobians), 1, rtol=1e-10)
    np.testing.assert_allclose(model.apply(variables, y, inverse=True)[0], x, atol=1e-10)
    assert np.abs(np.asarray(y - x)).max() > 0.1
    if n > 2:  # scales that are not all 1: a half of one entry is only shifted
        assert np.ptp(np.diagonal(jacobians, axis1=1, axis2=2)) > 1e-3


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: maxout(()), "maxout: found widths"),
        (lambda: maxout((3,), pieces=0), "maxout: found pieces=0"),
        (lambda: maxout((3,), output="abs"), "did you mean 'absolute'"),
        (lambda: volume_preserving(num_layers=0), "num_layers=0"),
        (lambda: volume_preserving(limit=0), "limit=0"),
        (lambda: volume_preserving().init(jax.random.key(0), jnp.ones((4, 1))), r"shape \(4, 1\)"),
        (lambda: maxout((3,)).init(jax.random.key(0), jnp.ones((4, 1)) * 1j), "complex"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
