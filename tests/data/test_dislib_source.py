"""The disentanglement sets, prepared from miniature files of the published formats; refusals of damaged ones."""

import importlib
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from identax.data import DISLIB_SETS, dislib_command, dislib_source, epoch_batches, prepare_dislib, random_splits
from tests.data import miniatures

ARRAY_RECORD = tfds.core.FileFormat.ARRAY_RECORD


def prepare_catalogue(name, folder, table, monkeypatch):
    """Runs the catalogue's own builder; TensorFlow's PNG encoder, its file type and h5py have stand-ins."""
    monkeypatch.setattr(
        "tensorflow_datasets.core.features.image_feature._ImageEncoder._encode_image", miniatures.encode_png
    )
    if name == "smallnorb":
        module = importlib.import_module("tensorflow_datasets.datasets.smallnorb.smallnorb_dataset_builder")
        gfile = types.SimpleNamespace(GFile=lambda path, mode: Path(path).open(mode))
        monkeypatch.setattr(module, "tf", types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile)))
        files = miniatures.smallnorb(folder, table)
        monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, urls: files)
    else:
        monkeypatch.setitem(sys.modules, "h5py", miniatures.fake_h5py(miniatures.hdf5(table)))
        monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda self, url: "a path")
    builder = tfds.builder(name, data_dir=str(folder), file_format=ARRAY_RECORD)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))


def prepared(name, folder, monkeypatch):
    """A miniature of a set under `folder`; returns its table."""
    table = miniatures.shrink(monkeypatch, name)
    if name == "cars3d":
        prepare_dislib(name, miniatures.cars3d(folder, table), data_dir=folder, md5=None)
    elif name.startswith("mpi3d"):
        prepare_dislib(name, miniatures.mpi3d(folder, table), data_dir=folder, md5=None)
    else:
        prepare_catalogue(name, folder, table, monkeypatch)
    return table


@pytest.mark.parametrize("name", list(miniatures.SIZES))
def test_every_image_has_its_codes(name, tmp_path, monkeypatch):
    table = prepared(name, tmp_path, monkeypatch)
    source = dislib_source(name, data_dir=tmp_path)
    assert len(source) == table.num_examples
    images, codes = source.read(np.arange(len(source)))
    index = table.grid.index(codes)
    assert sorted(index.tolist()) == list(range(len(source)))
    if table.stored_in_order:
        np.testing.assert_array_equal(index, np.arange(len(source)))
    for image, i in zip(images, index, strict=True):
        if name == "smallnorb":  # scaled from 96 to 64 pixels, flat but for the edge of the bright part
            wanted = miniatures.picture(int(i), (64, 64, 1))
            assert np.median(np.abs(image.astype(int) - wanted)) == 0 and (image == wanted).mean() > 0.85
        elif name == "cars3d":
            wanted = miniatures.picture(int(i), (64, 64, 3)).astype(int)
            assert (image == wanted).mean() > 0.8 and np.median(np.abs(image - wanted)) == 0
        else:
            np.testing.assert_array_equal(image, miniatures.picture(int(i), table.image_shape, table.max_pixel))
    batch = source.read_batch(np.array([3, 0]))
    assert batch["image"].dtype == np.float32 and batch["codes"].dtype == batch["label"].dtype == np.int32
    assert batch["image"].max() <= 1 and batch["image"].max() > 0.01
    np.testing.assert_array_equal(batch["codes"], codes[[3, 0]])
    np.testing.assert_array_equal(batch["label"], codes[[3, 0], table.grid.position(table.target)])
    held, sorted_ones = source.in_memory(), source.in_memory(grid_order=True)
    np.testing.assert_array_equal(held.read(np.array([3, 0]))[0], images[[3, 0]])
    np.testing.assert_array_equal(sorted_ones.read(np.arange(len(source)))[0], images[np.argsort(index)])
    np.testing.assert_array_equal(table.grid.index(sorted_ones.read(np.array([5, 2]))[1]), [5, 2])
    if name == "smallnorb":
        half = len(source) // 2
        assert codes[:half, 1].min() == 2 and codes[half:, 1].max() == 1  # the training half comes first


