"""The tables of the disentanglement sets, and the published code's label coding, pixel scaling and splits."""

import numpy as np
import pytest

from identax.data import DISLIB_SETS, dislib_table, random_splits
from identax.dgp import scenes, sprites

SIZES = {
    "dsprites": ((1, 3, 6, 40, 32, 32), 737_280, "shape", 3),
    "shapes3d": ((10, 10, 10, 8, 4, 15), 480_000, "objType", 4),
    "mpi3d_toy": ((6, 6, 2, 3, 3, 40, 40), 1_036_800, "objShape", 6),
    "mpi3d_realistic": ((6, 6, 2, 3, 3, 40, 40), 1_036_800, "objShape", 6),
    "mpi3d_real": ((6, 6, 2, 3, 3, 40, 40), 1_036_800, "objShape", 6),
    "cars3d": ((4, 24, 183), 17_568, "object_type", 183),
    "smallnorb": ((5, 10, 9, 18, 6), 48_600, "category", 5),
}


@pytest.mark.parametrize("name", DISLIB_SETS)
def test_every_factor_has_one_role(name):
    table = dislib_table(name)
    sizes, num, target, num_classes = SIZES[name]
    assert (table.grid.factor_sizes, table.num_examples, table.target) == (sizes, num, target)
    assert table.num_classes == num_classes
    roles = [table.target, *table.euclid, *table.manifold, *table.other]
    constant = [factor.name for factor in table.grid.factors if factor.size == 1]
    assert sorted(roles + constant) == sorted(table.grid.factor_names)
    assert all(table.grid[factor].periodic for factor in table.manifold)
    for factor in table.grid.factor_names:
        scaled = table.scaled_values(factor)
        np.testing.assert_allclose(scaled, np.arange(len(scaled)) / max(len(scaled) - 1, 1), atol=1e-12)


def test_rendered_worlds_share_the_grids_of_their_sets():
    assert dislib_table("dsprites").grid is sprites().grid
    assert dislib_table("shapes3d").grid is scenes().grid


def each_value(table):
    """Codes [max size, K] that go through every value of every factor."""
    return np.stack([np.arange(max(table.grid.factor_sizes)) % size for size in table.grid.factor_sizes], axis=-1)


@pytest.mark.parametrize("name", DISLIB_SETS)
def test_rounding_gives_the_codes_and_truncation_the_published_collisions(name):
    table = dislib_table(name)
    codes = each_value(table)
    np.testing.assert_array_equal(table.label_codes(codes), codes)
    truncated = table.label_codes(codes, coding="truncate")
    wrong = {
        factor.name: np.unique(codes[truncated[:, k] != codes[:, k], k]).tolist()
        for k, factor in enumerate(table.grid.factors)
    }
    assert ((codes - truncated)[codes != truncated] == 1).all()
    listed = {
        "shapes3d": {"floorCol": [3, 6], "wallCol": [3, 6], "objCol": [3, 6]},
        "smallnorb": {"instance": [7], "rotation": [3, 6, 12]},
    }.get(name, {})
    if name == "cars3d":
        assert len(wrong.pop("object_type")) == 79
        assert len(np.unique(truncated[:, 2])) == 138
    assert {factor: found for factor, found in wrong.items() if found} == listed


def test_pixels():
    bits, grey = np.array([[[[0], [1]]]], np.uint8), np.array([[[0, 51, 255]]], np.uint8)
    dsprites, cars = dislib_table("dsprites"), dislib_table("cars3d")
    np.testing.assert_array_equal(dsprites.scale_pixels(bits).ravel(), [0, 1])
    np.testing.assert_allclose(dsprites.scale_pixels(bits, pixels="divided").ravel(), [0, 1 / 255], rtol=1e-6)
    for pixels in ("unit", "divided"):
        found = cars.scale_pixels(grey, pixels=pixels)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.ravel(), [0, 0.2, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="dsprites: found pixels up to 255, wanted at most 1"):
        dsprites.scale_pixels(grey)


@pytest.mark.parametrize("seed", [42, 43])
def test_splits_are_those_of_the_published_code(seed):
    train, val, test = random_splits(1037, seed)
    np.random.seed(seed)
    order = np.random.choice(1037, 1037, replace=False)
    np.testing.assert_array_equal(val, order[:103])
    np.testing.assert_array_equal(test, order[103:206])
    np.testing.assert_array_equal(train, order[206:])


def test_sizes_of_the_training_sets():
    wanted = {"dsprites": 589_824, "shapes3d": 384_000, "mpi3d_toy": 829_440, "cars3d": 14_056, "smallnorb": 38_880}
    assert {name: len(random_splits(SIZES[name][1]).train) for name in wanted} == wanted


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: dislib_table("dsprite"), "did you mean 'dsprites'"),
        (lambda: dislib_table("cars3d").label_codes(np.zeros((1, 3), int), coding="floor"), "found coding='floor'"),
        (lambda: dislib_table("cars3d").label_codes(np.zeros((1, 2), int)), r"found codes \(1, 2\), wanted \[N, 3\]"),
        (lambda: dislib_table("cars3d").scale_pixels(np.zeros((1, 1, 3), np.uint8), pixels="x"), "found pixels='x'"),
        (lambda: random_splits(9), "found num=9"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
