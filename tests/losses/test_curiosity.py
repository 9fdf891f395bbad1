"""Errors and bonuses of curiosity against their formulas, matrix inverses and running sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from identax.losses import (
    count_bonus,
    distillation_reward,
    elliptical_bonus,
    forward_error,
    inverse_error,
    prediction_reward,
    reward_scale,
    scale_rewards,
)

RNG = np.random.default_rng(0)
PREDICTED, TARGET = RNG.normal(size=(2, 6, 4))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_forward_errors_are_mean_squares_weighed_by_attention():
    np.testing.assert_allclose(forward_error(PREDICTED, TARGET), ((PREDICTED - TARGET) ** 2).mean(axis=1), rtol=1e-12)
    attention = np.asarray(jax.nn.softmax(RNG.normal(size=(6, 4))))
    weighed = ((PREDICTED - TARGET) ** 2 * attention).mean(axis=1)
    np.testing.assert_allclose(forward_error(PREDICTED, TARGET, attention), weighed, rtol=1e-12)
    np.testing.assert_allclose(
        forward_error(PREDICTED, TARGET, np.full((6, 4), 0.25)), forward_error(PREDICTED, TARGET) / 4, rtol=1e-12
    )


def test_attention_changes_the_gradient_and_ones_do_not():
    def slope(attention):
        return jax.grad(lambda p: forward_error(p, TARGET, attention).sum())(PREDICTED)

    np.testing.assert_allclose(slope(np.ones((6, 4))), slope(None), rtol=1e-12)
    attended = slope(np.asarray(jax.nn.softmax(TARGET)))
    assert not np.allclose(attended / attended.sum(), slope(None) / slope(None).sum())


def test_inverse_errors_are_scikit_learns_cross_entropy():
    logits, actions = RNG.normal(size=(6, 3)), RNG.integers(0, 3, 6)
    law = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [log_loss([action], law[i : i + 1], labels=[0, 1, 2]) for i, action in enumerate(actions)]
    np.testing.assert_allclose(inverse_error(logits, actions), expected, rtol=1e-12)


def test_rewards_are_errors_without_a_gradient():
    squares = (PREDICTED - TARGET) ** 2
    np.testing.assert_allclose(prediction_reward(PREDICTED, TARGET, scale=0.01), 0.005 * squares.sum(axis=1))
    np.testing.assert_allclose(distillation_reward(PREDICTED, TARGET), squares.mean(axis=1))
    for reward in (prediction_reward, distillation_reward):
        slopes = jax.grad(lambda p, t, reward=reward: reward(p, t).sum(), (0, 1))(PREDICTED, TARGET)
        assert not any(np.any(slope) for slope in slopes)


def test_counts_pay_one_over_their_root():
    np.testing.assert_allclose(count_bonus([1, 4, 100], scale=0.5), [0.5, 0.25, 0.05], rtol=1e-12)


def test_elliptical_bonuses_are_those_of_the_inverse_covariance():
    ridge, covariance = 0.1, 0.1 * np.eye(4)
    inverse = np.eye(4) / ridge
    for phi in PREDICTED:
        expected = phi @ np.linalg.solve(covariance, phi)
        bonus, inverse = elliptical_bonus(phi, inverse)
        np.testing.assert_allclose(bonus, expected, rtol=1e-9)
        covariance = covariance + np.outer(phi, phi)
        np.testing.assert_allclose(inverse, np.linalg.inv(covariance), rtol=1e-8, atol=1e-10)
    again, _ = elliptical_bonus(PREDICTED[0], inverse)
    assert again < 1  # seen in this episode; 1/ridge |phi|^2 at its start
    both, stacked = elliptical_bonus(PREDICTED[:2], jnp.stack([jnp.eye(4), inverse]))
    np.testing.assert_allclose(both[1], elliptical_bonus(PREDICTED[1], inverse)[0], rtol=1e-9)
    assert stacked.shape == (2, 4, 4)


def test_rewards_are_scaled_by_their_sums_over_time():
    rewards = RNG.uniform(size=(12, 3))
    memory, found = reward_scale(3), []
    for part in (rewards[:5], rewards[5:]):
        scaled, memory = scale_rewards(part, memory, discount=0.9)
        found.append(scaled)
    sums = np.zeros((12, 3))
    for t in range(12):
        sums[t] = rewards[t] + (0.9 * sums[t - 1] if t else 0)
    np.testing.assert_allclose(found[0], rewards[:5] / sums[:5].std(), rtol=1e-9)
    np.testing.assert_allclose(found[1], rewards[5:] / sums.std(), rtol=1e-9)
    # A filter over environments instead of time, a known fault of public code, gives another number.
    across = np.zeros((12, 3))
    for e in range(3):
        across[:, e] = rewards[:, e] + (0.9 * across[:, e - 1] if e else 0)
    assert not np.isclose(across.std(), sums.std(), rtol=0.01)


def test_one_nan_is_seen_from_then_on():
    _, memory = scale_rewards([[np.nan, 1.0], [1.0, 1.0]], reward_scale(2))
    assert np.isnan(scale_rewards([[100.0, 300.0], [500.0, 100.0]], memory)[0]).all()


def test_offsets_common_to_both_cost_no_digits():
    ahead, truth = np.array([[0.25, 0.5, 3.0]]), np.array([[0.5, 1.5, 2.5]])
    with jax.enable_x64(False):
        for offset in (0, 1e8):
            np.testing.assert_allclose(forward_error(offset + ahead, offset + truth), [1.3125 / 3], rtol=1e-6)
            np.testing.assert_allclose(forward_error(offset + ahead[0], offset + truth[0]), 1.3125 / 3, rtol=1e-6)
            np.testing.assert_allclose(prediction_reward(offset + ahead, offset + truth), [1.3125 / 2], rtol=1e-6)
            np.testing.assert_allclose(distillation_reward(offset + ahead, offset + truth), [1.3125 / 3], rtol=1e-6)


def test_equal_rewards_are_not_divided_by_zero():
    scaled, _ = scale_rewards(np.zeros((3, 2)), reward_scale(2))
    np.testing.assert_array_equal(scaled, np.zeros((3, 2)))
    # The mean of equal float32 numbers is not that number: a deviation of rounding is none.
    for rewards in (np.full((7, 3), 0.1, np.float32), np.full((5, 4), 123.4, np.float32)):
        np.testing.assert_array_equal(scale_rewards(rewards, reward_scale(rewards.shape[1]), discount=0)[0], rewards)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forward_error(PREDICTED, TARGET[:3]), r"wanted one shape \[..., n\]"),
        (lambda: inverse_error(np.zeros((2, 3)), [0, 3]), "wanted 0 to 2"),
        (lambda: inverse_error(np.zeros((2, 3)), [0]), r"wanted \[..., A\] and \[...\]"),
        (lambda: prediction_reward(PREDICTED, TARGET, scale=-1), "scale=-1"),
        (lambda: prediction_reward(PREDICTED, TARGET, scale=np.inf), "scale=inf, wanted a non-negative finite"),
        (lambda: scale_rewards(np.ones((3, 2)), None), "memory of type NoneType, wanted one of type RewardScale"),
        (lambda: count_bonus([0, 1]), "counts from 0.0 to 1.0, wanted 1 to inf"),
        (lambda: elliptical_bonus(PREDICTED, np.eye(4)), r"wanted \[..., n\] and"),
        (lambda: reward_scale(0), "num_environments=0, wanted at least 1"),
        (lambda: scale_rewards(np.ones((3, 2)), reward_scale(3)), r"wanted \[T, E\] with E = 3"),
    ],
)
def test_bad_input_is_refused(call, message, untyped):
    with pytest.raises(ValueError, match=message):
        call()
