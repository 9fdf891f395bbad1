"""Perturbations behind an update: which leaves, when, to the last bit or not, and what the optimiser remembers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.models import gru, lstm
from identax.rng import step_key, stream
from identax.study import State, Trials, gradient_study
from identax.transforms import (
    after_update,
    as_event,
    average_descent,
    dash,
    forget,
    reinitialise_weights,
    reset_weights,
    scale_by_entrywise_adam,
    select,
    selective_reinitialisation,
    shrink_and_perturb,
    shuffle_weights,
    with_perturbation,
)
from identax.transforms.perturbation import Acting, leafwise, perturbation
from tests.eager import compilations

KEY = jax.random.key(7)


def numpy(tree):
    """Arrays as NumPy's, of which indexing compiles nothing; keys stay."""
    return jax.tree.map(
        lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf), tree
    )


def plus(amount=1.0, **options):
    """Adds a number, or what a schedule says, to every entry: compiles at once."""
    return perturbation(Acting(leafwise(lambda key, leaf, count: leaf + at(amount, count))), **options)


def at(amount, count):
    return amount(count) if callable(amount) else amount


def matrices(*shapes, names="abcd"):
    return {
        n: jax.random.normal(jax.random.fold_in(KEY, i), s) for i, (n, s) in enumerate(zip(names, shapes, strict=False))
    }


@functools.cache
def recurrent_params():
    example = jnp.ones((1, 2, 5))
    return {
        "encoder": {"Dense_0": {"kernel": jnp.ones((5, 5)), "bias": jnp.ones(5)}},
        "first": jax.eval_shape(lstm(4).init, KEY, example)["params"],
        "second": jax.eval_shape(gru(4).init, KEY, example)["params"],
    }


def chosen(*arguments, **options):
    mask = select(*arguments, **options)(recurrent_params())
    found = jax.tree_util.tree_leaves_with_path(mask)
    return {jax.tree_util.keystr(path, simple=True, separator="/") for path, flag in found if flag}


