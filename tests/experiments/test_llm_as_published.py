"""What "as published" switches on: codes by row of the batch, completions from their second token, no stop at EOS."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.llm import fine_tuning, fine_tuning_claims, rule_extrapolation
from experiments.llm import rule_extrapolation_claims as claims
from experiments.llm.published_transformer import completions, network
from identax.dgp.languages import AB_LAST, language, score
from identax.models import SequenceModel, decode
from identax.plan import trials_of


def _arm(experiment, name, **settings):
    """Study of an arm of the smoke preset, and the start of its first trial, at a rate of 0 and without dropout."""
    config = dataclasses.replace(experiment.PRESETS["smoke"], as_published=True, num_seeds=1, dropout=0.0, **settings)
    arm = {arm.name: arm for arm in experiment.arms(config)}[name]
    arm = dataclasses.replace(arm, config=dataclasses.replace(arm.config, learning_rate=0.0))
    trials, study = trials_of(experiment, arm), experiment.build(arm.config)
    return study, lambda: study.init(trials.keys[0], jax.tree.map(lambda leaf: leaf[0], trials.hparams))


@pytest.mark.parametrize(
    ("experiment", "name", "by_row"),
    [
        (fine_tuning, fine_tuning_claims.PRE, False),
        (fine_tuning, fine_tuning_claims.BY_ROW + fine_tuning_claims.PRE, True),
        (rule_extrapolation, claims.MODES[0], False),
        (rule_extrapolation, claims.PUBLISHED + claims.MODES[0], True),
    ],
    ids=["positions", "by row", "rules, positions", "rules, by row"],
)
def test_the_order_of_a_batch_matters_if_and_only_if_codes_are_by_row(experiment, name, by_row):
    """The losses of two steps with the same weights, of which each draws an order of the strings."""
    study, start = _arm(experiment, name)

    @jax.jit  # the first losses alone: no gradient is compiled
    def losses():
        state = start()
        steps = jnp.arange(3)
        return jax.vmap(lambda step: study.step(dataclasses.replace(state, step=step), None)[1]["loss"])(steps)

    assert (np.ptp(losses()) > 1e-4) == by_row


def test_completions_as_published_are_taught_from_their_second_token(monkeypatch):
    """With codes by position in both, the losses of the oracle's completions differ by this alone."""
    made = rule_extrapolation.network
    monkeypatch.setattr(
        rule_extrapolation, "network", lambda config, alphabet, **own: made(config, alphabet, encoding="position")
    )
    found = []
    for name in ("oracle", f"{claims.PUBLISHED}oracle"):
        study, start = _arm(rule_extrapolation, name, prompt_length=4)
        step = jax.jit(lambda study=study, start=start: study.step(start(), None)[1])  # no gradient is compiled
        found.append({name: float(value) for name, value in step().items()})
    one, published = found
    assert abs(one["loss on completions"] - published["loss on completions"]) > 1e-3
    for each in found:
        assert each["loss"] > each["loss on completions"] > 0.1  # it is part of what is minimised


def _loops():
    """A model that ends every prompt at once, and says a symbol behind the end: EOS a EOS a ..."""
    after = jnp.full(AB_LAST.size, AB_LAST.eos).at[AB_LAST.eos].set(AB_LAST.symbols[0])

    def told(tokens):
        return jax.nn.one_hot(after[tokens], AB_LAST.size)

    return SequenceModel(
        init=lambda key, tokens: {},
        apply=lambda variables, tokens, **how: (told(tokens), {}),
        prefill=lambda variables, tokens, lengths, *, size=None: (told(tokens[:, -1]), ()),
        step=lambda variables, state, token: (told(token), state),
        vocabulary=AB_LAST.size,
    )


def test_completions_as_published_go_on_behind_their_end_and_must_not():
    config = rule_extrapolation.PRESETS["smoke"]
    strings = language("a^n b^n", config.max_length)
    prompts = strings.prompts(2).tokens
    ended, goes_on = (
        completions(config, strings, _loops(), {}, {"all": prompts}, published=how)["all"] for how in (False, True)
    )
    assert np.all(ended.finished) and not np.any(goes_on.finished)
    balanced = [list(row).count(0) == list(row).count(1) for row in prompts[:, 1:]]
    np.testing.assert_array_equal(ended.rule1, balanced)
    assert not np.array_equal(goes_on.rule1, balanced)  # what is said behind the end counts


@pytest.mark.parametrize("published", [False, True])
def test_sets_of_prompts_are_completed_as_each_by_itself(published):
    """Of several lengths, in one batch or, as published, where rows have codes by their place, in batches."""
    config = rule_extrapolation.PRESETS["smoke"]
    strings = language("a^n b^n", config.max_length)
    tokens = strings.prompts(3).tokens
    asked = {"long": tokens[:5], "short": tokens[4:6, :2], "start": tokens[:1, :1]}
    model = network(config, strings.alphabet, encoding="batch_index" if published else "position")
    variables = model.init(jax.random.key(0), tokens)
    params = jax.tree.map(lambda leaf: 3 * leaf, variables["params"])  # so that it is no one token throughout

    @jax.jit
    def both(params):
        variables = {"params": params}
        together = completions(config, strings, model, variables, asked, published=published)
        alone = {
            name: decode(
                model, variables, prompts, num_tokens=config.num_tokens, pad=strings.alphabet.pad,
                eos=None if published else strings.alphabet.eos,
            ).tokens
            for name, prompts in asked.items()
        }  # fmt: skip
        return together, alone

    together, alone = both(params)
    reading = "whole row" if published else "until EOS"
    for name, prompts in asked.items():
        wanted = score(strings, alone[name], prompts.shape[1] - 1, reading=reading)
        for one, other in zip(together[name], wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({tuple(row) for row in np.asarray(alone["long"][:, 4:])}) > 1


@pytest.mark.parametrize("published", [False, True])
def test_prompts_are_completed_as_the_arm_says(monkeypatch, published):
    seen = []

    def spy(*args, **named):
        bound = inspect.signature(completions).bind(*args, **named)
        bound.apply_defaults()
        seen.append(bound.arguments["published"])
        return completions(*args, **named)

    monkeypatch.setattr(rule_extrapolation, "completions", spy)
    study, start = _arm(rule_extrapolation, claims.PUBLISHED * published + claims.MODES[0])
    jax.eval_shape(lambda: study.evaluate(start(), jax.random.key(0)))
    assert seen == [published]
