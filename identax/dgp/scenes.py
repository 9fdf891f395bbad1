"""Scenes: the factor grid of Shapes3D, an object in a room, ray-cast analytically and differentiably."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.dgp.factors import Factor, FactorGrid, grid_values
from identax.dgp.image_world import ImageWorld, coverage, paint, pixel_centers

SCENE_SHAPES = ("cube", "cylinder", "sphere", "capsule")
"""of the shape values 0, 1, 2, 3"""
_CUBE, _CYLINDER, _SPHERE, _CAPSULE = range(4)
# Lengths in units of about the object's width; y points up, the floor is y = 0, the object stands in the origin.
_DISTANCE, _HEIGHT, _TARGET, _FOCAL = 5.2, 3.0, 0.95, 1.7
_BACK, _SIDE = 3.6, 3.9  # walls z = -_BACK and x = +-_SIDE; the camera looks towards -z and sees no other
_RADII = (0.72, 0.78, 0.92, 0.62)  # of the shapes at size 1: half a side of the cube, else radii
_STRAIGHT = (0.72, 0.78, 0.0, 0.5)  # half the height without the round ends
_LIGHT = (0.35, 0.8, math.sqrt(1 - 0.35**2 - 0.8**2))  # unit vector towards it: from the right, above and in front
_AMBIENT = 0.3

SCENE_GRID = FactorGrid(
    (
        *(Factor(name, tuple(k / 10 for k in range(10)), (0, 1), True) for name in ("floorCol", "wallCol", "objCol")),
        Factor("objSize", grid_values(0.75, 1.25, 8), (0.75, 1.25)),
        Factor("objType", (0, 1, 2, 3)),
        Factor("objAzimuth", grid_values(-30, 30, 15), (-30, 30)),
    )
)
"""The factors of Shapes3D (Burgess and Kim 2018)."""


class _Rays(NamedTuple):
    """Rays o + t d of all pixels: `origin` three numbers, `direction` three arrays, |d| = 1; a pixel's angle."""

    origin: tuple[Array, Array, Array]
    direction: tuple[Array, Array, Array]
    pixel: float


def scenes(*, size: int = 64, softness: float | int = 1.5) -> ImageWorld:
    """An object in a room with coloured floor, walls and object, on the grid of Shapes3D; images [size, size, 3].

    Factors: floorCol, wallCol, objCol 10 each (hues 0, 0.1, ..., 0.9 turns); objSize 8 (0.75 to 1.25); objType 4
    (0 cube, 1 cylinder, 2 sphere, 3 capsule); objAzimuth 15 (-30 to 30 degrees, of the camera around the object). All
    but objType are continuous. `size`: pixels a side. `softness`: width of the edges in pixels.

    Every pixel's ray meets the floor, three walls and the object in closed form; light is diffuse, with a soft
    shadow around the object's foot.
    Raises `ValueError` for size < 8 or softness <= 0.
    Source: the grid of Burgess and Kim 2018 (3D Shapes); the geometry is this library's.
    """
    if size < 8 or not (softness > 0 and math.isfinite(softness)):
        raise ValueError(
            f"scenes: found size={size}, softness={softness}, wanted size >= 8 and softness finite and > 0"
        )

    def draw(factors: Float[Array, " 6"]) -> Float[Array, "size size 3"]:
        floor_hue, wall_hue, object_hue, scale, shape, azimuth = factors
        rays = _camera(azimuth, size, softness)
        radius, straight = (scale * _of_shape(shape, table) for table in (_RADII, _STRAIGHT))
        floor, wall = _room(rays, radius)
        mask, light = _object(rays, shape, radius, straight)
        behind = 1 - mask
        return paint([behind * floor, behind * wall, mask * light], [floor_hue, wall_hue, object_hue])

    return ImageWorld(SCENE_GRID, (size, size, 3), draw)


