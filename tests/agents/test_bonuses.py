"""Intrinsic rewards against their formulas, and the mistakes of public implementations, one by one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import Seen, curiosity_module, e3b_bonus, icm_bonus, no_bonus, rnd_bonus, visit_bonus
from identax.losses import inverse_error, scale_rewards
from identax.models import flat_encoder

T, E, D, A = 3, 2, 4, 3
RNG = np.random.default_rng(0)
OBSERVED, FINAL = RNG.normal(size=(T + 1, E, D)), RNG.normal(size=(T, E, D))
ENDED = np.array([[0, 0], [1, 0], [0, 0]], bool)
FINAL = np.where(ENDED[..., None], FINAL, OBSERVED[1:])
ACTIONS = RNG.integers(0, A, (T, E))
CELLS = np.array([[0, 0], [1, 0], [0, 1]])
SEEN = Seen(OBSERVED, FINAL, ACTIONS, ENDED, ENDED, CELLS)
STRADDLING = SEEN._replace(final=None)
ENCODER = flat_encoder((5,))
MODULE = curiosity_module(A, ENCODER)
pytestmark = pytest.mark.usefixtures("x64")


def _compiled(bonus):
    """One program for each function instead of one for each of its operations."""
    loss = None if bonus.loss is None else jax.jit(bonus.loss)
    return bonus._replace(init=jax.jit(bonus.init), reward=jax.jit(bonus.reward), loss=loss)


ICM, PUBLISHED = _compiled(icm_bonus(MODULE)), _compiled(icm_bonus(MODULE, objective="published"))
E3B, RND = _compiled(e3b_bonus(MODULE, ridge=0.5)), _compiled(rnd_bonus(ENCODER, features=3))


def _made(bonus, observations=OBSERVED[0]):
    return bonus.init(jax.random.key(0), observations)


@partial(jax.jit, static_argnums=2)
def _parts(params, seen, module=MODULE):
    following = seen.observations[1:] if seen.final is None else seen.final
    pairs = seen.observations[:-1], following
    phi, after = (module.encode(params, x.reshape(-1, D)).reshape(T, E, -1) for x in pairs)
    return phi, after, module.predict(params, phi, seen.actions), module.infer(params, phi, after)


@pytest.mark.parametrize("seen", [pytest.param(SEEN, marks=pytest.mark.slow), STRADDLING], ids=["final", "straddling"])
def test_icm_losses_and_rewards(seen):
    bonus, published = ICM, PUBLISHED
    params, memory = _made(bonus)
    _, after, predicted, logits = _parts(params, seen)
    squares = np.square(np.asarray(predicted) - np.asarray(after))
    which = inverse_error(logits, seen.actions)
    np.testing.assert_allclose(bonus.reward(params, memory, seen, 0.9)[0], 0.5 * squares.sum(axis=-1), rtol=1e-8)
    found = bonus.loss(params, memory, seen, 0.2)[0]
    np.testing.assert_allclose(found, 0.2 * 0.5 * squares.sum(axis=-1) + 0.8 * which, rtol=1e-8)
    np.testing.assert_allclose(published.loss(params, memory, seen, 0.2)[0], squares.mean(axis=-1) + which, rtol=1e-8)


def test_what_follows_an_end_is_not_the_next_episode():
    params, memory = _made(ICM)
    true, other = (ICM.reward(params, memory, seen, 0.9)[0] for seen in (SEEN, STRADDLING))
    np.testing.assert_array_equal(np.isclose(true, other, rtol=1e-10), ~ENDED)


def test_the_rational_module_weighs_reward_and_loss():
    module = curiosity_module(A, ENCODER, rational=True)
    bonus = _compiled(icm_bonus(module, objective="published"))
    params, memory = _made(bonus)
    _, after, predicted, logits = _parts(params, SEEN, module)
    weighed = np.square(np.asarray(predicted - after)) * np.asarray(module.relevance(params, after))
    np.testing.assert_allclose(bonus.reward(params, memory, SEEN, 0.9)[0], 0.5 * weighed.sum(axis=-1), rtol=1e-8)
    wanted = weighed.mean(axis=-1) + inverse_error(logits, ACTIONS)
    np.testing.assert_allclose(bonus.loss(params, memory, SEEN, 0.2)[0], wanted, rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["rational", *(pytest.param(one, marks=pytest.mark.slow) for one in ("icm", "rnd", "e3b"))]
)
def test_no_gradient_flows_through_a_reward_and_one_through_a_loss(name):
    rational = curiosity_module(A, ENCODER, rational=True)
    bonus = {"icm": ICM, "rational": _compiled(icm_bonus(rational)), "rnd": RND, "e3b": E3B}[name]
    params, memory = _made(bonus)
    paid = jax.jit(jax.grad(lambda params: bonus.reward(params, memory, SEEN, 0.9)[0].sum()))(params)
    learned = jax.jit(jax.grad(lambda params: bonus.loss(params, memory, SEEN, 0.2)[0].sum()))(params)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(paid)) == 0
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(learned)) > 0


def test_distillation_scales_observations_by_those_seen_before():
    bonus = RND
    params, memory = _made(bonus)  # of an example, which nobody has met: it does not count
    before = RNG.normal(2.0, 3.0, size=(50, D))
    memory = bonus.observe(bonus.observe(memory, before[:9]), before[9:])
    np.testing.assert_allclose(memory["moments"].mean, before.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(memory["moments"].variance, before.var(axis=0), rtol=1e-10)
    x = np.clip((FINAL - before.mean(axis=0)) / before.std(axis=0), -5, 5)

    def output(parts):
        hidden = np.tanh(x @ np.asarray(parts["encoder"]["dense1"]["kernel"]))
        return hidden @ np.asarray(parts["out"]["kernel"])

    raw = np.square(output(params) - output(memory["target"])).mean(axis=-1)
    np.testing.assert_allclose(bonus.loss(params, memory, SEEN, 0.2)[0], raw, rtol=1e-8)
    found, after = bonus.reward(params, memory, SEEN, 0.9)
    np.testing.assert_allclose(found, scale_rewards(raw, memory["scale"], discount=0.9)[0], rtol=1e-8)
    everything = np.concatenate([before, FINAL.reshape(-1, D)])
    np.testing.assert_allclose(after["moments"].mean, everything.mean(axis=0), rtol=1e-10)
    # The update sees what was rewarded: losses take the memory from before, whatever the rewards changed in it.
    assert not np.allclose(bonus.loss(params, after, SEEN, 0.2)[0], raw)


def test_entries_that_never_changed_are_new_when_they_do():
    bonus = RND
    params, memory = _made(bonus)
    memory = bonus.observe(memory, np.ones((E, D)))
    same = Seen(jnp.ones((T + 1, E, D)), None, SEEN.actions, SEEN.terminated, SEEN.ended, None)
    other = same._replace(observations=same.observations.at[..., 0].set(1.001))
    found = [bonus.loss(params, memory, seen, 0.2)[0] for seen in (same, other)]
    assert np.isfinite(found).all() and (np.asarray(found[0]) != np.asarray(found[1])).all()


def test_a_view_keeps_older_frames_out():
    bonus = _compiled(rnd_bonus(ENCODER, view=lambda x: x[..., -1:]))
    params, memory = _made(bonus)
    memory = bonus.observe(memory, RNG.normal(size=(9, D)))
    older, last = (SEEN._replace(final=FINAL + 3.0 * (np.arange(D) == place)) for place in (0, D - 1))
    np.testing.assert_array_equal(*(bonus.loss(params, memory, seen, 0.2)[0] for seen in (SEEN, older)))
    assert not np.allclose(*(bonus.loss(params, memory, seen, 0.2)[0] for seen in (SEEN, last)))


def test_visits_are_counted_of_all_environments_or_of_an_episode():
    lifelong, episodic = _compiled(visit_bonus(2)), _compiled(visit_bonus(2, span="episodic"))
    found, table = lifelong.reward(*_made(lifelong), SEEN, 0.9)
    np.testing.assert_allclose(found, np.array([[2, 2], [1, 3], [4, 2]]) ** -0.5)
    np.testing.assert_array_equal(table, [4, 2])
    found, table = episodic.reward(*_made(episodic), SEEN, 0.9)
    # Environment 0 ends behind step 1, so that cell 0 is new again.
    np.testing.assert_allclose(found, np.array([[1, 1], [1, 2], [1, 1]]) ** -0.5)
    np.testing.assert_array_equal(table, [[1, 0], [2, 1]])
    unpaid = _compiled(visit_bonus(2, pay_ends=False))
    found, table = unpaid.reward(*_made(unpaid), SEEN, 0.9)
    np.testing.assert_array_equal(np.asarray(found) == 0, ENDED)
    np.testing.assert_array_equal(table, [4, 2])


def test_elliptical_bonuses_pay_the_state_that_followed_and_forget_with_the_episode():
    bonus = E3B
    params, memory = _made(bonus)
    phi = np.asarray(MODULE.encode(params, FINAL.reshape(-1, D))).reshape(T, E, -1)
    found, after = bonus.reward(params, memory, SEEN, 0.9)
    matrix = [0.5 * np.eye(phi.shape[-1]) for _ in range(E)]
    for t in range(T):
        for e in range(E):
            wanted = phi[t, e] @ np.linalg.solve(matrix[e], phi[t, e])
            np.testing.assert_allclose(found[t, e], wanted, rtol=1e-8)
            matrix[e] = 0.5 * np.eye(phi.shape[-1]) if ENDED[t, e] else matrix[e] + np.outer(phi[t, e], phi[t, e])
    np.testing.assert_allclose(after, np.linalg.inv(matrix), rtol=1e-8)


def test_nothing_is_paid_without_a_bonus():
    params, memory = _made(no_bonus())
    assert not no_bonus().reward(params, memory, SEEN, 0.9)[0].any() and no_bonus().loss is None


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: icm_bonus(MODULE, objective="pathak"), "objective"),
        (lambda: rnd_bonus(ENCODER, features=0), "features=0"),
        (lambda: rnd_bonus(ENCODER, view=1), "view=1, wanted a function"),
        (lambda: visit_bonus(0), "num_states=0"),
        (lambda: visit_bonus(3, span="episode"), "did you mean 'episodic'"),
        (lambda: e3b_bonus(MODULE, ridge=0), "ridge"),
        (lambda: visit_bonus(3).reward(*_made(visit_bonus(3)), SEEN._replace(cells=None), 0.9), "numbered states"),
    ],
)
def test_bonuses_refuse(call, part, untyped):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize("bonus", [icm_bonus, e3b_bonus])
def test_an_encoder_in_the_place_of_its_module_is_refused(bonus, untyped):
    with pytest.raises(ValueError, match="found module of type Model, wanted one of type CuriosityModule"):
        bonus(ENCODER)
