"""Curiosity that reaches the policy: the arms, what is measured, and worlds that may not be installed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.atta2c import coupling
from experiments.atta2c.coupling_agents import AGENTS
from experiments.atta2c.coupling_worlds import world_of
from identax.conduct import Options, run_experiment
from identax.dgp.environments import installed
from identax.report.grids import tiles
from identax.run import Results, make_mesh, run
from identax.study import Trials

SMOKE = coupling.PRESETS["smoke"]
gymnax = pytest.mark.skipif(not installed("gymnax"), reason="needs gymnax: pip install -e .[rl]")

xminigrid = pytest.mark.skipif(not installed("xminigrid"), reason="needs xminigrid: pip install -e .[rl]")


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(coupling, "atta2c/coupling", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured["count, square84: solved"].shape == (2,)
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_learns_something_finite(agent):
    config = dataclasses.replace(SMOKE, agent=agent, bonus_weight=AGENTS[agent].weight)
    hparams = {name: getattr(config, name) for name in coupling.TRACED}
    mesh = make_mesh(devices=jax.devices()[:1])
    results = run(coupling.build(config), Trials.grid(2, **hparams), num_steps=4, log_every=2, mesh=mesh)
    assert not results.failed_at.any() and np.isfinite(results.train["loss"]).all()
    paid = np.abs(results.train["intrinsic reward"]).max()
    assert (paid > 0) == (AGENTS[agent].curiosity != "none")


def test_the_arms_of_the_presets():
    quick = coupling.arms(coupling.PRESETS["quick"])
    assert [arm.name for arm in quick] == ["plain, N = 20", "count, N = 20"]
    assert [arm.config.bonus_weight for arm in quick] == [0.0, 0.1]
    assert all(arm.config.num_steps * arm.config.num_environments == 24_000 for arm in quick)
    assert all(coupling.PRESETS[preset].num_seeds == 16 for preset in ("quick", "medium", "paper"))
    for preset in ("medium", "paper"):
        arms = coupling.arms(coupling.PRESETS[preset])
        names = [arm.name for arm in arms]
        assert len(set(names)) == len(names)
        assert {
            "plain, N = 14", "count, N = 14", "count, N = 14, summed losses", "RND, N = 20, television",
            "ICM, N = 20, television on demand",
            "ICM, Breakout-MinAtar, delayed", "episodic count, MiniGrid-DoorKey-8x8",
        } <= set(names)  # fmt: skip
        named = {row.quantity.rpartition(": ")[0] for row in coupling.REFERENCES}
        assert set(names) <= named
        # Only the weight reaches the policy: what is uncoupled has none.
        assert {arm.config.agent for arm in arms if not arm.config.bonus_weight} == {
            "plain",
            "AttA2C",
            "ICM, uncoupled",
        }


def _results(success, visited=0.5):
    """Recorded results of one arm: success [T, L] at two logged steps or more."""
    success = np.asarray(success, float)
    num, length = success.shape
    return Results(
        Trials.grid(num), length, np.arange(length), {"success": success, "feature sd": success}, np.array([length]),
        {"states visited": np.full((num, 1), visited)}, np.zeros(num), None, {},
    )  # fmt: skip


def test_solved_is_success_in_half_of_the_last_episodes():
    results = {"plain, N = 20": _results([[0.0, 0.2, 0.0], [0.0, 0.0, 0.0], [0.1, 0.4, 0.6], [0.9, 0.9, 0.4]])}
    found = coupling.measure(coupling.PRESETS["quick"], results)
    np.testing.assert_array_equal(found["plain, N = 20: solved"], [0, 0, 1, 0])
    np.testing.assert_array_equal(found["plain, N = 20: goal seen"], [1, 0, 1, 1])
    np.testing.assert_array_equal(found["plain, N = 20: late success"], [0, 0, 0.6, 0.4])
    np.testing.assert_allclose(found["plain, N = 20: success over training"], [0.2 / 3, 0, 1.1 / 3, 2.2 / 3])


@gymnax
@pytest.mark.slow
def test_summed_losses_are_clipped_and_small_weights_in_doorkey_are_arms():
    """A sum over transitions has the mean's gradient times their number."""
    config = dataclasses.replace(
        coupling.PRESETS["medium"],
        size=5,
        num_environments=3,
        widths=(4,),
        num_seeds=2,
        fewer_seeds=1,
        summed_sizes=(5,),
    )
    arms = {arm.name: arm.config for arm in coupling.arms(config)}
    assert arms["E3B, MiniGrid-DoorKey-5x5"].bonus_weight == pytest.approx(0.003 * arms["E3B, N = 5"].bonus_weight)
    assert arms["E3B, MiniGrid-DoorKey-5x5"].entropy_weight == config.doorkey_entropy_weight < config.entropy_weight
    assert arms["ICM, Breakout-MinAtar"].num_seeds == 1 and arms["ICM, N = 5"].num_seeds == 2
    found = {}
    for name in ("plain, N = 5", "plain, N = 5, summed losses"):
        study = coupling.build(arms[name])
        state = study.init(jax.random.key(0), {key: getattr(arms[name], key) for key in coupling.TRACED})
        found[name] = jax.jit(study.step)(state, None)[1]["policy gradient norm"]
    np.testing.assert_allclose(found["plain, N = 5, summed losses"], 15 * found["plain, N = 5"], rtol=1e-4)