def _of_shape(shape: Array, table: tuple[float, float, float, float]) -> Array:
    cube, cylinder, sphere, capsule = table
    flat = jnp.where(shape == _CUBE, cube, cylinder)
    return jnp.where(shape <= _CYLINDER, flat, jnp.where(shape == _SPHERE, sphere, capsule))


def _camera(azimuth: Array, size: int, softness: float | int) -> _Rays:
    """Rays of a camera that looks from a circle around the object at a point above its foot."""
    angle = azimuth * (math.pi / 180)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    length = math.hypot(_DISTANCE, _HEIGHT - _TARGET)
    down, level = (_HEIGHT - _TARGET) / length, _DISTANCE / length
    x, y = pixel_centers(size)
    right, up = (2 * x - 1) / _FOCAL, (1 - 2 * y) / _FOCAL
    norm = jnp.sqrt(1 + right * right + up * up)
    ahead, rise = (level + down * up) / norm, (level * up - down) / norm
    right = right / norm
    direction = (cos * right - sin * ahead, rise, -sin * right - cos * ahead)
    return _Rays(
        (_DISTANCE * sin, jnp.full_like(sin, _HEIGHT), _DISTANCE * cos), direction, 2 * softness / (_FOCAL * size)
    )


def _room(rays: _Rays, radius: Array) -> tuple[Array, Array]:
    """The light that comes from the floor and from the walls; zero where the other is seen."""
    (ox, oy, oz), (dx, dy, dz), pixel = rays
    back = (-_BACK - oz) / dz
    side = (jnp.where(dx < 0, -_SIDE, _SIDE) - ox) / _away_from_zero(dx)
    x_at_back = jnp.abs(ox + back * dx)
    on_side = coverage(_SIDE - x_at_back, pixel * back)
    far = jnp.minimum(back, side)
    on_wall = coverage(-(oy + far * dy), pixel * far)
    # Walls lie above the floor, so a ray that meets the floor first goes down.
    down = oy / jnp.maximum(-dy, 1e-3)
    fx, fz = ox + down * dx, oz + down * dz
    spread = (fx * fx + fz * fz) / (1.2 * radius) ** 2
    shadow = 1 - 0.55 / (1 + spread * spread * spread)
    back_light = _diffuse(0, 0, 1)
    side_light = jnp.where(dx < 0, _diffuse(1, 0, 0), _diffuse(-1, 0, 0))
    wall_light = back_light + on_side * (side_light - back_light)
    return (1 - on_wall) * shadow * _diffuse(0, 1, 0), on_wall * wall_light


def _object(rays: _Rays, shape: Array, radius: Array, straight: Array) -> tuple[Array, Array]:
    """The share of every pixel that the object covers, and the light that comes from it."""
    (ox, oy, oz), d, pixel = rays
    height = straight + jnp.where(shape >= _SPHERE, radius, 0)
    origin = (ox, oy - height, oz)
    nearest = -_dot(origin, d)  # the ray comes nearest to the object's centre there
    width = pixel * nearest
    flat_mask, flat_light = _box(origin, d, radius, width)
    round_mask, round_light = _round(origin, d, shape, radius, straight, width)
    cube = shape == _CUBE
    return jnp.where(cube, flat_mask, round_mask), jnp.where(cube, flat_light, round_light)


def _box(o: tuple, d: tuple, half: Array, width: Array) -> tuple[Array, Array]:
    """A cube of half side `half`: its outline along d is a hexagon, normals n_i = d x e_i, sum_j |n_ij| half away."""
    distances = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        length = jnp.sqrt(d[j] * d[j] + d[k] * d[k] + 1e-12)
        offset = jnp.abs(o[j] * d[k] - o[k] * d[j])
        distances.append((offset - half * (jnp.abs(d[j]) + jnp.abs(d[k]))) / length)
    mask = coverage(jnp.maximum(jnp.maximum(*distances[:2]), distances[2]), width)
    # The ray enters through the face whose plane it meets last.
    enter = [(-jnp.where(d[i] < 0, -half, half) - o[i]) / _away_from_zero(d[i]) for i in range(3)]
    faces = [
        jnp.where(d[0] < 0, _diffuse(1, 0, 0), _diffuse(-1, 0, 0)),
        jnp.where(d[1] < 0, _diffuse(0, 1, 0), _diffuse(0, -1, 0)),
        _diffuse(0, 0, 1),
    ]
    sides = _blend(faces[2], faces[0], enter[0] - enter[2], width)
    return mask, _blend(sides, faces[1], enter[1] - jnp.maximum(enter[0], enter[2]), width)


