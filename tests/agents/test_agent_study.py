"""The study of an agent: seeds side by side and one by one, resumed runs, worlds that go wrong, both kinds of ends."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import (
    ActingState,
    AgentState,
    Bonus,
    Choices,
    agent_study,
    curiosity_module,
    icm_bonus,
    play,
    policy_network,
    roll,
    visit_bonus,
)
from identax.dgp.environments import side_by_side
from identax.models import flat_encoder
from identax.run import Interrupted, make_mesh, run
from identax.run.program import Programs
from identax.study import Trials
from tests.agents.worlds import corridor

ENCODER = flat_encoder((5,))
NETWORK = policy_network(2, ENCODER, units=4)
KEY, NOWHERE = jax.random.key(0), ActingState(*[None] * 5)


def _with_loss(loss):
    def reward(params, memory, seen, discount):
        return jnp.zeros(seen.actions.shape), memory

    return Bonus(lambda key, seen: ({}, ()), reward, loss)


def study(world=None, *, network=NETWORK, **options):
    options = {"num_environments": 3, "choices": Choices(rollout_length=3, truncation="ends")} | options
    return agent_study(corridor() if world is None else world, network, **options)


@pytest.mark.parametrize(
    ("bonus", "part"),
    [
        (Bonus(lambda key, seen: ({}, ()), lambda params, memory, seen, discount: (jnp.ones(()), memory)), "reward"),
        (Bonus(lambda key, seen: ({}, ()), lambda params, memory, seen, discount: (jnp.ones(3), memory)), "reward"),
        (_with_loss(lambda params, memory, seen, beta: (jnp.ones(3), {})), "loss"),
        (_with_loss(lambda params, memory, seen, beta: (jnp.ones((3, 3)), {"entropy": 0.0})), r"\['entropy'\]"),
    ],
)
def test_a_bonus_that_does_not_fit_is_refused(bonus, part):
    """A number for each step and environment, and names of its own."""
    one = study(bonus=bonus)
    state = jax.eval_shape(one.init, KEY, {})
    with pytest.raises(ValueError, match=part):
        jax.eval_shape(one.step, state, None)


def _run(study, trials, **options):
    return run(study, trials, mesh=make_mesh(devices=jax.devices()[:1]), progress=False, **options)


@pytest.mark.parametrize("num_seeds", [3, pytest.param(16, marks=pytest.mark.slow)])
def test_seeds_in_one_program_are_runs_of_their_own(num_seeds):
    one = study(bonus=visit_bonus(4), settings={"bonus_weight": 0.1, "learning_rate": 1e-2})
    trials = Trials.grid(num_seeds)

    def learned(key):
        state = one.init(key, {})
        return jax.lax.scan(lambda state, _: one.step(state, None), state, None, length=5)

    together, seen = jax.jit(jax.vmap(learned))(trials.keys)
    alone = jax.jit(learned)
    for seed in range(num_seeds):
        state, metrics = alone(trials.keys[seed])
        ours = jax.tree.map(lambda leaf, seed=seed: leaf[seed], (together.params, together.world, seen))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves((state.params, state.world, metrics)), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    differ = jax.tree.leaves(together.params)[0]
    assert not np.array_equal(differ[0], differ[1])
    assert int(together.world.visits[0].sum()) == 5 * 3 * 3  # updates, steps, environments


class _Signal:
    """A sink that asks the run to stop at its fourth step."""

    def write(self, step, phase, metrics):
        if step == 4 and phase == "train":
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


@pytest.mark.slow
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path):
    one, trials = study(evaluation=4, evaluation_steps=8), Trials.grid(2, learning_rate=[1e-2, 1e-3])
    common = {"log_every": 2, "checkpoint_every": 4}
    whole = _run(one, trials, num_steps=12, **common)
    with pytest.raises(Interrupted):
        _run(one, trials, num_steps=12, workdir=tmp_path, sinks=[_Signal()], **common)
    rest = _run(one, trials, num_steps=12, workdir=tmp_path, resume=True, **common)
    for a, b in zip(jax.tree.leaves(whole.state.params), jax.tree.leaves(rest.state.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.train["loss"], rest.train["loss"])
    np.testing.assert_array_equal(whole.final("sampled return"), rest.final("sampled return"))
    assert isinstance(whole.state, AgentState) and whole.final("games").min() > 0


def test_an_agent_goes_on_where_an_earlier_run_ended():
    """Twice three steps are six, games and random streams too; then with another number, and not as another agent."""
    one, trials = study(bonus=visit_bonus(4)), Trials.grid(2, learning_rate=1e-2, bonus_weight=0.5)
    whole = _run(one, trials, num_steps=6, log_every=3)
    first = _run(one, trials, num_steps=3, log_every=3)
    rest = _run(one, trials, num_steps=3, log_every=3, after=first)
    assert rest.state.step.tolist() == [6, 6]
    for a, b in zip(jax.tree.leaves(whole.state.params), jax.tree.leaves(rest.state.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.train["loss"][:, -1], rest.train["loss"][:, -1])
    np.testing.assert_array_equal(whole.final("games"), rest.final("games"))
    without = _run(one, Trials.grid(2, learning_rate=1e-2, bonus_weight=0.0), num_steps=3, log_every=3, after=first)
    assert not np.array_equal(without.train["loss"][:, -1], rest.train["loss"][:, -1])
    for other, part in ((study(), "memory"), (study(network=policy_network(2, ENCODER, units=5)), "params")):
        with pytest.raises(ValueError, match=f"an earlier agent with {part}.*the same world, network and bonus"):
            _run(other, trials, num_steps=3, log_every=3, after=first)


@pytest.mark.slow
def test_a_world_that_returns_nan_fails_its_trials():
    results = _run(study(corridor(nan=True)), Trials.grid(2), num_steps=2, log_every=1)
    assert (results.failed_at > 0).all()


@pytest.mark.slow
def test_one_diverging_seed_leaves_the_others_alone():
    together = _run(study(), Trials.grid(1, learning_rate=[1e-2, 1e30]), num_steps=6, log_every=1)
    alone = _run(study(), Trials.grid(1, learning_rate=[1e-2]), num_steps=6, log_every=1)
    assert together.failed_at[0] == 0 < together.failed_at[1]
    np.testing.assert_allclose(together.train["loss"][0], alone.train["loss"][0], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_more_environments_than_memory_holds_are_refused_before_anything_is_compiled():
    with pytest.raises(ValueError, match="GiB per device"):
        _run(study(num_environments=2 * 10**9), Trials.grid(1), num_steps=2, log_every=1)


def test_fresh_games_are_played_greedily_and_by_drawn_actions():
    world = side_by_side(corridor(4, 5), 200)
    network = policy_network(2, ENCODER, memory="none")
    params = network.init(jax.random.key(0), jnp.zeros((1, 4)))
    # Right with probability .6 everywhere: the greedy agent wins after two steps.
    params["actor"] = {"kernel": jnp.zeros((5, 2)), "bias": jnp.log(jnp.array([0.4, 0.6]))}
    found = jax.jit(lambda key: play(world, network, params, key, 9, watch=True))(jax.random.key(1))
    assert found["greedy return"] == 1 and found["greedy length"] == 2 and found["greedy finished"] == 1
    # Between cell 1 and 2 until an end or the limit of five steps: from 1 left (.4) ends it, from 2 right (.6) does.
    wins, losses, at = 0.0, 0.0, 1.0
    for time in range(5):
        wins, losses, at = (
            wins + (at * 0.6 if time % 2 else 0),
            losses + (0 if time % 2 else at * 0.4),
            at * (0.4 if time % 2 else 0.6),
        )
    expected, spread = wins - 0.5 * losses, np.sqrt(wins + 0.25 * losses)
    assert abs(found["sampled return"] - expected) < 6 * spread / 10
    np.testing.assert_array_equal(found["frames"][:3].argmax(axis=1), [1, 2, 1])


def _traced(one, hparams=None):
    def first(key):
        return one.step(one.init(key, hparams or {}), None)[1]

    return jax.eval_shape(first, jax.random.key(0))


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: study(num_environments=0), "num_environments=0"),
        (lambda: study(kept_episodes=0), "kept_episodes=0"),
        (lambda: study(side_by_side(corridor(), 2)), "of 2 environments"),
        (lambda: study(evaluation=2), "evaluation_steps=0, wanted 1 step"),
        (lambda: study(evaluation=-1, evaluation_steps=3), "evaluation=-1, wanted at least 0"),
        (lambda: study(evaluation=3, evaluation_steps=3), "evaluation of 3 worlds, wanted an even number"),
        (lambda: study(evaluation=side_by_side(corridor(), 1), evaluation_steps=3), "evaluation of 1 worlds"),
        (
            lambda: study(evaluation=side_by_side(corridor(5), 2), evaluation_steps=3),
            r"evaluation in corridor with .*\(5,\), 'float32'\), wanted those of corridor, .*\(4,\), 'float32'\)",
        ),
        (lambda: study(settings={"discount": 1.5}), "discount=1.5"),
        (lambda: study(settings={1: 2.0}), "setting='1'"),
        (lambda: study(settings={"learning_rat": 1.0}), "did you mean 'learning_rate'"),
        (lambda: study(settings={"max_norm": np.ones(3)}), r"max_norm of shape \(3,\), wanted a scalar"),
        (
            lambda: study(dataclasses.replace(corridor(), num_states=None), bonus=visit_bonus(4)),
            "a bonus for 4 states and corridor with num_states=None",
        ),
        (lambda: study(bonus=visit_bonus(3)), "a bonus for 3 states, wanted the 4 of corridor"),
        (lambda: study(bonus=icm_bonus(curiosity_module(3, ENCODER))), "a bonus for 3 actions, wanted the 2 of"),
        (
            lambda: _traced(study(network=policy_network(3, ENCODER))),
            "a network of 3 actions, wanted the 2",
        ),
        (lambda: _traced(study(), {"learning_rat": 1.0}), "did you mean 'learning_rate'"),
        (lambda: roll(side_by_side(corridor(), 2), NETWORK, None, NOWHERE, KEY, 0), "num_steps=0"),
        (lambda: roll(corridor(), NETWORK, None, NOWHERE, KEY, 1), "corridor as a single environment"),
        (lambda: play(side_by_side(corridor(), 2), NETWORK, None, KEY, 0), "num_steps=0"),
        (
            lambda: jax.eval_shape(study(choices=Choices(critics=2)).init, jax.random.key(0), {}),
            "a network of 1 critics, wanted 2",
        ),
    ],
)
def test_studies_refuse(call, part, untyped):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"discount": [0.9, 1.5]}, "discount=1.5, wanted a number from 0 to 1"),
        ({"learning_rate": [-1.0]}, "learning_rate=-1.0, wanted"),
        ({"learning_rat": [1.0]}, "did you mean 'learning_rate'"),
        ({"max_norm": [np.ones(3)]}, r"max_norm of shape \(3,\), wanted a scalar"),
    ],
)
def test_numbers_of_trials_are_refused_before_anything_is_compiled_or_written(values, part, tmp_path, monkeypatch):
    monkeypatch.setattr(Programs, "_call", None)  # nothing compiles
    with pytest.raises(ValueError, match=part):
        run(study(), Trials.grid(2, **values), num_steps=1, log_every=1, workdir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"world": "square84"}, "found environment of type str, wanted one of type Environment"),
        ({"network": ENCODER}, "found network of type Model, wanted one of type PolicyNetwork"),
        ({"bonus": visit_bonus}, "found bonus of type function, wanted one of type Bonus"),
        ({"choices": {"entropy": "mean"}}, "found choices of type dict, wanted one of type Choices"),
        ({"settings": ["discount"]}, "found settings of type list, wanted one of type Mapping"),
    ],
)
def test_parts_of_other_types_are_refused(given, part, untyped):
    with pytest.raises(ValueError, match=part):
        study(**given)
