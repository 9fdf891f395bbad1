"""One update against the published equations written out, and each way in which curiosity may or may not reach it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import (
    SETTINGS,
    Agent,
    Choices,
    Learned,
    Rollout,
    Targets,
    check_settings,
    curiosity_module,
    icm_bonus,
    no_bonus,
    policy_network,
    roll,
    targets,
    update,
)
from identax.agents.descent import Batch, adam_start, descend, policy_terms, seen_of
from identax.agents.ppo import ppo_update
from identax.agents.rollout import begin, no_episodes, record
from identax.dgp.environments import side_by_side
from identax.models import flat_encoder
from identax.rng import stream
from tests.agents.worlds import corridor

E, T, UNITS, A = 3, 5, 4, 2
ENCODER = flat_encoder((5,))
MANY = side_by_side(corridor(4, 7), E)
KEY = jax.random.key(5)
EXACT = {"rtol": 1e-8, "atol": 1e-12}
pytestmark = pytest.mark.usefixtures("x64")


def agent(*, bonus=None, attention=False, memory="lstm", world=MANY, **choices):
    network = policy_network(A, ENCODER, units=UNITS, attention=attention, memory=memory)
    return Agent(world, network, no_bonus() if bonus is None else bonus, Choices(**choices))


@partial(jax.jit, static_argnums=0)
def started(agent):
    example = jnp.zeros((E, 4))
    policy = agent.network.init(stream(KEY, "policy"), example)
    curiosity, memory = agent.bonus.init(stream(KEY, "curiosity"), example)
    params = {"policy": policy, "curiosity": curiosity}
    world = begin(agent.environment, agent.network, policy, stream(KEY, "world"), 3)
    carry = jax.tree.map(lambda leaf: jax.random.normal(stream(KEY, "carry"), leaf.shape), world.carry)
    return Learned(params, adam_start(params), world._replace(carry=carry), memory)


updated = jax.jit(update, static_argnums=0)


def icm(**options):
    return icm_bonus(curiosity_module(A, ENCODER, **options), objective="published")


# ---- the published update


def _softmax(x):
    powers = jnp.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _linear(params, x):
    return x @ params["kernel"] + jnp.broadcast_to(params["bias"], (*x.shape[:-1], len(params["bias"])))


def _gate(params, x):
    return _softmax(_linear(params, x))


def _lstm(params, carry, x):
    c, h = carry
    bias = jnp.broadcast_to(params["ih_bias"] + params["hh_bias"], (len(x), 4 * UNITS))
    i, f, g, o = jnp.split(x @ params["ih_kernel"] + h @ params["hh_kernel"] + bias, 4, axis=-1)
    c = 1 / (1 + jnp.exp(-f)) * c + 1 / (1 + jnp.exp(-i)) * jnp.tanh(g)
    return c, 1 / (1 + jnp.exp(-o)) * jnp.tanh(c)


def _published(params, carry, rollout):
    """The loss of AttA2C with a rational module, step by step through the rollout."""
    policy, module = params["policy"], params["curiosity"]

    def heads(h):
        logits = _linear(policy["actor"], h * _gate(policy["actor_gate"], h))
        return logits, _linear(policy["critic"], h * _gate(policy["critic_gate"], h))[:, 0]

    def seen(part, x):
        return jnp.tanh(_linear(part["encoder"]["dense1"], x))

    logits, values = [], []
    for t in range(T):
        carry = _lstm(policy["lstm"], carry, seen(policy, rollout.observations[t]))
        one = heads(carry[1])
        logits.append(one[0])
        values.append(one[1])
        carry = tuple(jnp.where(rollout.ended[t][:, None], 0.0, part) for part in carry)
    carry = _lstm(policy["lstm"], carry, seen(policy, rollout.observations[T]))
    following = jax.lax.stop_gradient(heads(carry[1])[1])
    policy_loss = value_loss = entropy = 0.0
    for t in reversed(range(T)):
        following = rollout.rewards[t] + 0.99 * jnp.where(rollout.ended[t], 0.0, following)
        pi = _softmax(logits[t])
        better = following - values[t]
        chosen = pi[jnp.arange(E), rollout.actions[t]]
        policy_loss += -(jnp.log(chosen) * jax.lax.stop_gradient(better)).mean() / T
        value_loss += (better**2).mean() / T
        entropy += -(pi * jnp.log(pi)).sum(axis=1).mean()
    phi = [seen(module, x) for x in rollout.observations]
    ahead = which = 0.0
    for t in range(T):
        taken = jnp.eye(A)[rollout.actions[t]]
        hidden = _linear(module["forward_in"], jnp.concatenate([phi[t], taken], axis=1))
        squares = (_linear(module["forward_out"], hidden) - phi[t + 1]) ** 2
        ahead += (squares * _gate(module["relevance_gate"], phi[t + 1])).mean() / T
        hidden = _linear(module["inverse_in"], jnp.concatenate([phi[t], phi[t + 1]], axis=1))
        said = _softmax(_linear(module["inverse_out"], hidden))
        which += -jnp.log(said[jnp.arange(E), rollout.actions[t]]).mean() / T
    return policy_loss + 0.5 * value_loss - 0.02 * entropy + ahead + which, carry


def test_an_update_is_the_published_one():
    one = agent(bonus=icm(rational=True), attention=True, truncation="ends", pairs="straddling")
    start = started(one)
    found, metrics = updated(one, start, KEY, {})
    rolled = jax.jit(roll, static_argnums=(0, 1, 5))
    _, rollout, _ = rolled(MANY, one.network, start.params["policy"], start.world, stream(KEY, "rollout"), T)
    assert rollout.ended[:-1].any() and rollout.rewards.any()  # else much of this would not be seen
    (loss, carry), grads = jax.jit(jax.value_and_grad(_published, has_aux=True))(
        start.params, start.world.carry, rollout
    )
    np.testing.assert_allclose(metrics["loss"], loss, **EXACT)
    norm = np.sqrt(sum((np.asarray(leaf) ** 2).sum() for leaf in jax.tree.leaves(grads)))
    scale = min(1.0, 0.5 / (norm + 1e-6))

    def adam(old, grad):
        grad = scale * np.asarray(grad)
        return np.asarray(old) - 1e-4 * grad / (np.abs(grad) + 1e-8)

    wanted = jax.tree.map(adam, start.params, grads)
    assert jax.tree.structure(found.params) == jax.tree.structure(wanted)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, **EXACT), found.params, wanted)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, **EXACT), found.world.carry, carry)
    spread = np.asarray(carry[1]).std()
    np.testing.assert_allclose(metrics["feature sd"], spread, **EXACT)


@pytest.mark.slow
def test_the_observation_between_rollouts_enters_the_memory_once_or_twice():
    twice, once = (agent(double_step=double, truncation="ends") for double in (True, False))
    start = started(twice)
    found = [updated(one, start, KEY, {})[0].world for one in (twice, once)]
    assert np.array_equal(*(world.observations for world in found))
    step = jax.jit(twice.network.step)
    advanced, _ = step(start.params["policy"], found[1].carry, found[1].observations)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), found[0].carry, advanced)
    assert not np.allclose(found[0].carry[1], found[1].carry[1])


# ---- what curiosity does to the policy


def _policies(results):
    return [jax.tree.leaves(learned.params["policy"]) for learned, _ in results]


def _same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "kinds",
    [
        [{"rational": True}],
        pytest.param([{}, {"attention": "single"}, {"attention": "double"}], marks=pytest.mark.slow),
    ],
)
def test_curiosity_without_reward_reaches_the_policy_through_the_common_clipping_alone(kinds):
    agents = [agent(bonus=icm(**kind), truncation="ends", pairs="straddling") for kind in kinds]
    agents += [agent(truncation="ends", pairs="straddling")]
    start = [started(one) for one in agents]
    for max_norm, touched in ((1e9, False), (1e-3, True)):
        found = [updated(one, at, KEY, {"max_norm": max_norm}) for one, at in zip(agents, start, strict=True)]
        norms = {float(metrics["policy gradient norm"]) for _, metrics in found}
        assert len(norms) == 1  # bit for bit, before the clipping
        losses = {float(metrics["loss"]) for _, metrics in found}
        assert len(losses) == len(agents)
        base, *others = _policies(found)
        assert [_same(base, other) for other in others] == [not touched] * len(others)


def test_an_intrinsic_reward_changes_the_policy_s_gradient_and_switched_off_nothing():
    one = agent(bonus=icm(), truncation="ends", clipping="separate")
    without = agent(truncation="ends", clipping="separate")
    start = started(one)
    # The clipping is at work: with norms of their own the two parts do not touch.
    off, on = (updated(one, start, KEY, {"bonus_weight": weight, "max_norm": 1e-3}) for weight in (0.0, 0.5))
    plain = updated(without, started(without), KEY, {"bonus_weight": 0.5, "max_norm": 1e-3})
    assert _same(*_policies([off, plain])) and float(off[1]["intrinsic reward"]) > 0
    assert float(on[1]["policy gradient norm"]) != float(off[1]["policy gradient norm"])
    assert not _same(*_policies([off, on]))
    # The game's own reward still counts, and nothing of the policy's loss reaches the module that pays.
    given = {"bonus_weight": 0.5, "max_norm": 1e-3, "extrinsic_weight": 0.0}
    blind = updated(one, start, KEY, given)
    assert float(blind[1]["policy gradient norm"]) != float(on[1]["policy gradient norm"])
    modules = [jax.tree.leaves(learned.params["curiosity"]) for learned, _ in (off, on)]
    assert _same(*modules)


@pytest.mark.slow
def test_a_shared_encoder_is_trained_by_curiosity():
    alone, shared = (agent(bonus=icm(), truncation="ends", shared_encoder=share) for share in (False, True))
    identity = flat_encoder((5,))
    shared = shared._replace(bonus=icm_bonus(curiosity_module(A, identity), objective="published"))
    start = started(alone)
    curiosity, _ = shared.bonus.init(KEY, jnp.zeros((E, 5)))
    ours = start._replace(params=start.params | {"curiosity": curiosity})
    ours = ours._replace(opt_state=adam_start(ours.params))
    given = {"policy_weight": 0.0}
    found = [updated(one, at, KEY, given)[1] for one, at in ((alone, start), (shared, ours))]
    assert float(found[0]["policy gradient norm"]) == 0 < float(found[1]["policy gradient norm"])


# ---- targets


def _rollout(**given):
    rng = np.random.default_rng(0)
    shapes = {"rewards": (T, E), "values": (T, E, 2), "last_values": (E, 2)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    ends = {name: np.zeros((T, E), bool) for name in ("terminated", "truncated", "masked")}
    return Rollout(**(dict.fromkeys(Rollout._fields) | jax.tree.map(jnp.asarray, arrays | ends | given)))


GIVEN = {
    "advantages": "n_step", "reading": "intended", "discount": 0.9, "gae_lambda": 0.95, "intrinsic_discount": 0.8,
    "weights": (2.0, 0.5),
}  # fmt: skip


def test_the_intrinsic_stream_knows_no_ends_and_has_its_own_last_value():
    terminated = np.zeros((T, E), bool)
    terminated[2, 0] = terminated[T - 1, 1] = True
    rollout, paid = _rollout(terminated=terminated), jnp.asarray(np.random.default_rng(1).normal(size=(T, E)))
    found = targets(rollout, rollout.rewards, paid, None, **GIVEN)
    streams = ((rollout.rewards, terminated, 0.9), (paid, 0 * terminated, 0.8))
    advantages = 0
    for number, (rewards, ended, discount) in enumerate(streams):
        following = rollout.last_values[:, number]
        for t in reversed(range(T)):
            following = rewards[t] + discount * (1 - ended[t]) * following
            np.testing.assert_allclose(found.returns[t, :, number], following, rtol=1e-10)
        advantages = advantages + GIVEN["weights"][number] * (found.returns[..., number] - rollout.values[..., number])
    np.testing.assert_allclose(found.advantages, advantages, rtol=1e-10)
    by_gae = targets(rollout, rollout.rewards, paid, None, **GIVEN | {"advantages": "gae", "gae_lambda": 1.0})
    np.testing.assert_allclose(by_gae.returns, found.returns, rtol=1e-10)
    np.testing.assert_allclose(by_gae.advantages, found.advantages, rtol=1e-10)


def test_values_count_behind_a_truncation_and_not_behind_an_end():
    truncated, terminated = np.zeros((2, T, E), bool)
    truncated[1, 0], terminated[1, 1] = True, True
    rollout = _rollout(truncated=truncated, terminated=terminated)
    after = jnp.full((T, E, 2), 7.0)
    found = targets(rollout, rollout.rewards, rollout.rewards, after, **GIVEN).returns[1, :, 0]
    np.testing.assert_allclose(found[0], rollout.rewards[1, 0] + 0.9 * 7)
    np.testing.assert_allclose(found[1], rollout.rewards[1, 1])
    as_end = targets(rollout, rollout.rewards, rollout.rewards, None, **GIVEN).returns[1, :, 0]
    np.testing.assert_allclose(as_end[0], rollout.rewards[1, 0])


@pytest.mark.slow
def test_resets_that_take_a_step_have_no_weight():
    one = agent(bonus=icm(), truncation="ends", pairs="straddling")
    start = started(one)
    rolled = jax.jit(roll, static_argnums=(0, 1, 5))
    _, rollout, _ = rolled(MANY, one.network, start.params["policy"], start.world, KEY, T)
    ended = rollout.terminated.at[1, 0].set(True)
    step = jax.jit(descend, static_argnums=0)
    for masked in (True, False):
        found = []
        for odd in (0, 1):
            mask = rollout.masked.at[2, 0].set(masked)
            actions = rollout.actions.at[2, 0].set(odd)
            rewards = rollout.rewards.at[2, 0].set(10.0 * odd)
            own = rollout._replace(terminated=ended, masked=mask, actions=actions, rewards=rewards)
            aims = targets(own, rewards, rewards, None, **GIVEN)
            batch = Batch(own, aims, seen_of(own, one.choices), start.world.carry)
            found.append(step(one, start.params, start.opt_state, start.memory, batch, SETTINGS)[2])
        assert (float(found[0]["loss"]) == float(found[1]["loss"])) == masked


# ---- PPO


def test_masked_steps_do_not_scale_the_advantages_of_ppo():
    """Whatever the advantage of a step that is no transition: the others' terms are those without it."""
    one = agent(algorithm="ppo", memory="none")
    start = started(one)
    _, rollout, _ = jax.jit(roll, static_argnums=(0, 1, 5))(
        MANY, one.network, start.params["policy"], start.world, KEY, T
    )
    rollout = rollout._replace(masked=jnp.zeros((T, E), bool).at[2, 0].set(True))
    terms = jax.jit(policy_terms, static_argnums=0)

    def of(odd):
        advantages = jnp.arange(T * E, dtype=float).reshape(T, E).at[2, 0].set(odd)
        batch = Batch(rollout, Targets(rollout.values, advantages), None, start.world.carry)
        return terms(one, start.params["policy"], batch, SETTINGS).policy

    kept = ~np.asarray(rollout.masked)
    np.testing.assert_array_equal(of(0.0)[kept], of(1e3)[kept])
    scaled = -np.asarray(of(0.0))[kept]  # the ratio of an unchanged policy is 1
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["lstm", "none"])
def test_one_epoch_of_one_minibatch_is_an_update_of_a2c(memory):
    common = {"memory": memory, "truncation": "ends", "pairs": "straddling", "bonus": icm(), "entropy": "mean"}
    a2c = agent(**common)
    ppo = agent(**common, algorithm="ppo", epochs=1, minibatches=1, normalize_advantages=False)
    start = started(a2c)
    found = [updated(one, start, KEY, {}) for one in (a2c, ppo)]
    for name in ("policy", "curiosity"):
        for ours, theirs in zip(*(jax.tree.leaves(learned.params[name]) for learned, _ in found), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found[0][1]["value loss"], found[1][1]["value loss"], rtol=1e-9)


