"""The disentanglement sets: their factors and the roles these play, label codes, pixel scaling and splits."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from identax.checks import check_choice
from identax.data._checks import integer, whole
from identax.dgp.factors import Factor, FactorGrid
from identax.dgp.scenes import SCENE_GRID
from identax.dgp.sprites import SPRITE_GRID

CODINGS = ("round", "truncate")
PIXELS = ("unit", "divided")


@dataclasses.dataclass(frozen=True)
class DislibTable:
    """The factors of one set in storage order, images of `image_shape`, and what each factor is used for.

    `target`: the class trained on; `euclid`: read out and reported; `manifold`: periodic, not reported; `other`: not
    reported. `max_pixel`: of the stored bytes, 1 or 255. `stored_in_order`: image i has the codes `grid.codes(i)`.
    """

    name: str
    grid: FactorGrid
    image_shape: tuple[int, int, int]
    target: str
    euclid: tuple[str, ...]
    manifold: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    max_pixel: int = 255
    stored_in_order: bool = True

    @property
    def num_classes(self) -> int:
        """The number of classes of the target."""
        return self.grid[self.target].size

    @property
    def num_examples(self) -> int:
        """The number of images."""
        return len(self.grid)

    def scaled_values(self, name: str) -> Float[np.ndarray, " size"]:
        """A factor's values scaled to [0, 1], in float64, with the roundings of the authors' loader.

        v a - min a, a = 1 / (max - min); for Cars3D k / (size - 1).
        """
        values = np.asarray(self.grid[name].values, np.float64)
        if len(values) == 1:
            return np.zeros(1)
        span = values.max() - values.min()
        if self.name == "cars3d":
            return (values - values.min()) / span
        return values * (1 / span) - values.min() * (1 / span)

    def label_codes(self, codes: Int[np.ndarray, "N K"], *, coding: str = "round") -> Int[np.ndarray, "N K"]:
        """Integer labels from factor codes: scaled value / second smallest scaled value, rounded or truncated.

        "round" gives the codes back. "truncate" is the published code's: quotients that come out just below k become
        k - 1, so that Cars3D's object_type keeps 138 of its 183 classes.
        Raises `ValueError` for an unknown coding or another number of factors. Source: Reizinger et al. 2025, code.
        """
        check_choice("label_codes", "coding", coding, CODINGS)
        if codes.shape[-1] != len(self.grid.factors):
            raise ValueError(f"label_codes: found codes {codes.shape}, wanted [N, {len(self.grid.factors)}]")
        labels = np.zeros_like(codes)
        for k, factor in enumerate(self.grid.factors):
            if factor.size > 1:
                scaled = self.scaled_values(factor.name)
                quotients = scaled[codes[:, k]] / scaled[1]
                labels[:, k] = np.round(quotients) if coding == "round" else np.trunc(quotients)
        return labels

    def scale_pixels(
        self, images: UInt8[np.ndarray, "*B H W C"], *, pixels: str = "unit"
    ) -> Float[np.ndarray, "*B H W C"]:
        """Stored bytes as float32. "unit": in [0, 1], the bits of dSprites as they are, others divided by 255.

        "divided" is the published code's: everything divided by 255, so that dSprites has pixels 0 and 1/255.
        Raises `ValueError` for another name, and for dSprites with pixels above 1.
        """
        check_choice("scale_pixels", "pixels", pixels, PIXELS)
        if images.size and images.max() > self.max_pixel:
            raise ValueError(f"{self.name}: found pixels up to {images.max()}, wanted at most {self.max_pixel}")
        return images.astype(np.float32) / np.float32(self.max_pixel if pixels == "unit" else 255)


class Splits(NamedTuple):
    """Indices of the three parts of a set."""

    train: Int[np.ndarray, " train"]
    val: Int[np.ndarray, " val"]
    test: Int[np.ndarray, " test"]


def random_splits(num: Any, seed: Any = 42) -> Splits:
    """One permutation of NumPy's `RandomState(seed)`: the first tenth (floor) val, the next test, the rest train.

    Repetition r of the paper has seed 42 + r. Raises `ValueError` for num < 10 and a seed outside 0 ... 2^32 - 1.
    Source: Reizinger et al. 2025, code.
    """
    seed = whole("random_splits", "seed", seed, 0, 2**32 - 1)
    if integer("random_splits", "num", num) < 10:
        raise ValueError(f"random_splits: found num={num}, wanted at least 10 examples")
    order = np.random.RandomState(seed).permutation(num)
    tenth = num // 10
    return Splits(order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth])


def dislib_table(name: str) -> DislibTable:
    """The table of a set in `DISLIB_SETS`. Raises `ValueError` for another name."""
    check_choice("dislib_table", "name", name, tuple(TABLES))
    return TABLES[name]


def _counted(name: str, size: int, *, bounds: bool = True, periodic: bool = False) -> Factor:
    high = size if periodic else size - 1  # the value behind the last is the first again
    return Factor(name, tuple(range(size)), (0, high) if bounds else None, periodic)


def _mpi3d(variant: str) -> DislibTable:
    sizes = {"objCol": 6, "objShape": 6, "objSize": 2, "cameraHeight": 3, "backCol": 3}
    arm = (_counted("posX", 40), _counted("posY", 40))
    grid = FactorGrid((*(_counted(name, size, bounds=False) for name, size in sizes.items()), *arm))
    other = ("objCol", "objSize", "cameraHeight", "backCol")
    return DislibTable(f"mpi3d_{variant}", grid, (64, 64, 3), "objShape", ("posX", "posY"), other=other)


def _tables() -> tuple[DislibTable, ...]:
    cars3d = FactorGrid(
        (_counted("elevation", 4), _counted("azimuth", 24, periodic=True), _counted("object_type", 183, bounds=False))
    )
    smallnorb = FactorGrid(
        (
            _counted("category", 5, bounds=False),
            _counted("instance", 10, bounds=False),
            _counted("elevation", 9),
            _counted("rotation", 18, periodic=True),
            _counted("lighting", 6, bounds=False),
        )
    )
    colours = ("floorCol", "wallCol", "objCol")
    return (
        DislibTable(
            "dsprites", SPRITE_GRID, (64, 64, 1), "shape", ("scale", "posX", "posY"), ("orientation",),
            max_pixel=1, stored_in_order=False,
        ),
        DislibTable(
            "shapes3d", SCENE_GRID, (64, 64, 3), "objType", ("objSize", "objAzimuth"), colours, stored_in_order=False
        ),
        *(_mpi3d(variant) for variant in ("toy", "realistic", "real")),
        DislibTable("cars3d", cars3d, (64, 64, 3), "object_type", ("elevation",), ("azimuth",)),
        DislibTable(
            "smallnorb", smallnorb, (64, 64, 1), "category", ("elevation",), ("rotation",), ("lighting", "instance"),
            stored_in_order=False,
        ),
    )  # fmt: skip


TABLES = {table.name: table for table in _tables()}
DISLIB_SETS = tuple(TABLES)
