"""Batches out of a source: epochs, order, shards, positions, failures."""

import json
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


class Reusing:
    """Hands out the same arrays again and again: one, a ring of three, or whole batches in one, by `read_batch`."""

    def __init__(self, num, slots=1, stacked=False):
        self.num, self.calls = num, 0
        self.buffers = [np.zeros((2 * num, 2)) for _ in range(slots)]
        if stacked:
            self.read_batch = self.fill

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        return {name: leaf[0] for name, leaf in self.fill(np.array([index])).items()}

    def fill(self, indices):
        self.calls += 1
        buffer = self.buffers[self.calls % len(self.buffers)][: len(indices)]
        buffer[:] = -1
        time.sleep(2e-4)  # another thread would write to it now
        buffer[:] = np.stack([indices, indices**2], axis=1)
        indices[:] = 0  # its own, too
        return {"i": buffer[:, 0], "square": buffer}


@pytest.mark.parametrize("options", [{}, {"slots": 3}, {"stacked": True}], ids=str)
def test_a_source_may_fill_the_same_arrays_again(options):
    wanted = drawn(epoch_batches(Numbers(24, stacked=True), batch_size=4, seed=0), 12)
    source = Reusing(24, **options)
    iterators = [epoch_batches(source, batch_size=4, seed=0) for _ in range(2)]  # at once
    for iterator in iterators:
        batches = [next(iterator) for _ in range(12)]
        np.testing.assert_array_equal([batch["i"] for batch in batches], wanted)
        np.testing.assert_array_equal([batch["square"][:, 1] for batch in batches], wanted**2)
        iterator.close()


def test_sources_are_asked_by_one_thread_at_a_time_unless_they_say_otherwise():
    together = []
    for parallel in (False, True):
        source, inside, most = Numbers(24, stacked=True), [], [0]

        def read(indices, inside=inside, most=most):
            inside.append(1)
            most[0] = max(most[0], len(inside))
            time.sleep(5e-3)
            inside.pop()
            return indices

        source.read_batch, source.parallel = read, parallel
        iterator = epoch_batches(source, batch_size=4, seed=0)
        batch = [next(iterator) for _ in range(8)][-1]
        iterator.close()
        together.append(most[0])
        assert batch.dtype == int
    assert together[0] == 1 < together[1]


def test_what_a_parallel_source_stacks_is_not_copied():
    given = []
    source = Numbers(8)
    source.parallel = True
    source.read_batch = lambda indices: given.append(indices) or indices
    iterator = epoch_batches(source, batch_size=4, seed=0, num_threads=1, buffer_size=1)
    assert next(iterator) is given[0]
    iterator.close()


def test_examples_of_a_batch_are_alike():
    mixed = epoch_batches([1, 2.5, True], batch_size=3, seed=0, shuffle=False)
    np.testing.assert_array_equal(next(mixed), [1, 2.5, 1])
    for other in (np.zeros(3), (np.zeros(2), np.zeros(2))):
        with pytest.raises(ValueError, match=r"found example 1 of shapes .*, wanted \(2,\) like example 0"):
            next(epoch_batches([np.zeros(2), other], batch_size=2, seed=0, shuffle=False))


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
        ({"batch_size": 2.5}, "found batch_size=2.5, wanted an integer"),
        ({"batch_size": True}, "found batch_size=True, wanted an integer"),
        ({"batch_size": None}, "found batch_size=None, wanted an integer"),
        ({"seed": 0.5}, "found seed=0.5, wanted an integer"),
        ({"seed": 2**32}, "found seed=4294967296, wanted 0 <= seed"),
        ({"shard": 0}, r"found shard=0, wanted \(index, count\)"),
        ({"shard": (0.0, 1)}, "found shard=0.0, wanted an integer"),
        ({"num_threads": -1}, "found num_threads=-1, wanted at least 0"),
        ({"buffer_size": 0}, "found buffer_size=0, wanted at least 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        epoch_batches(Numbers(12), **{"batch_size": 4, "seed": 0, **options})


def test_a_source_of_no_examples_is_refused():
    with pytest.raises(ValueError, match="found a source of no examples"):
        epoch_batches([], batch_size=1, seed=0)


def test_positions_of_numpy_s_numbers_are_json():
    state = epoch_batches(Numbers(12), batch_size=np.int64(4), seed=np.uint32(3)).get_state()
    assert json.loads(json.dumps(state)) == state and state["batch_size"] == 4
