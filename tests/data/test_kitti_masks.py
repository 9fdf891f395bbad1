"""KITTI Masks: a miniature file of the published format, its pairs, and everything that can be wrong with a file."""

import itertools
import os
import pickle

import jax
import numpy as np
import pytest

from identax.data import KittiPairs, epoch_batches, load_kitti_masks
from identax.data.kitti_masks import KittiMasks

LENGTHS = (3, 1, 5)


def content(lengths=LENGTHS, **changes):
    """Frame t of sequence s has 10 s + t set pixels and latents (s, t, area)."""
    masks, latents = [], []
    for s, length in enumerate(lengths):
        frames = np.zeros((length, 64, 64), bool)
        for t in range(length):
            frames[t].flat[: 10 * s + t] = True
        masks.append(frames)
        latents.append(np.array([[s, t, 10 * s + t] for t in range(length)], float))
    return {"pedestrians": masks, "pedestrians_latents": latents} | changes


def write(folder, data, protocol=4):
    path = folder / "kitti_peds_v2.pickle"
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_the_published_format(tmp_path, protocol):
    path = write(tmp_path, content(), protocol)
    for given in (path, tmp_path, str(path)):
        data = load_kitti_masks(given)
    assert [len(sequence) for sequence in data.masks] == list(LENGTHS)
    assert all(sequence.dtype == np.uint8 for sequence in data.masks)
    np.testing.assert_array_equal(data.masks[2].sum(axis=(1, 2)), [20, 21, 22, 23, 24])
    np.testing.assert_array_equal(data.latents[2][:, 2], [20, 21, 22, 23, 24])


def test_every_start_meets_every_step_once_and_no_pair_leaves_its_sequence(tmp_path):
    pairs = KittiPairs(load_kitti_masks(write(tmp_path, content())), max_delta_t=3)
    assert len(pairs) == (2 + 0 + 4) * 3
    found = []
    for index in range(len(pairs)):
        (s, t, area), (s_pos, t_pos, _) = pairs[index].latents
        x, x_pos = pairs[index].observations
        assert x.shape == x_pos.shape == (64, 64, 1) and x.dtype == np.float32
        assert x.sum() == area == 10 * s + t and x_pos.sum() == 10 * s_pos + t_pos
        assert s == s_pos
        found.append((int(s), int(t), int(t_pos)))
    starts = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (2, 3)]
    wanted = [(s, t, min(t + k, LENGTHS[s] - 1)) for (s, t), k in itertools.product(starts, (1, 2, 3))]
    assert sorted(found) == sorted(wanted)
    with pytest.raises(IndexError, match="wanted 0 to 17"):
        pairs[18]


def test_batches_resume_and_do_not_depend_on_shards(tmp_path):
    pairs = KittiPairs(load_kitti_masks(write(tmp_path, content())), max_delta_t=2)
    batches = epoch_batches(pairs, batch_size=4, seed=3)
    first = [next(batches) for _ in range(2)]
    state = batches.get_state()
    third = next(batches)
    again = epoch_batches(pairs, batch_size=4, seed=3)
    again.set_state(state)
    jax.tree.map(np.testing.assert_array_equal, next(again), third)
    halves = [next(epoch_batches(pairs, batch_size=4, seed=3, shard=(i, 2))) for i in range(2)]
    jax.tree.map(lambda a, b, c: np.testing.assert_array_equal(np.concatenate([a, b]), c), *halves, first[0])
    assert first[0].observations[0].shape == (4, 64, 64, 1)


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("run_by_the_pickle",)


def test_a_pickle_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"mkdir, wanted NumPy arrays only"):
        load_kitti_masks(write(tmp_path, content(pedestrians=_Evil())))
    assert not (tmp_path / "run_by_the_pickle").exists()


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"found no file .*; run: curl -L -o .*3931823.*kitti_peds_v2.pickle"):
        load_kitti_masks(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path, content())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match="not the published file"):
        load_kitti_masks(path)


def test_bytes_that_are_no_pickle_are_refused(tmp_path):
    path = tmp_path / "kitti_peds_v2.pickle"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="not the published file"):
        load_kitti_masks(path)


@pytest.mark.parametrize(
    "data, found",
    [
        ([1, 2], "found list"),
        ({"pedestrians": []}, r"found \['pedestrians'\]"),
        (content(pedestrians_latents=[]), "lists of one length"),
        (content(lengths=()), "no sequence"),
        (content(pedestrians=[np.zeros((3, 32, 32), bool)] * 3), r"shape \(3, 32, 32\)"),
        (content(pedestrians=[np.zeros((3, 64, 64))] * 3), "float64 masks"),
        (content(pedestrians=[np.full((3, 64, 64), 255, np.uint8)] * 3), "up to 255"),
        (content(pedestrians_latents=[np.zeros((3, 2))] * 3), r"latents of shape \(3, 2\)"),
        (content(lengths=(2,), pedestrians_latents=[np.full((2, 3), np.nan)]), "not finite"),
    ],
)
def test_wrong_content_is_named(tmp_path, data, found):
    with pytest.raises(ValueError, match=found):
        load_kitti_masks(write(tmp_path, data))


def test_pairs_need_two_frames_and_a_step(tmp_path):
    data = load_kitti_masks(write(tmp_path, content(lengths=(1, 1))))
    with pytest.raises(ValueError, match="wanted one of at least 2"):
        KittiPairs(data)
    with pytest.raises(ValueError, match="max_delta_t=0"):
        KittiPairs(load_kitti_masks(write(tmp_path, content())), max_delta_t=0)


@pytest.mark.parametrize("indices", [[-1], [10**6], [0.5]])
def test_pairs_that_are_not_there_are_refused(indices):
    masks = np.zeros((3, 64, 64), np.uint8)
    pairs = KittiPairs(KittiMasks((masks,), (np.zeros((3, 3), np.float32),)))
    with pytest.raises(ValueError, match=r"KittiPairs\.read_batch: found indices"):
        pairs.read_batch(indices)
