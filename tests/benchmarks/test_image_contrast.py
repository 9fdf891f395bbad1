"""The benchmark of image contrasts runs at a tiny size, where both ways must agree, and on a part of the pixels."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import catalogue, image_contrast

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pixels, share", [(None, 1), (48, 0.25)])
def test_it_times_both_ways(pixels, share):
    found = image_contrast.measure(sizes=(8,), num=2, rounds=1, pixels=pixels, torch=False)
    assert set(found["timings"]) == {"forward, 8", "backward, 8"}
    assert found["settings"]["share of pixels"] == [share]
    (ratio,) = found["derived"].values()
    assert ratio > 0
    json.dumps(found)
    assert catalogue.function(catalogue.FULL["image-contrast"]) is image_contrast.measure


def test_the_published_way_has_the_same_layers():
    torch = pytest.importorskip("torch")
    from benchmarks.image_contrast_torch import Contrast
    from identax.models import conv_autoencoder

    published = Contrast(4, 16, 2)
    z = jnp.zeros((2, 4))
    ours = jax.eval_shape(conv_autoencoder(4, 16).decoder.init, jax.random.key(0), z)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(ours)) == sum(p.numel() for p in published.decoder.parameters())
    jacobian = torch.autograd.functional.jacobian(lambda z: published.decoder(z).sum(0), published.z)
    expected = jacobian.transpose(0, 1)[:, [0, 5, 700]]
    assert torch.allclose(published.rows([0, 5, 700]), expected, atol=1e-6)