@pytest.mark.slow
def test_epochs_over_minibatches_see_every_environment():
    """Advantages of one environment alone: the policy moves only if some minibatch holds it."""
    one = agent(algorithm="ppo", epochs=2, minibatches=E, normalize_advantages=False)
    start = started(one)
    rolled = jax.jit(roll, static_argnums=(0, 1, 5))
    _, rollout, _ = rolled(MANY, one.network, start.params["policy"], start.world, KEY, T)
    given = SETTINGS | {"value_weight": 0.0, "entropy_weight": 0.0}

    @jax.jit
    def moved(advantages):
        batch = Batch(rollout, Targets(rollout.values, advantages), seen_of(rollout, one.choices), start.world.carry)
        before = start.params, start.opt_state, start.memory
        params, opt_state, _ = ppo_update(one, *before, batch, KEY, given)
        return params["policy"]["actor"]["bias"] - start.params["policy"]["actor"]["bias"], opt_state.count

    assert not np.any(moved(jnp.zeros((T, E)))[0])
    for number in range(E):
        change, steps = moved(jnp.zeros((T, E)).at[:, number].set(1.0))
        assert np.all(change) and steps == 2 * E
    with pytest.raises(ValueError, match="found 3 environments, wanted a multiple of minibatches=2"):
        odd = one._replace(choices=Choices(algorithm="ppo", minibatches=2))
        update(odd, started(one), KEY, {})


