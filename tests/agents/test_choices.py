"""Every choice of an update: switched on it changes what it must, and nothing to the bit where it cannot matter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.agents import Agent, Choices, Learned, curiosity_module, icm_bonus, policy_network, update
from identax.agents.descent import adam_start
from identax.agents.rollout import begin
from identax.dgp.environments import side_by_side
from identax.models import flat_encoder
from identax.rng import stream
from tests.agents.worlds import corridor

E, LENGTH, LIMIT, A = 3, 13, 7, 2
ENCODER = flat_encoder((5,))
LINE = side_by_side(corridor(LENGTH, LIMIT), E)
KEY = jax.random.key(3)
SETTINGS = {"bonus_weight": 0.0, "curiosity_weight": 1.0, "entropy_weight": 0.02, "max_norm": 0.5, "value_weight": 0.5}
BASE = {"truncation": "ends", "clipping": "separate"}
PPO, RAW = {"algorithm": "ppo", "epochs": 1, "minibatches": 1}, {"normalize_advantages": False}
ENDS = {"at": [1, LENGTH - 2, LENGTH // 2], "time": [0, 0, LIMIT - 2]}
"""one environment beside each end of the corridor, one two steps before its time is over"""
NO_ENDS = {"at": [LENGTH // 2] * E, "time": [0] * E}
"""five steps from here lead to no end, and to no reward"""
pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def agent(*, memory="none", **choices):
    """With the published curiosity module, which under a shared encoder sees that one's five features."""
    network = policy_network(A, ENCODER, memory=memory, units=4, num_values=choices.get("critics", 1))
    bonus = icm_bonus(curiosity_module(A, ENCODER), objective="published")
    return Agent(LINE, network, bonus, Choices(**(BASE | choices)))


@functools.cache
def started(memory, shared):
    """Parameters drawn on the host: any will do, and orthogonal ones cost as much as two updates to compile."""
    one, example = agent(memory=memory), jnp.zeros((E, LENGTH))

    def init():
        curiosity, _ = one.bonus.init(stream(KEY, "curiosity"), jnp.zeros((E, 5)) if shared else example)
        return {"policy": one.network.init(stream(KEY, "policy"), example), "curiosity": curiosity}

    def drawn(part):  # each by itself: the policy is the same whatever shapes curiosity has
        rng = np.random.default_rng(0)
        return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) / leaf.shape[0] ** 0.5, part)

    return {name: drawn(part) for name, part in jax.eval_shape(init).items()}


@functools.partial(jax.jit, static_argnums=0)
def updated(one, start, at, time, settings):
    """All of an update in one program: what is done before it, op by op, would be compiled op by op."""
    world = begin(one.environment, one.network, start["policy"], KEY, 3)
    world = world._replace(states=world.states._replace(at=at, time=time), observations=jax.nn.one_hot(at, LENGTH))
    learned, _ = update(one, Learned(start, adam_start(start), world, ()), KEY, settings)
    return learned.params, learned.world.carry


def after(options, places=ENDS, still=(), **given):
    """Policy without its critics, curiosity and memory after an update from one start; `still`: weights that are 0."""
    one = agent(**options)
    start = dict(started(options.get("memory", "none"), one.choices.shared_encoder))
    policy = start["policy"] | {name: jax.tree.map(np.zeros_like, start["policy"][name]) for name in still}
    if one.choices.critics == 2:  # the second one knows nothing yet
        policy["critic"] = jax.tree.map(lambda leaf: np.concatenate([leaf, 0 * leaf], axis=-1), policy["critic"])
    start["policy"] = policy
    at, time = (np.asarray(places[name], np.int32) for name in ("at", "time"))
    params, memory = updated(one, start, at, time, SETTINGS | given)
    policy = {name: part for name, part in params["policy"].items() if name != "critic"}
    return {"policy": policy, "curiosity": params["curiosity"], "memory": memory}


def differing(pair, same, names):
    return {
        name for name in names
        if not all(map(same, *(jax.tree.leaves(found[name]) for found in pair)))
    }  # fmt: skip


LSTM, SHARED = {"memory": "lstm"}, {"shared_encoder": True}
CASES = {  # what is switched on, over what, what it changes, where, and where it cannot matter
    "returns": ({"returns": "released"}, {}, {"policy"}, {}, {"places": NO_ENDS}),
    "truncation": ({"truncation": "bootstraps"}, {}, {"policy"}, {}, {"places": NO_ENDS}),
    "pairs": ({"pairs": "straddling"}, {}, {"curiosity"}, {}, {"places": NO_ENDS}),
    "reward": ({"reward": "sign"}, {}, {"policy"}, {}, {"places": NO_ENDS}),
    "critics": ({"critics": 2}, {}, {"policy"}, {"bonus_weight": 0.5}, {"value_weight": 0.0}),
    "advantages": (PPO, PPO | RAW, {"policy"}, {}, {"places": NO_ENDS, "still": ("critic",)}),
    "entropy": ({"entropy": "mean"}, {}, {"policy"}, {}, {"entropy_weight": 0.0}),
    "clipping": ({"clipping": "joint"}, {}, {"policy", "curiosity"}, {}, {"max_norm": 1e9}),
    "shared": (SHARED, {}, {"policy"}, {}, {"curiosity_weight": 0.0}),
    "double": (LSTM | {"double_step": False}, LSTM, {"memory"}, {}, {"still": ("lstm",)}),
}
_SLOW = ("entropy", "clipping", "shared", "double")


@pytest.mark.parametrize("case", [pytest.param(one, marks=[pytest.mark.slow] * (one in _SLOW)) for one in CASES])
def test_a_choice_changes_what_it_must_and_nothing_where_it_cannot_matter(case):
    on, off, changed, matters, idle = CASES[case]
    names = {"policy", "curiosity", "memory"} - ({"curiosity"} if case == "shared" else set())  # of other shapes there
    assert differing([after(one, **matters) for one in (on, off)], np.array_equal, names) == changed
    pair = [after(one, **idle) for one in (on, off)]
    rounded = {"pairs": {"curiosity"}, "critics": {"policy"}}.get(case, set())  # the same sums in another order
    assert not differing(pair, np.array_equal, names - rounded)
    assert not differing(pair, functools.partial(np.allclose, rtol=1e-9, atol=1e-12), rounded)
