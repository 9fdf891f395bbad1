"""Miniature data sets in the published formats of KITTI Masks and 3DIdent: to see that code runs, for nothing else."""

import atexit
import functools
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

KITTI_FILE = "kitti_peds_v2.pickle"
_SIDE = 64


@functools.cache
def miniature_kitti() -> Path:
    """A folder of this process's own with a miniature `kitti_peds_v2.pickle`; removed when the process ends."""
    return write_kitti(_folder())


@functools.cache
def miniature_three_d_ident(columns: int = 10) -> Path:
    """A folder of this process's own with a miniature split of 3DIdent; removed when the process ends."""
    return write_three_d_ident(_folder(), columns=columns)


def write_kitti(folder: Path, *, lengths: tuple[int, ...] = (12, 20, 16), seed: int = 0) -> Path:
    """Writes sequences of a filled ellipse that moves and grows by Laplace steps; returns the file.

    Format of the published file: a dict of `pedestrians` (boolean [T, 64, 64]) and `pedestrians_latents` [T, 3], the
    vertical and horizontal centre of mass and the area of every mask.
    """
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    masks, latents = [], []
    for length in lengths:
        start = random.uniform([20, 20, 5], [44, 44, 9])
        path = start + np.cumsum(random.laplace(scale=[0.8, 1.2, 0.2], size=(length, 3)), axis=0)
        path = np.clip(path, [14, 14, 4], [50, 50, 10])  # down, right, half width; twice as high as wide
        frames = np.stack([((rows - y) / (1.4 * r)) ** 2 + ((columns - x) / (0.7 * r)) ** 2 <= 1 for y, x, r in path])
        areas = frames.sum(axis=(1, 2))
        centres = [(frames * axis).sum(axis=(1, 2)) / areas for axis in (rows, columns)]
        masks.append(frames)
        latents.append(np.stack([*centres, areas], axis=1))
    file = folder / KITTI_FILE
    file.write_bytes(pickle.dumps({"pedestrians": masks, "pedestrians_latents": latents}))
    return file


def write_three_d_ident(folder: Path, *, num: int = 64, side: int = 16, columns: int = 10, seed: int = 0) -> Path:
    """Writes `raw_latents.npy` [num, `columns`] and `images/00.png`, ... of size `side`; returns the folder.

    An image is a random smooth function of its latents, not a rendering. 10 columns: three positions and seven angles
    in [-1, 1]; 11: three positions and a point of the unit sphere in R^8.
    """
    random = np.random.RandomState(seed)
    latents = random.uniform(-1, 1, (num, 10))
    if columns == 11:
        angles = random.normal(size=(num, 8))
        latents = np.concatenate([latents[:, :3], angles / np.linalg.norm(angles, axis=1, keepdims=True)], axis=1)
    pixels = np.tanh(latents @ random.normal(scale=0.5, size=(columns, side * side * 3)))
    values = np.round(84 + 40 * pixels).astype(np.uint8).reshape(num, side, side, 3)
    (folder / "images").mkdir(parents=True)
    np.save(folder / "raw_latents.npy", latents)
    width = int(np.ceil(np.log10(num)))
    for number, image in enumerate(values):
        Image.fromarray(image).save(folder / "images" / f"{number:0{width}d}.png")
    return folder


def _folder() -> Path:
    made = tempfile.mkdtemp(prefix="identax-miniature-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
