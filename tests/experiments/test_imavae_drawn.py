"""Experiments on VAEs whose mixing every seed draws: worlds, oracles of each, relations over seeds, smoke runs."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments.imavae import flow, linear_map, linear_map_claims, priors, priors_claims, relations, sweeps
from experiments.imavae.drawn_worlds import flow_world, linear_world, of_linear_map, of_truth
from identax.conduct import Options, run_experiment
from identax.run import make_mesh


def contrast(jacobians):
    jacobians = np.asarray(jacobians, float)
    return np.log(np.linalg.norm(jacobians, axis=-2)).sum(axis=-1) - np.linalg.slogdet(jacobians)[1]


_SLOW = [pytest.param(linear, dim, marks=pytest.mark.slow) for linear, dim in (("none", 3), ("cosine", 2))]


@pytest.mark.parametrize("linear, dim", [("unit determinant", 3), *_SLOW])
def test_what_is_recorded_of_a_mixing_is_so(linear, dim, x64):
    world = linear_world(dim, linear)

    @jax.jit
    def recorded(key):
        truth = world.dgp.init(key)
        drawn = world.dgp.sample(truth, key, 200)
        slopes = jax.vmap(jax.jacfwd(lambda s: world.decode(truth, s[None])[0]))(drawn.latents)
        state = types.SimpleNamespace(truth={"world": truth})
        return of_linear_map(world)(state, drawn, None), slopes, truth, drawn.observations.mean(axis=0)

    found, slopes, truth, mean = recorded(jax.random.key(0))
    volume = np.linalg.slogdet(np.asarray(slopes))[1]
    np.testing.assert_allclose(found["-log p(x)"], volume.mean(), rtol=1e-10)  # sources of density 1
    np.testing.assert_allclose(found["C_IMA of the mixing"], contrast(slopes).mean(), atol=1e-10)
    lengths = np.log(np.linalg.norm(np.asarray(slopes), axis=-2)).sum(axis=-1)
    np.testing.assert_allclose(found["-L_IMA"], lengths.mean(), rtol=1e-10)
    if linear == "none":
        assert abs(found["c_IMA(L)"]) < 1e-12 and abs(found["C_IMA of the mixing"]) < 1e-12
    else:
        np.testing.assert_allclose(found["c_IMA(L)"], contrast(truth["mixing"]["outer"]), rtol=1e-9)
    if linear == "cosine":
        np.testing.assert_allclose(found["c_IMA(L)"], 0.5 * np.log(1.25), rtol=1e-9)
    assert np.abs(mean).max() < 0.2 * np.sqrt(np.abs(volume).max())


@pytest.mark.slow
def test_flows_of_a_world_are_the_first_tame_ones():
    keys = jax.random.split(jax.random.key(0), 40)

    def spreads(largest):
        world = flow_world(4, "published", largest)

        def one(key):
            truth = world.dgp.init(key)
            return world.dgp.sample(truth, key, 1000).observations.std(axis=0).max()

        return np.asarray(jax.jit(jax.vmap(one))(keys))

    tame, all_of_them = spreads(5.0), spreads(np.inf)
    assert tame.max() < 8 < 50 < all_of_them.max()  # 256 draws decide, heavy tails move the sd of 1000 others
    same = np.isclose(tame, all_of_them)
    assert 0.4 < same.mean() < 0.9 and (all_of_them[same] < 8).all()


@pytest.mark.slow
def test_oracles_of_a_flow_are_its_density(x64):
    world = flow_world(4, "alternating", 5.0)
    truth = jax.jit(world.dgp.init)(jax.random.key(1))
    drawn = jax.jit(world.dgp.sample, static_argnums=2)(truth, jax.random.key(2), 50)
    state = types.SimpleNamespace(truth={"world": truth})
    found = jax.jit(lambda drawn: of_truth(world)(state, drawn, None))(drawn)
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda s: world.decode(truth, s[None])[0])))(drawn.latents)
    density = stats.norm.logpdf(np.asarray(drawn.latents)).sum(axis=1) - np.linalg.slogdet(np.asarray(slopes))[1]
    np.testing.assert_allclose(found["-log p(x)"], -density.mean(), rtol=1e-9)


def test_rank_correlations_are_scipys_without_failed_seeds():
    rng = np.random.default_rng(1)
    first = rng.normal(size=80)
    second = -np.exp(first) + rng.normal(size=80)
    second[:5] = second[5]  # ties
    found = relations.spearman("s", np.append(first, 0.0), np.append(second, np.nan))
    np.testing.assert_allclose(found["s"], [stats.spearmanr(first, second).statistic])
    assert 0.01 < found["s, bootstrap sd"][0] < 0.2
    independent = relations.spearman("s", first, rng.normal(size=80))["s, bootstrap sd"][0]
    assert 0.08 < independent < 0.15  # 1 / sqrt(79) = .113
    for few in (first[:2], np.zeros(9)):
        assert np.isnan(relations.spearman("s", few, few)["s"][0])


def test_seeds_that_share_a_world_are_drawn_together():
    """Each value held 20 times says no more than once, though it would look so."""
    rng = np.random.default_rng(2)
    first = rng.normal(size=40)
    second, worlds = rng.normal(size=40) + 0.5 * first, np.repeat(np.arange(40), 20)
    many = np.repeat(first, 20), np.repeat(second, 20)
    alone = relations.spearman("s", first, second)
    shared = relations.spearman("s", *many, worlds=worlds)
    np.testing.assert_allclose(shared["s"], alone["s"], atol=1e-12)
    np.testing.assert_allclose(shared["s, bootstrap sd"], alone["s, bootstrap sd"], rtol=1e-6)
    assert relations.spearman("s", *many)["s, bootstrap sd"] < 0.4 * shared["s, bootstrap sd"]
    assert np.isnan(relations.spearman("s", *many, worlds=worlds % 2)["s, bootstrap sd"][0])


def test_bins_and_shares():
    edges, counts = linear_map_claims.EDGES, [count for count, *_ in linear_map_claims.PUBLISHED]
    assert sum(counts) == 98 and len(edges) == len(counts) + 1
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(edges[-1] / edges[0]) / 5, rtol=0.01)
    np.testing.assert_array_equal(relations.share(np.array([True, False, False, True])), [0.5])


def test_seeds_are_sorted_into_their_bins_and_the_others_left_out():
    names = [*relations.sweeps.METRICS, "-log p(x)", "-L_IMA", "C_IMA of the mixing", "c_IMA(L)"]
    evaluation = {name: np.full((4, 1), 0.5) for name in names}
    evaluation["c_IMA(L)"] = np.array([[0.5], [2.0], [0.1], [0.6]])
    evaluation["MCC"] = np.array([[0.9], [0.4], [0.7], [0.8]])
    evaluation["dead dims"] = np.array([[0.0], [1.0], [0.0], [2.0]])
    result = types.SimpleNamespace(evaluation=evaluation, failed_at=np.zeros(4, int), trials=range(4))
    found = linear_map.measure(linear_map.PRESETS["quick"], {linear_map_claims.ARM: result})
    arm = linear_map_claims.ARM
    np.testing.assert_array_equal(found[f"{arm}, c_IMA(L) 0.394 to 0.695: MCC"], [0.9, 0.8])
    np.testing.assert_array_equal(found[f"{arm}, c_IMA(L) 1.23 to 2.17: MCC"], [0.4])
    assert not any("3.82 to 6.75" in name for name in found)
    np.testing.assert_array_equal(found[f"{arm}: share with a dead dim"], [0.5])
    np.testing.assert_allclose(found[f"{arm}: Spearman of c_IMA(L) and MCC"], [-0.4])
    np.testing.assert_array_equal(found[f"{arm}: -ELBO above -L_IMA"], np.zeros(4))


def test_every_prior_meets_every_dim():
    config = priors.PRESETS["medium"]
    arms = priors.arms(config)
    assert {(arm.config.prior, arm.config.dim) for arm in arms} == {(p, d) for p in config.priors for d in config.dims}
    assert len({arm.name for arm in arms}) == len(arms) == 9
    assert priors_claims.above(1e4) in {row.quantity for row in priors.REFERENCES}


def test_the_wide_sweep_asks_for_the_published_precisions():
    (arm,) = priors.arms(priors.PRESETS["saturation"])
    assert (arm.name, max(arm.sweep["precision"])) == ("gaussian, d=3", 1e10)
    asked = [row.quantity for row in priors.REFERENCES]
    assert len(set(asked)) == len(asked)
    for precision in arm.sweep["precision"]:
        assert sweeps.row(arm.name, precision, "MCC, sampled batches") in asked


@pytest.mark.parametrize("linear, dim", [("cosine", 3)])
def test_rows_at_a_cosine_are_two(linear, dim):
    with pytest.raises(ValueError, match="dim=3 for rows at a chosen cosine"):
        linear_map.build(dataclasses.replace(linear_map.PRESETS["smoke"], linear=linear, dim=dim))


@pytest.mark.slow
@pytest.mark.parametrize("module", [linear_map, flow, priors], ids=["linear_map", "flow", "priors"])
def test_smoke_runs_to_a_report(module, tmp_path):
    name = module.__name__.removeprefix("experiments.").replace(".", "/")
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    banded = {row.quantity for row in module.REFERENCES if row.bands}
    assert banded <= set(outcome.measured)
    assert all(jnp.size(values) for values in outcome.measured.values())


def test_failed_seeds_are_no_seeds_without_dead_dims():
    assert relations.share(np.array([0.0, 2.0, np.nan, np.nan]))[0] == 0.5
    assert np.isnan(relations.share(np.array([np.nan]))[0])
