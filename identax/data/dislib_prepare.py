"""Fetching and preparing the disentanglement sets: their commands, and Cars3D and MPI3D as tensorflow-datasets."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from identax.checks import check_choice
from identax.data._checks import home_expanded
from identax.data.dislib import dislib_table
from identax.data.dislib_files import BROKEN, FILES, MD5, published_images
from identax.data.sources import prepare_command


def prepare_dislib(
    name: str, file: str | Path, *, data_dir: str | Path | None = None, md5: str | None = "published"
) -> Path:
    """Prepares Cars3D or a variant of MPI3D from its published file; returns the folder of the prepared set.

    `data_dir`: default that of tensorflow-datasets. `md5`: what the file's checksum must be, by default the one in
    `MD5`; None checks only what the file holds (its own checksums, numbers, shapes and types).
    Raises `ValueError` for another set, and for a file that is missing, damaged or not the published one.
    Sources: Reed et al. 2015 (Cars3D); Gondal et al. 2019 (MPI3D). No TensorFlow is needed.
    """
    check_choice("prepare_dislib", "name", name, tuple(FILES))
    file = Path(home_expanded(file))
    if not file.is_file():
        raise ValueError(f"prepare_dislib: found no file {file}; run: {dislib_command(name, data_dir)}")
    wanted = MD5[name] if md5 == "published" else md5
    if wanted is not None:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "md5").hexdigest()
        if found != wanted:
            raise ValueError(_not_published(name, file, f"MD5 {found}, wanted {wanted}; {file.stat().st_size} bytes"))
    return _write(name, file, None if data_dir is None else home_expanded(data_dir))


def dislib_command(name: str, data_dir: str | Path | None = None) -> str:
    """The shell command that fetches and prepares a set; those of the catalogue need TensorFlow for it."""
    dislib_table(name)
    if name not in FILES:
        needed = "'identax[tfds]'" if name == "smallnorb" else "'identax[tfds]' h5py"
        return prepare_command(name, data_dir).replace("'identax[tfds]'", needed, 1)
    url = FILES[name]
    where = "" if data_dir is None else f", data_dir={str(data_dir)!r}"
    return (
        f'curl -L -O {url} && python -c "from identax.data import prepare_dislib; '
        f"prepare_dislib('{name}', '{url.rsplit('/', 1)[1]}'{where})\""
    )


def _write(name: str, file: Path, data_dir: str | None) -> Path:
    """Images in the order of the grid, `Tensor` features `image` (uint8) and `codes` (int32), as ArrayRecord."""
    import tensorflow_datasets as tfds  # slow, and needed here alone

    table = dislib_table(name)
    family, _, variant = name.partition("_")

    class Published(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=variant, description=f"{variant} images")] if variant else []

        def _info(self):
            features = {
                "image": tfds.features.Tensor(shape=table.image_shape, dtype=np.uint8),
                "codes": tfds.features.Tensor(shape=(len(table.grid.factors),), dtype=np.int32),
            }
            # Without shuffling, record i is image i.
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index, image in _checked(name, file):
                yield index, {"image": image, "codes": table.grid.codes(index).astype(np.int32)}

    Published.name = family  # of the folder
    builder = Published(data_dir=data_dir, file_format=tfds.core.FileFormat.ARRAY_RECORD, config=variant or None)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(builder.data_path)


def _checked(name: str, file: Path) -> Iterator[tuple[int, np.ndarray]]:
    """The images of a published file; whatever its reader trips over is one `ValueError`."""
    images = published_images(name, file)
    while True:
        try:
            found = next(images)
        except StopIteration:
            return
        except BROKEN as error:
            raise ValueError(_not_published(name, file, str(error) or repr(error))) from error
        yield found


def _not_published(name: str, file: Path, what: str) -> str:
    return f"prepare_dislib: {file} is not the published file ({what}); delete it and run: {dislib_command(name)}"
