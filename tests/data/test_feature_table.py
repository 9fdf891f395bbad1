"""Features from `.npz` files: rows by name, and what is refused."""

import numpy as np
import pytest

from identax.data import load_features

NAMES = ["b", "a", "d", "c"]
MATRIX = np.arange(12.0).reshape(4, 3)


def _save(tmp_path, **arrays):
    path = tmp_path / "network.npz"
    np.savez(path, **{"file_names": np.array(NAMES), "features": MATRIX, **arrays})
    return path


def test_rows_are_found_by_name(tmp_path):
    found = load_features(_save(tmp_path), np.array(["a", "c", "b"]))
    np.testing.assert_array_equal(found, MATRIX[[1, 3, 0]])
    assert found.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint8, np.float32])
def test_other_numbers_become_float32(tmp_path, dtype):
    found = load_features(_save(tmp_path, features=MATRIX.astype(dtype)), NAMES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, MATRIX)


def _with(value):
    changed = MATRIX.copy()
    changed[2, 1] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"features": MATRIX[:3]}, r"features of shape \(3, 3\) with file_names of shape \(4,\)"),
        ({"features": MATRIX.ravel()}, r"shape \(12,\)"),
        ({"features": MATRIX[:, :0]}, "wanted .M, m. with m >= 1"),
        ({"features": _with(np.nan)}, "1 rows of .* with NaN or infinity, the first d"),
        ({"features": _with(np.inf)}, "NaN or infinity"),
        ({"features": MATRIX.astype(complex)}, "complex128, wanted strings and real numbers"),
        ({"file_names": np.arange(4)}, "int64 and features"),
        ({"file_names": np.array(["a", "a", "b", "c"])}, "1 repeated names"),
        ({"file_names": np.array(["a", "b", "c", "e"])}, "1 of 4 images missing from .*, the first d"),
        ({"features": np.array([object()] * 4)}, "cannot be read"),
    ],
)
def test_bad_tables_are_refused(tmp_path, arrays, wanted):
    with pytest.raises(ValueError, match=wanted):
        load_features(_save(tmp_path, **arrays), NAMES)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"found no file .*; wanted one written by numpy.savez"):
        load_features(tmp_path / "none.npz", NAMES)
    path = _save(tmp_path)
    whole = path.read_bytes()
    for broken in (whole[:200], b"text", b""):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="cannot be read"):
            load_features(path, NAMES)
    np.savez(path, x=MATRIX)
    with pytest.raises(ValueError, match=r"found arrays \['x'\], wanted 'file_names' and 'features'"):
        load_features(path, NAMES)
    np.save(tmp_path / "matrix.npy", MATRIX)
    with pytest.raises(ValueError, match="cannot be read"):
        load_features(tmp_path / "matrix.npy", NAMES)
