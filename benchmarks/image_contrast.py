"""The IMA contrast of an image decoder: one derivative along each latent against one backward pass for each pixel."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import alternate, compiled, result, wait
from identax.jacobians import jacobian
from identax.metrics import c_ima
from identax.models import conv_autoencoder

_DIM = 4
_AGREE = 1e-3  # nats between both ways, float32


def measure(
    *, sizes: Sequence[int], num: int, rounds: int, pixels: int | None = None, torch: bool = True
) -> dict[str, Any]:
    """Seconds for the contrasts of `num` codes of a convolutional decoder of `size` x `size` x 3 with 4 latents.

    "forward": `jacobian`, four derivatives of the batch, and `c_ima`. "backward": one vector-Jacobian product of the
    batch for each pixel and channel, one after another in one program, and the same `c_ima`. "torch": those backward
    passes in eager PyTorch, as published, without the contrast. With `pixels` the backward passes of so many are timed,
    evenly spread, and the rest is counted in proportion. Both contrasts are compared where all pixels are taken.
    Derived: how many times faster forward is than either, for each size.
    """
    programs, seconds, runs, share = {}, {}, {}, {}
    for size in sizes:
        decoder = conv_autoencoder(_DIM, size).decoder
        z = jax.random.uniform(jax.random.key(size), (num, _DIM))
        variables = decoder.init(jax.random.key(0), z)
        total = 3 * size * size
        taken = np.linspace(0, total - 1, min(total, pixels or total)).astype(int)
        share[size] = len(taken) / total

        def decode(z, decoder=decoder, variables=variables):
            return decoder.apply(variables, z)[0].reshape(len(z), -1)

        def forward(z, decode=decode):
            return c_ima(jacobian(decode, z))

        def backward(z, decode=decode, taken=taken):
            return c_ima(_row_by_row(decode, z, taken))

        for name, function in (("forward", forward), ("backward", backward)):
            label = f"{name}, {size}"
            programs[label], seconds[label] = compiled(function, z)
            runs[label] = lambda program=programs[label], z=z: wait(program(z))
        if share[size] == 1:
            difference = np.abs(programs[f"forward, {size}"](z) - programs[f"backward, {size}"](z)).max()
            if not difference < _AGREE:
                raise ValueError(f"image_contrast: found contrasts that differ by {difference}, wanted < {_AGREE}")
        if torch:
            published = _torch(size, num)
            runs[f"torch, {size}"] = lambda published=published, taken=taken.tolist(): published.rows(taken)
    timings = alternate(runs, rounds=rounds)
    settings = {
        "sizes": list(sizes), "num": num, "share of pixels": list(share.values()), "backend": jax.default_backend()
    }  # fmt: skip
    faster = {
        f"forward faster than {other}, {size} (times)": timings[f"{other}, {size}"].median
        / share[size]
        / timings[f"forward, {size}"].median
        for size in sizes
        for other in ("backward", *(["torch"] if torch else []))
    }
    return result(settings, "seconds per batch", seconds, timings, faster)


def _torch(size, num):
    from benchmarks.image_contrast_torch import Contrast

    return Contrast(_DIM, size, num)


def _row_by_row(decode: Any, z: jax.Array, pixels: np.ndarray) -> jax.Array:
    """Rows `pixels` of dx/dz [num, len(pixels), d], a backward pass for each, one after another."""
    _, pull = jax.vjp(decode, z)
    shape = jax.eval_shape(decode, z)

    def row(pixel):
        (slope,) = pull(jnp.zeros(shape.shape, shape.dtype).at[:, pixel].set(1))
        return slope

    return jax.lax.map(row, jnp.asarray(pixels)).swapaxes(0, 1)
