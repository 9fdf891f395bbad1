"""Optimisers that ask for more than gradients, run, interrupted and resumed."""

import os
import signal

import jax
import numpy as np
import optax
import pytest
from regression import regression_study, same_rows, same_trees

from identax.run import Interrupted, make_mesh, run
from identax.study import Trials


def noisy(hparams):
    def update(updates, state, params=None, *, key, **extra):
        return jax.tree.map(lambda leaf: leaf + jax.random.normal(key, leaf.shape), updates), state

    noise = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    shrinks = optax.contrib.reduce_on_plateau(factor=0.5, patience=2)
    return optax.chain(noise, optax.sgd(hparams["learning_rate"]), shrinks)


class Stop:
    """A sink that stops the run when it hears of step 5."""

    def write(self, step, phase, metrics):
        if (step, phase) == (5, "train"):
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


@pytest.mark.parametrize("optimizer", [noisy, lambda hparams: optax.lbfgs(memory_size=2)], ids=["noise", "lbfgs"])
def test_a_resumed_run_repeats_every_draw(tmp_path, optimizer):
    study, trials = regression_study(optimizer=optimizer), Trials.grid(2, learning_rate=0.1)
    options = {"num_steps": 15, "log_every": 5, "mesh": make_mesh(trial=2), "progress": False}
    whole = run(study, trials, workdir=tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        run(study, trials, workdir=tmp_path / "run", sinks=[Stop()], **options)
    found = run(study, trials, workdir=tmp_path / "run", resume=True, **options)
    same_rows(tmp_path / "whole/records.jsonl", tmp_path / "run/records.jsonl")
    same_trees(found.state, whole.state)
    assert not whole.failed_at.any() and np.isfinite(whole.final("error")).all()
