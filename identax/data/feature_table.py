"""Features of images that were computed elsewhere: one `.npz` file of names and a matrix."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from identax.data._checks import home_expanded


def load_features(path: str | Path, file_names: Sequence[str] | np.ndarray) -> np.ndarray:
    """Reads the features of the named images out of an `.npz` file: [len(file_names), m], in that order.

    The file holds `file_names` [M] (strings) and `features` [M, m] (numbers), in any order and with images beyond the
    named ones: `numpy.savez(path, file_names=names, features=matrix)`. Integers and float16 become float32.
    Raises `ValueError` for a missing or damaged file, another number of rows than names, an image that is there twice,
    named images that are not there, no columns, and features that are not finite.
    """
    if isinstance(file_names, str):
        raise ValueError(f"load_features: found the text {file_names!r} as file_names, wanted a list of texts")
    path = Path(home_expanded(path))
    names, features = _read(path)
    if features.ndim != 2 or names.ndim != 1 or len(features) != len(names) or features.shape[1] == 0:
        what = f"features of shape {features.shape} with file_names of shape {names.shape}"
        raise ValueError(f"load_features: found in {path} {what}, wanted [M, m] with m >= 1 and [M]")
    if names.dtype.kind != "U" or features.dtype.kind not in "fiu":
        what = f"file_names of {names.dtype} and features of {features.dtype}"
        raise ValueError(f"load_features: found in {path} {what}, wanted strings and real numbers")
    rows = {name: number for number, name in enumerate(names.tolist())}
    if len(rows) < len(names):
        raise ValueError(f"load_features: found {len(names) - len(rows)} repeated names in {path}, wanted each once")
    missing = [str(name) for name in file_names if str(name) not in rows]
    if missing:
        what = f"{len(missing)} of {len(file_names)} images missing from {path}, the first {missing[0]}"
        raise ValueError(f"load_features: found {what}; wanted a row for each")
    features = features[[rows[str(name)] for name in file_names]]
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        what = f"{bad.sum()} rows of {path} with NaN or infinity, the first {file_names[int(bad.argmax())]}"
        raise ValueError(f"load_features: found {what}; wanted finite features")
    return features if features.dtype in (np.float32, np.float64) else features.astype(np.float32)


def _read(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        save = f"numpy.savez({str(path)!r}, file_names=..., features=...)"
        raise ValueError(f"load_features: found no file {path}; wanted one written by {save}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            found = set(getattr(opened, "files", ()))
            if not {"file_names", "features"} <= found:
                raise ValueError(f"found arrays {sorted(found)}, wanted 'file_names' and 'features'")
            return opened["file_names"], opened["features"]
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"load_features: {path} cannot be read: {error}") from error
