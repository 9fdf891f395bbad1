"""The disentanglement sets as tensorflow-datasets prepared them: images and factor codes, without TensorFlow."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from identax.checks import check_choice
from identax.data._checks import indices_of, rows_of
from identax.data._prepared import READ_ERRORS, check_files, damaged, decoded, opened
from identax.data.dislib import CODINGS, PIXELS, DislibTable, dislib_table
from identax.data.dislib_prepare import dislib_command

# Features of the catalogue's sets in the order of our factors; dSprites' only color is not stored.
_CATALOGUE = {
    "dsprites": ("label_shape", "label_scale", "label_orientation", "label_x_position", "label_y_position"),
    "shapes3d": (
        "label_floor_hue", "label_wall_hue", "label_object_hue", "label_scale", "label_shape", "label_orientation",
    ),
    "smallnorb": ("label_category", "instance", "label_elevation", "label_azimuth", "label_lighting"),
}  # fmt: skip
_PARTS = {"smallnorb": ("train", "test")}
_BLOCK = 4096  # images read at once into memory


@dataclasses.dataclass(frozen=True)
class DislibSource:
    """A set, or a part of it: `len(source)` and `read_batch(indices)`, for `identax.data.epoch_batches`.

    A batch is {"image": float32 [B, H, W, C] (see `DislibTable.scale_pixels`), "codes": int32 [B, K] (see
    `DislibTable.label_codes`), "label": int32 [B], the code of the target}. `read(indices)` gives bytes and true codes,
    with `parallel` from several threads at once.
    """

    table: DislibTable
    num_examples: int
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = dataclasses.field(repr=False)
    coding: str = "round"
    pixels: str = "unit"
    parallel: bool = dataclasses.field(default=False, repr=False)

    def __post_init__(self):
        check_choice("DislibSource", "coding", self.coding, CODINGS)
        check_choice("DislibSource", "pixels", self.pixels, PIXELS)

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"{self.table.name}: found index {index}, wanted 0 ... {self.num_examples - 1}")
        return {name: leaf[0] for name, leaf in self.read_batch(np.array([index])).items()}

    def read_batch(self, indices: Any) -> dict[str, np.ndarray]:
        """Examples of many indices at once; raises `ValueError` as `part` does, but they may repeat."""
        indices = indices_of(f"{self.table.name}: read_batch", indices, self.num_examples)
        images, codes = self.read(indices)
        labels = self.table.label_codes(codes, coding=self.coding).astype(np.int32)
        target = labels[:, self.table.grid.position(self.table.target)]
        return {"image": self.table.scale_pixels(images, pixels=self.pixels), "codes": labels, "label": target}

    def part(self, indices: Any) -> "DislibSource":
        """The examples `indices` alone, such as one of `random_splits`, or those that a boolean mask [N] marks.

        Raises `ValueError` for indices that are no integers, twice there or outside 0 ... N - 1.
        """
        indices = rows_of("DislibSource.part", indices, self.num_examples)
        return dataclasses.replace(self, num_examples=len(indices), read=lambda chosen: self.read(indices[chosen]))

    def in_memory(self, *, grid_order: bool = False) -> "DislibSource":
        """The same examples, read now and held in memory as bytes; `grid_order` sorts them by `grid.index` of codes.

        The published code permutes the grid's order: sort a whole set before `random_splits` to get its very splits.
        """
        images = np.empty((len(self), *self.table.image_shape), np.uint8)
        codes = np.empty((len(self), len(self.table.grid.factors)), np.int64)
        for start in range(0, len(self), _BLOCK):
            block = np.arange(start, min(start + _BLOCK, len(self)))
            images[block], codes[block] = self.read(block)
        order = np.argsort(self.table.grid.index(codes), kind="stable") if grid_order else np.arange(len(self))
        return dataclasses.replace(
            self, read=lambda indices: (images[order[indices]], codes[order[indices]]), parallel=True
        )


def dislib_source(
    name: str, *, data_dir: str | Path | None = None, coding: str = "round", pixels: str = "unit"
) -> DislibSource:
    """Opens a set of `DISLIB_SETS` that was prepared under `data_dir` (default: that of tensorflow-datasets).

    SmallNORB is its train half, then its test half, first camera, 96 scaled to 64 pixels (Lanczos). Images come in the
    order of their files; that of the sets of the catalogue is not the grid's. `coding`, `pixels`: see `DislibTable`.

    Raises `ValueError` for an unknown set or option, for one that is not prepared (with the commands that prepare it),
    for missing or damaged files, another number of images, images of another shape or codes off the grid.
    """
    table = dislib_table(name)
    parts = [_part(table, data_dir, split) for split in _PARTS.get(name, ("train",))]
    starts = np.cumsum([0, *(num for num, _ in parts)])
    if starts[-1] != table.num_examples:
        raise ValueError(
            f"{name}: found {starts[-1]} images, wanted {table.num_examples}; delete the folder of the set and run: "
            f"{dislib_command(name, data_dir)}"
        )

    def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        which = np.searchsorted(starts, indices, side="right") - 1
        found = [parts[w][1](int(i - starts[w])) for w, i in zip(which, indices, strict=True)]
        images, codes = zip(*found, strict=True) if found else ((), ())
        shape = (len(indices), *table.image_shape)
        return np.asarray(images, np.uint8).reshape(shape), np.asarray(codes, np.int64).reshape(len(indices), -1)

    return DislibSource(table, table.num_examples, read, coding, pixels, parallel=True)


def _part(table: DislibTable, data_dir: str | Path | None, split: str) -> tuple[int, Callable]:
    """The number of records of one split, and a function that reads one: image and codes."""
    import tensorflow_datasets as tfds

    name, command = table.name, dislib_command(table.name, data_dir)
    where = data_dir or "the data directory (TFDS_DATA_DIR, by default ~/tensorflow_datasets)"
    stored = name.replace("_", "/")  # a variant of MPI3D is a config
    builder = opened(stored, data_dir, command, lambda: f"{name}: found nothing prepared in {where}; run: {command}")
    wanted = ("image", *_CATALOGUE.get(name, ("codes",)))
    features: Any = builder.info.features
    if not set(wanted) <= set(features) or split not in builder.info.splits:
        raise ValueError(
            f"{name}: found the features {sorted(features)} and splits {sorted(builder.info.splits)}, wanted "
            f"{list(wanted)} and {split!r}; delete {builder.data_path} and run: {command}"
        )
    info = builder.info.splits[split]
    check_files(name, info.file_instructions, command)
    encoded = isinstance(features["image"], tfds.features.Image)
    decoders = {name: tfds.decode.SkipDecoding() for name in ("image", "image2") if encoded and name in features}
    records = builder.as_data_source(split=split, decoders=decoders or None)

    def read_one(index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            record = records[index]
            image = decoded(record["image"], table.image_shape[-1], None) if encoded else record["image"]
        except READ_ERRORS as error:
            raise ValueError(damaged(name, f"record {index} of {split!r}", error, command)) from error
        if image.shape == (96, 96, 1):  # SmallNORB
            side = table.image_shape[:2]
            image = np.asarray(Image.fromarray(image[..., 0]).resize(side, Image.Resampling.LANCZOS))[..., None]
        codes = np.asarray(record["codes"] if "codes" in record else [record[key] for key in wanted[1:]], np.int64)
        if name == "dsprites":
            codes = np.concatenate([[0], codes])
        if image.shape != table.image_shape or image.dtype != np.uint8:
            raise ValueError(f"{name}: image {index} is {image.dtype} {image.shape}, wanted uint8 {table.image_shape}")
        if codes.shape != (len(table.grid.factors),) or (codes < 0).any() or (codes >= table.grid.factor_sizes).any():
            raise ValueError(
                f"{name}: image {index} has codes {codes.tolist()}, wanted 0 to sizes {table.grid.factor_sizes}"
            )
        return image, codes

    return info.num_examples, read_one
