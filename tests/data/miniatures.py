"""Miniature files of the disentanglement sets in their published formats, and tables that fit them."""

import dataclasses
import gzip
import io
import tarfile
import types
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from identax.data import dislib
from identax.dgp.factors import FactorGrid

SIZES = {
    "dsprites": (1, 3, 2, 2, 3, 2),
    "shapes3d": (2, 1, 2, 2, 4, 2),
    "mpi3d_toy": (2, 3, 1, 1, 1, 2, 3),
    "mpi3d_real": (2, 3, 1, 1, 1, 2, 3),
    "cars3d": (4, 3, 5),
    "smallnorb": (2, 4, 2, 3, 1),
}


def shrink(monkeypatch, name: str) -> dislib.DislibTable:
    """Puts a table in place whose factors keep their first values only."""
    table = dislib.TABLES[name]
    factors = [
        dataclasses.replace(factor, values=factor.values[:size])
        for factor, size in zip(table.grid.factors, SIZES[name], strict=True)
    ]
    small = dataclasses.replace(table, grid=FactorGrid(tuple(factors)))
    monkeypatch.setitem(dislib.TABLES, name, small)
    return small


def picture(index: int, shape: tuple[int, int, int], top: int = 255) -> np.ndarray:
    """Image `index`, with a block in one corner so that no two axes can be exchanged: flat grey, or binary if top 1."""
    image = np.zeros(shape, np.uint8)
    if top == 1:
        image[shape[0] // 2 :, : shape[1] // 4] = 1
        image[0, :16, 0] = index >> np.arange(16) & 1
        return image
    image += np.uint8(1 + index % 200)
    image[: shape[0] // 2, : shape[1] // 4] += 40
    if shape[-1] > 1:
        image[..., -1] //= 2
    return image


def cars3d(folder: Path, table: dislib.DislibTable, change=lambda name, views: views) -> Path:
    """nips2015-analogy-data.tar.gz: data/cars/car_001_mesh.mat, ... with `im` [128, 128, 3, azimuth, elevation]."""
    path = folder / "nips2015-analogy-data.tar.gz"
    elevations, azimuths, num = table.grid.factor_sizes
    with tarfile.open(path, "w:gz") as archive:
        for car in reversed(range(num)):
            views = np.zeros((128, 128, 3, azimuths, elevations), np.uint8)
            for e in range(elevations):
                for a in range(azimuths):
                    index = (e * azimuths + a) * num + car
                    views[..., a, e] = np.kron(picture(index, (64, 64, 3)), np.ones((2, 2, 1), np.uint8))
            name = f"data/cars/car_{car + 1:03d}_mesh.mat"
            _add_mat(archive, name, im=change(name, views), mask=np.zeros((2, 2)))
        _add(archive, "data/cars/list.txt", b"car_001_mesh\n")
        _add_mat(archive, "data/shapes48.mat", im=np.zeros(3))
    return path


def _add_mat(archive: tarfile.TarFile, name: str, **arrays: np.ndarray) -> None:
    content = io.BytesIO()
    savemat(content, arrays, do_compression=True)
    _add(archive, name, content.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def mpi3d(folder: Path, table: dislib.DislibTable, save=np.savez, **changes: np.ndarray) -> Path:
    """mpi3d_toy.npz: `images` [N, 64, 64, 3] in the grid's order."""
    path = folder / "mpi3d.npz"
    save(path, **(changes or {"images": np.stack([picture(i, (64, 64, 3)) for i in range(table.num_examples)])}))
    return path


class File(dict):
    """Stands for an open hdf5 file: nested arrays by name."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


def hdf5(table: dislib.DislibTable) -> File:
    """What dsprites_ndarray_*.hdf5 and 3dshapes.h5 hold: images and, per image, classes or values of all factors."""
    codes = table.grid.codes(np.arange(table.num_examples))
    values = np.asarray(table.grid.values(codes), np.float64)
    images = np.stack([picture(i, table.image_shape, table.max_pixel) for i in range(len(codes))])
    if table.name == "shapes3d":
        return File(images=images, labels=values)
    return File(imgs=images[..., 0], latents={"classes": codes, "values": values})


def fake_h5py(content: File) -> types.ModuleType:
    """A module `h5py` whose files all hold `content`."""
    module = types.ModuleType("h5py")
    module.File = lambda path, mode: content  # pyright: ignore[reportAttributeAccessIssue]
    return module


def smallnorb(folder: Path, table: dislib.DislibTable) -> dict[str, Path]:
    """The six matrices of SmallNORB, unpacked, by the names the catalogue's builder gives them.

    Instances 2, 3 are in the training half, 0, 1 in the test half; azimuths are stored doubled.
    """
    codes = table.grid.codes(np.arange(table.num_examples))[::-1]
    paths = {}
    for part, rows in (("training", codes[:, 1] >= 2), ("testing", codes[:, 1] < 2)):
        index = np.asarray(table.grid.index(codes[rows]))
        left = np.stack([picture(int(i), (96, 96, 1))[..., 0] for i in index])
        info = codes[rows, 1:] * [1, 1, 2, 1]
        found = {"dat": np.stack([left, 255 - left], axis=1), "cat": codes[rows, 0], "info": info}
        for kind, array in found.items():
            paths[f"{part}_{kind}"] = folder / f"{part}-{kind}.mat"
            paths[f"{part}_{kind}"].write_bytes(gzip.decompress(_matrix(array)))
    return paths


def _matrix(array: np.ndarray) -> bytes:
    """A gzipped binary matrix of the NORB page: magic number, rank, at least three sizes, little-endian entries."""
    byte = array.dtype == np.uint8
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    head = np.array([0x1E3D4C55 if byte else 0x1E3D4C54, array.ndim, *sizes], "<i4").tobytes()
    return gzip.compress(head + array.astype(np.uint8 if byte else "<i4").tobytes())


def encode_png(self, image: np.ndarray) -> bytes:
    """What the catalogue's builders need TensorFlow for."""
    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(content, "PNG")
    return content.getvalue()
