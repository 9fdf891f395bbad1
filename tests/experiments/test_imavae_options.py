"""What an autoencoder's precision may be, and what evaluations give only where it is asked for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments.imavae import moebius, oracles, self_consistency, self_consistency_claims, sweeps, vae
from experiments.imavae.synthetic import recovery
from experiments.imavae.vae import Codes
from experiments.imavae.worlds import moebius_world
from identax import plan
from identax.jacobians import jacobian
from identax.run import make_mesh
from identax.study import Trials

TINY = dataclasses.replace(moebius.PRESETS["smoke"], num_layers=2, num_evaluate=64, further=False, num_importance=0)


def _trial(**values):
    return Trials.grid(1, **{name: getattr(TINY, name) for name in vae.TRACED} | values)[0]


def _after_a_step(rule, precisions=(1e4,)):
    """Parameters before and after the first step, its loss, and its gradient as Adam remembers it; per precision."""
    study = moebius.build(dataclasses.replace(TINY, precision_rule=rule))

    @jax.jit
    def step(key, hparams):
        start = study.init(key, hparams)
        state, metrics = study.step(start, None)
        return start.params, state.params, metrics["loss"], optax.tree_utils.tree_get(state.opt_state, "mu")

    trials = [_trial(precision=precision) for precision in precisions]
    return [step(trial.keys, trial.hparams) for trial in trials]


def _far(first, second):
    gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first, second)
    return max(jax.tree.leaves(gaps))


@pytest.fixture(scope="module")
def fixed():
    return _after_a_step("fixed")[0]


def test_a_learned_precision_starts_at_the_given_one_and_moves_with_the_network(fixed):
    start, end, loss, _ = _after_a_step("learned")[0]
    assert "log decoder variance" not in fixed[0]
    np.testing.assert_allclose(loss, fixed[2], rtol=1e-5)
    np.testing.assert_allclose(start["log decoder variance"], -np.log(1e4), rtol=1e-6)
    # The residuals of a new network are far above 1e-4: Adam's first step makes the variance larger by the rate.
    np.testing.assert_allclose(end["log decoder variance"] - start["log decoder variance"], 2e-3, rtol=1e-2)
    for part in ("encoder", "decoder"):
        assert _far(start[part], end[part]) > 1e-3 and _far(end[part], fixed[1][part]) < 1e-5


@pytest.mark.slow
def test_a_precision_of_largest_likelihood_is_free_of_the_given_one_and_changes_the_gradient(fixed):
    own, other = _after_a_step("largest likelihood", (1e4, 1e1))
    np.testing.assert_array_equal(own[2], other[2])
    assert _far(own[1], other[1]) == 0 and _far(own[0], fixed[0]) == 0
    assert abs(own[2] - fixed[2]) > 1
    # The decoder sees the precision as a factor, were it not for a gradient through the estimate; the encoder does not.
    (first, second), (one, two) = (
        [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(of[3][part])]) for of in (own, fixed)]
        for part in ("decoder", "encoder")
    )
    assert np.dot(first, second) / np.linalg.norm(first) / np.linalg.norm(second) > 1 - 1e-5
    assert np.linalg.norm(first) < 0.5 * np.linalg.norm(second)
    assert np.dot(one, two) / np.linalg.norm(one) / np.linalg.norm(two) < 1 - 1e-4


def test_a_grown_precision_starts_at_its_own_and_ends_at_the_given_one():
    def losses(rule, precision):
        """Of the first network at some of 40 steps."""
        config = dataclasses.replace(TINY, num_steps=40, precision_rule=rule, grown_from=1.0)
        study, trial = moebius.build(config), _trial(precision=precision)

        @jax.jit
        def after(key, hparams, steps):
            start = study.init(key, hparams)
            return jax.vmap(lambda step: study.step(dataclasses.replace(start, step=step), None)[1]["loss"])(steps)

        return after(trial.keys, trial.hparams, jnp.array([0, 6, 15, 24, 39]))

    first, middle, last = (losses("fixed", precision) for precision in (1.0, 1e2, 1e4))
    wanted = [*first[:2], middle[2], *last[3:]]
    assert np.min(np.abs(last - middle)) > 1 and np.min(np.abs(first - middle)) > 1
    np.testing.assert_allclose(losses("grown", 1e4), wanted, rtol=1e-5)


def _evaluated(**options):
    study, trial = moebius.build(dataclasses.replace(TINY, **options)), _trial()

    @jax.jit
    def evaluate(key, hparams):
        return study.evaluate(study.init(key, hparams), jax.random.key(3))

    return evaluate(trial.keys, trial.hparams)


@pytest.mark.slow
def test_what_is_asked_for_at_evaluations_comes_on_top_and_changes_nothing_else():
    plain = _evaluated()
    one, many = (_evaluated(num_importance=num)["importance-weighted -ELBO"] for num in (1, 64))
    assert many < one - 1
    np.testing.assert_allclose(one, plain["-ELBO"], rtol=0.2)
    further = _evaluated(further=True, num_importance=2)
    added = {"importance-weighted -ELBO", "Amari distance", "conformal contrast", "MIG", "SAP"}
    assert set(further) - set(plain) == added and all(np.isfinite(value) for value in further.values())
    for name, value in plain.items():
        np.testing.assert_allclose(value, further[name], rtol=1e-5, err_msg=name)
    likely = _evaluated(precision_rule="largest likelihood")
    np.testing.assert_allclose(likely["decoder precision"], 1 / likely["MSE of x"], rtol=1e-5)
    assert likely["log10 variance over predicted"] != plain["log10 variance over predicted"]


@pytest.mark.slow
@pytest.mark.parametrize("angle, found", [(0.0, 0.0), (0.5, None)])
def test_the_true_map_up_to_order_and_scale_is_at_no_distance(x64, angle, found):
    """A decoder f(M z) of codes z = M^-1 s: M scales and permutes, and turns by `angle`."""
    world = moebius_world(3, "reference")
    truth = world.dgp.init(jax.random.key(0))
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    mixed = jnp.asarray(turn @ np.diag([2.0, 0.5, -1.5])[[2, 0, 1]])

    @jax.jit
    def of(key):
        drawn = world.dgp.sample(truth, key, 500)
        z = jnp.linalg.solve(mixed, drawn.latents.T).T
        return recovery(world, truth, drawn, Codes(z, jacobian(lambda z: world.decode(truth, z @ mixed.T), z)))

    scores = of(jax.random.key(1))
    if found is None:
        assert 0.1 < scores["Amari distance"] < 1 and scores["SAP"] < 0.8 and scores["MIG"] < 0.6
    else:
        np.testing.assert_allclose(scores["Amari distance"], 0, atol=1e-9)
        assert scores["SAP"] > 0.9 and scores["MIG"] > 0.8
    assert scores["conformal contrast"] > 0.1  # the scales differ


def test_both_mixings_are_trials_of_one_program():
    """A trial's alpha reaches the truth from which its data come."""
    arms = self_consistency.arms(self_consistency.PRESETS["smoke"])[:2]
    studies, _ = plan.built(self_consistency, arms, make_mesh(devices=jax.devices()[:1]))
    assert studies["identity"] is studies["alpha 0.2"]
    trials = [plan.trials_of(self_consistency, arm)[0] for arm in arms]
    world = jax.jit(lambda *trial: studies["identity"].init(*trial).truth["world"])
    found = [world(trial.keys, trial.hparams)["mixing"] for trial in trials]
    np.testing.assert_allclose([float(one["alpha"]) for one in found], [1, 0.2], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, *(one["matrices"] for one in found))


