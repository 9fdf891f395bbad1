"""A leading ~ is the home directory, whatever is read."""

import numpy as np
import pytest

from benchmarks.tiny_images import prepare
from identax.data import (
    ThreeDIdent,
    cause_effect_pairs,
    dislib_source,
    image_source,
    load_chorales,
    load_digits,
    load_features,
    load_imagenet_x,
    load_kitti_masks,
    prepare_dislib,
    sachs_cells,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_features_and_prepared_sets_are_found_at_home(home):
    np.savez(home / "f.npz", file_names=np.array(["a"]), features=np.ones((1, 2)))
    assert load_features("~/f.npz", ["a"]).shape == (1, 2)
    prepare(home / "sets")
    assert len(image_source("tiny_images", data_dir="~/sets")) > 0


@pytest.mark.parametrize(
    "read",
    [
        load_kitti_masks,
        ThreeDIdent,
        load_imagenet_x,
        load_chorales,
        lambda path: prepare_dislib("cars3d", path),
        lambda path: load_features(path, ["a"]),
        cause_effect_pairs,
        sachs_cells,
    ],
    ids=["kitti", "3dident", "imagenet-x", "chorales", "prepare_dislib", "features", "pairs", "cells"],
)
def test_what_is_missing_is_looked_for_at_home(read, home):
    with pytest.raises(ValueError, match=f"{home}/nothing"):
        read("~/nothing")


def test_a_damaged_file_at_home_is_found(home):
    (home / "digits.csv.gz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"digits\.csv\.gz is not the published file"):
        load_digits(path="~/digits.csv.gz")


def test_prepared_folders_are_looked_for_at_home_alone(home, monkeypatch):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    asked = []

    def missing(name, data_dir=None, **options):
        asked.append(data_dir)
        raise tfds.core.DatasetNotFoundError("none")

    monkeypatch.setattr(read_only_builder, "builder_from_files", missing)
    with pytest.raises(ValueError, match="found nothing prepared in"):
        dislib_source("cars3d", data_dir="~/sets")
    assert asked == [str(home / "sets")]
