"""Trials without steps for tests of blocks, compiled and on the host, and what it means that two runs are the same."""

import contextlib
import os
import signal

import jax
import numpy as np

from identax.rng import stream
from identax.run import Results, make_mesh, run
from identax.run.trial_records import TrialRecords
from identax.study import HostTrial, Trials

TOTAL = 11


def trials(**options):
    return Trials.grid(TOTAL, **{"scale": 2.0, **options})


def trial(key, hparams):
    """Metrics, nested, and what is to be kept, of a few draws."""
    x = hparams["scale"] * jax.random.normal(stream(key, "x"), (20,))
    return {"sd": x.std(), "ends": {"low": x.min(), "high": x.max()}}, {"draws": x, "above": x > 0}


def host_trial(act=lambda number: None):
    """The same kind of trial for the host; `act(number)` is called as the trial begins."""
    seeds = {tuple(jax.random.key_data(key).tolist()): number for number, key in enumerate(trials().keys)}

    def one(key, hparams):
        number = seeds[tuple(jax.random.key_data(key).tolist())]
        act(number)
        x = hparams["scale"] * np.random.default_rng(number).normal(size=20)
        return {"sd": x.std(), "ends": {"low": x.min(), "high": x.max()}}, {"draws": x, "above": x > 0}

    return HostTrial(one)


def go(study=trial, given=None, **options):
    options = {"mesh": make_mesh(trial=2), "block_size": 4, "progress": False, **options}
    return run(study, trials() if given is None else given, **options)


def same_results(found: Results, wanted: Results):
    """Bit for bit: metrics, failures, kept arrays, and rows on file where there are any."""
    assert found.evaluation.keys() == wanted.evaluation.keys() and found.arrays.keys() == wanted.arrays.keys()
    for name, values in wanted.evaluation.items():
        np.testing.assert_array_equal(found.evaluation[name], values)
    for name, of_name in wanted.arrays.items():
        assert list(found.arrays[name]) == [0] and found.arrays[name][0].dtype == of_name[0].dtype
        np.testing.assert_array_equal(found.arrays[name][0], of_name[0])
    np.testing.assert_array_equal(found.failed_at, wanted.failed_at)
    if found.workdir is not None and wanted.workdir is not None:
        rows = [(result.workdir / "records.jsonl").read_bytes() for result in (found, wanted)]
        assert rows[0] == rows[1] and len(rows[0].splitlines()) == TOTAL


def signal_at(number, code=signal.SIGTERM):
    return lambda here: os.kill(os.getpid(), code) if here == number else None


@contextlib.contextmanager
def signal_at_row(number, code=signal.SIGTERM):
    """Sends the signal as the row of that trial is written."""
    append = TrialRecords.append

    def signalling(self, row):
        append(self, row)
        signal_at(number, code)(row["trial"])

    TrialRecords.append = signalling
    try:
        yield
    finally:
        TrialRecords.append = append


def failing(at, error=np.linalg.LinAlgError("Singular matrix")):
    """What makes the trials `at` raise `error`."""

    def act(number):
        if number in at:
            raise error

    return act
