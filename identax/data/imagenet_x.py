"""ImageNet-X: what people say sets an image of the ImageNet validation set apart, as binary proxies of latents."""

import csv
import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from identax.checks import check_choice
from identax.data._checks import home_expanded

FACTORS = (
    "multiple_objects", "background", "color", "brighter", "darker", "style", "larger", "smaller", "object_blocking",
    "person_blocking", "partial_view", "pattern", "pose", "shape", "subcategory", "texture",
)  # fmt: skip
PROXIES = ("class", *FACTORS)
"""Names of the 17 proxies, in the order of the annotation files."""
_NUM_CLASSES = 1000
_CLASS_MIDDLE = 500
_PACKAGE = "imagenet_x"
# What the extra imagenet-x installs, less pandas, which only the code of the package needs.
_COMMAND = "pip install --no-deps imagenet-x==0.0.7"
_PROTOTYPES = "prototypical_paths.csv"


class ImageNetX(NamedTuple):
    """N annotated images: their `file_names` [N], class `labels` [N] in 0..999 and `factors` [N, 16] (bool)."""

    file_names: np.ndarray
    labels: np.ndarray
    factors: np.ndarray


def load_imagenet_x(
    folder: str | Path | None = None,
    *,
    selection: str = "top",
    partition: str = "val",
    remove_prototypes: bool = True,
) -> ImageNetX:
    """Reads the annotation files of the `imagenet-x` package, in their order; the package itself is not imported.

    Args: `folder` that holds the files, by default the installed package's; `selection` "top": of the factors that
    were ticked for an image the decisive one alone, "multi": all of them; `partition` "val" or "train";
    `remove_prototypes`: leaves out the images that the annotators compared with (46,110 remain in "val").
    Raises `ValueError` for an unknown choice, a missing package or file (with the command that gets it), and a file
    that is empty, truncated, or has a repeated image, a class outside 0..999 or a factor other than 0 and 1.
    Source: Idrissi et al., "ImageNet-X", ICLR 2023; the defaults are those of Reizinger et al. 2025.
    """
    check_choice("load_imagenet_x", "selection", selection, ("top", "multi"))
    check_choice("load_imagenet_x", "partition", partition, ("val", "train"))
    folder = _installed() if folder is None else Path(home_expanded(folder))
    path = _existing(folder / f"imagenet_x_{partition}_{selection}_factor.jsonl")
    rows = _rows(path)
    repeated, count = Counter(row["file_name"] for row in rows).most_common(1)[0]
    if count > 1:
        raise ValueError(_broken(path, f"found {repeated} {count} times, wanted every image once"))
    if remove_prototypes:
        left_out = _prototypes(_existing(folder / _PROTOTYPES))
        rows = [row for row in rows if row["file_name"] not in left_out]
    return ImageNetX(
        np.array([row["file_name"] for row in rows], dtype=str),
        np.array([row["class"] for row in rows], dtype=np.int32),
        np.array([[row[name] for name in FACTORS] for row in rows], dtype=bool).reshape(-1, len(FACTORS)),
    )


def imagenet_x_proxies(annotations: ImageNetX, *, class_threshold: str = "mean") -> np.ndarray:
    """The 17 binary proxies of every image, columns as `PROXIES`: [N, 17] (bool).

    The class is positive above the mean label of these images (`class_threshold` "mean", the authors' code; labels
    >= 498 in the whole set) or from 500 on ("500", the paper's text). Raises `ValueError` for another threshold.
    Source: Reizinger et al. 2025, section 5.3 and code.
    """
    check_choice("imagenet_x_proxies", "class_threshold", class_threshold, ("mean", "500"))
    labels = annotations.labels
    above = labels > labels.mean() if class_threshold == "mean" else labels >= _CLASS_MIDDLE
    return np.column_stack([above, annotations.factors])


def _installed() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"load_imagenet_x: found no package {_PACKAGE}; run: {_COMMAND}")
    return Path(next(iter(found.submodule_search_locations))) / "annotations"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"load_imagenet_x: found no file {path}, which the package brings; run: {_COMMAND}")
    return path


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ValueError(_broken(path, "found no images"))
    return rows


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(_broken(path, f"line {number} is not JSON ({error})")) from error
    missing = [name for name in ("file_name", *PROXIES) if not isinstance(row, dict) or name not in row]
    if missing:
        raise ValueError(_broken(path, f"line {number} lacks {missing[0]!r}"))
    if not isinstance(row["file_name"], str) or not _is_int(row["class"], _NUM_CLASSES):
        what = f"line {number} has file_name={row['file_name']!r}, class={row['class']!r}"
        raise ValueError(_broken(path, f"{what}, wanted a name and a class from 0 to {_NUM_CLASSES - 1}"))
    bad = [name for name in FACTORS if not _is_int(row[name], 2)]
    if bad:
        raise ValueError(_broken(path, f"line {number} has {bad[0]}={row[bad[0]]!r}, wanted 0 or 1"))
    return row


def _is_int(value: Any, limit: int) -> bool:
    return isinstance(value, int) and 0 <= value < limit


def _prototypes(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as opened:
        table = csv.DictReader(opened)
        if table.fieldnames is None or "file_name" not in table.fieldnames:
            raise ValueError(_broken(path, f"found columns {table.fieldnames}, wanted 'file_name'"))
        return {row["file_name"] for row in table}


def _broken(path: Path, what: str) -> str:
    return f"load_imagenet_x: {path} is not as published: {what}; fetch it again: {_COMMAND} --force-reinstall"
