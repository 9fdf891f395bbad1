"""Builders of tensorflow-datasets for Cars3D and MPI3D out of their published files; they need no TensorFlow."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from identax.data.dislib import DislibTable, dislib_table
from identax.data.dislib_prepare import not_published

_VIEWS = (128, 128, 3, 24, 4)  # of one car: height, width, channels, azimuths, elevations
_FOLDER = "data/cars/"
_BROKEN = (
    OSError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, tarfile.TarError, MatReadError,
)  # fmt: skip
"""What the readers of these formats raise on bytes that are not what was written."""


class _FromFile(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images in the order of the grid, `Tensor` features `image` (uint8) and `codes` (int32)."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, file: Path, **options: Any):
        self.file = file
        super().__init__(**options)

    @property
    def table(self) -> DislibTable:
        raise NotImplementedError

    def images(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=self.table.image_shape, dtype=np.uint8),
            "codes": tfds.features.Tensor(shape=(len(self.table.grid.factors),), dtype=np.int32),
        }
        # Without shuffling, record i is image i.
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        images = self.images()
        while True:
            try:
                index, image = next(images)
            except StopIteration:
                return
            except _BROKEN as error:
                raise ValueError(not_published(self.table.name, self.file, str(error) or repr(error))) from error
            yield index, {"image": image, "codes": self.table.grid.codes(index).astype(np.int32)}


class Cars3d(_FromFile):
    """Cars3D: 183 cars from 24 azimuths and 4 elevations, 128 scaled to 64 pixels (Lanczos); Reed et al. 2015."""

    @property
    def table(self) -> DislibTable:
        return dislib_table("cars3d")

    def images(self):
        """(index, image) in the grid's order; all cars are read first, each file holds one with all its views."""
        elevations, azimuths, num_cars = self.table.grid.factor_sizes
        with tarfile.open(self.file, "r:gz") as archive:
            cars = dict(_cars(archive))
        if len(cars) != num_cars:
            raise ValueError(f"{len(cars)} cars, wanted {num_cars}")
        views = np.stack([cars[name] for name in sorted(cars)], axis=2)  # [elevation, azimuth, car, H, W, C]
        if views.shape[:2] != (elevations, azimuths):
            raise ValueError(f"views {views.shape[:2]}, wanted {(elevations, azimuths)}")
        yield from enumerate(views.reshape(-1, *self.table.image_shape))


class Mpi3d(_FromFile):
    """MPI3D: a robot arm holds an object; toy and realistic renderings and real photographs; Gondal et al. 2019."""

    BUILDER_CONFIGS = [  # noqa: RUF012 (the name is tensorflow-datasets')
        tfds.core.BuilderConfig(name=variant, description=f"the {variant} images")
        for variant in ("toy", "realistic", "real")
    ]

    @property
    def table(self) -> DislibTable:
        return dislib_table(f"mpi3d_{self.builder_config.name}")  # pyright: ignore[reportOptionalMemberAccess]

    def images(self):
        """(index, image) in the file's order, which is the grid's, read one by one: the file has 12 GB."""
        wanted = (self.table.num_examples, *self.table.image_shape)
        with zipfile.ZipFile(self.file) as archive, archive.open("images.npy") as stream:
            shape, fortran, dtype = _npy_header(stream)
            if shape != wanted or fortran or dtype != np.uint8:
                raise ValueError(f"images.npy holds {dtype} {shape}, wanted uint8 {wanted} in C order")
            size = int(np.prod(self.table.image_shape))
            for index in range(self.table.num_examples):
                content = stream.read(size)
                if len(content) < size:
                    raise ValueError(f"images.npy ends in image {index}")
                yield index, np.frombuffer(content, np.uint8).reshape(self.table.image_shape)
            if stream.read(1):  # at the end zipfile compares the checksum
                raise ValueError("images.npy goes on behind its last image")


def _cars(archive: tarfile.TarFile) -> Iterator[tuple[str, np.ndarray]]:
    """Names and views [elevation, azimuth, 64, 64, 3] of the cars in an archive."""
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


def _npy_header(stream: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
