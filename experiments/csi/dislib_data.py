"""The image sets of `csi/dislib`: rendered grids, which need no download, and the published files behind one source."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_choice
from identax.data import DISLIB_SETS, DislibSource, DislibTable, dislib_source, dislib_table, random_splits
from identax.dgp import scenes, sprites
from identax.dgp.factors import Factor, FactorGrid

RENDERED = {"sprites": (sprites, "dsprites"), "upright_sprites": (sprites, "dsprites"), "scenes": (scenes, "shapes3d")}
"""rendered set -> (its world, the published set whose grid it has); upright sprites are not turned"""
_CHUNK = 64  # images drawn at once


class Part(NamedTuple):
    """Images as bytes [N, H, W, C] and the codes of all their factors [N, K]."""

    image: np.ndarray
    codes: np.ndarray


def table_of(name: str) -> DislibTable:
    """Factors of a set and their roles. Raises `ValueError` for a name that is neither rendered nor published."""
    check_choice("dislib", "set", name, (*RENDERED, *DISLIB_SETS))
    table = dislib_table(RENDERED[name][1] if name in RENDERED else name)
    if name != "upright_sprites":
        return table
    upright = [Factor(one.name, one.values[:1]) if one.name in table.manifold else one for one in table.grid.factors]
    return dataclasses.replace(table, grid=FactorGrid(tuple(upright)))


@functools.lru_cache
def source_of(name: str, size: int, coding: str = "round", pixels: str = "unit") -> DislibSource:
    """A rendered grid of `size` x `size` images, drawn when they are asked for, or a published set as it was prepared.

    Raises `ValueError` as `dislib_source`, which says how to prepare a set, and for a published set with another size.
    """
    table = table_of(name)
    if name not in RENDERED:
        if size != table.image_shape[0]:
            raise ValueError(f"dislib: found size={size} for {name}, wanted its own {table.image_shape[0]}")
        return dislib_source(name, coding=coding, pixels=pixels)
    world = RENDERED[name][0](size=size)
    table = dataclasses.replace(table, image_shape=world.image_shape, max_pixel=255)
    draw = jax.jit(lambda codes: jnp.round(255 * world.render_batch(table.grid.values(codes))).astype(jnp.uint8))

    def read(indices):
        codes = np.asarray(table.grid.codes(np.asarray(indices)), np.int64)
        padded = np.pad(codes, ((0, -len(codes) % _CHUNK), (0, 0)))  # one shape: one program
        drawn = [np.asarray(draw(padded[i : i + _CHUNK])) for i in range(0, len(padded), _CHUNK)]
        return np.concatenate(drawn)[: len(codes)], codes

    return DislibSource(table, table.num_examples, read, coding, pixels)


@functools.lru_cache(maxsize=8)
def parts(
    name: str, size: int, coding: str, pixels: str, split_seed: int, num_train: int, num_fit: int, num_score: int
) -> tuple[Part, Part, Part]:
    """Images to train on, those of them to fit readouts to, and of the validation split those to score on.

    `num_train` 0: none, the training images come from a loader. Raises `ValueError` for counts that a set lacks.
    """
    source = source_of(name, size, coding, pixels)
    splits = random_splits(len(source), split_seed)
    wanted = {"train": num_train, "fit": num_fit, "score": num_score}
    have = {"train": len(splits.train), "fit": len(splits.train), "score": len(splits.val)}
    for what, count in wanted.items():
        if not (0 if what == "train" else 2) <= count <= have[what]:
            raise ValueError(f"dislib: found {count} images of {name} to {what}, wanted 2 to {have[what]}")
    if num_train:
        train = _read(source, splits.train[:num_train])
        few = Part(*(leaf[:num_fit] for leaf in train))
    else:
        train, few = Part(np.zeros(0), np.zeros(0)), None
    fit = few if few is not None and num_fit <= num_train else _read(source, splits.train[:num_fit])
    return train, fit, _read(source, splits.val[:num_score])


def image_size(config: Any) -> int:
    """Pixels a side of an arm's images: `size` of rendered ones, their own of published ones."""
    return config.size if config.set in RENDERED else table_of(config.set).image_shape[0]


def load(config: Any) -> tuple[Part, Part, Part]:
    """Training, fitting and scoring images of an arm, see `parts`; raises `ValueError` as it, and for ragged chunks."""
    for name in ("num_fit", "num_score"):
        if getattr(config, name) % config.chunk:
            found = f"{name}={getattr(config, name)}"
            raise ValueError(f"dislib: found {found}, wanted a multiple of chunk={config.chunk}")
    how = (config.coding, config.pixels, config.split_seed)
    return parts(config.set, image_size(config), *how, config.num_train, config.num_fit, config.num_score)


def _read(source: DislibSource, indices: np.ndarray) -> Part:
    images, codes = source.read(indices)
    return Part(images, source.table.label_codes(codes, coding=source.coding).astype(np.int32))
