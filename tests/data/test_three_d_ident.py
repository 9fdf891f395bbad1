"""3DIdent: a miniature copy of the published folder, its pairs, its angles, and damaged files."""

import jax
import numpy as np
import pytest
from PIL import Image

from identax.data import ThreeDIdent, ThreeDIdentPairs, epoch_batches, hyperspherical_angles
from identax.data.three_d_ident import MEAN, STD

NUM, SIDE = 12, 8


def write(root, columns=10, num=NUM, seed=0):
    """Image i is grey with value i."""
    random = np.random.RandomState(seed)
    latents = random.uniform(-1, 1, (num, 10))
    if columns == 11:
        angles = random.normal(size=(num, 8))
        latents = np.concatenate([latents[:, :3], angles / np.linalg.norm(angles, axis=1, keepdims=True)], axis=1)
    (root / "images").mkdir(parents=True)
    np.save(root / "raw_latents.npy", latents)
    for i in range(num):
        Image.new("RGB", (SIDE, SIDE), (i, i, i)).save(root / "images" / f"{i:02d}.png")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "train")


def test_images_are_normalised_by_the_published_constants(root):
    data = ThreeDIdent(root, side=SIDE)
    assert len(data) == NUM and data.latents.shape == (NUM, 10) and data.latents.dtype == np.float32
    image = data.image(7)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image[0, 0], (7 / 255 - np.array(MEAN)) / np.array(STD), rtol=1e-5)


@pytest.mark.parametrize("columns", [10, 11])
def test_pairs_are_the_nearest_renderings_and_never_equal(tmp_path, columns):
    data = ThreeDIdent(write(tmp_path / "train", columns), side=SIDE)
    pairs = ThreeDIdentPairs(data, sigma=0.05, num_pairs=40)
    seconds = 0
    for index in range(len(pairs)):
        z, z_pos = pairs.drawn(index)
        near, near_pos = (np.argsort(((data.latents - point) ** 2).sum(axis=1)) for point in (z, z_pos))
        first, second = pairs.indices(index)
        assert first == near[0] and second == near_pos[int(near_pos[0] == first)]
        seconds += near_pos[0] == first
    assert 0 < seconds <= 40  # the rule for equal neighbours was needed
    example = pairs[3]
    np.testing.assert_array_equal(example.latents[1], data.latents[pairs.indices(3)[1]])
    np.testing.assert_array_equal(example.observations[1], data.image(pairs.indices(3)[1]))


@pytest.mark.parametrize("conditional, std", [("normal", 0.02), ("laplace", 0.02 * 2**0.5), ("gennorm3", None)])
def test_the_drawn_law(root, conditional, std):
    pairs = ThreeDIdentPairs(ThreeDIdent(root, side=SIDE), conditional=conditional, sigma=0.02, num_pairs=400)
    z, z_pos = (np.stack(points) for points in zip(*(pairs.drawn(i) for i in range(400)), strict=True))
    assert np.abs(z).max() <= 1 and np.abs(z_pos).max() <= 1
    inner = np.abs(z) < 0.8  # no truncation there
    moves = (z_pos - z)[inner] / 0.02
    if std is None:
        np.testing.assert_allclose((np.abs(moves) ** 3).mean(), 1 / 3, rtol=0.1)  # E|x|^p = 1/p
    else:
        np.testing.assert_allclose(moves.std() * 0.02, std, rtol=0.1)
    np.testing.assert_allclose((z**2).mean(), 1 / 3, rtol=0.1)


def test_sphere_coded_angles_stay_on_the_sphere_with_the_von_mises_fisher_mean(tmp_path):
    pairs = ThreeDIdentPairs(ThreeDIdent(write(tmp_path / "train", 11), side=SIDE), sigma=0.1, num_pairs=300)
    z, z_pos = (np.stack(points) for points in zip(*(pairs.drawn(i) for i in range(300)), strict=True))
    np.testing.assert_allclose(np.linalg.norm(z_pos[:, 3:], axis=1), 1, rtol=1e-6)
    from scipy.special import iv

    cosine = (z[:, 3:] * z_pos[:, 3:]).sum(axis=1)
    wanted = iv(4, 10) / iv(3, 10)
    assert abs(cosine.mean() - wanted) < 6 * cosine.std() / 300**0.5


