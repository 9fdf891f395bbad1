"""Worlds of rendered images: a grid of factors and a pure function that draws one image."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.dgp.base import DGP, Sample
from identax.dgp.factors import FactorGrid

Pixels = Float[Array, "H W C"]


@dataclasses.dataclass(frozen=True)
class ImageWorld:
    """Images x = g(factors), in [0, 1], of shape `image_shape` (H, W, C).

    `draw(factors [K]) -> [H, W, C]` is pure and differentiable in the continuous factors of `grid`. `chunk`: images
    that `render_batch` draws at once on a CPU, where what is fastest differs between worlds.
    """

    grid: FactorGrid
    image_shape: tuple[int, int, int]
    draw: Callable[[Array], Array] = dataclasses.field(repr=False)
    chunk: int = 32

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors, in the order of the array that `render` takes."""
        return self.grid.factor_names

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """How many values each factor has on the published grid."""
        return self.grid.factor_sizes

    def render(self, factors: ArrayLike | Mapping[str, ArrayLike] | Sequence[Any]) -> Pixels:
        """One image, from values in the order of `factor_names` or by name; for many, `render_batch` or
        `jax.vmap(world.render)`.

        Raises `ValueError` for unknown or missing names, another number of factors and, where they are concrete,
        values outside a factor's range.
        """
        values = self.grid.vector(factors) if isinstance(factors, Mapping) else jnp.asarray(factors, float)
        if values.ndim != 1:
            raise ValueError(f"render: found factors of shape {values.shape}, wanted one image's [K]; use jax.vmap")
        self.grid.check(values)
        return self.draw(values)

    def render_batch(
        self, factors: Float[ArrayLike, "N K"] | Sequence[Any], *, chunk_size: int | None = None
    ) -> Float[Array, "N H W C"]:
        """Many images, `chunk_size` at a time (by default `chunk` on a CPU, whose caches are small, else all at once).

        Raises `ValueError` like `render` and for chunk_size < 1.
        """
        values = jnp.asarray(factors, float)
        if values.ndim != 2 or (chunk_size is not None and chunk_size < 1):
            raise ValueError(
                f"render_batch: found factors of shape {values.shape} and chunk_size={chunk_size}, "
                "wanted [N, K] and at least 1"
            )
        self.grid.check(values)
        if chunk_size is None:
            chunk_size = self.chunk if jax.default_backend() == "cpu" else len(values)
        if len(values) <= chunk_size:
            return jax.vmap(self.draw)(values)
        return jax.lax.map(self.draw, values, batch_size=chunk_size)

    def jacobian(
        self, factors: ArrayLike | Sequence[Any], names: Sequence[str] | None = None
    ) -> Float[Array, "H W C k"]:
        """dg / dfactors in the continuous factors `names` (default: all), by forward mode.

        Raises `ValueError` like `render`, for unknown names and for categorical factors.
        """
        names = self.grid.continuous_names if names is None else tuple(names)
        at = [self.grid.position(name) for name in names]
        categorical = [name for name in names if not self.grid[name].continuous]
        if categorical:
            raise ValueError(f"jacobian: found the categorical factors {categorical}, wanted continuous ones")
        values = jnp.asarray(factors, float)
        self.grid.check(values)
        return jax.jacfwd(lambda part: self.draw(values.at[jnp.asarray(at)].set(part)))(values[jnp.asarray(at)])

    def dgp(self, *, continuous: bool = True, fixed: Mapping[str, ArrayLike] | None = None) -> DGP:
        """The world as a process: latents are factor values [n, K] (see `FactorGrid.sample`), observations images."""

        def sample(truth, key: Key[Array, ""], n: int) -> Sample:
            factors = self.grid.sample(key, n, continuous=continuous, fixed=fixed)
            return Sample(factors, self.render_batch(factors))

        return DGP(lambda key: (), sample)


def hue_to_rgb(hue: Array) -> tuple[Array, Array, Array]:
    """The three channels of a pure colour (HSV with S = V = 1); `hue` in turns, 0 red, 1/3 green, 2/3 blue.

    channel_k = clip(|6 ((hue + s_k) mod 1) - 3| - 1, 0, 1) with s = (0, 2/3, 1/3).
    """
    shifted = (hue + shift for shift in (0.0, 2 / 3, 1 / 3))
    red, green, blue = (jnp.clip(jnp.abs(6 * (turn - jnp.floor(turn)) - 3) - 1, 0, 1) for turn in shifted)
    return red, green, blue


def paint(planes: Sequence[Array], hues: Sequence[Array]) -> Pixels:
    """The sum of grey images [H, W], each times the pure colour of its hue.

    The barriers keep planes and colours out of the loop over pixels and channels, which would compute them again in
    each of its rounds: without them a scene takes five times as long and its Jacobian ten times.
    """
    planes = jax.lax.optimization_barrier(tuple(planes))
    colours = jax.lax.optimization_barrier(jnp.stack([jnp.stack(hue_to_rgb(hue)) for hue in hues]))
    return functools.reduce(
        jnp.add, (plane[:, :, None] * colour[None, None, :] for plane, colour in zip(planes, colours, strict=True))
    )


def coverage(distance: Array, width: ArrayLike) -> Array:
    """The share of a pixel inside a shape whose signed distance there is `distance` (negative inside).

    A cubic step from 1 to 0 that is `width` wide and has a continuous derivative.
    """
    inside = jnp.clip(0.5 - distance / width, 0, 1)
    return inside * inside * (3 - 2 * inside)


def pixel_centers(size: int) -> tuple[Array, Array]:
    """x to the right and y downwards of the pixels' centres, each [size, size], in (0, 1)."""
    line = (jnp.arange(size) + 0.5) / size
    y, x = jnp.meshgrid(line, line, indexing="ij")
    return x, y
