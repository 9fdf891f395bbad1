"""Projective maps of the plane, from pairs of points: what a tilted or sheared camera does to an image."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from identax.checks import check_finite, concrete
from identax.inputs import float_type, numbers

_SINGULAR = 1e-9
"""smallest share of the largest singular value that a regular map may have"""
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])

AFFINE_POINTS = (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), ((0.0, 0.12), (0.85, 0.0), (0.15, 1.0)))
"""three points of the unit square and where the affine warp takes them: a shear in both directions"""
PROJECTIVE_POINTS = (
    ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
    ((0.02, 0.05), (0.98, 0.0), (0.8, 0.9), (0.25, 1.0)),
)
"""the unit square's corners, from the origin and against the clock, and where the projective warp takes them"""


def homography(source: ArrayLike | Sequence[Any], target: ArrayLike | Sequence[Any]) -> Float[Array, "3 3"]:
    """The projective map with H (s_i, 1) proportional to (t_i, 1) for four points, and H[2, 2] = 1.

    `source` s and `target` t: four points [4, 2], of each no three on a line. Raises `ValueError` for other shapes,
    what is not finite, and points that fix no regular map or one that takes the origin to infinity.
    """
    s, t = _points("homography", source, target, 4)
    ones, zeros = jnp.ones((4, 1), s.dtype), jnp.zeros((4, 3), s.dtype)
    known = jnp.concatenate([s, ones], axis=1)
    rows = [jnp.concatenate([known, zeros, -t[:, :1] * s], axis=1), jnp.concatenate([zeros, known, -t[:, 1:] * s], 1)]
    system = jnp.concatenate(rows)
    _check_regular("homography", "points", system)
    entries = jnp.linalg.solve(system, jnp.concatenate([t[:, 0], t[:, 1]]))
    found = jnp.concatenate([entries, jnp.ones(1, s.dtype)]).reshape(3, 3)
    _check_regular("homography", "points", found)
    return found


def affine_map(source: ArrayLike | Sequence[Any], target: ArrayLike | Sequence[Any]) -> Float[Array, "3 3"]:
    """The affine map with H (s_i, 1) = (t_i, 1) for three points; its last row is (0, 0, 1).

    `source` s and `target` t: three points [3, 2]. Raises `ValueError` for other shapes, what is not finite, and
    points on a line.
    """
    s, t = _points("affine_map", source, target, 3)
    ones = jnp.ones((3, 1), s.dtype)
    known, wanted = jnp.concatenate([s, ones], axis=1), jnp.concatenate([t, ones], axis=1)
    for name, points in (("source", known), ("target", wanted)):
        _check_regular("affine_map", name, points)
    found = jnp.linalg.solve(known, wanted).T
    return found.at[2].set(jnp.asarray([0.0, 0.0, 1.0], found.dtype))


def transform_points(matrix: ArrayLike | Sequence[Any], points: ArrayLike | Sequence[Any]) -> Float[Array, "... 2"]:
    """Where a projective map takes points: (H (p, 1))[:2] / (H (p, 1))[2], infinite where that is 0.

    `matrix` H [3, 3], `points` p [..., 2].
    """
    matrix, points = jnp.asarray(matrix, float), jnp.asarray(points, float)
    moved = points @ matrix[:, :2].T + jnp.broadcast_to(matrix[:, 2], (*points.shape[:-1], 3))
    return moved[..., :2] / moved[..., 2:]


def image_warp(where: str, warp: ArrayLike | Sequence[Any]) -> Float[Array, "3 3"]:
    """A projective map of the unit square as a matrix whose third coordinate is positive there.

    Raises `ValueError` unless `warp` is [3, 3], finite, regular, and neither it nor its inverse takes a point of the
    unit square to infinity.
    """
    check_finite(where, "warp", numbers(where, "warp", warp), (3, 3))
    matrix = jnp.asarray(warp, float)
    _check_regular(where, "warp", matrix)
    known = concrete(matrix)
    if known is not None:
        corners = np.concatenate([_CORNERS, np.ones((4, 1))], axis=1)
        scales = corners @ known[2]
        back = corners @ np.linalg.inv(known.astype(float))[2] * np.sign(scales[0])
        if not ((scales * np.sign(scales[0]) > 0).all() and (back > 0).all()):
            raise ValueError(f"{where}: found a warp that takes points of the image to infinity, wanted none")
    return matrix * jnp.sign(matrix[2, 2])


def _points(where: str, source: Any, target: Any, num: int) -> tuple[Array, Array]:
    found = []
    for name, points in (("source", source), ("target", target)):
        points = numbers(where, name, points)
        check_finite(where, name, points, (num, 2))
        found.append(points)
    dtype = float_type(*found)
    return jnp.asarray(found[0], dtype), jnp.asarray(found[1], dtype)


def _check_regular(where: str, name: str, matrix: Array) -> None:
    known = concrete(matrix)
    if known is None:
        return
    sizes = np.linalg.svd(known.astype(float), compute_uv=False)
    if not sizes[-1] > _SINGULAR * sizes[0]:
        raise ValueError(f"{where}: found {name} of a singular map (singular values {sizes}), wanted a regular one")
