"""Studies that a host loader feeds: values, exact positions after a resume, refusals that lose nothing."""

import threading
import time
from types import SimpleNamespace

import grain
import jax
import numpy as np
import pytest
from regression import regression_study, same_rows, same_trees

from identax.data import epoch_batches
from identax.run import loader as loader_module
from identax.run import make_mesh, run
from identax.run.loader import Feed, _shard_of, data_shard
from identax.run.results import WAITED
from identax.run.session import Session
from identax.study import Trials

STUDY = regression_study(host=True)
TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2])
MESH = make_mesh(trial=4)


def batch(index, size=16):
    z = np.random.default_rng(index).normal(size=(size, 3)).astype(np.float32)
    return z, 2 * z


def endless(limit=10**6):
    return (batch(i) for i in range(limit))


def grain_loader():
    return grain.MapDataset.range(64).seed(3).shuffle().map(batch).repeat().to_iter_dataset()


def train(workdir=None, *, batches, num_steps=30, mesh=MESH, **options):
    options = {"log_every": 5, "checkpoint_every": 10, **options}
    return run(
        STUDY, TRIALS, num_steps=num_steps, batches=batches, mesh=mesh, workdir=workdir, progress=False, **options
    )


def wait_until(condition, seconds=60):
    """However busy the machine is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(1e-3)


class Counting:
    """A loader without `get_state` that counts what was read; `fault` maps an index to a batch or an exception."""

    def __init__(self, fault=None, limit=10**6):
        self.read, self.fault, self.limit = 0, fault or {}, limit

    def __iter__(self):
        return self

    def __next__(self):
        if self.read >= self.limit:
            raise StopIteration
        self.read += 1
        return self.fault.get(self.read - 1, batch(self.read - 1))


class Stop:
    """A sink that asks for a stop after the row of `step`."""

    def __init__(self, step):
        self.step = step

    def write(self, step, phase, metrics):
        import os
        import signal

        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


def test_each_step_sees_its_batch():
    # 20 steps by hand on the same batches.
    found = train(batches=endless(), num_steps=20)
    state = jax.vmap(STUDY.init)(TRIALS.keys, TRIALS.hparams)
    step = jax.jit(jax.vmap(STUDY.step, in_axes=(0, None)))
    for index in range(20):
        state, _ = step(state, batch(index))
    np.testing.assert_allclose(found.state.params["w"], state.params["w"], rtol=1e-5, atol=1e-6)
    assert not np.allclose(found.train["loss"][:, -1], found.train["loss"][:, 0])


def test_no_batch_too_many_is_read():
    loader = Counting()
    train(batches=loader, num_steps=20)
    assert loader.read == 20


@pytest.mark.parametrize("make", [endless, grain_loader], ids=["python", "grain"])
def test_resumed_is_uninterrupted(make, tmp_path):
    whole = train(tmp_path / "whole", batches=make())
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "parts", batches=make(), sinks=[Stop(10)])
    assert stopped.value.code == 75 and 10 <= stopped.value.step < 30
    if make is endless:
        with pytest.warns(UserWarning, match=r"reading \d+ batches to skip them"):
            resumed = train(tmp_path / "parts", batches=make(), resume=True)
    else:
        resumed = train(tmp_path / "parts", batches=make(), resume=True)
    same_rows(tmp_path / "whole/records.jsonl", tmp_path / "parts/records.jsonl")
    same_trees(resumed.state, whole.state)


def test_a_split_batch_is_a_whole_one():
    whole = train(batches=endless(), num_steps=20)
    split = train(batches=endless(), num_steps=20, mesh=make_mesh(data=8))
    np.testing.assert_allclose(split.state.params["w"], whole.state.params["w"], rtol=2e-5, atol=1e-6)


def test_a_batch_that_does_not_divide_is_refused_before_training(tmp_path):
    loader = (batch(i, 12) for i in range(100))
    with pytest.raises(ValueError, match=r"\(12, 3\), wanted a leading axis divisible by data=8"):
        train(tmp_path / "run", batches=loader, mesh=make_mesh(data=8))
    assert not (tmp_path / "run").exists()


def test_a_study_that_needs_a_loader_says_so_and_an_empty_one_is_refused():
    with pytest.raises(ValueError, match="loader ended before num_steps"):
        train(batches=iter([]))


def _nan_at(index):
    z, y = batch(index)
    return np.where(np.arange(48).reshape(16, 3) == 5, np.nan, z).astype(np.float32), y


FAULTS = {
    "nan": (lambda: Counting({17: _nan_at(17)}), "holds 1 values that are not finite"),
    "ends": (lambda: Counting(limit=17), "loader ended before num_steps"),
    "shape": (lambda: Counting({17: batch(17, 8)}), r"found a batch of shapes .*\(8, 3\).* like the one before"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_loader_is_an_error_that_loses_nothing(fault, tmp_path):
    make, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", batches=make())
    # The chunk up to step 15 was saved though no checkpoint was due; a mended loader goes on from there.
    assert (tmp_path / "run/checkpoints/15/manifest.json").exists()
    if fault == "nan":
        with pytest.warns(UserWarning, match="reading 15 batches"):
            resumed = train(tmp_path / "run", batches=endless(), resume=True)
        whole = train(tmp_path / "whole", batches=endless())
        same_rows(tmp_path / "whole/records.jsonl", tmp_path / "run/records.jsonl")
        same_trees(resumed.state, whole.state)


def test_nan_in_the_first_batch_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        train(tmp_path / "run", batches=Counting({0: _nan_at(0)}))
    assert not (tmp_path / "run").exists()


def test_a_grain_position_needs_a_loader_that_takes_it(tmp_path):
    train(tmp_path / "run", batches=grain_loader(), num_steps=10)
    with pytest.raises(ValueError, match="has no set_state"):
        train(tmp_path / "run", batches=endless(), num_steps=10, resume=True)


class Bytes:
    """A loader whose position is bytes, as grain's DataLoader has it."""

    def __init__(self):
        self.index = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.index += 1
        return batch(self.index)

    def get_state(self):
        return bytes([self.index, 255])

    def set_state(self, state):
        assert state[1] == 255
        self.index = state[0]


