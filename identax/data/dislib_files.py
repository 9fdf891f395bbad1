"""The published files of Cars3D and MPI3D: where they are, and their images in the order of the grid."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from identax.data.dislib import DislibTable, dislib_table

FILES = {
    "cars3d": "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    **{
        f"mpi3d_{variant}": f"https://storage.googleapis.com/mpi3d_disentanglement_dataset/data/{file}"
        for variant, file in (("toy", "mpi3d_toy.npz"), ("realistic", "mpi3d_realistic.npz"), ("real", "real.npz"))
    },
}
"""Published files of the sets that are not in the catalogue."""
MD5 = {
    "cars3d": "4e866a7919c1beedf53964e6f7a23686",
    "mpi3d_toy": "55889cb7c7dfc655d6e0277beee88868",
    "mpi3d_realistic": "59a6225b88b635365f70c91b3e52f70f",
    "mpi3d_real": "0f33f609918fb5c97996692f91129802",
}
"""of the published files, as the library disent recorded them; not checked against a download here"""
BROKEN = (
    OSError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, tarfile.TarError, MatReadError,
)  # fmt: skip
"""What the readers of these formats raise on bytes that are not what was written."""
_VIEWS = (128, 128, 3, 24, 4)  # of one car: height, width, channels, azimuths, elevations
_FOLDER = "data/cars/"


def published_images(name: str, file: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(index, uint8 image) of one of `FILES` in the order of its grid. Raises one of `BROKEN` on other bytes."""
    return (_cars3d if name == "cars3d" else _mpi3d)(dislib_table(name), file)


def _cars3d(table: DislibTable, file: Path):
    """183 cars from 24 azimuths and 4 elevations; all are read first, each member holds one with all its views."""
    elevations, azimuths, num_cars = table.grid.factor_sizes
    with tarfile.open(file, "r:gz") as archive:
        cars = dict(_cars(archive))
    if len(cars) != num_cars:
        raise ValueError(f"{len(cars)} cars, wanted {num_cars}")
    views = np.stack([cars[name] for name in sorted(cars)], axis=2)  # [elevation, azimuth, car, H, W, C]
    if views.shape[:2] != (elevations, azimuths):
        raise ValueError(f"views {views.shape[:2]}, wanted {(elevations, azimuths)}")
    yield from enumerate(views.reshape(-1, *table.image_shape))


def _cars(archive: tarfile.TarFile) -> Iterator[tuple[str, np.ndarray]]:
    """Names and views [elevation, azimuth, 64, 64, 3] of the cars in an archive, scaled by Lanczos' filter."""
    for member in archive:
        name = member.name.removeprefix("./")
        if not (member.isfile() and name.startswith(_FOLDER) and name.endswith(".mat")):
            continue
        content = archive.extractfile(member)
        assert content is not None
        views = loadmat(io.BytesIO(content.read()))["im"]
        if views.shape[:3] != _VIEWS[:3] or views.ndim != 5 or views.dtype != np.uint8:
            raise ValueError(f"{name} holds {views.dtype} {views.shape}, wanted uint8 {_VIEWS}")
        small = [
            [np.asarray(Image.fromarray(views[..., a, e]).resize((64, 64), Image.Resampling.LANCZOS))
             for a in range(views.shape[3])]
            for e in range(views.shape[4])
        ]  # fmt: skip
        yield name, np.array(small)


def _mpi3d(table: DislibTable, file: Path):
    """Images in the file's order, which is the grid's, read one by one: the file has 12 GB."""
    wanted = (table.num_examples, *table.image_shape)
    with zipfile.ZipFile(file) as archive, archive.open("images.npy") as stream:
        shape, fortran, dtype = _npy_header(stream)
        if shape != wanted or fortran or dtype != np.uint8:
            raise ValueError(f"images.npy holds {dtype} {shape}, wanted uint8 {wanted} in C order")
        size = int(np.prod(table.image_shape))
        for index in range(table.num_examples):
            content = stream.read(size)
            if len(content) < size:
                raise ValueError(f"images.npy ends in image {index}")
            yield index, np.frombuffer(content, np.uint8).reshape(table.image_shape)
        if stream.read(1):  # at the end zipfile compares the checksum
            raise ValueError("images.npy goes on behind its last image")


def _npy_header(stream: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
