"""Batches out of a source: epochs, order, shards, positions, failures."""

import threading
import time

import numpy as np
import pytest

from benchmarks.tiny_images import prepare
from identax.data import epoch_batches, image_source


class Numbers:
    """Example i is {"i": i, "square": [i, i * i]}; counts what was read; fails at `bad`."""

    def __init__(self, num, bad=None, stacked=False):
        self.num, self.bad, self.reads, self.lock = num, bad, 0, threading.Lock()
        if stacked:
            self.read_batch = lambda indices: {"i": indices, "square": np.stack([indices, indices**2], axis=1)}

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        assert type(index) is int
        with self.lock:
            self.reads += 1
        if index == self.bad:
            raise ValueError(f"example {index} is damaged")
        time.sleep(1e-4 * (index % 3))  # so that threads finish out of order
        return {"i": np.int64(index), "square": np.array([index, index**2])}


def drawn(iterator, count):
    return np.array([next(iterator)["i"] for _ in range(count)])


def test_an_epoch_is_a_permutation_and_every_epoch_another():
    iterator = epoch_batches(Numbers(12), batch_size=4, seed=0)
    epochs = drawn(iterator, 9).reshape(3, 12)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(12), (3, 1)))
    assert len({tuple(epoch) for epoch in epochs} | {tuple(range(12))}) == 4
    example = next(iterator)
    np.testing.assert_array_equal(example["square"], np.stack([example["i"], example["i"] ** 2], axis=1))


def test_the_rest_of_an_epoch_is_dropped_and_is_another_each_time():
    epochs = drawn(epoch_batches(Numbers(11), batch_size=4, seed=0), 40).reshape(20, 8)
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set(epochs.ravel()) == set(range(11))


def test_the_order_depends_on_seed_and_epoch_alone_and_is_pinned():
    first = drawn(epoch_batches(Numbers(12), batch_size=4, seed=0), 6)
    whole = drawn(epoch_batches(Numbers(12, stacked=True), batch_size=12, seed=0, num_threads=1, buffer_size=1), 2)
    np.testing.assert_array_equal(first.ravel(), whole.ravel())
    other = drawn(epoch_batches(Numbers(12), batch_size=4, seed=1), 6)
    # No epoch of a neighbouring seed repeats one of this: a run with more seeds sees more orders.
    assert not {tuple(epoch) for epoch in other.reshape(2, 12)} & {tuple(epoch) for epoch in first.reshape(2, 12)}
    # A checkpoint of another machine or year must find the same batches.
    np.testing.assert_array_equal(first[0], np.random.RandomState([0, 0]).permutation(12)[:4])
    np.testing.assert_array_equal(first[0], [11, 4, 0, 2])


def test_without_shuffling_the_order_is_the_set_s():
    found = drawn(epoch_batches(Numbers(6), batch_size=2, seed=0, shuffle=False), 6)
    np.testing.assert_array_equal(found.ravel(), np.tile(np.arange(6), 2))


@pytest.mark.parametrize("count", [2, 4])
def test_shards_side_by_side_are_the_whole_batch(count):
    whole = drawn(epoch_batches(Numbers(22), batch_size=8, seed=3), 5)
    shards = [drawn(epoch_batches(Numbers(22), batch_size=8, seed=3, shard=(i, count)), 5) for i in range(count)]
    np.testing.assert_array_equal(np.concatenate(shards, axis=1), whole)
    source = Numbers(22)
    iterator = epoch_batches(source, batch_size=8, seed=3, shard=(0, count), num_threads=1, buffer_size=1)
    drawn(iterator, 2)
    iterator.close()
    assert source.reads <= 4 * 8 // count  # reads its own slice only, and no further ahead than it may


@pytest.mark.parametrize("at", [0, 2, 3, 7])
def test_a_position_is_taken_over_also_across_epochs_and_by_shards(at):
    iterator = epoch_batches(Numbers(13), batch_size=4, seed=5)
    drawn(iterator, at)
    state = iterator.get_state()
    following = drawn(iterator, 7)
    again = epoch_batches(Numbers(13), batch_size=4, seed=5, num_threads=2, buffer_size=3)
    drawn(again, 1)  # the runner has looked at one
    again.set_state(state)
    np.testing.assert_array_equal(drawn(again, 7), following)
    halves = [epoch_batches(Numbers(13), batch_size=4, seed=5, shard=(i, 2)) for i in (0, 1)]
    for half in halves:
        half.set_state(state)
    np.testing.assert_array_equal(np.concatenate([drawn(half, 7) for half in halves], axis=1), following)
    assert iterator.get_state()["next_batch"] == at + 7


@pytest.mark.parametrize("other", [{"seed": 1}, {"batch_size": 5}, {"shuffle": False}, {"num": 14}])
def test_a_position_in_other_batches_is_refused(other):
    state = epoch_batches(Numbers(13), batch_size=4, seed=0).get_state()
    options = {"batch_size": 4, "seed": 0, **other}
    iterator = epoch_batches(Numbers(options.pop("num", 13)), **options)
    with pytest.raises(ValueError, match="found a position of other batches") as refused:
        iterator.set_state(state)
    assert str(state[{"num": "num_examples"}.get(*[next(iter(other))] * 2)]) in str(refused.value)


def test_a_failing_example_is_an_error_of_its_batch():
    order = np.random.RandomState([0, 0]).permutation(12)
    iterator = epoch_batches(Numbers(12, bad=int(order[9])), batch_size=4, seed=0)
    drawn(iterator, 2)
    with pytest.raises(ValueError, match=rf"example {order[9]} is damaged"):
        next(iterator)


def test_a_damaged_record_is_an_error_of_its_batch(tmp_path):
    folder = prepare(tmp_path)
    (file,) = folder.glob("*train*")
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    file.write_bytes(content)
    iterator = epoch_batches(image_source("tiny_images", data_dir=tmp_path), batch_size=20, seed=0)
    with pytest.raises(ValueError, match=r"tiny_images: record \d+ of 'train' is missing or damaged"):
        for _ in range(2):
            next(iterator)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 13}, "found batch_size=13, wanted 1 to 12"),
        ({"batch_size": 0}, "found batch_size=0, wanted 1 to 12"),
        ({"shard": (0, 3)}, r"found shard=\(0, 3\) of batch_size=4"),
        ({"shard": (2, 2)}, r"found shard=\(2, 2\)"),
        ({"shard": (0, 0)}, r"found shard=\(0, 0\)"),
        ({"seed": -1}, "found seed=-1, wanted 0 <= seed"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        epoch_batches(Numbers(12), **{"batch_size": 4, "seed": 0, **options})
