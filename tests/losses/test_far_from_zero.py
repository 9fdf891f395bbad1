"""Arrays of the host far from zero: losses of differences keep their digits, the others refuse what float32 loses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax import losses
from identax.inputs import kept
from identax.losses import aninfonce, infonce, lp_infonce

RNG = np.random.default_rng(0)
Z, Z_POS = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 3))
NEGATIVES = RNG.normal(size=(8, 4, 3))
OF_DIFFERENCES = {
    "alignment": lambda z, z_pos, n: losses.alignment(z, z_pos, p=3),
    "uniformity": lambda z, z_pos, n: losses.uniformity(z, z_pos),
    "alignment_uniformity": lambda z, z_pos, n: losses.alignment_uniformity(z, z_pos, p=1),
    "lp_infonce": lambda z, z_pos, n: lp_infonce(z, z_pos, p=1),
    "lp_infonce, negatives": lambda z, z_pos, n: lp_infonce(z, z_pos, p=2, negatives=n),
    "aninfonce": lambda z, z_pos, n: aninfonce(z, z_pos, [1, 2, 3]),
    "r2_loss": lambda z, z_pos, n: losses.r2_loss(z, z_pos),
    "sharded": lambda z, z_pos, n: losses.sharded(aninfonce, jax.make_mesh((2,), ("data",), devices=jax.devices()[:2]))(
        z, z_pos, np.ones(3)
    ),
}
OF_PLACES = {
    "infonce": lambda z: infonce(z, Z_POS),
    "softmax_cross_entropy": lambda z: losses.softmax_cross_entropy(Z, z, np.arange(8)),
    "gaussian_kl": lambda z: losses.gaussian_kl(z, Z),
    "jacobian_determinant": lambda z: losses.jacobian_determinant(jnp.sin, z),
    "cross_entropy_to_normal": lambda z: losses.cross_entropy_to_normal(z, Z),
}


@pytest.mark.parametrize("name", OF_DIFFERENCES)
@pytest.mark.parametrize("offset", [1e8, -1e12])
def test_an_offset_costs_no_digit_of_a_difference(name, offset):
    far = [array + offset for array in (Z, Z_POS, NEGATIVES)]
    near = [array - offset for array in far]  # what float64 leaves of them
    wanted = OF_DIFFERENCES[name](*near)
    np.testing.assert_allclose(OF_DIFFERENCES[name](*far), wanted, rtol=2e-5, atol=1e-5)
    whole = [np.round(10 * array).astype(np.int64) for array in (Z, Z_POS, NEGATIVES)]
    moved = OF_DIFFERENCES[name](*(array + 2**40 for array in whole))
    np.testing.assert_allclose(moved, OF_DIFFERENCES[name](*whole), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", OF_PLACES)
def test_what_depends_on_the_place_is_refused_by_name(name):
    with pytest.raises(
        ValueError, match=r"found \w+ around an offset of 1e\+08 with a spread of .* keeps too few digits"
    ):
        OF_PLACES[name](Z + 1e8)
    OF_PLACES[name](Z + 10)


@pytest.mark.parametrize("rows", [Z[:1], np.repeat(Z[:1], 3, axis=0)], ids=["one row", "equal rows"])
def test_a_single_row_is_judged_by_its_entries(rows):
    with pytest.raises(ValueError, match=r"an offset of 1e\+08 with a spread of .* keeps too few digits"):
        kept("f", "x", rows + 1e8)
    np.testing.assert_array_equal(kept("f", "x", np.full((3, 2), 1e8 + 0.3)), np.float32(1e8))  # nothing varies
    kept("f", "x", rows + 10)


def test_without_an_offset_nothing_is_moved():
    for name in OF_DIFFERENCES:
        given = [array.astype(np.float32) for array in (Z, Z_POS, NEGATIVES)]
        wide = [array.astype(np.float64) for array in given]
        np.testing.assert_array_equal(OF_DIFFERENCES[name](*given), OF_DIFFERENCES[name](*wide))


def test_all_digits_stay_in_float64(x64):
    far = [array + 1e4 for array in (Z, Z_POS, NEGATIVES)]
    for function in OF_DIFFERENCES.values():
        np.testing.assert_array_equal(function(*far), function(*map(jnp.asarray, far)))