def test_batches_resume(root):
    pairs = ThreeDIdentPairs(ThreeDIdent(root, side=SIDE), num_pairs=50)
    batches = epoch_batches(pairs, batch_size=4, seed=0)
    next(batches)
    state, second = batches.get_state(), next(batches)
    again = epoch_batches(pairs, batch_size=4, seed=0)
    again.set_state(state)
    jax.tree.map(np.testing.assert_array_equal, next(again), second)
    assert second.observations[0].shape == (4, SIDE, SIDE, 3)


def test_hyperspherical_angles_invert_the_coordinates(x64):
    usual = np.random.RandomState(0).uniform(0.05, np.pi - 0.05, (20, 7))
    usual[:, -1] *= 2
    points = np.stack(
        [np.prod(np.sin(usual[:, :i]), axis=1) * (np.cos(usual[:, i]) if i < 7 else 1.0) for i in range(8)], axis=1
    )
    wanted = usual * np.array([2.0] * 6 + [1.0])
    np.testing.assert_allclose(hyperspherical_angles(points), wanted, atol=1e-10)
    assert np.isfinite(hyperspherical_angles(np.eye(8))).all()
    with pytest.raises(ValueError, match="m >= 2"):
        hyperspherical_angles(np.ones((3, 1)))


def test_a_missing_folder_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="zenodo_get 4502485"):
        ThreeDIdent(tmp_path)


def test_damaged_files_are_refused(root):
    (root / "images" / "03.png").write_bytes((root / "images" / "03.png").read_bytes()[:40])
    (root / "images" / "04.png").unlink()
    Image.new("RGB", (SIDE, SIDE + 1)).save(root / "images" / "05.png")
    data = ThreeDIdent(root, side=SIDE)
    for index, found in ((3, "03.png is corrupted"), (4, "no image .*04.png"), (5, r"shape \(9, 8, 3\)")):
        with pytest.raises(ValueError, match=found):
            data.image(index)
    file = root / "raw_latents.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="cannot be read"):
        ThreeDIdent(root)


@pytest.mark.parametrize(
    "latents, found",
    [
        (np.zeros((5, 7)), r"\(5, 7\)"),
        (np.zeros((5, 10), int), "int64"),
        (np.full((5, 10), 2.0), "outside"),
        (np.full((5, 10), np.nan), "outside"),
        (np.zeros((5, 11)), "not on the unit sphere"),
        (np.array([object()]), "cannot be read"),
    ],
)
def test_wrong_latents_are_named(root, latents, found):
    np.save(root / "raw_latents.npy", latents)
    with pytest.raises(ValueError, match=found):
        ThreeDIdent(root)


def test_bad_pairs_are_refused(root):
    data = ThreeDIdent(root, side=SIDE)
    with pytest.raises(ValueError, match="did you mean 'laplace'"):
        ThreeDIdentPairs(data, conditional="laplac")
    with pytest.raises(ValueError, match="sigma=0"):
        ThreeDIdentPairs(data, sigma=0.0)
    with pytest.raises(IndexError, match="wanted 0 to 4"):
        ThreeDIdentPairs(data, num_pairs=5)[5]


def test_complex_points_have_no_angles():
    with pytest.raises(ValueError, match="hyperspherical_angles: found points of type complex"):
        hyperspherical_angles(np.ones((2, 3)) * 1j)
    np.testing.assert_allclose(hyperspherical_angles([[1, 0], [0, 1]])[:, 0], [0, np.pi / 2], rtol=1e-6)
