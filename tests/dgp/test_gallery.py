"""The galleries of the documentation are what `docs/figures/gallery.py` draws now."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "docs" / "figures"


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", FOLDER / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["sprites.png", pytest.param("scenes.png", marks=pytest.mark.slow)])
def test_a_gallery_is_drawn_as_it_is_kept(gallery, name):
    file = FOLDER / name
    assert file.stat().st_size < 100_000
    with Image.open(file) as opened:
        kept = np.asarray(opened).astype(int)
    np.testing.assert_allclose(gallery.SHEETS[name](), kept, atol=2)
    assert len(np.unique(kept.reshape(-1, 3), axis=0)) > 500


def test_the_galleries_can_be_written(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "SHEETS", {"one.png": lambda: np.full((4, 4, 3), 7, np.uint8)})
    gallery.write(tmp_path)
    with Image.open(tmp_path / "one.png") as opened:
        assert np.asarray(opened).tolist() == np.full((4, 4, 3), 7).tolist()
