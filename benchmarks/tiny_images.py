"""A tiny image data set in the format of the real ones, prepared in a tenth of a second without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """`num` images per split, `Image` features in `encoding` (or raw `Tensor` ones); image i is drawn from seed i."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, num: int, shape: tuple[int | None, int | None, int], encoding: str | None, **options: Any):
        self.num, self.shape, self.encoding = num, shape, encoding
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        image = (
            tfds.features.Tensor(shape=self.shape, dtype=np.uint8)
            if self.encoding is None
            else tfds.features.Image(shape=self.shape, encoding_format=self.encoding)
        )
        label = tfds.features.ClassLabel(num_classes=10)
        # Without shuffling example i of a split is the i-th that was generated.
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({"image": image, "label": label, "id": tfds.features.Text()}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(self.num), "test": self._generate_examples(self.num)}

    def _generate_examples(self, num: int):
        for index in range(num):
            pixels = tiny_image(index, self.shape)
            image = pixels if self.encoding is None else Image.fromarray(pixels.squeeze())
            yield index, {"image": image, "label": index % 10, "id": str(index)}


def tiny_image(index: int, shape: tuple[int | None, int | None, int]) -> np.ndarray:
    """Image `index`, uint8 [H, W, C]: smooth noise, which compresses as photographs do; free sides are 40 to 90."""
    random = np.random.RandomState(index)
    height, width = (random.randint(40, 90) if side is None else side for side in shape[:2])
    coarse = random.randint(0, 256, (4, 4, 3)).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return pixels[..., : shape[2]]


def prepare(
    data_dir: str | Path,
    *,
    num: int = 40,
    shape: tuple[int | None, int | None, int] = (8, 8, 3),
    encoding: str | None = "png",
) -> Path:
    """Writes the set `tiny_images` under `data_dir`; returns the folder with its files."""
    builder = TinyImages(
        num=num, shape=shape, encoding=encoding, data_dir=str(data_dir), file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(builder.data_path)
