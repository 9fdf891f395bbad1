"""Examples embedded a few at a time come out in their order, with what belongs to their chunk."""

import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import by_chunk


def test_chunks_give_what_the_whole_gives_and_one_entry_each():
    images = jnp.arange(24.0).reshape(6, 2, 2)
    sizes = []

    def embed(offset, part):
        sizes.append(part.shape)
        return {"sum": part.sum(axis=(1, 2)), "moved": part + offset}

    found = by_chunk(embed, images, 2, jnp.array([0.0, 100.0, 200.0]))
    assert set(sizes) == {(2, 2, 2)}
    np.testing.assert_array_equal(found["sum"], images.sum(axis=(1, 2)))
    np.testing.assert_array_equal(found["moved"] - images, np.repeat([0, 0, 100, 100, 200, 200], 4).reshape(6, 2, 2))


@pytest.mark.parametrize("chunk", [0, 4])
def test_what_does_not_divide_is_refused(chunk):
    with pytest.raises(ValueError, match=f"found N=6 examples, wanted a multiple of chunk={chunk}"):
        by_chunk(lambda part: part, jnp.zeros((6, 1)), chunk)
