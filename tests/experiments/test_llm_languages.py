"""Languages side by side: their sets, batches and scores, what every option changes, bad input, a run to its report."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.llm import languages as experiment
from experiments.llm import languages_claims as claims
from experiments.llm.language_group import MASSES, Rows, batch_of, language_group
from experiments.llm.languages_published import ORDERS, PUBLISHED
from experiments.llm.published_transformer import warmed_adamw
from experiments.llm.sequence_networks import ARCHITECTURES, NETWORKS, sequence_network
from identax.conduct import Options, run_experiment
from identax.dgp.languages import AB, Rule, language, score
from identax.losses import sequence_nll, shifted
from identax.models import mamba
from identax.run import Results, make_mesh
from identax.study import Trials

SMOKE = experiment.PRESETS["smoke"]
GROUP = language_group(("L1", "L2", "L3"), 6, 3, seed=0, mass_length=4, random_prompts=6)
DRAWN = jax.jit(lambda place, key: GROUP.string_sets(place, key, {"train": 20, "test": 9}))
SCORED = jax.jit(lambda place, tokens: GROUP.completion_scores(place, {"": tokens}))
OWN = jax.jit(lambda tokens: [score(one, tokens, 3) for one in GROUP.languages])


def _trial(config, name):
    """The study of one arm, and a function that makes the start of its first trial."""
    arm = {arm.name: arm for arm in experiment.arms(config)}[name]
    study = experiment.build(arm.config)
    trials = Trials.grid(1, learning_rate=[config.learning_rate], place=[0])
    return study, lambda: study.init(trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams))


# ---- languages side by side


@pytest.mark.parametrize("place", range(3))
def test_sets_scores_and_masses_are_those_of_the_language_at_that_place(place):
    one = GROUP.languages[place]
    rows = DRAWN(place, jax.random.key(1))
    assert [rows[name].count for name in ("train", "test")] == ([3, 3] if one.name == "L3" else [20, 9])
    own = np.asarray(rows["train"].tokens[: rows["train"].count])
    assert np.all(one.grammar(own, np.isin(own, AB.symbols)))
    # Prompts with an end behind them, as if completed by nothing.
    tokens = np.pad(np.asarray(GROUP.prompts[place]), ((0, 0), (0, 1)), constant_values=AB.eos)
    found = SCORED(place, tokens)
    scores = OWN(tokens)[place]
    for name, mask in {"OOD": GROUP.out_of_distribution[place], "ID": GROUP.in_distribution[place]}.items():
        for what in ("rule1", "rule2", "completion", "grammatical"):
            wanted = np.asarray(getattr(scores, what))[np.asarray(mask)].mean()
            np.testing.assert_allclose(found[f"{name} {what}"], wanted, atol=1e-6)
        assert found[f"{name} finished"] == 1
    kept = [np.asarray(rule(GROUP.short)) for rule in (one.rule1, one.rule2)]
    masses = GROUP.rule_masses(place, jnp.log(jnp.full(len(GROUP.short), 0.5)))
    wanted = [kept[0] & kept[1], kept[0] & ~kept[1], ~kept[0] & kept[1], ~kept[0] & ~kept[1]]
    np.testing.assert_allclose(
        [masses[f"mass of {name}"] for name in MASSES], [one.sum() / 2 for one in wanted], rtol=1e-6
    )


def test_the_three_languages_differ_in_all_of_this():
    masses = [GROUP.rule_masses(place, jnp.zeros(len(GROUP.short)))["mass of both rules"] for place in range(3)]
    assert len(set(map(float, masses))) == 3
    assert len({int(GROUP.in_distribution[place].sum()) for place in range(3)}) == 3


def test_a_batch_is_a_small_set_once_and_a_large_one_goes_round_in_epochs():
    tokens = jnp.arange(10, dtype=jnp.int8)[:, None]
    few, counts = batch_of(Rows(tokens, jnp.asarray(3)), jax.random.key(0), 5, 4)
    assert sorted(np.ravel(few)[np.asarray(counts)].tolist()) == [0, 1, 2]
    many = Rows(tokens, jnp.asarray(9))
    epochs = [[batch_of(many, jax.random.key(0), 2 * epoch + part, 4) for part in range(2)] for epoch in range(2)]
    seen = [np.concatenate([np.ravel(rows) for rows, _ in epoch]) for epoch in epochs]
    for rows in seen:
        assert len(set(rows.tolist())) == 8 and rows.max() < 9
    assert all(np.all(counts) for epoch in epochs for _, counts in epoch)
    assert not np.array_equal(seen[0], seen[1])


def test_more_symbols_have_shorter_strings_and_no_more_of_them():
    found = [language_group(names, 8, 4, seed=0, mass_length=8).short for names in (("L3",), ("L5",), ("L4", "L6"))]
    assert [rows.shape[1] - 2 for rows in found] == [8, 5, 4]
    assert [len(rows) for rows in found] == [510, 363, 340]


def test_fewer_random_prompts_leave_those_alone_that_are_all_strings():
    few, published = (
        language_group(("L2", "L3"), 6, 3, seed=0, mass_length=0, random_prompts=number) for number in (5, None)
    )
    assert [int(mask.sum()) for mask in (few.in_distribution[0], few.out_of_distribution[0])] == [5, 5]
    assert [int(mask.sum()) for mask in (published.in_distribution[0], published.out_of_distribution[0])] == [128, 128]
    assert few.prompts.shape[1] == 10 and published.prompts.shape[1] == 256
    np.testing.assert_array_equal(few.in_distribution[1].sum(), published.in_distribution[1].sum())


def test_a_language_stands_for_its_name_and_an_own_rule_has_no_chance_level():
    def first_is_last(tokens, valid, symbols):
        return tokens[..., 1] == tokens[..., -1]

    known = language("L3", 6)
    own = dataclasses.replace(known, name="own", rule1=Rule("first is last", first_is_last, AB.symbols))
    found, named = (language_group(names, 6, 3, seed=0, mass_length=2) for names in ((known, own), ("L3",)))
    np.testing.assert_array_equal(found.chance[0], named.chance[0])
    np.testing.assert_array_equal(np.isnan(found.chance[1]), [True, True, False, False])
    assert np.isfinite(found.chance[0]).all()
    assert not np.array_equal(found.rules_hold[0, 0], found.rules_hold[0, 1])  # rule 1 of either


# ---- options, each on and off


def test_drawn_completions_and_masses_are_left_out_where_nobody_asks():
    study, start = _trial(SMOKE, "linear, L1 L3")
    full = jax.jit(lambda: study.evaluate(start(), jax.random.key(0)))()
    drawn = {name for name in full if name.startswith(claims.SAMPLED)}
    masses = {f"mass of {name}" for name in MASSES}
    assert len(drawn) == 18 and masses <= set(full)
    assert any(float(full[name]) != float(full[name.removeprefix(claims.SAMPLED)]) for name in drawn)
    study, start = _trial(dataclasses.replace(SMOKE, sampled=False, mass_length=0), "linear, L1 L3")
    bare = jax.eval_shape(lambda: study.evaluate(start(), jax.random.key(0)))
    assert set(full) - set(bare) == drawn | masses


def test_the_linear_model_as_published_sees_its_target_and_leaves_padding_out():
    found, rows = {}, jnp.asarray([AB.row("ab", 6), AB.row("aa", 6)])
    group = language_group(("L3",), SMOKE.max_length, SMOKE.prompt_length, seed=0, mass_length=0)
    bare = dataclasses.replace(SMOKE, languages=("L3",), architectures=("linear",), mass_length=0, sampled=False)
    for published in (False, True):
        config = dataclasses.replace(bare, linear_as_published=published)
        study, start = _trial(config, "linear, L3")

        @jax.jit
        def run(study=study, start=start, config=config):
            state = start()
            model = experiment.network(dataclasses.replace(config, architecture="linear"), group)
            logits, _ = model.apply({"params": state.params}, rows)
            inputs, targets = shifted(language("L3", config.max_length).strings())
            own = sequence_nll(model.apply({"params": state.params}, inputs)[0], targets, pad=AB.pad, mean=False)
            real = own.sum() / (targets != AB.pad).sum()
            return study.step(state, None)[1]["loss"], study.evaluate(state, jax.random.key(0)), logits, real

        loss, scores, logits, real = run()
        found[published] = np.abs(logits[0, 1] - logits[1, 1]).max(), float(loss), float(scores["test loss"])
        assert (abs(float(loss) / float(real) - 1) < 1e-5) == published  # without the columns of padding
        # All strings of L3, each once, are what is selected and tested on.
        assert scores["test loss"] == scores["validation loss"]
    assert found[False][0] == 0 and found[True][0] > 1e-3  # column 1 predicts column 2, in which both rows differ
    np.testing.assert_allclose(found[False][1], found[False][2], rtol=1e-5)  # and what a step is trained on


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_every_size_and_published_ones_have_their_parameters(architecture):
    assert set(NETWORKS[architecture].sizes) == {"published", "small", "least"}
    num = {}
    for size in NETWORKS[architecture].sizes:
        model = sequence_network(architecture, size, AB, positions=10)
        shapes = jax.eval_shape(lambda model=model: model.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32)))
        num[size] = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    known = {"transformer": 154_063, "LSTM": 152_951, "Mamba": 102_368, "xLSTM": 185_000, "linear": 5_100}
    assert num["published"] == known[architecture]
    assert architecture == "linear" or num["least"] < num["small"] < num["published"]
    assert sequence_network("Mamba", "published", AB, positions=10).vocabulary == mamba(5).vocabulary


# ---- bad input


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"languages": ("L1", "L33")}, "did you mean 'L3'?"),
        (
            {"languages": ("L2",), "random_prompts": 10**9},
            "found random_prompts=1000000000, wanted a number from 1",
        ),
        ({"architectures": ("LSTN",)}, "did you mean 'LSTM'?"),
        ({"languages": ()}, "wanted at least one, each once"),
        ({"architectures": ("LSTM", "LSTM")}, "wanted at least one, each once"),
        ({"prompt_length": 9}, "found length=9, wanted at most M=8"),
        ({"mass_length": 9}, "found strings of 9 symbols, wanted at most M=8"),
        ({"languages": ("equal counts",)}, "out of distribution, wanted at least one"),
        ({"max_length": 1, "languages": ("L3",)}, "found no string with M=1"),
        ({"languages": (language("L3", 9),)}, "found L3 with M=9, wanted M=8"),
        ({"size": "huge"}, "wanted one of ['published', 'small', 'least']"),
        ({"batch_size": 0}, "found batch_size=0"),
        ({"num_train": -1}, "found num_train=-1"),
        ({"num_tokens": 0}, "found num_tokens=0"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_compiled(change, part):
    config = dataclasses.replace(SMOKE, **change)
    with pytest.raises(ValueError) as refused:
        experiment.build(experiment.arms(config)[0].config)
    assert part in str(refused.value)


@pytest.mark.parametrize("change", [{"weight_decay": -1.0}, {"weight_decay": float("nan")}, {"warmup": 0}])
def test_an_optimiser_that_cannot_train_is_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}="):
        warmed_adamw(dataclasses.replace(SMOKE, **change), {"learning_rate": jnp.ones(())})
    # Where a study is built, fields that are traced are NaN.
    warmed_adamw(dataclasses.replace(SMOKE, learning_rate=float("nan")), {"learning_rate": jnp.ones(())})


def test_languages_of_two_alphabets_share_no_program():
    with pytest.raises(ValueError, match="wanted some with one alphabet"):
        language_group(("L3", "L5"), 8, 3, seed=0, mass_length=0)
    names = [arm.name for arm in experiment.arms(experiment.PRESETS["paper"])]
    assert "LSTM, L1 L2 L3" in names and "Mamba, L4 L6" in names and "xLSTM, L5" in names and len(names) == 15


# ---- claims


def _result(**values):
    """Two seeds of two languages, three checks."""
    steps = np.array([0, 10, 20])
    chance = {f"OOD {what} by chance": np.full((4, 3), 0.5) for what in ("rule1", "completion")}
    return Results(
        trials=Trials(
            jax.random.split(jax.random.key(0), 4), {"place": np.array([0, 0, 1, 1])}, np.array([0, 1, 0, 1])
        ),
        num_steps=20,
        train_steps=steps[:0],
        train={},
        evaluation_steps=steps,
        evaluation={name: np.asarray(value, float) for name, value in values.items()} | chance,
        failed_at=np.zeros(4, int),
        state=None,
        seconds={},
        best_step=steps[np.argmin(values["validation loss"], axis=1)],
    )


def test_scores_are_those_of_the_least_validation_loss_and_the_most_is_labelled():
    config = dataclasses.replace(SMOKE, architectures=("LSTM",))
    rule = [[0.1, 0.5, 0.9], [0.2, 0.6, 0.7], [1.0, 0.3, 0.2], [0.0, 0.1, 0.4]]
    result = _result(
        **{
            "validation loss": [[3, 1, 2], [3, 2, 1], [1, 2, 3], [3, 1, 2]],
            "test loss": [[9, 5, 6]] * 4,
            claims.RULE: rule,
            claims.SAMPLED + claims.RULE: [[0.1] * 3] * 4,
        }
    )
    found = claims.measure(config, {"LSTM, L1 L3": result})
    np.testing.assert_allclose(found[f"LSTM on L1: {claims.RULE}"], [0.5, 0.7])
    np.testing.assert_allclose(found[f"LSTM on L3: {claims.RULE}"], [1.0, 0.1])
    np.testing.assert_allclose(found[f"LSTM on L3: {claims.RULE_MOST}"], [1.0, 0.4])
    np.testing.assert_allclose(found[f"LSTM on L1: sampled less greedy, {claims.RULE}"], [-0.4, -0.6], atol=1e-7)
    floor = language("L3", config.max_length).entropy_floor()
    np.testing.assert_allclose(found[f"LSTM on L3: {claims.EXCESS}"], [9 - floor, 5 - floor])
    np.testing.assert_allclose(found["L1: OOD rule1 by chance"], [0.5])


def test_rule_two_learned_first_is_a_later_step_of_rule_one():
    """Seed 0 has rule 2 after 10 steps and both after 20; seed 1 never has rule 1."""
    masses = np.array([[[0, 0, 1.0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 1, 1.0], [1, 0, 0]]])
    order = ("both rules", "rule 2 alone", "rule 1 alone", "neither rule")
    masses[1] = masses[1][[0, 2, 1, 3]]
    series = {f"mass of {name}": masses[[0, 1, 0, 1], number] for number, name in enumerate(order)}
    flat = {"validation loss": [[3, 2, 1]] * 4, "test loss": [[1, 1, 1]] * 4, claims.RULE: [[0, 0, 0]] * 4}
    config = dataclasses.replace(SMOKE, architectures=("LSTM",))
    found = claims.measure(config, {"LSTM, L1 L3": _result(**flat, **series)})
    np.testing.assert_allclose(found[f"LSTM on L1: {claims.RULE1_DELAY}"], [10, 20])


def test_the_published_tables_rank_as_the_orders_say():
    for name, pairs in ORDERS.items():
        for one, other in pairs:
            assert PUBLISHED[name, one].rule1[0] > PUBLISHED[name, other].rule1[0]


def test_judged_rows_are_of_cells_and_orders_that_are_measured():
    cells = {
        claims.row_name(one, name, what)
        for one in ARCHITECTURES
        for name in ORDERS
        for what in (*claims.SCORES, claims.EXCESS, claims.RULE1_DELAY)
    }
    orders = {claims.order_name(name, *pair) for name, pairs in ORDERS.items() for pair in pairs}
    quick, medium = ({row.quantity for row in claims.REFERENCES if run in row.bands} for run in ("quick", "medium"))
    assert quick <= cells and len(quick) == 14
    assert medium <= cells | orders
    assert {claims.order_name(*held) for held in claims.NOT_HELD} == orders - medium


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(experiment, "llm/languages", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    for name in SMOKE.languages:
        for architecture in SMOKE.architectures:
            assert outcome.measured[claims.row_name(architecture, name, claims.RULE)].shape == (2,)
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 3