@pytest.mark.parametrize(
    ("pattern", "gate", "wanted"),
    [
        ("Dense_0", None, {"encoder/Dense_0/kernel", "encoder/Dense_0/bias"}),
        ("encoder.*kernel$", None, {"encoder/Dense_0/kernel"}),
        ("kernel", "forget", {"first/cell/if/kernel", "first/cell/hf/kernel"}),
        ("cell/h", "cell", {"first/cell/hg/kernel", "first/cell/hg/bias"}),
        ("kernel", "input", {"first/cell/ii/kernel", "first/cell/hi/kernel"}),
        ("kernel", "update", {"second/cell/iz/kernel", "second/cell/hz/kernel"}),
        ("kernel", "new", {"second/cell/in/kernel", "second/cell/hn/kernel"}),
    ],
)
def test_leaves_are_chosen_by_path_and_gate(pattern, gate, wanted):
    assert chosen(pattern, gate=gate) == wanted


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: chosen("conv"), r"no leaf whose path holds 'conv', wanted one of \['encoder/Dense_0/bias', "),
        (lambda: chosen("Dense_0", gate="forget"), r"no forget gate among the leaves of 'Dense_0': \{'encoder"),
        (lambda: chosen("first", gate="reset"), "no reset gate among"),
        (lambda: select(gate="forgot"), r"found gate='forgot', wanted one of \['input', 'forget'"),
        (lambda: select("("), r"found pattern='\(', wanted a regular expression"),
        (lambda: shuffle_weights(2.0, 0.5), "shuffle_weights: found p=2.0"),
        (lambda: reinitialise_weights(0.5, 0.0), "reinitialise_weights: found c=0.0"),
        (lambda: shuffle_weights(0.5, 0.5, every=0), "found every=0"),
        (lambda: shuffle_weights(0.5, 0.5, mode="intended"), "found mode='intended'"),
        (lambda: reset_weights(-1.0, every=1), "reset_weights: found p=-1.0"),
        (lambda: shrink_and_perturb(1.1, 0.0), "found shrink=1.1"),
        (lambda: shrink_and_perturb(1.0, -0.1), "found sigma=-0.1"),
        (lambda: dash(2.0), "found floor=2.0"),
        (lambda: selective_reinitialisation(0.1, every=1, utility="size"), "found utility='size'"),
        (lambda: selective_reinitialisation(0.1, every=1, decay=1.0), "found decay=1.0"),
        (lambda: with_perturbation(optax.sgd(1.0), dash(), moments="reset"), "found moments='reset'"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_an_update_lacks_is_refused():
    params = {"a": jnp.ones((2, 2))}
    for made, words in (
        (after_update(shuffle_weights(0.5, 1.0, on=None)), "after_update: found params=None"),
        (with_perturbation(optax.sgd(1.0), shuffle_weights(0.5, 1.0, on=None)), "with_perturbation: found params=None"),
    ):
        with pytest.raises(ValueError, match=words):
            made.update(params, made.init(params))
    for made, words in (
        (after_update(dash()), r"found direction without \['a'\], wanted update\(..., direction=tree"),
        (after_update(selective_reinitialisation(0.1, every=1)), r"found grad without \['a'\]"),
        (after_update(shuffle_weights(0.5, 1.0, on=[True, False])), "a mask of 2 leaves, wanted 1"),
    ):
        with pytest.raises(ValueError, match=words):
            made.update(params, made.init(params), params)
    memory = optax.scale_by_lbfgs()
    with pytest.raises(ValueError, match=r"forget: found a state of shape \(10, 2, 2\) of \(2, 2\) parameters"):
        forget(memory, memory.init(params), {"a": jnp.ones((2, 2), bool)})


def test_windows_that_never_act_are_said():
    params = {"conv": {"kernel": jnp.ones((5, 5, 3, 6))}, "dense": {"kernel": jnp.ones((10, 10))}}
    with pytest.warns(UserWarning, match=r"shuffle_weights: never changes conv/kernel: windows of c=0.1 of 25 weights"):
        shuffle_weights(0.3, 0.1).init(params)
    shuffle_weights(0.3, 0.1, on=select("dense")).init(params)


def test_exact_form_keeps_the_values_and_the_update_form_rounds():
    """Shuffled for 30 updates. In place every value is kept; through updates many lose their last digit, no more."""
    params = matrices((30, 20))
    operator = shuffle_weights(1.0, 0.5, on=None)
    exact, state = params, operator.init(params)
    rounded, optimizer = params, after_update(operator)
    opt_state, nothing = optimizer.init(params), jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def step(exact, state, rounded, opt_state):
        exact, state, _ = operator.apply(exact, state)
        updates, opt_state = optimizer.update(nothing, opt_state, rounded)
        return exact, state, optax.apply_updates(rounded, updates), opt_state

    for _ in range(30):
        exact, state, rounded, opt_state = step(exact, state, rounded, opt_state)
    before, exact, rounded = (np.asarray(tree["a"]) for tree in (params, exact, rounded))
    assert (exact != before).mean() > 0.9
    np.testing.assert_array_equal(np.sort(exact, axis=None), np.sort(before, axis=None))
    assert (np.sort(rounded, axis=None) != np.sort(before, axis=None)).mean() > 0.2
    np.testing.assert_allclose(rounded, exact, atol=30 * np.finfo(np.float32).eps * np.abs(before).max())


def test_off_leaves_the_optimiser_alone():
    """Nothing added, or leaves that are not chosen: Adam's updates to the last bit, and its state."""
    params = matrices((6, 5), (5, 4))
    made = with_perturbation(optax.adam(0.1), plus(0.0, on={"a": False, "b": True}), moments="zero")
    both = with_perturbation(made, plus(5.0, on={"a": False, "b": False}))
    bare = optax.adam(0.1)
    wanted, held = jax.jit(bare.update)(params, bare.init(params), params)
    found, ((own, _), _) = jax.jit(both.update)(params, both.init(params), params)
    for name in params:
        np.testing.assert_array_equal(found[name], wanted[name])
        np.testing.assert_array_equal(own[0].mu[name], held[0].mu[name])


def test_when_and_how_strongly():
    """Every third update, by a schedule: nothing up to update 3, 1 from then on."""
    params = {"a": jnp.zeros(2)}
    operator = plus(lambda count: jnp.where(count < 4, 0.0, 1.0), every=3)
    apply, state, acted = jax.jit(operator.apply), operator.init(params), []
    for _ in range(9):
        new, state, replaced = apply(params, state)
        np.testing.assert_array_equal(new["a"], replaced["a"].astype(float))
        acted.append(float(new["a"][0]))
    assert acted == [0, 0, 0, 0, 0, 1, 0, 0, 1] and state.count == 9


def test_windows_act_when_they_should_and_leaves_of_one_shape_differ():
    """`every` and a schedule of p for what acts in place; two equal leaves do not get the same window."""
    leaf = jnp.arange(1.0, 301)
    params = {"a": leaf, "b": leaf}
    operator = reinitialise_weights(lambda count: jnp.where(count < 3, 0.0, 1.0), 0.9, every=2, on=None)
    apply, state, acted = jax.jit(operator.apply), operator.init(params), []
    for _ in range(6):
        new, state, replaced = numpy(apply(params, state))
        acted.append(bool((new["a"] != leaf).any()))
        np.testing.assert_array_equal(replaced["a"], new["a"] != leaf)
    assert acted == [False, False, False, True, False, True]
    assert (replaced["a"] != replaced["b"]).any()


def test_averages_are_forgotten_too():
    """As `forget` says: an average of parameters belongs outside of what it clears."""
    params = {"a": jnp.ones(2)}
    average = optax.ema(0.5, debias=False)
    _, state = average.update(params, average.init(params))
    held = forget(average, state, {"a": jnp.array([True, False])})
    np.testing.assert_array_equal(held.ema["a"], [0.0, 0.5])


def test_masks_and_labels_of_optax():
    params = {"a": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "b": {"kernel": jnp.ones((3, 2))}}
    labels = {"a": {"kernel": "more", "bias": "keep"}, "b": {"kernel": "more"}}
    more = after_update(plus())
    for made in (
        optax.chain(optax.sgd(0.5), optax.masked(more, select("kernel"))),
        optax.chain(optax.sgd(0.5), optax.multi_transform({"more": more, "keep": optax.identity()}, labels)),
        optax.chain(optax.sgd(0.5), after_update(plus(on=select("kernel")))),
    ):
        updates, _ = jax.jit(made.update)(params, made.init(params), params)
        np.testing.assert_array_equal(updates["a"]["kernel"], 0.5)
        np.testing.assert_array_equal(updates["b"]["kernel"], 0.5)
        np.testing.assert_array_equal(updates["a"]["bias"], -0.5)
    inner = optax.masked(optax.adam(0.1), select("kernel"))
    made = with_perturbation(inner, plus(on=select("b")), moments="zero")
    _, (held, _) = jax.jit(made.update)(params, made.init(params), params)
    mu = optax.tree.get(held, "mu")
    assert (mu["a"]["kernel"] > 0).all() and not mu["b"]["kernel"].any()


def first_step(optimizer, memory):
    """Length of the step of an entry that was replaced after 200 updates, and of the first one of all."""
    params = {"a": jnp.zeros(2)}
    update, state, grad = jax.jit(optimizer.update), optimizer.init(params), {"a": jnp.ones(2)}
    steps = []
    for number in range(201):
        updates, state = update(grad, state)
        steps.append(np.abs(updates["a"]))
        if number == 199:
            state = forget(optimizer, state, {"a": jnp.array([True, False])}) if memory == "zero" else state
    return steps[-1] / steps[0]


def test_moments_of_replaced_entries():
    """Adam's one count makes the first step (1 - b1)/sqrt(1 - b2) times too large, a count per entry does not."""
    np.testing.assert_allclose(first_step(optax.scale_by_adam(), "keep"), [1, 1], rtol=1e-4)
    # (1 - b1^t) is 1 by update 201, 1 - b2^t is not yet
    wanted = 0.1 / math.sqrt(0.001 / (1 - 0.999**201))
    np.testing.assert_allclose(first_step(optax.scale_by_adam(), "zero"), [wanted, 1], rtol=1e-3)
    assert 0.1 / math.sqrt(0.001) == pytest.approx(3.16, abs=0.01)
    np.testing.assert_allclose(first_step(scale_by_entrywise_adam(), "zero"), [1, 1], rtol=1e-4)
    np.testing.assert_allclose(first_step(optax.trace(0.5), "zero"), [1, 2], rtol=1e-4)


def test_entrywise_adam_is_adam():
    params = matrices((3, 4))
    ours, theirs = scale_by_entrywise_adam(), optax.scale_by_adam()
    states, updates = [made.init(params) for made in (ours, theirs)], [jax.jit(ours.update), jax.jit(theirs.update)]
    for number in range(5):
        grad = {"a": np.random.default_rng(number).normal(size=(3, 4)).astype(np.float32)}
        (found, states[0]), (wanted, states[1]) = (u(grad, s) for u, s in zip(updates, states, strict=True))
        np.testing.assert_allclose(found["a"], wanted["a"], rtol=1e-5)


def test_a_study_gives_every_trial_its_own_numbers_and_compiles_a_sweep_once():
    """`gradient_study`'s stream, named; over p in one program, p = 0 being plain descent."""
    trials, start = Trials.grid(2, p=[0.0, 0.7]), {"w": jnp.full((6, 5), 3.0)}
    plain = optax.sgd(0.1)

    def perturbed(hparams):
        return with_perturbation(plain, reinitialise_weights(hparams["p"], 0.9, on=None))

    study = gradient_study(
        init=lambda key, hparams: (None, start, None),
        sample=lambda state, key: jnp.ones(1),
        loss=lambda params, state, batch, key: ((params["w"] ** 2).sum() * batch, (None, {})),
        optimizer=perturbed,
        evaluate=lambda state, key: {},
    )

    @jax.jit
    @jax.vmap
    def train(key, hparams):
        def step(state, _):
            state = study.step(state, None)[0]
            return state, state.params["w"]

        return jax.lax.scan(step, study.init(key, hparams), None, length=2)[1]

    found = np.asarray(train(trials.keys, trials.hparams))
    np.testing.assert_allclose(found[:2, 1], 3 * 0.8**2, rtol=1e-6)
    assert not np.array_equal(found[2, 0], found[3, 0]) and len(np.unique(found[2:, 0])) > 4
    # One step by hand, with the key that the study names.
    operator, key = reinitialise_weights(0.7, 0.9, on=None), stream(step_key(trials.keys[3], 0), "optimizer")
    by_hand, _, _ = operator.apply({"w": 0.8 * start["w"]}, operator.init(start), key=key)
    np.testing.assert_allclose(found[3, 0], by_hand["w"], atol=1e-6)


def test_loops_outside_jit_compile_once_and_every_leaf_has_its_own_numbers():
    params = matrices((6, 5), (6, 5))
    operator = reset_weights(1.0, every=2)
    state = operator.init(params)
    params, state, _ = operator.apply(params, state)
    with compilations() as found:
        for _ in range(3):
            params, state, _ = operator.apply(params, state)
    assert not found
    assert not np.isin(params["a"], params["b"]).any()


def test_shrink_and_perturb_moments():
    params = {"a": jnp.full((200, 200), 2.0), "b": jnp.full(200, 2.0)}
    operator = shrink_and_perturb(0.3, 0.01)
    new, _, replaced = operator.apply(params, operator.init(params))
    values = np.asarray(new["a"])
    assert abs(values.mean() - 0.6) < 3 * 0.01 / 200 and abs(values.std() - 0.01) < 3 * 0.01 / math.sqrt(2 * 200**2)
    assert abs(new["b"].mean() - 0.6) < 0.003 and not replaced["a"].any()


def test_reset_draws_a_share_from_the_initialiser():
    params = {"kernel": np.full((2, 50, 60), 9, np.float32), "bias": np.full(300, 9, np.float32)}
    operator = reset_weights(0.3, every=1)
    new, _, replaced = numpy(operator.apply(params, operator.init(params)))
    for name, bound in (("kernel", math.sqrt(6 / (2 * 50 + 2 * 60))), ("bias", math.sqrt(3 / 300))):
        share, drawn = float(replaced[name].mean()), new[name][replaced[name]]
        assert abs(share - 0.3) < 3 * math.sqrt(0.21 / params[name].size)
        assert 0.9 * bound < np.abs(drawn).max() <= bound
        np.testing.assert_array_equal(np.asarray(new[name]) != 9.0, replaced[name])


def test_selective_reinitialisation():
    """A unit without gradient loses all its weights; shares are exact; the smallest entries go."""
    params = {"a": {"kernel": matrices((50, 20))["a"]}, "norm": {"scale": np.full(20, 5, np.float32)}}
    grad = jax.tree.map(np.ones_like, params)
    grad["a"]["kernel"][:, 3] = 0
    threshold = selective_reinitialisation(1e-5, every=1)
    new, _, replaced = numpy(threshold.apply(params, threshold.init(params), grad=grad))
    assert replaced["a"]["kernel"][:, 3].all() and replaced["a"]["kernel"].sum() < 55
    assert abs(float(new["a"]["kernel"][:, 3].std()) - math.sqrt(2 / 50)) < 3 * math.sqrt(2 / 50) / 10
    smallest = selective_reinitialisation(
        0.05, every=2, utility="magnitude", pruning="proportional", renewal="mean", decay=0.5
    )
    _, state, none = numpy(smallest.apply(params, smallest.init(params)))
    np.testing.assert_array_equal(state.memory["a/kernel"], 0.5 * np.abs(params["a"]["kernel"]))
    new, state, replaced = numpy(smallest.apply(params, state))
    size = np.abs(np.asarray(params["a"]["kernel"]))
    assert not none["a"]["kernel"].any()
    np.testing.assert_array_equal(replaced["a"]["kernel"], size <= np.sort(size, axis=None)[49])
    assert not new["a"]["kernel"][replaced["a"]["kernel"]].any()
    assert replaced["norm"]["scale"].sum() == 1 and sorted(np.asarray(new["norm"]["scale"]))[0] == 1.0
    assert not state.memory["a/kernel"].any()  # used up


def test_dash_shrinks_by_the_cosine():
    params, grad = (
        {"dense": r.normal(size=(7, 4)), "conv": r.normal(size=(3, 3, 2, 5)), "bias": r.normal(size=4)}
        for r in (np.random.default_rng(0), np.random.default_rng(1))
    )
    zeros = jax.tree.map(np.zeros_like, params)
    direction = average_descent(average_descent(zeros, grad), jax.tree.map(lambda g: 2 * g, grad))
    np.testing.assert_allclose(direction["bias"], -(0.7 * 0.3 + 0.6) * grad["bias"])
    params, direction = (jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), t) for t in (params, direction))
    operator = dash(0.3)
    new, _, _ = operator.apply(params, operator.init(params), direction=direction)

    def factor(w, g):
        return np.clip((w * g).sum() / np.sqrt((w * w).sum() * (g * g).sum()), 0.3, 1)

    w, g = (jax.tree.map(np.asarray, tree) for tree in (params, direction))
    wanted = {"bias": w["bias"] * factor(w["bias"], g["bias"])}
    wanted["dense"] = w["dense"] * [factor(w["dense"][:, k], g["dense"][:, k]) for k in range(4)]
    wanted["conv"] = w["conv"] * [
        [factor(w["conv"][..., i, o], g["conv"][..., i, o]) for o in range(5)] for i in (0, 1)
    ]
    assert len(np.unique((wanted["conv"] / w["conv"])[0, 0].round(4))) > 2
    for name, value in wanted.items():
        np.testing.assert_allclose(new[name], value, rtol=1e-5)
    still, _, _ = operator.apply(params, operator.init(params), direction=jax.tree.map(jnp.zeros_like, params))
    np.testing.assert_allclose(still["bias"], 0.3 * params["bias"], rtol=1e-6)


def test_restarts_are_events_of_a_study():
    params = {"w": jnp.arange(1.0, 7.0).reshape(2, 3)}
    state = State(jnp.zeros((), jnp.int32), KEY, None, params, None, optax.sgd(0.1, momentum=0.9).init(params))
    halved, still, noisy = (
        as_event(shrink_and_perturb(*strength))(state, KEY) for strength in ((0.5, 0.0), (1.0, 0.0), (1.0, 0.1))
    )
    np.testing.assert_array_equal(halved.params["w"], params["w"] / 2)
    np.testing.assert_array_equal(still.params["w"], params["w"])
    again = as_event(shrink_and_perturb(1.0, 0.1))(state, jax.random.key(1))
    assert (noisy.params["w"] != params["w"]).all() and (again.params["w"] != noisy.params["w"]).all()
    assert jax.tree.structure(noisy.opt_state) == jax.tree.structure(state.opt_state) and noisy.step == state.step
    opposite = as_event(dash(0.3), lambda state, key: {"direction": jax.tree.map(jnp.negative, state.params)})
    np.testing.assert_allclose(opposite(state, KEY).params["w"], 0.3 * params["w"], rtol=1e-6)
