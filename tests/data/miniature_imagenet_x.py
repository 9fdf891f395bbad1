"""Miniature annotation files in the format of the package imagenet-x."""

import json
from pathlib import Path

import numpy as np

from identax.data.imagenet_x import FACTORS


def rows(num: int, factors: np.ndarray, seed: int = 0) -> list[dict]:
    """One row per image, classes random; `factors` [num, 16]."""
    rng = np.random.default_rng(seed)
    return [
        {
            "file_name": f"ILSVRC2012_val_{number + 1:08d}.JPEG",
            "class": int(rng.integers(1000)),
            **{name: int(value) for name, value in zip(FACTORS, factors[number], strict=True)},
            "justification": "a “dog” in the snow ",
            "one_word": None if number % 7 == 0 else "snow",
        }
        for number in rng.permutation(num)
    ]


def write(folder: Path, content: list[dict], name: str = "imagenet_x_val_top_factor.jsonl", prototypes=()) -> Path:
    """Writes the annotations and the list of prototypes; returns the annotations' path."""
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    (folder / "prototypical_paths.csv").write_text("\n".join(["file_name", *prototypes]) + "\n")
    return path