def test_parts_memory_options_and_batches(tmp_path, monkeypatch):
    table = prepared("cars3d", tmp_path, monkeypatch)
    source = dislib_source("cars3d", data_dir=tmp_path)
    part = source.part(random_splits(len(source)).val)
    held = part.in_memory()
    assert len(part) == 6
    for mine, other in ((part[2], source[int(random_splits(60).val[2])]), (held[2], part[2])):
        for name in ("image", "codes", "label"):
            np.testing.assert_array_equal(mine[name], other[name])
    with pytest.raises(IndexError, match=r"found index 6, wanted 0 \.\.\. 5"):
        part[6]
    truncated = dislib_source("cars3d", data_dir=tmp_path, coding="truncate", pixels="divided")
    codes = truncated.read(np.arange(60))[1]
    np.testing.assert_array_equal(
        truncated.read_batch(np.arange(60))["codes"], table.label_codes(codes, coding="truncate")
    )
    batch = next(epoch_batches(held, batch_size=4, seed=0))
    assert batch["image"].shape == (4, 64, 64, 3) and batch["codes"].shape == (4, 3)


_READ = """
import socket, sys
def no(*arguments): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = no
import dataclasses
from identax.data import dislib, dislib_source
from identax.dgp.factors import Factor, FactorGrid
sizes = dict(zip(("objCol", "objShape", "objSize", "cameraHeight", "backCol", "posX", "posY"), (2, 3, 1, 1, 1, 2, 3)))
grid = FactorGrid(tuple(Factor(name, tuple(range(size))) for name, size in sizes.items()))
dislib.TABLES["mpi3d_toy"] = dataclasses.replace(dislib.TABLES["mpi3d_toy"], grid=grid)
assert dislib_source("mpi3d_toy", data_dir=sys.argv[1])[5]["image"].shape == (64, 64, 3)
print([name for name in sys.modules if name.split(".")[0] == "tensorflow"])
"""


def test_preparing_and_reading_import_no_tensorflow_and_ask_no_network(tmp_path, monkeypatch):
    prepared("mpi3d_toy", tmp_path, monkeypatch)
    assert "tensorflow" not in sys.modules
    # A stand-in that can be imported: were TensorFlow wanted where there is one, it would show.
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("__version__ = '2.18.0'\n")
    found = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)],
        env={"PYTHONPATH": f"{Path.cwd()}:{tmp_path}", "PATH": "", "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
        timeout=100, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == "[]\n", found.stderr


# ---- refusals


@pytest.mark.parametrize("name", DISLIB_SETS)
def test_a_missing_set_names_the_command(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}: found nothing prepared in ") as refused:
        dislib_source(name, data_dir=tmp_path)
    command = dislib_command(name, tmp_path)
    assert str(refused.value).endswith(f"run: {command}")
    if name in ("dsprites", "shapes3d"):
        assert command.startswith("pip install 'identax[tfds]' h5py && python -c")
    elif name == "smallnorb":
        assert command.startswith("pip install 'identax[tfds]' && python -c")
    else:
        file = command.split()[3].rsplit("/", 1)[1]
        assert command.startswith("curl -L -O http") and f"prepare_dislib('{name}', '{file}', data_dir=" in command
    assert list(tmp_path.iterdir()) == []


def swapped(name, views):
    return views.transpose(3, 0, 1, 2, 4) if "003" in name else views


CARS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "ended|end of"),
    "no archive": (lambda path: path.write_bytes(b"<html>not found</html>"), "not a gzip file"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "damaged": (lambda path: _flip(path, 0.5), "."),
}


def _flip(path, where):
    content = bytearray(path.read_bytes())
    start = int(where * len(content))
    content[start : start + 64] = bytes(byte ^ 0x5A for byte in content[start : start + 64])
    path.write_bytes(content)


@pytest.mark.parametrize("damage", CARS)
def test_a_damaged_archive_is_refused(damage, tmp_path, monkeypatch):
    path = miniatures.cars3d(tmp_path, miniatures.shrink(monkeypatch, "cars3d"))
    change, message = CARS[damage]
    change(path)
    with pytest.raises(ValueError, match=rf"is not the published file \(.*({message}).*; delete it and run: curl"):
        prepare_dislib("cars3d", path, data_dir=tmp_path, md5=None)
    with pytest.raises(ValueError, match="nothing prepared"):
        dislib_source("cars3d", data_dir=tmp_path)


