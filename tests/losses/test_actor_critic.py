"""Returns in both readings against loops, advantages against their definitions, losses by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import a2c, discounted_returns, generalized_advantages, ppo

RNG = np.random.default_rng(0)
STEPS, ENVS, ACTIONS = 5, 4, 3
REWARDS, VALUES, FINAL = RNG.normal(size=(3, STEPS, ENVS))
LAST = RNG.normal(size=ENVS)
ENDED = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
CUT = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_returns_are_those_of_the_episodes():
    found = discounted_returns(REWARDS, ENDED, LAST, discount=0.9, truncated=CUT, final_values=FINAL)
    for env in range(ENVS):
        for start in range(STEPS):
            total, weight, t = 0.0, 1.0, start
            while True:
                total += weight * REWARDS[t, env]
                weight *= 0.9
                if ENDED[t, env]:  # also where it was truncated in the same step
                    break
                if CUT[t, env]:
                    total += weight * FINAL[t, env]
                    break
                t += 1
                if t == STEPS:
                    total += weight * LAST[env]
                    break
            np.testing.assert_allclose(found[start, env], total, rtol=1e-12)


def _published(rewards, ended, last, discount):
    """As the published program: PyTorch's `masked_scatter` takes its source in order, here written out."""

    def scattered(source):
        found, left = np.zeros(len(last)), list(source)
        for place in np.flatnonzero(~ended[-1]):
            found[place] = left.pop(0)
        return found

    after, returns = scattered(last), []
    for reward in rewards[::-1]:
        after = scattered(reward + discount * after)
        returns.append(after)
    return np.stack(returns[::-1])


def test_released_returns_are_those_of_the_published_program():
    found = discounted_returns(REWARDS, ENDED, LAST, discount=0.99, reading="released")
    np.testing.assert_allclose(found, _published(REWARDS, ENDED, LAST, 0.99), rtol=1e-12)
    assert not found[:, 1].any()  # all of the environment that ended last, and its neighbour's to the next one
    none = np.zeros_like(ENDED)
    both = [discounted_returns(REWARDS, none, LAST, discount=0.99, reading=r) for r in ("intended", "released")]
    np.testing.assert_allclose(*both, rtol=1e-12)


def test_both_readings_differ_where_an_episode_ends():
    within = ENDED.copy()
    within[-1] = False
    both = [discounted_returns(REWARDS, within, LAST, discount=0.99, reading=r) for r in ("intended", "released")]
    same = np.isclose(*both)
    assert (~same).any(axis=0).tolist() == [False, True, True, False]


def test_what_follows_an_end_is_not_read():
    final = np.where(CUT & ~ENDED, FINAL, np.nan)
    given = {"discount": 0.9, "truncated": CUT, "final_values": final}
    assert np.isfinite(discounted_returns(REWARDS, ENDED, LAST, **given)).all()
    assert np.isfinite(generalized_advantages(REWARDS, VALUES, ENDED, LAST, gae_lambda=0.9, **given)).all()


@pytest.mark.parametrize("truncation", [{}, {"truncated": CUT, "final_values": FINAL}])
def test_advantages_run_from_one_step_to_the_whole_return(truncation):
    given = {"discount": 0.9} | truncation
    full = generalized_advantages(REWARDS, VALUES, ENDED, LAST, gae_lambda=1, **given)
    np.testing.assert_allclose(full, discounted_returns(REWARDS, ENDED, LAST, **given) - VALUES, rtol=1e-9)
    following = np.concatenate([VALUES[1:], LAST[None]])
    following = np.where(ENDED, 0, np.where(CUT, FINAL, following) if truncation else following)
    one = generalized_advantages(REWARDS, VALUES, ENDED, LAST, gae_lambda=0, **given)
    np.testing.assert_allclose(one, REWARDS + 0.9 * following - VALUES, rtol=1e-9)


def test_advantages_weigh_those_of_n_steps():
    # (1 - l) sum_n l^(n-1) A^(n), the last of them with all that is left: no episode ends here.
    none, gae_lambda, discount = np.zeros_like(ENDED), 0.7, 0.9
    found = generalized_advantages(REWARDS, VALUES, none, LAST, discount=discount, gae_lambda=gae_lambda)
    following = np.concatenate([VALUES[1:], LAST[None]])
    for t in range(STEPS):
        n_step = []
        for n in range(1, STEPS - t + 1):
            rewards = sum(discount**k * REWARDS[t + k] for k in range(n))
            n_step.append(rewards + discount**n * following[t + n - 1] - VALUES[t])
        last = len(n_step)
        weights = [(1 - gae_lambda) * gae_lambda ** (n - 1) for n in range(1, last)] + [gae_lambda ** (last - 1)]
        np.testing.assert_allclose(found[t], sum(w * a for w, a in zip(weights, n_step, strict=True)), rtol=1e-9)


LOGITS = RNG.normal(size=(STEPS, ENVS, ACTIONS))
TAKEN = RNG.integers(0, ACTIONS, (STEPS, ENVS))
RETURNS = RNG.normal(size=(STEPS, ENVS))


def _published_loss(terms):
    return terms.policy.mean() + 0.5 * terms.value.mean() - 0.02 * terms.entropy.mean(axis=1).sum()


def _by_hand(logits, values, advantage):
    """The published loss with log-probabilities written out; `advantage`: what weighs them, known to no gradient."""
    log_pi = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(log_pi, TAKEN[..., None], -1)[..., 0]
    entropy = -(np.exp(log_pi) * log_pi).sum(axis=-1)
    policy, value = -(chosen * advantage).mean(), ((RETURNS - values) ** 2).mean()
    return policy + 0.5 * value - 0.02 * entropy.mean(axis=1).sum()