def test_arms_whose_precision_is_found_start_at_the_first_and_have_no_oracle():
    config = self_consistency.PRESETS["medium"]
    arms = {arm.name: arm for arm in self_consistency.arms(config)}
    learned = arms["identity, learned precision"]
    assert learned.config.precision_rule == "learned" and learned.sweep == {"precision": (1e1,)}
    assert arms["identity, precision of largest likelihood"].config.precision_rule == "largest likelihood"
    assert set(self_consistency.premises(config)) == {"identity", "alpha 0.2"}


@pytest.mark.slow
def test_the_oracle_in_more_than_three_dims_is_that_of_a_rotation():
    """Orthogonal decoder, normal prior: ELBO* is log N(x; 0, I + I / gamma^2), whose best posterior is diagonal."""
    config = dataclasses.replace(self_consistency.PRESETS["smoke"], dim=4, alpha=1.0)
    world = self_consistency_claims.world(config)
    report = oracles.synthetic_report(config, (1e1, 1e3), world)
    found = {prediction.quantity: prediction.value for prediction in report.predictions}
    with jax.enable_x64(True):
        z = np.asarray(world.sources.sample(jax.random.key(1), oracles.NUM_DENSITY))
    few = z[: oracles.NUM]
    for precision in (1e1, 1e3):
        noisy = stats.norm.logpdf(few, scale=np.sqrt(1 + 1 / precision)).sum(axis=1)
        gap = (stats.norm.logpdf(few).sum(axis=1) - noisy).mean()
        wanted = stats.norm.logpdf(z).sum(axis=1).mean() - gap
        np.testing.assert_allclose(found[f"ELBO* at {sweeps.at_precision(precision)}"], wanted, atol=1e-6)
