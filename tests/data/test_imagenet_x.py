"""ImageNet-X annotations: a miniature of the published files, everything that can be wrong with one, the real ones."""

import importlib.util

import numpy as np
import pytest

from identax.data import PROXIES, ImageNetX, imagenet_x_proxies, load_imagenet_x
from identax.data.imagenet_x import FACTORS
from tests.data import miniature_imagenet_x as miniature

ONE_HOT = np.eye(16, dtype=int)[np.arange(32) % 16]


def test_rows_are_read_in_the_order_of_the_file(tmp_path):
    content = miniature.rows(32, ONE_HOT)
    miniature.write(tmp_path, content)
    found = load_imagenet_x(tmp_path)
    assert found.file_names.tolist() == [row["file_name"] for row in content]
    assert found.labels.tolist() == [row["class"] for row in content]
    assert found.factors.dtype == bool and found.factors.shape == (32, 16)
    for number, name in enumerate(FACTORS):
        assert found.factors[:, number].tolist() == [row[name] == 1 for row in content]


def test_prototypes_are_left_out_or_kept(tmp_path):
    content = miniature.rows(32, ONE_HOT)
    left_out = [content[3]["file_name"], content[30]["file_name"], "ILSVRC2012_val_00049999.JPEG"]
    miniature.write(tmp_path, content, prototypes=left_out)
    kept = [row["file_name"] for row in content if row["file_name"] not in left_out]
    assert load_imagenet_x(tmp_path).file_names.tolist() == kept and len(kept) == 30
    assert len(load_imagenet_x(tmp_path, remove_prototypes=False).file_names) == 32


def test_selection_and_partition_choose_the_file(tmp_path):
    miniature.write(tmp_path, miniature.rows(4, ONE_HOT), "imagenet_x_train_multi_factor.jsonl")
    assert len(load_imagenet_x(tmp_path, selection="multi", partition="train").labels) == 4
    with pytest.raises(ValueError, match=r"imagenet_x_val_top_factor\.jsonl.*run: pip install --no-deps imagenet-x=="):
        load_imagenet_x(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'multi'"):
        load_imagenet_x(tmp_path, selection="multy")
    with pytest.raises(ValueError, match="partition='test'"):
        load_imagenet_x(tmp_path, partition="test")


def test_the_class_is_split_at_the_mean_label_or_at_500():
    labels = np.array([0, 400, 499, 500, 999, 998])  # mean 566
    annotations = ImageNetX(np.array(list("abcdef")), labels, np.zeros((6, 16), bool))
    assert imagenet_x_proxies(annotations)[:, 0].tolist() == [False] * 4 + [True] * 2
    by_paper = imagenet_x_proxies(annotations, class_threshold="500")
    assert by_paper[:, 0].tolist() == [False] * 3 + [True] * 3 and by_paper.shape == (6, len(PROXIES))
    with pytest.raises(ValueError, match="class_threshold='median'"):
        imagenet_x_proxies(annotations, class_threshold="median")


def test_proxies_are_named_as_the_columns():
    annotations = ImageNetX(np.array(["a"]), np.array([3]), np.arange(16)[None] == FACTORS.index("pose"))
    (row,) = imagenet_x_proxies(annotations)
    assert [name for name, value in zip(PROXIES, row, strict=True) if value] == ["pose"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"class": 1000}, "line 3 has .*class=1000, wanted a name and a class from 0 to 999"),
        ({"class": "dog"}, "class='dog'"),
        ({"file_name": 7}, "file_name=7"),
        ({"pose": 2}, "line 3 has pose=2, wanted 0 or 1"),
        ({"style": None}, "style=None"),
        ({"file_name": "ILSVRC2012_val_00000001.JPEG"}, "ILSVRC2012_val_00000001.JPEG 2 times"),
    ],
)
def test_wrong_values_are_refused(tmp_path, change, wanted):
    content = miniature.rows(16, ONE_HOT)
    content[2] = {**content[2], **change}
    if change.get("file_name") == content[0]["file_name"]:
        content[0]["file_name"] = "other"
    miniature.write(tmp_path, content)
    with pytest.raises(ValueError, match=wanted):
        load_imagenet_x(tmp_path)


def test_damaged_files_are_refused(tmp_path):
    path = miniature.write(tmp_path, miniature.rows(8, ONE_HOT))
    whole = path.read_text()
    path.write_text(whole[:-40])
    with pytest.raises(ValueError, match=r"line 8 is not JSON.*--force-reinstall"):
        load_imagenet_x(tmp_path)
    path.write_text(whole.replace('"texture"', '"textur"', 1))
    with pytest.raises(ValueError, match="line 1 lacks 'texture'"):
        load_imagenet_x(tmp_path)
    path.write_text("[1, 2]\n")
    with pytest.raises(ValueError, match="line 1 lacks 'file_name'"):
        load_imagenet_x(tmp_path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="no images"):
        load_imagenet_x(tmp_path)
    path.write_text(whole)
    (tmp_path / "prototypical_paths.csv").write_text("path\n")
    with pytest.raises(ValueError, match="wanted 'file_name'"):
        load_imagenet_x(tmp_path)
    (tmp_path / "prototypical_paths.csv").unlink()
    with pytest.raises(ValueError, match=r"found no file .*prototypical_paths.csv"):
        load_imagenet_x(tmp_path)


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"no package imagenet_x; run: pip install --no-deps imagenet-x==0\.0\.7"):
        load_imagenet_x()


@pytest.mark.skipif(importlib.util.find_spec("imagenet_x") is None, reason="the package imagenet-x is not installed")
def test_the_published_files_hold_the_known_counts():
    found = load_imagenet_x()
    assert len(found.labels) == 46_110
    counts = dict(zip(PROXIES, imagenet_x_proxies(found).sum(axis=0).tolist(), strict=True))
    wanted = {"class": 22_991, "multiple_objects": 40, "style": 43, "brighter": 44, "person_blocking": 60}
    wanted |= {"object_blocking": 78, "darker": 122, "larger": 150, "texture": 282, "subcategory": 585}
    wanted |= {"partial_view": 638, "shape": 679, "smaller": 1450, "pattern": 5972, "color": 6150}
    wanted |= {"background": 14_751, "pose": 15_064}
    assert counts == wanted
    assert imagenet_x_proxies(found, class_threshold="500")[:, 0].sum() == 22_897
    assert np.bincount(found.factors.sum(axis=1)).tolist() == [2, 46_108]
    every = load_imagenet_x(selection="multi")
    np.testing.assert_array_equal(every.file_names, found.file_names)
    assert every.factors[:, FACTORS.index("multiple_objects")].sum() == 1828
