"""Files that tensorflow-datasets prepared: opening and checking them, and decoding images, without TensorFlow."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from identax.data._checks import home_expanded

READ_ERRORS = (RuntimeError, UnidentifiedImageError, OSError, SyntaxError, ValueError)
"""What ArrayRecord, protobuf and Pillow raise on bytes that are not what was written."""


def opened(name: str, data_dir: str | Path | None, command: str, missing: Callable[[], str]) -> Any:
    """The builder of a prepared set, from its files alone: the newest version that is there.

    Raises `ValueError`: `missing()` where nothing is prepared, else what is wrong and the `command` that prepares it.
    """
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError
    from tensorflow_datasets.core.read_only_builder import builder_from_files

    try:
        if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.*]+)?", name):  # name/config:version
            raise tfds.core.DatasetNotFoundError
        builder: Any = builder_from_files(name, data_dir=None if data_dir is None else home_expanded(data_dir))
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(missing()) from error
    except (ValueError, KeyError, ParseError) as error:
        raise ValueError(damaged(name, "features.json or dataset_info.json", error, command)) from error
    if builder.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:  # no random access
        raise ValueError(
            f"{name}: found it prepared as {builder.info.file_format.value}, wanted array_record; "
            f"delete {builder.data_path} and run: {command}"
        )
    return builder


def check_files(name: str, instructions: Any, command: str) -> None:
    """Raises `ValueError` unless every file is there and holds as many records as the set's description says."""
    from array_record.python.array_record_module import ArrayRecordReader

    for part in instructions:
        path = Path(part.filename)
        try:
            reader = ArrayRecordReader(str(path))
            found = reader.num_records()
            reader.close()
        except RuntimeError as error:
            raise ValueError(damaged(name, path.name, error, command)) from error
        if found != part.examples_in_shard:
            count = ValueError(f"{found} records, wanted {part.examples_in_shard}")
            raise ValueError(damaged(name, path.name, count, command)) from None


def damaged(name: str, what: str, error: Exception, command: str) -> str:
    """The message for a part of a prepared set that is missing or not what was written."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{name}: {what} is missing or damaged ({first}); delete the folder of the set and run: {command}"


def decoded(content: bytes, channels: int, size: int | None) -> np.ndarray:
    """Decodes an encoded image; the result has `channels` channels, whatever the file has."""
    with Image.open(io.BytesIO(content)) as image:
        if size is not None:
            image.draft("RGB" if channels == 3 else "L", (size, size))  # JPEG only: decodes 2, 4 or 8 times smaller
            return square(image, channels, size)
        return _pixels(image, channels)


def square(image: Image.Image, channels: int, size: int) -> np.ndarray:
    """The centre of an image, its shorter side scaled to `size`."""
    whole = image.convert("RGB" if channels == 3 else "L")
    return _pixels(ImageOps.fit(whole, (size, size), Image.Resampling.BILINEAR), channels)


def _pixels(image: Image.Image, channels: int) -> np.ndarray:
    mode = "RGB" if channels == 3 else "L"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if channels == 1 else pixels
