"""Trials without steps: blocks compile once and change no number; rows as they finish; what is refused; memory."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_trials import TOTAL, go, host_trial, same_results, signal_at_row, trial, trials

from identax.run import Interrupted, guard, host_trials, make_mesh, run
from identax.run.compiled_trials import _block_size
from identax.run.host_trials import HostBlocks
from identax.run.program import Programs
from identax.run.records import read_rows
from identax.run.results import Results
from identax.run.trials_file import read_trials
from identax.study import HostTrial, Trials


@pytest.fixture
def compilations(monkeypatch):
    """One entry per program that is compiled."""
    calls, compile_ = [], jax.stages.Lowered.compile
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *args: calls.append(1) or compile_(*args))
    return calls


# --- numbers


def test_blocks_compile_once_and_give_the_numbers_of_single_trials(compilations):
    traces = []

    def counted(key, hparams):
        traces.append(1)
        return trial(key, hparams)

    found = go(counted)
    assert len(compilations) == 1 and found.seconds["compile"] > 0
    metrics, arrays = jax.jit(jax.vmap(trial))(found.trials.keys, found.trials.hparams)
    np.testing.assert_allclose(found.final("sd"), metrics["sd"], rtol=1e-6)
    np.testing.assert_allclose(found.final("ends/low"), metrics["ends"]["low"], rtol=1e-6)
    np.testing.assert_allclose(found.arrays["draws"][0], arrays["draws"], rtol=1e-6)
    np.testing.assert_array_equal(found.arrays["above"][0], arrays["above"])
    assert found.evaluation_steps.tolist() == [0] and found.evaluation["sd"].shape == (TOTAL, 1) and found.train == {}
    assert found.failed_at.tolist() == [0] * TOTAL and found.state is None and found.num_steps == 0
    compilations.clear(), traces.clear()
    again = go(counted, trials(scale=3.0, seed=7))
    assert not compilations and not traces and again.seconds["compile"] == 0
    assert not np.isclose(again.final("sd"), found.final("sd")).any()


@pytest.mark.parametrize(
    "options",
    [
        {"block_size": 1, "mesh": make_mesh(trial=1)},
        {"block_size": None},
        {"block_size": 3},
        {"trial_map": "map"},
        {"mesh": make_mesh(), "block_size": None},
        {"mesh": make_mesh(data=4)},
    ],
    ids=["singly", "one block", "rounded up", "map", "8 devices", "data axis"],
)
def test_numbers_do_not_depend_on_blocks_and_devices(options):
    found, wanted = go(**options), go()
    for name in wanted.evaluation:
        np.testing.assert_allclose(found.evaluation[name], wanted.evaluation[name], rtol=1e-6)
    np.testing.assert_allclose(found.arrays["draws"][0], wanted.arrays["draws"][0], rtol=1e-6)
    same_results(go(**options), found)


@pytest.mark.parametrize("processes", [1, 2])
def test_host_trials_may_fill_the_same_arrays_again(processes, monkeypatch):
    buffer = np.zeros(2)

    def reusing(key, hparams):
        buffer[:] = hparams["size"]
        return {"m": buffer}, {"a": buffer}

    values = np.arange(4.0)
    blocks = HostBlocks(HostTrial(reusing), Trials.grid(size=values.tolist()), 4)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    monkeypatch.setattr(host_trials, "exchange", lambda text: [text] * processes)  # the others found the same
    found = np.array([(one.metrics["m"].copy(), one.arrays["a"][0].copy()) for one in blocks.run(0, 4)])
    wanted = values if processes == 1 else [0, 0, 2, 2]
    np.testing.assert_array_equal(found, np.broadcast_to(np.reshape(wanted, (4, 1, 1)), (4, 2, 2)))


def test_host_trials_get_a_key_and_numpy_values(tmp_path):
    seen = []

    def one(key, hparams):
        seen.append((key, hparams))
        hparams["vector"][:] = 0  # of its own copy
        return {"count": 3, "rate": float(hparams["rate"]), "on": hparams["on"], "list": [1.0, 2.0]}

    given = Trials.grid(2, rate=[0.5, 0.25], size=3, vector=[[1.0, 2.0]], on=[True])
    found = run(HostTrial(one), given, progress=False, workdir=tmp_path / "run")
    assert found.final("rate").tolist() == [0.5, 0.5, 0.25, 0.25] and found.final("count").tolist() == [3] * 4
    assert found.final("on").tolist() == [1] * 4 and found.final("list").tolist() == [[1, 2]] * 4
    key, hparams = seen[0]
    assert key.shape == () and jax.random.key_data(key).tolist() == jax.random.key_data(given.keys)[0].tolist()
    assert isinstance(hparams["rate"], np.float32) and isinstance(hparams["size"], np.int32)
    assert np.asarray(given.hparams["vector"]).tolist() == [[1, 2]] * 4
    assert read_trials(tmp_path / "run").hparams["vector"].tolist() == [[1, 2]] * 4 and found.arrays == {}


# --- records


def test_rows_are_on_file_as_trials_finish(tmp_path):
    lengths = []
    look = host_trial(lambda number: lengths.append(len(read_rows(tmp_path / "run/records.jsonl"))))
    found = go(look, workdir=tmp_path / "run")
    assert lengths == list(range(TOTAL))  # not block by block
    rows = read_rows(tmp_path / "run/records.jsonl")
    assert [(row["kind"], row["trial"], row["seed"]) for row in rows] == [("trial", i, i) for i in range(TOTAL)]
    assert [row["metrics"]["sd"] for row in rows] == found.final("sd").tolist()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "arrays", "blocks.json", "config.json", "records.jsonl", "trials.npz"
    }  # fmt: skip


def test_results_are_built_from_rows_of_trials_and_of_older_runs(tmp_path):
    found = go(workdir=tmp_path / "run")
    fields = {"trials": found.trials, "num_steps": 0, "failed_at": found.failed_at, "state": None, "seconds": {}}
    same_results(Results.from_rows(read_rows(tmp_path / "run/records.jsonl"), **fields, arrays=found.arrays), found)
    older = Results.from_rows([{"kind": "eval", "step": 0, "metrics": {"sd": [1.0, None]}}], **fields)
    assert older.evaluation["sd"].shape == (2, 1) and np.isnan(older.final("sd")[1])


class Sink:
    def __init__(self):
        self.rows, self.closed = [], 0

    def write(self, step, phase, metrics):
        self.rows.append((step, phase, metrics))

    def close(self):
        self.closed += 1


def test_sinks_get_all_trials_once(tmp_path):
    sink, later = Sink(), Sink()
    found = go(sinks=[sink], workdir=tmp_path)
    ((step, phase, metrics),) = sink.rows
    assert (step, phase, sink.closed) == (0, "eval", 1)
    np.testing.assert_array_equal(metrics["sd"], found.final("sd"))
    go(sinks=[later], workdir=tmp_path, resume=True)
    assert later.rows == [] and later.closed == 1


# --- what is refused


@pytest.fixture
def nothing_compiles(monkeypatch):
    monkeypatch.setattr(Programs, "_call", lambda *_: pytest.fail("a program was compiled"))


RETURNED = {
    "complex": (lambda: {"a": {"spectrum": jnp.ones(2) * 1j}}, "metric 'spectrum': found complex64"),
    "pair": (lambda: {"return": (1.0, 2.0)}, "metric 'return': found a pair"),
    "no dict": (lambda: [1.0], "found list, wanted a dict of metrics by name"),
    "arrays without names": (lambda: ({"a": 1.0}, np.ones(3)), "found arrays to keep as"),
    "a key to keep": (lambda: ({"a": 1.0}, {"key": jax.random.key(0)}), "kept array 'key': found key<fry>"),
    "array without a name": (lambda: ({"a": 1.0}, {"": np.ones(3)}), "found the name ''"),
}


@pytest.mark.parametrize("returned", RETURNED)
@pytest.mark.usefixtures("nothing_compiles")
def test_what_cannot_be_recorded_is_refused_by_name(returned, tmp_path):
    make, message = RETURNED[returned]
    with pytest.raises(ValueError, match=f"trial.*{message}|{message}"):
        go(lambda key, hparams: make(), workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=message):
        go(HostTrial(lambda key, hparams: make()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: (found[0] | {"new": 1.0}, found[1]), "trial 3 returned metrics .*new.*, wanted ends/high"),
        (lambda found: (found[0] | {"sd": np.ones(2)}, found[1]), r"trial 3 returned metrics .*sd \[2\], wanted"),
        (lambda found: found[0], r"trial 3 returned arrays \[\], wanted \['above', 'draws'\] as before"),
        (lambda found: (found[0], found[1] | {"draws": np.ones(3)}), r"'draws'.*found float64 \(11, 3\)"),
    ],
)
@pytest.mark.parametrize("resumed", [True, False])
def test_trials_on_the_host_must_return_the_same_names_and_shapes(tmp_path, change, message, resumed):
    calls, inner = [], host_trial().trial

    def one(key, hparams):
        calls.append(1)
        return change(inner(key, hparams)) if len(calls) == 4 else inner(key, hparams)

    options = {"workdir": tmp_path, "block_size": 3 if resumed else 4}
    if resumed:
        with pytest.raises(Interrupted), signal_at_row(1):
            go(HostTrial(one), **options)
    with pytest.raises(ValueError, match=message):
        go(HostTrial(one), resume=resumed, **options)


@pytest.mark.usefixtures("nothing_compiles")
@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        (trial, {"num_steps": 10}, "found num_steps=10 for a trial function, which has none; wanted num_steps=0"),
        (trial, {"batches": [1]}, "found `batches` for a trial function"),
        (trial, {"block_size": 0}, "found block_size=0, wanted at least 1"),
        (HostTrial(trial), {"block_size": -1}, "found block_size=-1"),
        (trial, {"resume": True}, "resume without a workdir"),
        (trial, {"trial_map": "pmap"}, "found trial_map='pmap'"),
    ],
)
def test_nonsense_is_refused(study, options, message):
    with pytest.raises(ValueError, match=message):
        go(study, **options)


# --- memory and disk


@pytest.mark.usefixtures("nothing_compiles")
def test_what_does_not_fit_into_memory_is_refused_before_compiling(monkeypatch, tmp_path):
    def large(key, hparams):
        x = jax.random.normal(key, (1024, 1024))
        return {"trace": jnp.trace(x @ x.T)}

    monkeypatch.setattr(guard, "bytes_available", lambda mesh: 3 * 2**20)
    with pytest.raises(ValueError, match=r"one trial alone needs at least 0.00 GiB per device, found 0.00 GiB free"):
        go(large, block_size=None, workdir=tmp_path / "run")
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: 9 * 2**20)
    with pytest.raises(ValueError, match=r"blocks of 6 trials need at least 0.01 GiB .* wanted block_size <= 4"):
        go(large, block_size=6, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("nothing_compiles")
def test_arrays_that_do_not_fit_on_the_disk_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("identax.run.compiled_trials.free_disk_space", lambda folder: 1000)
    with pytest.raises(ValueError, match=r"kept arrays of 11 trials need 0.0 MiB, found 0.0 MiB free"):
        go(workdir=tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "earlier", "total", "how", "available", "wanted"),
    [
        (None, None, 11, "vmap", 2**40, 12),  # all at once, padded to the mesh's two groups
        (None, None, 1000, "vmap", 2**40, 126),  # 8 blocks of 126, not of 128: less padding
        (None, None, 130, "vmap", 2**40, 66),
        (None, None, 1000, "vmap", 4 * 110 * 10, 20),  # a quarter of the memory holds 10 trials a group
        (None, None, 1000, "map", 4 * (100 + 10 * 10), 20),  # one after the other: the largest array once
        (None, None, 1000, "vmap", 111, 2),  # one fits, if barely
        (5, None, 1000, "vmap", 2**40, 6),
        (500, None, 11, "vmap", 2**40, 12),
        (None, 4, 11, "vmap", 2**40, 4),
        (8, 4, 11, "vmap", 2**40, 8),
        (None, 3, 11, "vmap", 2**40, 12),  # from a machine with one device
        (None, 8, 11, "vmap", 330, 2),  # from a larger machine
    ],
)
def test_the_size_of_blocks(monkeypatch, given, earlier, total, how, available, wanted):
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: available)
    assert _block_size(given, earlier, total, make_mesh(trial=2), how, own=10, largest=100) == wanted


def test_unknown_memory_is_no_limit(monkeypatch):
    monkeypatch.setattr(guard, "bytes_available", lambda mesh: None)
    assert _block_size(None, None, 1000, make_mesh(trial=2), "vmap", own=10, largest=100) == 126


# --- what a person sees


def test_the_display_counts_trials(capsys):
    go(progress=True, title="tests")
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"tests \| finished \| trial 11/11 \| [\d.,]+ trials/s \| elapsed \ds \| ", last)
    assert re.search(r"ends/low -[\d.]+ \+- ", last) and "of 11 trials" not in last


def test_a_resumed_display_shows_what_was_before(tmp_path, capsys):
    with pytest.raises(Interrupted), signal_at_row(5):
        go(host_trial(), workdir=tmp_path)
    go(host_trial(), workdir=tmp_path, resume=True, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert "trial 8/11" in lines[0] and "trial 11/11" in lines[-1] and "of 11 trials" not in lines[-1]


def test_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        go(host_trial())
