"""Draws the galleries of rendered images beside this file: `python docs/figures/gallery.py`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from identax.dgp import ImageWorld, scenes, sprites

_GAP, _GREY = 2, 110  # pixels between images and their colour


def sheet(world: ImageWorld, rows: list[list[dict]]) -> np.ndarray:
    """Images of named factors, row by row, on one uint8 sheet."""
    factors = jnp.array([[world.grid.vector(named) for named in row] for row in rows])
    images = np.asarray(jax.vmap(jax.vmap(world.render))(factors))
    num_rows, num_columns, height, width, channels = images.shape
    found = np.full((num_rows, num_columns, height + _GAP, width + _GAP, channels), _GREY, np.uint8)
    found[:, :, :-_GAP, :-_GAP] = np.round(255 * images)
    return found.transpose(0, 2, 1, 3, 4).reshape(num_rows * (height + _GAP), -1, channels)[:-_GAP, :-_GAP]


def sprite_sheet() -> np.ndarray:
    """A row for each factor of coloured sprites: shape and hue, scale, orientation, position across and down."""
    world = sprites(num_hues=10)
    middle = {"color": 0.55, "shape": 3, "scale": 0.8, "orientation": 0.0, "posX": 0.5, "posY": 0.5}
    steps = np.linspace(0, 1, 9)
    rows = [
        [{"shape": 1 + k % 3, "color": k / 9, "orientation": 0.4, "scale": 1.0} for k in range(9)],
        [{"scale": 0.5 + 0.5 * t} for t in steps],
        [{"orientation": 2 * np.pi * t, "scale": 1.0, "color": 0.95} for t in steps],
        [{"posX": t, "shape": 1, "orientation": 0.6, "color": 0.13} for t in steps],
        [{"posY": t, "shape": 2, "orientation": -0.5 + np.pi, "color": 0.4} for t in steps],
    ]
    return sheet(world, [[middle | changed for changed in row] for row in rows])


def scene_sheet() -> np.ndarray:
    """A row for each factor of scenes: hues of floor, walls and object, size, shape and azimuth."""
    world = scenes()
    middle = {"floorCol": 0.3, "wallCol": 0.55, "objCol": 0.0, "objSize": 1.0, "objType": 0, "objAzimuth": 10.0}
    steps = np.linspace(0, 1, 9)
    rows = [
        [{"floorCol": t, "objType": 2} for t in steps],
        [{"wallCol": t, "objType": 3} for t in steps],
        [{"objCol": t, "objType": 1} for t in steps],
        [{"objSize": 0.75 + 0.5 * t, "objCol": 0.15} for t in steps],
        [
            {"objType": k % 4, "objCol": (0.5 + 0.11 * k) % 1, "floorCol": 0.9 - 0.1 * k, "wallCol": 0.2 * k % 1}
            for k in range(9)
        ],
        [{"objAzimuth": 60 * t - 30, "floorCol": 0.1} for t in steps],
    ]
    return sheet(world, [[middle | changed for changed in row] for row in rows])


SHEETS = {"sprites.png": sprite_sheet, "scenes.png": scene_sheet}


def write(folder: Path) -> None:
    """Writes the galleries into `folder`."""
    for name, draw in SHEETS.items():
        Image.fromarray(draw()).save(folder / name, optimize=True)


if __name__ == "__main__":
    write(Path(__file__).parent)
