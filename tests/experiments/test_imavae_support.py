"""Factors with missing combinations, the invertible decoder with its likelihood, penalties beside the ELBO."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments.imavae import invertible, penalties, penalties_claims, support, support_claims
from experiments.imavae.factors import copula_factors, cut_factors, gaussian_factors, uniform_factors
from identax import plan
from identax.conduct import Options, run_experiment
from identax.jacobians import jacobian
from identax.metrics import c_ima, grid_coverage
from identax.run import make_mesh
from identax.study import Trials

LAWS = {
    "uniform": uniform_factors(2),
    "gaussian": gaussian_factors(2),
    "copula": copula_factors(2, 0.8),
    "cut": cut_factors(2),
}


@pytest.mark.parametrize("name", ["uniform", "copula", "cut"])
def test_marginals_are_uniform_whatever_combinations_there_are(name):
    s = np.asarray(LAWS[name].sample(jax.random.key(0), 8000))
    for column in s.T:
        assert stats.kstest(column + 0.5, "uniform").pvalue > 1e-4
    correlated = abs(np.corrcoef(s.T)[0, 1])
    assert (correlated < 0.05) == (name == "uniform")


def test_a_cut_corner_is_empty_and_all_else_is_not():
    s = np.asarray(LAWS["cut"].sample(jax.random.key(1), 4000))
    assert not (s > 0.1).all(axis=1).any()
    np.testing.assert_allclose(grid_coverage(s, low=-0.5, high=0.5), 21 / 25, rtol=1e-6)
    assert grid_coverage(np.asarray(LAWS["uniform"].sample(jax.random.key(1), 4000)), low=-0.5, high=0.5) == 1
    with pytest.raises(ValueError, match="found missing=3 of 5 bins"):
        cut_factors(2, missing=3)
    with pytest.raises(ValueError, match="copula_factors: found correlation"):
        copula_factors(2, 1.0)


@pytest.mark.parametrize("name", LAWS)
def test_densities_integrate_to_one(x64, name):
    side = (np.arange(400) + 0.5) / 400 - 0.5
    side = side * (3 if name == "gaussian" else 1)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mean = np.exp(np.asarray(LAWS[name].log_prob(jnp.asarray(grid)))).mean()
    np.testing.assert_allclose(mean * (9 if name == "gaussian" else 1), 1, atol=6e-3 if name == "copula" else 1e-6)


def test_a_draw_at_the_end_of_its_range_has_a_density():
    ends = jnp.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, 0.0]])
    for name in ("uniform", "copula", "cut"):
        found = np.asarray(LAWS[name].log_prob(ends))
        assert not np.isnan(found).any() and np.isfinite(found[2]), name
    assert np.isfinite(LAWS["copula"].log_prob(ends)).all()


def _bent(seed):
    params = invertible.init_flow(jax.random.key(seed), 3, num_couplings=3, hidden=5)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@pytest.mark.slow
def test_the_decoder_is_inverted_and_its_likelihood_is_that_of_a_change_of_variables(x64):
    params, z = _bent(0), jax.random.normal(jax.random.key(5), (6, 3))

    @jax.jit
    def all_of(params, z):
        x = invertible.decode(params, z)
        backwards = jacobian(lambda x: invertible.encode(params, x), x)
        forwards = jacobian(lambda z: invertible.decode(params, z), z)
        return invertible.encode(params, x), invertible.score(params, x), backwards, forwards

    back, found, slopes, forwards = all_of(params, z)
    np.testing.assert_allclose(back, z, atol=1e-9)
    root = np.tril(params["base"], -1) + np.diag(np.exp(np.diag(params["base"])))
    base = stats.multivariate_normal(np.zeros(3), np.linalg.inv(root @ root.T))
    np.testing.assert_allclose(found.log_likelihood, base.logpdf(z) + np.linalg.slogdet(slopes)[1], atol=1e-8)
    np.testing.assert_allclose(found.c_ima, c_ima(forwards), atol=1e-9)


def _stepped(module, config, num_steps, *weights):
    """Parameters after some steps, with each of these values of traced fields; 0 where none is named."""
    study = module.build(config)
    trial = Trials.grid(1, **{name: getattr(config, name) for name in module.TRACED})[0]
    without = trial.hparams | {name: 0 * jnp.asarray(value) for of_one in weights for name, value in of_one.items()}

    @jax.jit
    def after(key, hparams):
        def step(_, state):
            return study.step(state, None)[0]

        return jax.lax.fori_loop(0, num_steps, step, study.init(key, hparams)).params

    return [after(trial.keys, without | {name: jnp.asarray(value) for name, value in of.items()}) for of in weights]


@pytest.mark.slow
def test_a_penalty_moves_the_decoder_and_not_the_encoder():
    config = dataclasses.replace(penalties.PRESETS["smoke"], penalties=penalties.PENALTIES, weights=(1000.0,))
    without, *found = _stepped(penalties, config, 1, *({"combination": place} for place in range(5)))
    for of_one, with_it in zip(penalties.PENALTIES, found, strict=True):
        for name, moved in (("encoder", False), ("decoder", True)):
            gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), without[name], with_it[name])
            assert (max(jax.tree.leaves(gaps)) > 1e-4) == moved, (of_one, name)


def test_every_penalty_stands_alone_at_every_weight_and_a_world_is_one_program():
    config = penalties.PRESETS["medium"]
    arms = penalties.arms(config)
    assert [arm.config.world for arm in arms] == list(penalties.WORLDS) and len(arms) == 2
    table, found = penalties_claims.weight_table(config), penalties_claims.combinations(config)
    assert len(table) == len(found) == 1 + 4 * 2 == len(plan.trials_of(penalties, arms[0])) / config.num_seeds
    assert not table[0].any() and (np.count_nonzero(table[1:], axis=1) == 1).all()
    for (name, weight), row in zip(found[1:], table[1:], strict=True):
        assert row[config.penalties.index(name)] == weight > 0
    assert {weight for name, weight in found if name == "l1"} == {0.3 * 0.1, 3 * 0.1}


def test_the_weight_of_the_contrast_is_wired_into_the_flow():
    # The start, a rotation, has no gradient.
    without, with_it = _stepped(support, support.PRESETS["smoke"], 5, {}, {"weight": 50.0})
    assert not np.allclose(without["matrix"], with_it["matrix"], atol=1e-5)


def test_every_trial_draws_from_the_world_that_it_names():
    study, (arm,) = support.build(support.PRESETS["smoke"]), support.arms(support.PRESETS["smoke"])
    kept = jax.jit(lambda key, world: study.keep(study.init(key, {"world": world, "learning_rate": 1.0}), key))
    laws = support_claims.laws(support.PRESETS["smoke"])
    for world, name, law in zip(arm.sweep["world"], support_claims.WORLDS, laws, strict=True):
        s = kept(jax.random.key(3), world)["latents"]
        np.testing.assert_allclose(s, law.sample(jax.random.key(3), support.SHOWN), atol=1e-6, err_msg=name)


@pytest.mark.parametrize("module", [penalties, support], ids=["penalties", "support"])
@pytest.mark.slow
def test_smoke_runs_to_a_report(module, tmp_path):
    name = module.__name__.removeprefix("experiments.").replace(".", "/")
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, name, "smoke", options=options)
    assert all(len(values) == 2 for values in outcome.measured.values()) and outcome.measured
    if module is support:
        assert np.all(outcome.measured["cut, weight 0: coverage"] < 0.9)
        assert np.all(np.abs(outcome.measured["full, weight 0: c_IMA of the truth"]) < 1e-5)
