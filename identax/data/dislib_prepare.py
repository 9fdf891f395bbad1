"""Fetching and preparing the disentanglement sets: commands, published files and their checksums."""

import hashlib
from pathlib import Path

from identax.checks import check_choice
from identax.data.dislib import dislib_table
from identax.data.sources import prepare_command

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


def prepare_dislib(
    name: str, file: str | Path, *, data_dir: str | Path | None = None, md5: str | None = "published"
) -> Path:
    """Prepares Cars3D or a variant of MPI3D from its published file; returns the folder of the prepared set.

    `data_dir`: default that of tensorflow-datasets. `md5`: what the file's checksum must be, by default the one in
    `MD5`; None checks only what the file holds (its own checksums, numbers, shapes and types).
    Raises `ValueError` for another set, and for a file that is missing, damaged or not the published one.
    """
    check_choice("prepare_dislib", "name", name, tuple(FILES))
    file = Path(file)
    if not file.is_file():
        raise ValueError(f"prepare_dislib: found no file {file}; run: {dislib_command(name, data_dir)}")
    wanted = MD5[name] if md5 == "published" else md5
    if wanted is not None:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "md5").hexdigest()
        if found != wanted:
            raise ValueError(not_published(name, file, f"MD5 {found}, wanted {wanted}; {file.stat().st_size} bytes"))
    import tensorflow_datasets as tfds

    from identax.data.dislib_builders import Cars3d, Mpi3d  # a slow import, needed here alone

    make = Cars3d if name == "cars3d" else Mpi3d
    options = {} if name == "cars3d" else {"config": name.removeprefix("mpi3d_")}
    where = None if data_dir is None else str(data_dir)
    builder = make(file=file, data_dir=where, file_format=tfds.core.FileFormat.ARRAY_RECORD, **options)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(builder.data_path)


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


def not_published(name: str, file: Path, what: str) -> str:
    """The message for a file that is damaged or another one."""
    return f"prepare_dislib: {file} is not the published file ({what}); delete it and run: {dislib_command(name)}"