def test_an_archive_with_other_cars_is_refused(tmp_path, monkeypatch):
    table = miniatures.shrink(monkeypatch, "cars3d")
    with pytest.raises(ValueError, match=r"car_003_mesh.mat holds uint8 \(3, 128, 128, 3, 4\), wanted uint8 \(128"):
        prepare_dislib("cars3d", miniatures.cars3d(tmp_path, table, swapped), data_dir=tmp_path, md5=None)
    path = miniatures.cars3d(tmp_path, table)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"5 cars, wanted 183"):
        prepare_dislib("cars3d", path, data_dir=tmp_path, md5=None)


MPI3D = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "not a zip file"),
    "no archive": (lambda path: path.write_bytes(b"<html>not found</html>"), "not a zip file"),
    "damaged": (lambda path: _flip(path, 0.5), "Bad CRC-32"),
    "header": (lambda path: _flip(path, 0.0), "."),
}


@pytest.mark.parametrize("damage", MPI3D)
def test_a_damaged_npz_is_refused(damage, tmp_path, monkeypatch):
    path = miniatures.mpi3d(tmp_path, miniatures.shrink(monkeypatch, "mpi3d_toy"))
    change, message = MPI3D[damage]
    change(path)
    with pytest.raises(ValueError, match=rf"is not the published file \(.*({message}).*; delete it and run: curl"):
        prepare_dislib("mpi3d_toy", path, data_dir=tmp_path, md5=None)
    with pytest.raises(ValueError, match="nothing prepared"):
        dislib_source("mpi3d_toy", data_dir=tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": np.zeros((35, 64, 64, 3), np.uint8)}, r"holds uint8 \(35, 64, 64, 3\), wanted uint8 \(36, 64"),
        ({"images": np.zeros((36, 64, 64, 3), np.float32)}, r"holds float32 \(36, 64, 64, 3\)"),
        ({"images": np.asfortranarray(np.zeros((36, 64, 64, 3), np.uint8))}, "in C order"),
        ({"pictures": np.zeros(3)}, "images.npy"),
    ],
)
def test_an_npz_with_another_array_is_refused(changes, message, tmp_path, monkeypatch):
    path = miniatures.mpi3d(tmp_path, miniatures.shrink(monkeypatch, "mpi3d_toy"), **changes)
    with pytest.raises(ValueError, match=message):
        prepare_dislib("mpi3d_toy", path, data_dir=tmp_path, md5=None)


def test_a_compressed_npz_is_read_and_one_that_goes_on_is_refused(tmp_path, monkeypatch):
    table = miniatures.shrink(monkeypatch, "mpi3d_toy")
    path = miniatures.mpi3d(tmp_path, table, save=np.savez_compressed)
    prepare_dislib("mpi3d_toy", path, data_dir=tmp_path / "one", md5=None)
    assert len(dislib_source("mpi3d_toy", data_dir=tmp_path / "one")) == 36
    with zipfile.ZipFile(path) as archive:
        content = archive.read("images.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content + b"more")
    with pytest.raises(ValueError, match="goes on behind its last image"):
        prepare_dislib("mpi3d_toy", path, data_dir=tmp_path / "two", md5=None)


def test_another_checksum_is_refused_first(tmp_path, monkeypatch):
    table = miniatures.shrink(monkeypatch, "mpi3d_toy")
    path = miniatures.mpi3d(tmp_path, table)
    with pytest.raises(ValueError, match=r"MD5 [0-9a-f]{32}, wanted 55889cb7c7dfc655d6e0277beee88868; \d+ bytes"):
        prepare_dislib("mpi3d_toy", path, data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"found no file .*none.npz; run: curl -L -O .*mpi3d_toy.npz"):
        prepare_dislib("mpi3d_toy", tmp_path / "none.npz", data_dir=tmp_path)
    with pytest.raises(ValueError, match="found name='dsprites', wanted one of"):
        prepare_dislib("dsprites", path, data_dir=tmp_path)


def test_prepared_sets_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    prepared("mpi3d_toy", tmp_path, monkeypatch)
    (folder,) = (tmp_path / "mpi3d" / "toy").iterdir()
    monkeypatch.setitem(miniatures.SIZES, "mpi3d_toy", (2, 3, 1, 1, 1, 2, 2))
    with monkeypatch.context() as smaller:
        miniatures.shrink(smaller, "mpi3d_toy")
        with pytest.raises(ValueError, match=r"found 36 images, wanted 24; delete the folder .* run: curl"):
            dislib_source("mpi3d_toy", data_dir=tmp_path)
    (file,) = folder.glob("*train*")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"is missing or damaged .*delete the folder of the set and run: curl"):
        dislib_source("mpi3d_toy", data_dir=tmp_path)