def test_the_published_loss_and_its_gradients_are_those_written_out():
    value, grads = jax.value_and_grad(lambda x, v: _published_loss(a2c(x, v, TAKEN, RETURNS)), (0, 1))(LOGITS, VALUES)
    advantage = RETURNS - VALUES
    np.testing.assert_allclose(value, _by_hand(LOGITS, VALUES, advantage), rtol=1e-12)
    for place, (given, grad) in enumerate(zip((LOGITS, VALUES), grads, strict=True)):
        for index in np.ndindex(given.shape):
            step = np.zeros(given.shape)
            step[index] = 1e-5
            ends = []
            for moved in (given + step, given - step):
                ends.append(_by_hand(*((moved, VALUES) if place == 0 else (LOGITS, moved)), advantage))
            np.testing.assert_allclose(grad[index], (ends[0] - ends[1]) / 2e-5, atol=1e-9)


def test_each_term_teaches_its_own_head():
    def slopes(term):
        def total(logits, values, returns):
            return getattr(a2c(logits, values, TAKEN, returns), term).sum()

        return [bool(np.abs(g).sum() > 0) for g in jax.grad(total, (0, 1, 2))(LOGITS, VALUES, RETURNS)]

    assert slopes("policy") == [True, False, False]
    assert slopes("value") == [False, True, False]
    assert slopes("entropy") == [True, False, False]


def test_ppo_is_a2c_where_the_policy_is_the_old_one():
    old = np.take_along_axis(np.asarray(jax.nn.log_softmax(LOGITS)), TAKEN[..., None], -1)[..., 0]

    def loss(logits, clip):
        return ppo(logits, VALUES, TAKEN, RETURNS, RETURNS - VALUES, old, clip=clip).policy.sum()

    expected = jax.grad(lambda logits: a2c(logits, VALUES, TAKEN, RETURNS).policy.sum())(LOGITS)
    np.testing.assert_allclose(jax.grad(loss)(LOGITS, 0.2), expected, rtol=1e-9, atol=1e-14)


def test_ppo_stops_where_the_ratio_has_left_the_window():
    old = np.log([0.25, 0.25, 0.8, 0.8])
    logits = np.log([[0.5, 0.5]] * 4)
    advantages = np.array([1.0, -1.0, 1.0, -1.0])  # ratios 2, 2, .625, .625
    given = (np.zeros(4), np.zeros(4, int), np.zeros(4), advantages, old)
    found = ppo(logits, *given, clip=0.2).policy
    np.testing.assert_allclose(found, [-1.2, 2.0, -0.625, 0.8], rtol=1e-12)
    slope = jax.grad(lambda x: ppo(x, *given, clip=0.2).policy.sum())(logits)
    assert (np.abs(slope).sum(axis=1) > 0).tolist() == [False, True, True, False]


def test_masked_actions_cost_no_nan():
    logits = np.array([[0.0, -np.inf, 1.0]])
    terms = a2c(logits, np.zeros(1), np.array([2]), np.ones(1))
    p = np.array([1, np.e]) / (1 + np.e)
    np.testing.assert_allclose(terms.entropy, [-(p * np.log(p)).sum()], rtol=1e-12)
    slope = jax.grad(lambda x: a2c(x, np.zeros(1), np.array([2]), np.ones(1)).entropy.sum())(logits)
    assert np.isfinite(slope).all()


def test_a_policy_that_is_no_number_has_no_entropy():
    assert all(np.isnan(term).all() for term in a2c(np.full((1, 3), np.nan), [np.nan], [2], [1.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discounted_returns(REWARDS, ENDED, LAST, discount=1.1), "discount=1.1, wanted a number from 0 to 1"),
        (lambda: discounted_returns(REWARDS, ENDED, LAST[:2], discount=1), r"wanted \[T, E\] and last_value \[E\]"),
        (lambda: discounted_returns(REWARDS[:0], ENDED[:0], LAST, discount=1), "found an empty batch"),
        (lambda: discounted_returns(REWARDS, ENDED, LAST, discount=1, truncated=CUT), "wanted both or neither"),
        (
            lambda: discounted_returns(REWARDS, ENDED * np.nan, LAST, discount=1),
            "terminated with entries besides 0",
        ),
        (
            lambda: discounted_returns(REWARDS, ENDED, LAST, discount=1, truncated=2 * CUT, final_values=FINAL),
            "truncated with entries besides 0 and 1",
        ),
        (
            lambda: discounted_returns(
                REWARDS, ENDED, LAST, discount=1, truncated=CUT, final_values=FINAL, reading="released"
            ),
            "knows terminated alone",
        ),
        (lambda: discounted_returns(REWARDS, ENDED, LAST, discount=1, reading="relased"), "did you mean 'released'"),
        (lambda: generalized_advantages(REWARDS, VALUES, ENDED, LAST, discount=1, gae_lambda=-1), "gae_lambda=-1"),
        (lambda: a2c(LOGITS, VALUES, TAKEN + 1, RETURNS), "wanted 0 to 2"),
        (lambda: a2c(LOGITS, VALUES[:2], TAKEN, RETURNS), r"wanted \[..., A\] and \[...\]"),
        (lambda: ppo(LOGITS, VALUES, TAKEN, RETURNS, RETURNS, RETURNS, clip=-0.1), "clip=-0.1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_discount_may_be_traced_and_vmapped():
    discounts = jnp.array([0.0, 0.5, 1.0])
    found = jax.vmap(lambda g: discounted_returns(REWARDS, ENDED, LAST, discount=g))(discounts)
    for discount, row in zip(discounts, found, strict=True):
        np.testing.assert_allclose(row, discounted_returns(REWARDS, ENDED, LAST, discount=float(discount)), rtol=1e-12)