def test_positions_may_be_any_bytes_and_looking_ahead_moves_nothing():
    loader = Bytes()
    feed = Feed(loader, MESH)
    assert feed.example()[0].shape == (16, 3)
    start = Feed(Bytes(), MESH)
    start.set_state(feed.get_state(), 0)
    np.testing.assert_array_equal(start.take(1)[0][0], batch(1)[0])
    first = feed.take(2)
    np.testing.assert_array_equal(first[0][1], batch(2)[0])
    position = feed.get_state()
    other = Feed(Bytes(), MESH)
    other.example()
    other.set_state(position, 2)
    np.testing.assert_array_equal(other.take(1)[0][0], batch(3)[0])


def test_no_loader_is_no_batch():
    feed = Feed(None, MESH)
    assert feed.example() is None and feed.take(3) is None and feed.get_state() == {} and not feed.active


# ---- batches are copied where they are taken


def reusing(slots=1):
    """`endless`, in the same arrays again and again."""
    buffers = [tuple(np.empty_like(leaf) for leaf in batch(0)) for _ in range(slots)]
    for index, new in enumerate(endless()):
        buffer = buffers[index % slots]
        for place, leaf in zip(buffer, new, strict=True):
            place[:] = leaf
        yield buffer


@pytest.mark.parametrize("slots", [1, 3])
def test_a_loader_may_fill_the_same_arrays_again(slots):
    feed, other = Feed(reusing(slots), MESH), Feed(endless(), MESH)
    assert feed.example()[0].shape == (16, 3)  # is kept, too
    for count in (1, 4, 5):
        for found, wanted in zip(feed.take(count), other.take(count), strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert len(np.unique(found[:, 0, 0])) == count
    feed.close()


def test_a_batch_read_ahead_is_not_touched_by_what_the_loader_writes_later():
    buffers = []  # of one chunk, all of them written to once more before it is taken

    def fresh():
        for index in range(6):
            buffers.append(np.full((16, 3), float(index), np.float32))
            yield buffers[-1]

    feed = Feed(fresh(), MESH)
    found = feed.take(6)
    for buffer in buffers:
        buffer[:] = -1
    np.testing.assert_array_equal(found[:, 0, 0], np.arange(6))
    feed.close()


BAD_LEAVES = {
    "object": (np.full((16, 1), None), "holds object, wanted numbers or booleans"),
    "text": (np.full((16, 1), "a"), "holds <U1, wanted numbers or booleans"),
    "empty": (np.zeros((0, 3), np.float32), r"float32 \(0, 3\).*wanted at least one example"),
    "wide integer": (np.full((16, 1), 2**31), "holds 2147483648, wanted values that int32 holds"),
    "wide float": (np.full((16, 1), 1e300), r"holds 1e\+300, wanted values that float32 holds"),
}


@pytest.mark.parametrize("leaf", BAD_LEAVES)
def test_what_the_device_cannot_hold_is_refused_by_name_before_training(leaf, tmp_path):
    value, message = BAD_LEAVES[leaf]
    with pytest.raises(ValueError, match=r"run: .*" + message):
        train(tmp_path / "run", batches=iter([(batch(0)[0], value)]))
    assert not (tmp_path / "run").exists()


def test_another_dtype_in_the_middle_is_refused_and_a_wider_one_of_the_host_is_not():
    whole = np.arange(16)
    feed = Feed(iter([whole, whole.astype(np.int32), whole.astype(np.float32)]), MESH)
    assert feed.take(2).dtype == np.int32
    with pytest.raises(ValueError, match=r"found a batch of shapes float32 \(16,\), wanted int32 \(16,\) like the one"):
        feed.take(1)
    feed.close()


# ---- reading ahead


class Slow:
    """A loader that takes `seconds` per batch and counts what it handed out."""

    def __init__(self, seconds, size=16):
        self.seconds, self.size, self.index = seconds, size, 0

    def __iter__(self):
        return self

    def __next__(self):
        time.sleep(self.seconds)
        self.index += 1
        return batch(self.index, self.size)

    def get_state(self):
        return {"index": self.index}

    def set_state(self, state):
        self.index = state["index"]


def test_a_chunk_read_ahead_moves_the_position_only_when_it_is_taken():
    loader = Slow(0.0)
    feed = Feed(loader, MESH)
    feed.take(2)
    feed.read_ahead(3)
    wait_until(lambda: loader.index == 5)
    assert feed.get_state() == {"json": {"index": 2}}
    np.testing.assert_array_equal(feed.take(3)[0][0], batch(3)[0])
    assert feed.get_state() == {"json": {"index": 5}}
    with pytest.raises(ValueError, match="found 1 batches read ahead, wanted 2"):
        feed.read_ahead(1)
        feed.take(2)
    feed.close()


class Clock:
    """A loader of batches that take `seconds` each by a clock of its own, which stands still until somebody looks."""

    def __init__(self, seconds, free=0):
        self.seconds, self.free = seconds, free  # the first `free` batches come by themselves
        self.now, self.index, self._seen = 0.0, 0, threading.Event()

    def __call__(self):
        now = self.now
        self._seen.set()
        return now

    def __iter__(self):
        return self

    def __next__(self):
        if self.index >= self.free:
            assert self._seen.wait(60)
        self.now += self.seconds
        self.index += 1
        return batch(self.index)


@pytest.mark.parametrize(("busy", "waited"), [(0, 5), (3, 2), (5, 0)], ids=["idle", "ends in the middle", "busy"])
def test_only_time_without_work_counts_as_waiting(busy, waited, monkeypatch):
    clock = Clock(0.02, free=busy)
    monkeypatch.setattr(loader_module, "time", SimpleNamespace(perf_counter=clock))
    feed = Feed(clock, MESH)
    feed.take(5, busy=lambda: busy == 5 or clock.index < busy)
    assert feed.waited == pytest.approx(0.02 * waited)
    feed.close()


def test_a_chunk_that_was_read_ahead_is_not_waited_for(monkeypatch):
    clock = Clock(0.02, free=5)
    monkeypatch.setattr(loader_module, "time", SimpleNamespace(perf_counter=clock))
    feed = Feed(clock, MESH)
    feed.read_ahead(5)
    wait_until(lambda: feed._ahead[1].done())
    feed.take(5)
    assert feed.waited == 0
    feed.close()


def test_closing_ends_reading_at_the_next_batch():
    loader = Slow(0.01)
    feed = Feed(loader, MESH)
    feed.read_ahead(10**6)
    wait_until(lambda: loader.index)
    feed.close()
    read = loader.index
    assert read < 10**4
    time.sleep(0.05)
    assert loader.index == read


def test_double_precision_batches_stay_double(x64):
    batches = ({"x": np.full((8, 2), i / 3)} for i in range(10))
    feed = Feed(batches, MESH)
    found = feed.take(3)["x"]
    assert found.dtype == np.float64 and found[1, 0, 0] == 1 / 3
    feed.close()


def test_a_slow_loader_is_seen_waiting_and_a_fast_one_is_not(tmp_path):
    slow = train(batches=Slow(0.02), num_steps=20)
    assert 0.1 < slow.seconds[WAITED] <= slow.seconds["run"]
    assert WAITED not in run(regression_study(), TRIALS, num_steps=5, log_every=5, progress=False).seconds


def test_the_next_chunk_is_read_while_this_one_is_evaluated(monkeypatch):
    loader, seen = Slow(0.0), {}
    evaluate = Session._evaluate

    def looking(self, state, alive, step, *, last):
        wait_until(lambda: loader.index == min(step + 5, 20))
        time.sleep(0.05)  # time for one batch too many
        seen[step] = loader.index
        return evaluate(self, state, alive, step, last=last)

    monkeypatch.setattr(Session, "_evaluate", looking)
    train(batches=loader, num_steps=20, evaluate_every=5)
    assert seen == {0: 5, 5: 10, 10: 15, 15: 20, 20: 20}


def test_data_shard_is_what_this_process_holds_of_the_data_axis():
    def shard(rows, process=0):
        return _shard_of(np.array(rows), process)

    assert data_shard(make_mesh(data=8)) == data_shard(MESH) == (0, 1)
    assert shard([[0, 0, 1, 1]]) == (0, 2) and shard([[0, 0, 1, 1]], 1) == (1, 2)
    assert shard([[1], [0]]) == (0, 1) and shard([[1, 2, 3, 0], [1, 2, 3, 0]]) == (3, 4) and shard([[1, 1]]) == (0, 1)
    for uneven in ([[0, 1, 0, 1]], [[0, 0, 0, 1]], [[1, 0, 0, 1]]):
        with pytest.raises(ValueError, match="wanted neighbours, as many on every process"):
            shard(uneven)


# ---- the library's own batches

SOURCE = [batch(i, 1) for i in range(50)]


def epochs():
    examples = [tuple(leaf[0] for leaf in example) for example in SOURCE]
    return epoch_batches(examples, batch_size=16, seed=1)  # three batches an epoch: chunks of five straddle its end


@pytest.mark.parametrize("stop", [5, 10, 15])
def test_epoch_batches_resume_bit_for_bit_across_epochs(stop, tmp_path):
    whole = train(tmp_path / "whole", batches=epochs(), num_steps=30)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "parts", batches=epochs(), num_steps=30, sinks=[Stop(stop)])
    assert stopped.value.code == 75 and stopped.value.step < 30
    resumed = train(tmp_path / "parts", batches=epochs(), num_steps=30, resume=True)
    same_rows(tmp_path / "whole/records.jsonl", tmp_path / "parts/records.jsonl")
    same_trees(resumed.state, whole.state)


def test_epoch_batches_of_another_seed_do_not_go_on(tmp_path):
    train(tmp_path / "run", batches=epochs(), num_steps=10)
    other = epoch_batches([tuple(leaf[0] for leaf in example) for example in SOURCE], batch_size=16, seed=2)
    with pytest.raises(ValueError, match=r"position of other batches.*'seed': \(1, 2\)"):
        train(tmp_path / "run", batches=other, num_steps=10, resume=True)
