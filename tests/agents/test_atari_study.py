"""An agent in Atari's emulator through the runner, where ale-py is installed."""

import jax
import numpy as np
import pytest

from identax.agents import agent_study, policy_network
from identax.dgp.environments import atari, installed
from identax.models.agent_encoders import conv_block
from identax.run import make_mesh, run
from identax.study import Trials

ale = pytest.mark.skipif(not installed("ale_py"), reason="needs ale-py: pip install -e .[atari]")


@ale
@pytest.mark.slow
def test_a_study_on_breakout_runs_for_hundreds_of_updates():
    world = atari("breakout", 2, threads=1)
    network = policy_network(world.num_actions, conv_block(), units=32)
    study = agent_study(world, network, num_environments=2)
    mesh = make_mesh(devices=jax.devices()[:1])
    results = run(study, Trials.grid(1, learning_rate=1e-4), num_steps=200, log_every=50, mesh=mesh)
    assert not results.failed_at.any()
    assert np.isfinite(results.train["loss"]).all()
    # 2,000 steps of random-looking play hold games of about 150 each, whose raw returns are small whole numbers.
    assert results.train["games"][0, -1] >= 3
    assert 0 <= results.train["recent return"][0, -1] < 10
