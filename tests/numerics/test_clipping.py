"""Clipping of gradients against what PyTorch does."""

import jax.numpy as jnp
import numpy as np
import pytest

from identax.numerics import clipped


@pytest.mark.usefixtures("x64")
def test_gradients_are_clipped_together_as_pytorch_does():
    grads = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    small, norm = clipped(grads, 0.5)
    assert norm == 5
    for name, leaf in grads.items():
        np.testing.assert_allclose(small[name], np.asarray(leaf) * 0.5 / (5 + 1e-6), rtol=1e-14)
        np.testing.assert_array_equal(clipped(grads, 6.0)[0][name], leaf)
    assert np.isnan(clipped({"a": jnp.array([1.0, jnp.nan])}, 0.5)[0]["a"]).all()
