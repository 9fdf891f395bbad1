"""Forward-mode Jacobians of whole batches: against closed forms, chunked or not, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.jacobians import jacobian


def _polar(z):
    r, angle = z[:, 0], z[:, 1]
    return jnp.stack([r * jnp.cos(angle), r * jnp.sin(angle), r * r], axis=1)


def _images(z):
    return z[:, 0, None, None] * jnp.arange(6.0).reshape(1, 2, 3) + jnp.square(z[:, 1, None, None])


def test_closed_form(x64):
    z = jnp.array([[2.0, 0.3], [1.0, -1.0], [0.5, 2.0]])
    r, a = np.asarray(z).T
    zero = np.zeros_like(r)
    expected = np.moveaxis(np.array([[np.cos(a), -r * np.sin(a)], [np.sin(a), r * np.cos(a)], [2 * r, zero]]), 2, 0)
    np.testing.assert_allclose(jacobian(_polar, z), expected, atol=1e-14)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 7])
def test_chunks_change_nothing(chunk_size):
    z = jax.random.normal(jax.random.key(0), (5, 2))
    got = jax.jit(lambda z: jacobian(_images, z, chunk_size=chunk_size))(z)
    assert got.shape == (5, 2, 3, 2)
    np.testing.assert_allclose(got, jacobian(_images, z), atol=1e-6)
    np.testing.assert_allclose(got[..., 0], jnp.broadcast_to(jnp.arange(6.0).reshape(1, 2, 3), (5, 2, 3)))


def test_a_large_batch_is_chunked_by_bytes():
    program = jax.make_jaxpr(lambda z: jacobian(lambda z: jnp.tile(z, (1, 2**20)), z))
    assert "scan" in str(program(jnp.zeros((9, 2)))) and "scan" not in str(program(jnp.zeros((4, 2))))


def test_integers_are_floats():
    np.testing.assert_allclose(jacobian(jnp.square, [[1, 2]]), [[[2.0, 0.0], [0.0, 4.0]]])


@pytest.mark.parametrize(
    "function, z, options",
    [
        (_polar, np.zeros(2), {}),
        (_polar, np.zeros((0, 2)), {}),
        (_polar, np.zeros((3, 2)) + 1j, {}),
        (_polar, 1.7e9 + np.arange(6.0).reshape(3, 2), {}),
        (lambda z: z.sum(), np.zeros((3, 2)), {}),
        (_polar, np.zeros((3, 2)), {"chunk_size": 0}),
        (_polar, np.zeros((3, 2)), {"chunk_size": 1.5}),
    ],
)
def test_bad_input_is_refused(function, z, options):
    with pytest.raises(ValueError, match="jacobian: found"):
        jacobian(function, z, **options)
