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
    middle = {"floorHue": 0.3, "wallHue": 0.55, "objectHue": 0.0, "objectSize": 1.0, "shape": 0, "azimuth": 10.0}
    steps = np.linspace(0, 1, 9)
    rows = [
        [{"floorHue": t, "shape": 2} for t in steps],
        [{"wallHue": t, "shape": 3} for t in steps],
        [{"objectHue": t, "shape": 1} for t in steps],
        [{"objectSize": 0.75 + 0.5 * t, "objectHue": 0.15} for t in steps],
        [
            {"shape": k % 4, "objectHue": (0.5 + 0.11 * k) % 1, "floorHue": 0.9 - 0.1 * k, "wallHue": 0.2 * k % 1}
            for k in range(9)
        ],
        [{"azimuth": 60 * t - 30, "floorHue": 0.1} for t in steps],
    ]
    return sheet(world, [[middle | changed for changed in row] for row in rows])


SHEETS = {"sprites.png": sprite_sheet, "scenes.png": scene_sheet}


def write(folder: Path) -> None:
    """Writes the galleries into `folder`."""
    for name, draw in SHEETS.items():
        Image.fromarray(draw()).save(folder / name, optimize=True)


if __name__ == "__main__":
    write(Path(__file__).parent)
