"""Hard negatives, ensembles and embedding dims end to end, a few steps of each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.aninfonce import dimensions, ensembles, hard_negatives, hard_negatives_claims
from identax.conduct import Options, run_experiment
from identax.run import Results, make_mesh
from identax.study import Study, Trials

MODULES: dict[str, Any] = {"hard_negatives": hard_negatives, "ensembles": ensembles, "dimensions": dimensions}


@pytest.fixture(scope="module")
def run_smoke(tmp_path_factory):
    """Runs the named arms of an experiment's smoke preset, once each."""
    done = {}

    def run(name, *arms):
        if (name, arms) not in done:
            options = Options(
                workdir=tmp_path_factory.mktemp(name),
                mesh=make_mesh(devices=jax.devices()[:1]),
                progress=False,
                only=arms,
            )
            done[name, arms] = run_experiment(MODULES[name], f"aninfonce/{name}", "smoke", options=options)
        return done[name, arms]

    return run


@pytest.mark.parametrize(
    "name, arms",
    [
        ("ensembles", ("ensemble",)),
        pytest.param("hard_negatives", ("hard",), marks=pytest.mark.slow),
        pytest.param("dimensions", ("aninfonce m=4",), marks=pytest.mark.slow),
    ],
)
def test_smoke(run_smoke, name, arms):
    outcome = run_smoke(name, *arms)
    assert outcome.report.exists()
    measured = {key: np.asarray(values) for key, values in outcome.measured.items()}
    assert measured and all(np.isfinite(values).all() for values in measured.values())
    seeds = MODULES[name].PRESETS["smoke"].num_seeds
    assert all(len(values) == seeds for key, values in measured.items() if not key.startswith("oracle"))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODULES))
def test_references_are_quantities_of_the_quick_preset(name):
    """Every quantity is one that `measure` returns: checked on results made of zeros with the right names."""
    module = MODULES[name]
    config = dataclasses.replace(module.PRESETS["quick"], num_seeds=2)
    measured = module.measure(config, {arm.name: _zeros(module, arm) for arm in module.arms(config)})
    assert {reference.quantity for reference in module.REFERENCES} <= set(measured)


@pytest.mark.slow
def test_dims_without_a_precision_are_not_in_the_loss():
    config = dataclasses.replace(dimensions.arms(dimensions.PRESETS["smoke"])[2].config, pool_size=8, num_evaluate=16)
    assert config.weighed_dims == config.dim == 3 and config.embedding_dim == 4
    hparams = {field: float(getattr(config, field)) for field in dimensions.TRACED}
    losses = {}
    for weighed in (3, 0):
        study = dimensions.build(dataclasses.replace(config, weighed_dims=weighed))
        state = study.init(jax.random.key(0), hparams)
        for raw in (0.0, 5.0):  # of the last dim
            precision = jnp.array([0.1, 0.5, -0.2, raw])
            changed = dataclasses.replace(state, params={**state.params, "raw_precision": precision})
            losses[weighed, raw] = float(study.step(changed, None)[1]["loss"])
    assert losses[3, 0.0] == losses[3, 5.0] and losses[0, 0.0] != losses[0, 5.0]


def _zeros(module, arm):
    config = dataclasses.replace(arm.config, pool_size=8, num_evaluate=16)
    study = module.build(dataclasses.replace(config, **dict.fromkeys(module.TRACED, np.nan)))
    values = {field: arm.sweep.get(field, getattr(config, field)) for field in module.TRACED}
    trials = Trials.grid(config.num_seeds, **values)
    one = trials[0]
    if isinstance(study, Study):
        shapes = jax.eval_shape(study.evaluate, jax.eval_shape(study.init, one.keys, one.hparams), one.keys)
    else:  # trials without steps
        shapes = jax.eval_shape(study, one.keys, one.hparams)
    evaluation = {name: np.ones((len(trials), 1, *leaf.shape)) for name, leaf in shapes.items()}
    return Results(
        trials=trials, num_steps=1, train_steps=np.array([1]), train={"loss": np.ones((len(trials), 1))},
        evaluation_steps=np.array([1]), evaluation=evaluation, failed_at=np.zeros(len(trials), int), state=None,
        seconds={},
    )  # fmt: skip


def test_the_target_is_the_difference_of_the_precisions():
    config = hard_negatives.PRESETS["quick"]
    np.testing.assert_allclose(hard_negatives_claims.target(config, (1e-3,) * 5), [12, 16.5, 21, 25.5, 30])
    np.testing.assert_allclose(
        hard_negatives_claims.target(config, config.negative_precision[-1]), [-8, 14.5, 13, 23.5, 20]
    )


def test_premises_say_where_a_positive_precision_cannot_follow():
    config = hard_negatives.PRESETS["quick"]
    reports = hard_negatives.premises(config)
    assert reports["hard"].premise("Lambda - Lambda- > 0").holds and reports["signed"].covered
    harder = dataclasses.replace(config, negative_precision=(*config.negative_precision, (1.0,) * 5))
    assert not hard_negatives.premises(harder)["hard"].premise("Lambda - Lambda- > 0").holds


def test_premises_of_an_ensemble_are_those_of_all_its_conditionals():
    reports = ensembles.premises(ensembles.PRESETS["quick"])
    assert reports["ensemble"].prediction("MCC").value == 1.0
    assert reports["alone hhll"].prediction("MCC").value == pytest.approx(0.90, abs=0.02)


@pytest.mark.slow
def test_signed_precision_starts_at_the_pretrained_one():
    config = dataclasses.replace(hard_negatives.PRESETS["smoke"], warm_starts=())
    hparams = {"high": 30.0, "low": 12.0, "negative_precision": jnp.full(5, 2.0)}
    hparams |= {"learning_rate": 1e-3, "precision_learning_rate": 1e-2}
    raws = [
        hard_negatives.build(dataclasses.replace(config, signed=signed))
        .init(jax.random.key(0), hparams)
        .params["raw_precision"]
        for signed in (False, True)
    ]
    np.testing.assert_allclose(jax.nn.softplus(raws[0]), raws[1], rtol=1e-5)