def _round(o: tuple, d: tuple, shape: Array, radius: Array, straight: Array, width: Array) -> tuple[Array, Array]:
    """A sphere, capsule or cylinder: a vertical segment of half length `straight`, inflated by a ball or a disc."""
    ox, oy, oz = o
    dx, dy, dz = d
    level2 = dx * dx + dz * dz
    level = jnp.sqrt(level2)
    # Seen along d: u across and v along the axis' image, which reaches to +-straight * level.
    u = (ox * dz - oz * dx) / level
    v = oy * level - dy * (ox * dx + oz * dz) / level
    beyond = jnp.maximum(jnp.abs(v) - straight * level, 0)
    ball = jnp.sqrt(u * u + beyond * beyond + 1e-12) - radius
    squash = dy * dy + 1e-3  # a disc seen from its edge has no height
    w = beyond / squash
    disc2 = u * u + w * beyond
    disc = (disc2 - radius * radius) / (2 * jnp.sqrt(u * u + w * w + 1e-12))
    cylinder = shape == _CYLINDER
    mask = coverage(jnp.where(cylinder, disc, ball), width)

    along = (ox * dx + oz * dz) / level2
    to_side = -along - jnp.sqrt(_positive(radius * radius - u * u, radius) / level2)
    y_side = oy + to_side * dy
    x, z = ox + to_side * dx, oz + to_side * dz
    to_top = (straight - oy) / _away_from_zero(dy)
    tube = _blend(_lit(x, jnp.zeros_like(x), z), _diffuse(0, 1, 0), to_top - to_side, width)

    center = jnp.clip(y_side, -straight, straight)
    b = ox * dx + (oy - center) * dy + oz * dz
    c = ox * ox + (oy - center) ** 2 + oz * oz - radius * radius
    t = -b - jnp.sqrt(_positive(b * b - c, radius))
    return mask, jnp.where(cylinder, tube, _lit(ox + t * dx, oy - center + t * dy, oz + t * dz))


def _diffuse(x: Any, y: Any, z: Any) -> Any:
    """Light from a surface with the unit normal (x, y, z): ambient + (1 - ambient) ((1 + n . l) / 2)."""
    cosine = x * _LIGHT[0] + y * _LIGHT[1] + z * _LIGHT[2]
    return _AMBIENT + (1 - _AMBIENT) * (1 + cosine) / 2


def _lit(x: Array, y: Array, z: Array) -> Array:
    """Light from a surface with a normal of any length, hence at most 1."""
    length = jnp.sqrt(x * x + y * y + z * z)
    return _diffuse(x / length, y / length, z / length)


def _blend(first: Any, second: Any, by: Array, width: Array) -> Array:
    """`second` where `by` is positive, `first` where it is negative, a soft edge between."""
    return first + coverage(-by, width) * (second - first)


def _positive(value: Array, unit: Array) -> Array:
    """max(value, 0), smoothed near 0: outside the outline there is no point to be lit, and at it no slope."""
    small = (0.15 * unit) ** 2
    return 0.5 * (value + jnp.sqrt(value * value + small * small))


def _away_from_zero(value: Array) -> Array:
    return jnp.where(jnp.abs(value) < 1e-6, jnp.where(value < 0, -1e-6, 1e-6), value)


def _dot(a: tuple, b: tuple) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