def test_a_failed_seed_has_solved_nothing_known():
    results = {"plain, N = 20": _results([[0.0, np.nan], [0.0, 0.9]])}
    found = coupling.measure(coupling.PRESETS["quick"], results)
    np.testing.assert_array_equal(found["plain, N = 20: solved"], [np.nan, 1])


def test_worlds_of_two_agents_share_a_picture():
    config = dataclasses.replace(
        coupling.PRESETS["quick"], agents=("plain", "count", "ICM"), other_sizes=(10,), summed_sizes=(14,)
    )
    results = {arm.name: _results([[0.0, 0.9], [0.0, np.nan]]) for arm in coupling.arms(config)}
    found = [figure.caption.partition(":")[0] for figure in coupling.figures(config, results)]
    assert found == [
        "N = 20", "N = 20", "DeepSea, summed losses",
        "DeepSea of growing size, plain", "DeepSea of growing size, count",
        "Share of seeds that solve DeepSea (N = 20), with bootstrap intervals.",
        "Share of seeds that solve DeepSea of size N, with bootstrap intervals.",
    ]  # fmt: skip


def test_games_of_deep_sea_and_breakout_are_drawn(monkeypatch):
    """Of DeepSea a seed's whole way in one picture, of Breakout one seed's frames."""
    config = dataclasses.replace(coupling.PRESETS["quick"], size=5, breakout=("plain",))
    results = {}
    for arm in coupling.arms(config):
        frames = np.zeros((2, 5, 5, 5)) if arm.config.world == "DeepSea-bsuite" else np.ones((2, 12, 10, 10, 4))
        frames[:, range(5), range(5), range(5)] = 1
        assert arm.config.frames == frames.shape[1]
        result = _results([[0.0, 0.9], [0.0, 0.2]])
        results[arm.name] = dataclasses.replace(result, arrays={"frames": {2: frames}})
        results[arm.name].train["recent return"] = result.train["success"]
    drawn = []

    def noted(pictures, **options):
        drawn.append((pictures, options["rows"]))
        return tiles(pictures, **options)

    monkeypatch.setattr("experiments.atta2c.coupling_figures.tiles", noted)
    coupling.figures(config, results)
    assert [(pictures.shape, rows) for pictures, rows in drawn] == [
        ((2, 2, 5, 5), ("plain", "count")), ((1, 12, 10, 10, 3), ("plain",)), ((1, 12, 10, 10, 3), ("plain",)),
    ]  # fmt: skip
    np.testing.assert_allclose(drawn[0][0][1, 1], 0.85 * (1 - np.eye(5)), atol=1e-12)


@pytest.mark.parametrize(("plain", "count", "inside"), [(0.0, 0.9, True), (0.9, 0.9, False), (0.0, 0.0, False)])
def test_recorded_successes_are_judged_by_the_bands(plain, count, inside):
    """Both claims hold where chance fails and counts succeed, and one is missed where it is otherwise."""
    config = coupling.PRESETS["quick"]
    late = {"plain, N = 20": plain, "count, N = 20": count}
    found = coupling.measure(config, {name: _results([[0.0, value]] * 16) for name, value in late.items()})
    bands = {row.quantity: row.bands["quick"] for row in coupling.REFERENCES if "quick" in row.bands}
    judged = {name: float(np.mean(values)) for name, values in found.items() if name in bands}
    assert {f"{name}: solved" for name in late} <= judged.keys()
    held = [
        (low is None or judged[name] >= low) and (high is None or judged[name] <= high)
        for name, (low, high) in bands.items() if name in judged
    ]  # fmt: skip
    assert all(held) == inside


