"""Experiments on attention and curiosity: arms, what is measured of drawn curves, and whole runs of `smoke`."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.atta2c import (
    atari,
    atari_claims,
    coupling,
    square84,
    square84_claims,
    variants,
    variants_claims,
    variants_figures,
)
from experiments.atta2c.figures import over_seeds
from identax import plan
from identax.conduct import Options, run_experiment
from identax.dgp.environments import installed
from identax.metrics import best_average
from identax.run import Results, make_mesh
from identax.study import Trials

QUICK, COUPLED = variants.PRESETS["quick"], coupling.PRESETS["quick"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["square84", "variants", "atari"])
def test_smoke_runs_to_a_report(name, tmp_path):
    module = {"square84": square84, "variants": variants, "atari": atari}[name]
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, f"atta2c/{name}", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    if name == "variants":
        # Nothing is switched on in what was released: the same numbers to the bit.
        assert not outcome.measured["square84, RCM, released: largest difference from baseline"].any()


def test_arms_are_the_variants():
    config = variants.PRESETS["medium"]
    found = {arm.name: arm.config for arm in variants.arms(config)}
    curious = ["ICM single", "ICM double", "RCM"]
    described = ["baseline", "ICM single", "ICM double", "AttA2C", "RCM"]
    assert list(found) == [
        *(f"Breakout, {one}" for one in described),
        *(f"Breakout, {one}, released" for one in curious),
        "Breakout, no curiosity",
        *(f"SpaceInvaders, {one}" for one in described),
        "SpaceInvaders, no curiosity",
    ]
    assert {config.bonus_weight for config in found.values()} == {0.0}
    for game in ("Breakout", "SpaceInvaders"):
        own = {name: config for name, config in found.items() if name.startswith(game)}
        assert {config.game for config in own.values()} == {f"{game}-MinAtar"}
        assert [name for name, config in own.items() if config.icm == "none"] == [f"{game}, no curiosity"]
        assert [name for name, config in own.items() if config.attention] == [f"{game}, AttA2C"]
    for one in (f"Breakout, {name}" for name in curious):
        wired = dataclasses.replace(found[one], wiring="released")
        assert found[f"{one}, released"] == wired and found[one].wiring == "intended"
    holds = {name: report.premises[0].holds for name, report in variants.premises(QUICK).items()}
    assert holds == {
        "Breakout, baseline": False, "Breakout, ICM single": True, "Breakout, ICM double": True,
        "Breakout, AttA2C": True, "Breakout, RCM": True, "Breakout, RCM, released": False,
    }  # fmt: skip
    assert len(atari.arms(atari.PRESETS["paper"])) == 30
    assert {arm.config.version for arm in atari.arms(atari.PRESETS["paper"])} == {"v0", "v4"}


@pytest.mark.parametrize(
    ("module", "preset", "given"),
    [
        (square84, "quick", {"icm": "rational", "attention": True, "wiring": "released"}),
        (variants, "quick", {"icm": "rational", "attention": True, "wiring": "released", "game": "Asterix-MinAtar"}),
        (atari, "paper", {"icm": "rational", "attention": True, "wiring": "released", "version": "v0"}),
        (coupling, "quick", {"agent": "count", "bonus_weight": 0.5}),
    ],
)
def test_what_the_arms_set_does_not_reach_them_and_is_refused(module, preset, given):
    """A baseline with attention would be the variant that it is compared with, under another name."""
    config = module.PRESETS[preset]
    arms = module.arms(config)
    for name, value in given.items():
        assert getattr(config, name) != value
        other = dataclasses.replace(config, **{name: value})
        assert module.arms(other) == arms
        with pytest.raises(ValueError, match=f"{name}=.* reaches no arm"):
            plan.check_overrides(module, "atta2c", preset, other)


def test_atari_s_rewards_are_signed_where_they_are_learned_from(monkeypatch):
    found = []
    monkeypatch.setattr(atari, "atari", lambda *args, **given: found.append(given) or args)
    monkeypatch.setattr(atari, "agent_of", lambda config, *worlds: config.reward)
    assert atari.build(atari.PRESETS["short"]) == "sign" and [given["clip"] for given in found] == [False, False]


def _drawn(config, level, spread, seeds=8, same=None):
    """Results whose returns rise to `level`, noisy from seed to seed."""
    steps = np.array([1, *range(config.log_every, config.num_steps + 1, config.log_every)])
    rng = np.random.default_rng(0 if same is None else same)
    noise = rng.normal(size=(seeds, 1))
    curve = level * steps / config.num_steps + 0.05 * noise + 0.01 * rng.normal(size=(seeds, len(steps)))
    curve[:, 0] = np.nan
    train = {"game return": curve, "recent return": curve, "feature sd": spread + 0.01 * noise + 0 * steps}
    evaluation = {f"{kind} return": curve[:, -1:] for kind in ("greedy", "sampled")}
    at = np.array([config.num_steps])
    return Results(Trials.grid(seeds), config.num_steps, steps, train, at, evaluation, np.zeros(seeds, int), None, {})


def test_what_is_claimed_is_seen_in_curves_that_have_it():
    results = {
        "Breakout, baseline": _drawn(QUICK, 2.0, 0.3), "Breakout, ICM single": _drawn(QUICK, 2.0, 0.3, same=1),
        "Breakout, AttA2C": _drawn(QUICK, 1.0, 0.5, same=2), "Breakout, RCM": _drawn(QUICK, 1.5, 0.3, same=3),
        "Breakout, RCM, released": _drawn(QUICK, 2.0, 0.3),
    }  # fmt: skip
    found = {name: float(np.mean(values)) for name, values in variants.measure(QUICK, results).items()}
    bands = {row.quantity: row.bands["medium"] for row in variants.REFERENCES if "medium" in row.bands}

    def inside(quantity):
        low, high = bands[f"Breakout, {quantity}"]
        value = found[f"Breakout, {quantity}"]
        return (low is None or value >= low) and (high is None or value <= high)

    assert inside("baseline: return, last tenth") and inside("baseline: rise from the middle, 95 % low")
    assert inside("RCM, released: largest difference from baseline")
    own = ": return, mean over training - baseline, half-widths of its 99 % interval"
    assert inside(f"ICM single{own}") and not inside(f"RCM{own}")
    short = {row.quantity for row in variants.REFERENCES if "quick" in row.bands}
    assert not [quantity for quantity in short if quantity.endswith(own)] and short < set(bands)
    assert inside("AttA2C: return, mean over training - baseline, 95 % high")
    assert inside("AttA2C: feature sd, first half - baseline, 95 % low")
    assert found["Breakout, baseline: relative score"] > found["Breakout, AttA2C: relative score"]
    assert not [name for name in found if name.startswith("all games")]
    flat = variants.measure(QUICK, results | {"Breakout, RCM, released": _drawn(QUICK, 2.0, 0.3, same=5)})
    assert flat["Breakout, RCM, released: largest difference from baseline"].all()
    same, base = results["Breakout, RCM, released"], results["Breakout, baseline"]
    for lacking in ({}, {name: values for name, values in same.train.items() if name != "recent return"}):
        assert np.isinf(variants_claims.largest_difference(dataclasses.replace(same, train=lacking), base)).all()


def test_a_new_variant_has_rows_without_a_published_number(monkeypatch):
    monkeypatch.setattr(variants_claims, "VARIANTS", variants_claims.VARIANTS | {"mine": {}})
    rows = {row.quantity: row.paper for row in variants_claims._references("Breakout-MinAtar")}
    assert rows["Breakout, mine: relative score"] == "not in the paper"
    assert rows["Breakout, AttA2C: relative score"].startswith(".880")


def test_games_are_measured_apart_and_averaged_as_published():
    both = dataclasses.replace(QUICK, games=("Breakout-MinAtar", "Asterix-MinAtar"))
    results = {
        "Breakout, baseline": _drawn(both, 2.0, 0.3), "Breakout, RCM": _drawn(both, 1.0, 0.3, same=1),
        "Breakout, AttA2C": _drawn(both, 1.0, 0.3, same=4),
        "Asterix, baseline": _drawn(both, 10.0, 0.3, same=2), "Asterix, RCM": _drawn(both, 20.0, 0.3, same=3),
    }  # fmt: skip
    found = variants.measure(both, results)
    scores = {name: values for name, values in found.items() if name.endswith("relative score")}
    best = {name: result.train["recent return"][:, 1:].max(axis=1) for name, result in results.items()}
    expected = best["Asterix, baseline"] / best["Asterix, RCM"].mean()
    np.testing.assert_allclose(scores["Asterix, baseline: relative score"], expected)
    overall = (
        best["Breakout, RCM"] / best["Breakout, baseline"].mean() + best["Asterix, RCM"] / best["Asterix, RCM"].mean()
    ) / 2
    np.testing.assert_allclose(scores["all games, RCM: relative score"], overall)
    assert "all games, AttA2C: relative score" not in scores  # it is not in every game
    quantities = {row.quantity for row in variants.REFERENCES}
    assert {"all games, RCM: relative score", "Asterix, baseline: relative score"} <= quantities


def test_figures_of_variants_are_drawn():
    results = {f"Breakout, {name}": _drawn(QUICK, 2.0, 0.3) for name in ("baseline", "RCM", "RCM, released")}
    frames = np.random.default_rng(0).random((8, 3, 10, 10, 4)) < 0.2
    kept = dataclasses.replace(results["Breakout, baseline"], arrays={"frames": {QUICK.num_steps: frames}})
    assert len(variants.figures(QUICK, results)) == 4
    both = dataclasses.replace(QUICK, games=("Breakout-MinAtar", "Asterix-MinAtar"))
    drawn = variants.figures(both, results | {"Breakout, baseline": kept, "Asterix, RCM": _drawn(QUICK, 2.0, 0.3)})
    assert [figure.caption.split(",")[0] for figure in drawn] == ["Breakout"] * 5 + ["Asterix"] * 2
    assert "less the baseline's" in drawn[1].caption and "paddle orange" in drawn[4].caption


def test_differences_are_paired_and_leave_out_what_is_far_or_the_same():
    results = {name: _drawn(QUICK, 2.0, 0.3) for name in ("baseline", "AttA2C", "RCM, released")}
    own = _drawn(QUICK, 2.5, 0.3, same=1)
    near = variants_figures._paired(results | {"RCM": own})
    assert list(near) == ["baseline", "RCM"]
    expected = own.train["game return"] - results["baseline"].train["game return"]
    np.testing.assert_array_equal(near["RCM"].train["game return"], expected)


def test_intervals_are_student_s():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    half = 3.182446 * values.std(ddof=1) / 2
    mean, *ends = over_seeds(np.array([values, [7.0, np.nan, np.nan, np.nan]]).T)
    np.testing.assert_allclose([mean[0], ends[0][0], ends[1][0]], [3.5, 3.5 - half, 3.5 + half], rtol=1e-6)
    assert mean[1] == 7 and np.isnan(ends)[:, 1].all()


def test_scores_are_the_published_ones():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(3, 200)).cumsum(axis=1)
    np.testing.assert_allclose(atari_claims.largest_average(curves, 50), best_average(curves, span=50), rtol=1e-5)
    late = np.concatenate([np.full((3, 7), np.nan), curves], axis=1)
    np.testing.assert_array_equal(atari_claims.largest_average(late, 50), atari_claims.largest_average(curves, 50))
    assert np.isnan(atari_claims.largest_average(np.full((1, 4), np.nan))).all()


def test_shares_of_correct_actions_follow_from_rewards():
    np.testing.assert_allclose(square84_claims.correct(np.array([1.0, -0.5, 0.0])), [1, 0, 1 / 3])


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: variants.arms(dataclasses.replace(QUICK, variants=("ICM singel",))), "did you mean 'ICM single'"),
        (lambda: variants.arms(dataclasses.replace(QUICK, discount=1.5)), "discount=1.5"),
        (lambda: variants.arms(dataclasses.replace(QUICK, games=())), "games=\\(\\), wanted one or more"),
        (lambda: variants.arms(dataclasses.replace(QUICK, games=("square84", "square84"))), "each named once"),
        (lambda: variants.arms(dataclasses.replace(QUICK, variants=("RCM", "RCM"))), "wanted each variant once"),
        (lambda: variants.arms(dataclasses.replace(QUICK, filters=0)), "filters=0"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, other_sizes=(-2,))), "other_sizes=-2"),
        (lambda: variants.build(dataclasses.replace(QUICK, rollout_length=0)), "rollout_length=0|install"),
        (lambda: variants.build(dataclasses.replace(QUICK, game="Breakout")), "did you mean 'Breakout-MinAtar'"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, agents=("counts",))), "agent of agents='counts'.* 'count'"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, television=("counts",))), "agent of television='counts'"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, breakout=("counts",))), "agent of breakout='counts'"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, walkers=("counts",))), "agent of walkers='counts'"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, discount=-1.0)), "discount=-1"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, learning_rate=np.inf)), "learning_rate=inf"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, entropy_weight=-1.0)), "entropy_weight=-1"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, num_steps=0)), "num_steps=0"),
        (lambda: coupling.arms(dataclasses.replace(COUPLED, fewer_seeds=0)), "fewer_seeds=0"),
        (lambda: atari.arms(dataclasses.replace(atari.PRESETS["paper"], versions=("v1",))), "version"),
    ],
)
def test_experiments_refuse(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.skipif(installed("gymnax"), reason="gymnax is here")
def test_a_game_that_is_not_here_names_the_command():
    with pytest.raises(ValueError, match="pip install"):
        variants.build(QUICK)
