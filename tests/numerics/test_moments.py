"""Running moments against NumPy's of everything at once, behind offsets too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.numerics import no_moments, with_batch

ADD = jax.jit(with_batch)


@pytest.mark.parametrize("offset", [0, 1e8])
@pytest.mark.parametrize("sizes", [(7,), (1, 1, 1), (2, 1, 9)], ids=str)
def test_batches_one_after_the_other_are_one(sizes, offset, x64):
    x = np.random.default_rng(0).normal(size=(sum(sizes), 3)) * [1, 1e-1, 0] + offset
    found = no_moments((3,))
    assert not found.variance.any()
    for batch in np.split(x, np.cumsum(sizes)[:-1]):
        found = ADD(found, batch)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(found.variance, x.var(axis=0), rtol=1e-6 if offset else 1e-12, atol=1e-16)
    assert found.variance[2] == 0
    np.testing.assert_allclose(found.centred(x), x - offset - (x - offset).mean(axis=0), rtol=1e-8, atol=1e-15)


def test_scalars_and_kinds_of_numbers():
    found = ADD(no_moments((), jnp.float16), jnp.asarray([1, 3], jnp.float16))
    assert (found.mean, found.variance, found.variance.dtype) == (2, 1, jnp.float16)


@pytest.mark.parametrize("constant", [0.1, 0.3, 1 / 3, 1e30])
def test_equal_numbers_do_not_deviate(constant):
    found = no_moments((2,), jnp.float32)
    for num in (512, 80, 1, 7):
        found = ADD(found, jnp.full((num, 2), constant, jnp.float32))
        assert not found.variance.any() and not found.centred(jnp.full((1, 2), constant, jnp.float32)).any()
