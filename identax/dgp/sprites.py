"""Sprites: the factor grid of dSprites, drawn from signed distances, differentiable in the continuous factors."""

import math

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.dgp.factors import Factor, FactorGrid, grid_values
from identax.dgp.image_world import ImageWorld, coverage, paint, pixel_centers

SPRITE_SHAPES = ("square", "ellipse", "heart")
"""of the shape values 1, 2, 3"""
# Lengths in image widths at scale 1; the farthest point of each shape is at most 1/4 from its centre, which moves
# in [1/4, 3/4]: no sprite is cut off.
_MARGIN = 0.25
_SQUARE = 0.165  # half a side
_ELLIPSE = (0.23, 0.115)  # half axes
_HEART = 0.12  # half a side of the heart's square

SPRITE_GRID = FactorGrid(
    (
        Factor("color", (1,)),
        Factor("shape", (1, 2, 3)),
        Factor("scale", grid_values(0.5, 1, 6), (0.5, 1)),
        Factor("orientation", grid_values(0, 2 * math.pi, 40), (0, 2 * math.pi), periodic=True),
        Factor("posX", grid_values(0, 1, 32), (0, 1)),
        Factor("posY", grid_values(0, 1, 32), (0, 1)),
    )
)
"""The factors of dSprites (Matthey et al. 2017)."""


def sprites(*, size: int = 64, num_hues: int = 1, softness: float | int = 1.5) -> ImageWorld:
    """White (or coloured) squares, ellipses and hearts on black, on the grid of dSprites.

    Factors: color 1; shape 3 (1 square, 2 ellipse, 3 heart); scale 6 (0.5 to 1); orientation 40 (0 to 2 pi, radians,
    both ends on the grid); posX 32 and posY 32 (0 to 1, to the right and downwards, in the middle half of the image).
    All but shape are continuous. `size`: pixels a side. With `num_hues` > 1, color is a hue 0, 1/num_hues, ... in
    turns and images are [size, size, 3]; else they are [size, size, 1] and color is 1. `softness`: width of the edges
    in pixels. A square turned by a quarter and an ellipse turned by a half look the same, as they do in dSprites.

    Raises `ValueError` for size < 8, num_hues < 1 or softness <= 0.
    Source: the grid of Matthey et al. 2017 (dSprites); the proportions of the shapes are this library's.
    """
    if size < 8 or num_hues < 1 or not (softness > 0 and math.isfinite(softness)):
        raise ValueError(
            f"sprites: found size={size}, num_hues={num_hues}, softness={softness}, "
            "wanted size >= 8, num_hues >= 1 and softness finite and > 0"
        )
    coloured, grid = num_hues > 1, SPRITE_GRID
    if coloured:
        hue = Factor("color", tuple(k / num_hues for k in range(num_hues)), (0, 1), periodic=True)
        grid = FactorGrid((hue, *SPRITE_GRID.factors[1:]))

    def draw(factors: Float[Array, " 6"]) -> Float[Array, "size size C"]:
        hue, shape, scale, angle, pos_x, pos_y = factors
        x, y = pixel_centers(size)
        x = x - (_MARGIN + (1 - 2 * _MARGIN) * pos_x)
        y = y - (_MARGIN + (1 - 2 * _MARGIN) * pos_y)
        cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
        distance = scale * sprite_distance(shape, cos * x + sin * y, cos * y - sin * x)
        white = coverage(distance, softness / size)
        return paint([white], [hue]) if coloured else white[:, :, None]

    return ImageWorld(grid, (size, size, 3 if coloured else 1), draw)


def sprite_distance(shape: ArrayLike, x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """Signed distance to a sprite of scale 1 around the origin, negative inside; y points down.

    Square: max(|x|, |y|) - a. Ellipse: to first order, f / |grad f| of f = (x/a)^2 + (y/b)^2 - 1. Heart: the union
    (minimum) of a square on its corner and the two discs on its upper edges. Exact at the outline, bounds elsewhere.
    """
    square = jnp.maximum(jnp.abs(x), jnp.abs(y)) - _SQUARE
    return jnp.where(shape == 1, square, jnp.where(shape == 2, _ellipse(x, y), _heart(x, y)))


def _ellipse(x: Array, y: Array) -> Array:
    a, b = _ELLIPSE
    u, v = x / a, y / b
    tiny = jnp.finfo(x.dtype).tiny ** 0.5  # the gradient of f is zero at the centre
    return (u * u + v * v - 1) / (2 * jnp.sqrt((u / a) ** 2 + (v / b) ** 2 + tiny))


def _heart(x: Array, y: Array) -> Array:
    half, root = _HEART, math.sqrt(0.5)
    # The heart reaches from sqrt(2) half below the square's centre to about 1.7 half above: lower it to the middle.
    x, y = jnp.abs(x), y - 0.14 * half
    u, v = root * (x + y), root * (x - y)  # along the square's edges; the upper right one is v = half
    square = jnp.maximum(jnp.abs(u), jnp.abs(v)) - half
    tiny = jnp.finfo(x.dtype).tiny ** 0.5
    disc = jnp.sqrt(u * u + (v - half) ** 2 + tiny) - half
    return jnp.minimum(square, disc)