def test_premises_say_what_must_fail():
    config = dataclasses.replace(
        coupling.PRESETS["quick"], agents=tuple(AGENTS), other_sizes=(6,), mixed_sizes=(14, 20)
    )
    reports = coupling.premises(config)
    predicted = {name: report.predictions[0].value for name, report in reports.items()}
    assert predicted["plain, N = 20"] == predicted["ICM, uncoupled, N = 20"] == "by few or none"
    assert predicted["episodic count, N = 20"] == predicted["E3B, N = 20"] == "by few or none"
    assert predicted["plain, N = 14, mixed actions"] == "by most seeds" != predicted["plain, N = 20, mixed actions"]
    assert predicted["count, N = 20"] == predicted["RND, N = 20"] == predicted["plain, N = 6"] == "by most seeds"


def test_the_stand_in_has_episodes_and_an_unknown_agent_is_named():
    world = world_of(dataclasses.replace(SMOKE, channels=4))
    assert world.num_states == 12 and world.observation.shape == (7, 6, 4)
    with pytest.raises(ValueError, match="did you mean 'count'"):
        coupling.build(dataclasses.replace(SMOKE, agent="counts"))


@pytest.mark.parametrize("changed", [{"channels": 0}, {"channels": 4, "mixed_actions": True}])
def test_a_remote_control_needs_a_television_and_a_left(changed):
    with pytest.raises(ValueError, match="wanted a television and a left that is one action"):
        world_of(dataclasses.replace(SMOKE, remote=True, **changed))


@gymnax
def test_a_move_to_the_left_alone_changes_the_channel_of_a_remote_control():
    config = dataclasses.replace(coupling.PRESETS["quick"], size=12, channels=10**6, remote=True)
    world = world_of(config)
    state, _ = world.reset(jax.random.key(0), world.params)
    channels = [int(state.channel)]
    for step, action in enumerate([1, 1, 0, 0, 1]):
        state = world.step(jax.random.key(step), state, action, world.params).state
        channels.append(int(state.channel))
    changed = np.diff(channels) != 0
    np.testing.assert_array_equal(changed, [False, False, True, True, False])
    # Right is the way to the goal: five steps, of which three went there and two back.
    assert int(state.inner.column) == 1


def test_without_the_package_its_command_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e \.\[rl\]"):
        coupling.build(dataclasses.replace(coupling.PRESETS["quick"], size=13))


def test_more_environments_than_memory_holds_are_refused_before_compiling():
    study = coupling.build(dataclasses.replace(SMOKE, num_environments=10**9))
    hparams = {name: getattr(SMOKE, name) for name in coupling.TRACED}
    with pytest.raises(ValueError, match=r"trials need at least .* GiB per device"):
        run(study, Trials.grid(1, **hparams), num_steps=2, log_every=1, mesh=make_mesh(devices=jax.devices()[:1]))


@gymnax
def test_left_is_one_action_unless_mixed():
    for mixed in (False, True):
        world = world_of(dataclasses.replace(coupling.PRESETS["quick"], size=5, mixed_actions=mixed))
        right = world.reset(jax.random.key(0), world.params)[0].action_mapping
        assert bool((right == 1).all()) != mixed


@gymnax
@xminigrid
@pytest.mark.slow
def test_every_arm_of_the_paper_preset_can_be_traced():
    """Worlds and agents fit each other, also where nothing was run; nothing is compiled."""
    config, seen = coupling.PRESETS["paper"], set()
    for arm in coupling.arms(dataclasses.replace(config, num_environments=2)):
        place = arm.name.removeprefix(f"{arm.config.agent}, ")
        if place in seen and place != "N = 20":
            continue  # one agent in each world, all agents in the first
        seen.add(place)
        study = coupling.build(dataclasses.replace(arm.config, num_environments=2))
        hparams = {name: jnp.float32(getattr(arm.config, name)) for name in coupling.TRACED}
        state = jax.eval_shape(study.init, jax.random.key(0), hparams)
        after, metrics = jax.eval_shape(study.step, state, None)
        assert jax.tree.structure(after) == jax.tree.structure(state) and "success" in metrics


@gymnax
@pytest.mark.slow
@pytest.mark.parametrize("size", [20, 30])
def test_large_seas_with_16_seeds_come_to_an_end(size):
    """A program like this one hung the CPU backend with its concurrent scheduler, which runs here switch off."""
    config = dataclasses.replace(coupling.PRESETS["quick"], size=size, agent="count", bonus_weight=0.1)
    hparams = {name: getattr(config, name) for name in coupling.TRACED}
    mesh = make_mesh(devices=jax.devices()[:1])
    results = run(coupling.build(config), Trials.grid(16, **hparams), num_steps=40, log_every=20, mesh=mesh)
    assert not results.failed_at.any() and jnp.isfinite(results.train["loss"]).all()
