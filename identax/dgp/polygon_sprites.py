"""Coloured regular polygons of a given area, drawn from signed distances to their edges, differentiable in position,
scale, hue and angle; under a projective map of the image an edge stays a straight line, so warps are exact."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_between, check_choice, check_count, check_finite, check_positive
from identax.dgp.factors import Factor, FactorGrid, grid_values
from identax.dgp.image_world import ImageWorld, coverage, paint, pixel_centers
from identax.dgp.warps import AFFINE_POINTS, PROJECTIVE_POINTS, affine_map, homography, image_warp

POLYGONS = ("triangle", "square", "pentagon")
_CORNERS, _FIRST = (3, 4, 5), (90, 45, 90)  # number of corners, and the first one's polar angle in degrees
_NEVER = 1e3  # apothem of edges that a polygon lacks
_CHUNK = 256  # images at once on a CPU: a plane of a polygon is cheap, a loop over few images is not

X, Y = Factor("x", grid_values(0.2, 0.75, 12), (0.2, 0.75)), Factor("y", grid_values(0.2, 0.75, 12), (0.2, 0.75))
SCALE = Factor("scale", grid_values(0.11, 0.2, 6), (0.11, 0.2))
HUE = Factor("hue", tuple(k / 10 for k in range(10)), (0, 1), periodic=True)
ANGLE = Factor("angle", tuple(36 * k for k in range(10)), (0, 360), periodic=True)


def polygon_sprites(
    *,
    size: int = 64,
    shapes: Sequence[str] = ("triangle",),
    angle: bool = False,
    warp: str | ArrayLike | Sequence[Any] | None = None,
    hue_shift: float | int = 0.0,
    saturation: float | int = 1.0,
    value: float | int = 1.0,
    softness: float | int = 1.5,
) -> ImageWorld:
    """One coloured regular polygon on black; images [size, size, 3]; a polygon of scale s covers s^2 of the image.

    Factors: x, y (0.2 to 0.75, image widths, from the left and from the bottom), scale (0.11 to 0.2), hue (0 to 1
    turns); with `angle` also angle (0 to 360 degrees, against the clock); with more than one of `shapes` also shape
    (its place in `shapes`; the only categorical one). `shapes` out of "triangle" (a corner up; circumradius 0.87738
    at scale 1), "square" (sides level) and "pentagon" (a corner up).

    `warp`: "affine", "projective" (point sets of `identax.dgp.warps`) or a regular [3, 3] map of the unit square,
    applied to the image: an edge l becomes H^-T l. Colour is HSV with (hue + `hue_shift`, `saturation`, `value`).
    `softness`: width of the edges in pixels; a pixel's share is the product over the edges of `coverage`, which is
    smooth in every factor but shape.

    Raises `ValueError` for size < 8, no or unknown shapes or one twice, softness <= 0, colours outside [0, 1] and a
    warp that is singular or takes points of the image to infinity.
    Source: Reizinger et al. 2022, code (the images of its Figure 5, drawn there with Pillow).
    """
    where, shapes = "polygon_sprites", (shapes,) if isinstance(shapes, str) else tuple(shapes)
    check_count(where, "size", size, 8)
    check_positive(where, "softness", softness, ())
    check_finite(where, "hue_shift", hue_shift, ())
    for name, share in (("saturation", saturation), ("value", value)):
        check_between(where, name, share, 0, 1, ())
    if not shapes or len(set(shapes)) < len(shapes):
        raise ValueError(f"{where}: found shapes={shapes}, wanted at least one of {list(POLYGONS)}, none twice")
    for shape in shapes:
        check_choice(where, "shapes", shape, POLYGONS)
    inverse = None if warp is None else jnp.linalg.inv(_warp(where, warp))
    normals, apothems = polygon_edges(shapes)
    factors = [X, Y, SCALE, HUE] + [ANGLE] * angle
    if len(shapes) > 1:
        factors.append(Factor("shape", tuple(range(len(shapes)))))

    def draw(factors: Float[Array, " K"]) -> Float[Array, "size size 3"]:
        position, scale, hue = factors[:2], factors[2], factors[3]
        which = factors[-1].astype(int) if len(shapes) > 1 else 0
        normal, apothem = (jnp.asarray(table, factors.dtype)[which] for table in (normals, apothems))
        if angle:
            normal = normal @ _rotation(factors[4] * (math.pi / 180)).T
        lines = jnp.concatenate([normal, -(normal @ position + apothem * scale)[:, None]], axis=1)
        plane = _inside(lines if inverse is None else lines @ inverse.astype(factors.dtype), size, softness)
        image = paint([value * saturation * plane], [hue + hue_shift])
        return image if saturation == 1 else image + (value * (1 - saturation) * plane)[:, :, None]

    return ImageWorld(FactorGrid(tuple(factors)), (size, size, 3), draw, _CHUNK)


def polygon_edges(shapes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Outward unit normals [S, E, 2] of the edges of polygons of area 1 around the origin, and their distances [S, E].

    n corners: circumradius R = sqrt(2 / (n sin(2 pi / n))), distance of an edge R cos(pi / n). Where a polygon has
    fewer than E edges the others have normal 0 and a distance that no point reaches.
    """
    kinds = [POLYGONS.index(shape) for shape in shapes]
    most = max(_CORNERS[kind] for kind in kinds)
    normals, distances = np.zeros((len(kinds), most, 2)), np.full((len(kinds), most), _NEVER)
    for row, kind in enumerate(kinds):
        n = _CORNERS[kind]
        angles = np.deg2rad(_FIRST[kind] + 360 / n * (np.arange(n) + 0.5))
        normals[row, :n] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        distances[row, :n] = math.sqrt(2 / (n * math.sin(2 * math.pi / n))) * math.cos(math.pi / n)
    return normals, distances


def _warp(where: str, warp: Any) -> Array:
    if isinstance(warp, str):
        check_choice(where, "warp", warp, ("affine", "projective"))
        warp = affine_map(*AFFINE_POINTS) if warp == "affine" else homography(*PROJECTIVE_POINTS)
    return image_warp(where, warp)


def _rotation(angle: Array) -> Array:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])])


def _inside(lines: Float[Array, "E 3"], size: int, softness: ArrayLike) -> Float[Array, "size size"]:
    """The share of every pixel on the inner side of all lines a x + b y + c = 0, where that is negative; y upwards."""
    length = jnp.sqrt(jnp.square(lines[:, :2]).sum(axis=1))
    a, b, c = (lines / jnp.where(length > 0, length, 1)[:, None]).T
    x, y = pixel_centers(size)
    shares = [coverage(a[k] * x + b[k] * (1 - y) + c[k], softness / size) for k in range(lines.shape[0])]
    return math.prod(shares[1:], start=shares[0])