# ---- episodes


def test_returns_of_games_are_kept_in_the_order_in_which_they_end():
    episodes, kept, running = no_episodes(4, 3), [], np.zeros(4)
    rng = np.random.default_rng(0)
    push = jax.jit(record)
    for _ in range(12):
        rewards, over = rng.normal(size=4), rng.random(4) < 0.45
        episodes = push(episodes, rewards, over)
        running = running + rewards
        kept += [running[e] for e in range(4) if over[e]]
        running = np.where(over, 0, running)
        assert episodes.count == len(kept) and episodes.filled().sum() == min(len(kept), 3)
        found = np.asarray(episodes.recent)[np.asarray(episodes.filled())]
        np.testing.assert_allclose(np.sort(found), np.sort(kept[-3:]), rtol=1e-12)
    np.testing.assert_allclose(episodes.closed, sum(kept), rtol=1e-10)
    np.testing.assert_allclose(episodes.running, running, rtol=1e-10)


# ---- refusals


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: Choices(rollout_length=0), "rollout_length=0"),
        (lambda: Choices(algorithm="a3c"), "algorithm"),
        (lambda: Choices(critics=3), "critics=3"),
        (lambda: Choices(critics=True), "critics=True"),
        (lambda: Choices(returns="released"), "truncation='ends'"),
        (lambda: check_settings(discount=1.5), "discount=1.5"),
        (lambda: check_settings(learning_rate=-1.0), "learning_rate"),
        (lambda: check_settings(lambda_=1.0), "setting"),
    ],
)
def test_choices_and_numbers_are_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()
