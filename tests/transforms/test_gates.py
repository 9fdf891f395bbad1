"""Perturbations of one gate of an LSTM whose leaves hold four: that slice changes, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.models import GATES, lstm_network
from identax.rng import step_key, stream
from identax.transforms import (
    dash,
    reinitialise_weights,
    select,
    selective_reinitialisation,
    shrink_and_perturb,
    shuffle,
    shuffle_weights,
    with_perturbation,
)
from identax.transforms.selection import Gates


def shapes():
    return jax.eval_shape(lstm_network((4, 3), outputs=2).init, jax.random.key(0), jnp.ones((1, 2, 5)))["params"]


def parameters():
    """Distinct numbers in the leaves of a network of two LSTMs and a linear map."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes())


def gate_of(leaf, gate):
    size = leaf.shape[-1] // 4
    return leaf[..., GATES.index(gate) * size : (GATES.index(gate) + 1) * size]


def ever_changed(operator, steps=400):
    """By leaf: the entries that some of `steps` calls changed, the parameters at the end and at the start."""
    before = parameters()

    @jax.jit
    def run(state):
        def call(held, _):
            params, state, changed = held
            params, state, _ = operator.apply(params, state)
            return (params, state, jax.tree.map(lambda c, new, old: c | (new != old), changed, params, before)), None

        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), before)
        params, _, changed = jax.lax.scan(call, (before, state, nothing), length=steps)[0]
        return changed, params

    return *jax.tree.map(np.asarray, run(operator.init(before))), before


@pytest.mark.parametrize(("make", "gate"), [(reinitialise_weights, "output"), (shuffle_weights, "input")])
def test_only_the_gate_changes_and_all_its_units_do(make, gate):
    changed, _, _ = ever_changed(make(1.0, 0.9, on=select("lstm1.*kernel", gate=gate)))
    for name, flags in changed["lstm1"].items():
        wanted = np.zeros_like(flags)
        if name.endswith("kernel"):
            gate_of(wanted, gate)[...] = True
        np.testing.assert_array_equal(flags, wanted, err_msg=name)
    assert not any(flags.any() for flags in jax.tree.leaves({**changed, "lstm1": {}}))


@pytest.mark.parametrize("make", [pytest.param(reinitialise_weights, marks=pytest.mark.slow), shuffle_weights])
def test_released_changes_every_gate_but_its_last_unit(make):
    on = select("lstm2/hh_kernel", gate="each")
    changed, params, before = ever_changed(make(1.0, 0.9, mode="released", skip_last=True, on=on))
    found = changed["lstm2"]["hh_kernel"]
    wanted = np.broadcast_to(np.arange(12) % 3 != 2, found.shape).copy()
    if make is shuffle_weights:  # out[0] = x[0], and no window reaches back to the first weight
        wanted[0, ::3] = False
        for gate in GATES:  # windows end with the gate: no value of another one's
            now, then = (gate_of(tree["lstm2"]["hh_kernel"], gate) for tree in (params, before))
            assert np.isin(now, then).all()
    np.testing.assert_array_equal(found, wanted)
    assert sum(flags.sum() for flags in jax.tree.leaves(changed)) == wanted.sum()


def test_a_slice_is_a_leaf_of_its_own():
    """What `shuffle` does to it with the key of its name."""
    params, on = parameters(), select("lstm2/hh_kernel", gate="cell")
    operator = shuffle_weights(1.0, 0.9, key=3, on=on)
    new, _, replaced = operator.apply(params, operator.init(params))
    key = stream(step_key(jax.random.key(3), 0), "lstm2/hh_kernel:cell")
    wanted = shuffle(key, gate_of(params["lstm2"]["hh_kernel"], "cell"), 1.0, 0.9, max_c=0.9)
    np.testing.assert_array_equal(gate_of(new["lstm2"]["hh_kernel"], "cell"), wanted)
    np.testing.assert_array_equal(
        replaced["lstm2"]["hh_kernel"], new["lstm2"]["hh_kernel"] != params["lstm2"]["hh_kernel"]
    )


@pytest.mark.slow
def test_without_a_gate_all_four_are_one_matrix():
    _, params, before = ever_changed(shuffle_weights(1.0, 1.0, on=select("lstm2/hh_kernel")))
    found, held = params["lstm2"]["hh_kernel"], before["lstm2"]["hh_kernel"]
    np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(held, axis=None))
    assert not np.isin(gate_of(found, "cell"), gate_of(held, "cell")).all()


def test_moments_are_forgotten_in_the_slice_alone():
    params = parameters()
    act = reinitialise_weights(1.0, 1.0, on=select("lstm1/ih_kernel", gate="forget"))
    made = with_perturbation(optax.trace(0.9), act, moments="zero")
    _, (held, _) = jax.jit(made.update)(params, made.init(params), params)
    zeroed = np.asarray(held.trace["lstm1"]["ih_kernel"]) == 0
    assert gate_of(zeroed, "forget").any() and zeroed.sum() == gate_of(zeroed, "forget").sum()
    assert (held.trace["lstm2"]["ih_kernel"] != 0).all()


@pytest.mark.slow
def test_what_reaches_a_perturbation_is_that_of_the_slice():
    params, on = parameters(), select("lstm1/.*kernel", gate="forget")
    grads = jax.tree.map(lambda leaf: np.where(leaf > 0, 1, 2).astype(np.float32), params)
    # |w g| of the slice alone decides which fifth of it is set to 0; the cosine is that of the slice's columns.
    smallest = selective_reinitialisation(0.2, every=1, pruning="proportional", renewal="mean", on=on)
    new, _, replaced = smallest.apply(params, smallest.init(params), grad=grads)
    w, g = (gate_of(tree["lstm1"]["ih_kernel"], "forget") for tree in (params, grads))
    least = np.abs(w * g) <= np.sort(np.abs(w * g), axis=None)[w.size // 5 - 1]
    np.testing.assert_array_equal(gate_of(new["lstm1"]["ih_kernel"], "forget"), np.where(least, 0, w))
    assert replaced["lstm1"]["ih_kernel"].sum() == w.size // 5
    new, _, _ = dash(0.1, on=on).apply(params, dash(0.1, on=on).init(params), direction=grads)
    cosine = (w * g).sum(0) / np.sqrt((w * w).sum(0) * (g * g).sum(0))
    np.testing.assert_allclose(gate_of(new["lstm1"]["ih_kernel"], "forget"), w * np.clip(cosine, 0.1, 1), rtol=1e-5)
    np.testing.assert_array_equal(
        gate_of(new["lstm1"]["ih_kernel"], "cell"), gate_of(params["lstm1"]["ih_kernel"], "cell")
    )


@pytest.mark.slow
def test_biases_have_gates_too():
    changed, params, before = ever_changed(shrink_and_perturb(0.5, 0.0, on=select("lstm2.*bias", gate="cell")), steps=1)
    for name in ("ih_bias", "hh_bias"):
        np.testing.assert_allclose(gate_of(params["lstm2"][name], "cell"), 0.5 * gate_of(before["lstm2"][name], "cell"))
        assert changed["lstm2"][name].sum() == 3
    assert sum(flags.sum() for flags in jax.tree.leaves(changed)) == 6


def test_the_mask_names_the_slices():
    """In the order of `GATES`, of the leaves that `lstm_network` makes."""
    found = select("lstm1", gate="each")(shapes())
    assert found["fc"] == {"kernel": False, "bias": False} and not any(found["lstm2"].values())
    for name in ("ih_kernel", "hh_kernel", "ih_bias", "hh_bias"):
        assert found["lstm1"][name] == Gates({gate: 4 * i for i, gate in enumerate(GATES)}, 4)
    assert select("ih_kernel", gate="output")(shapes())["lstm2"]["ih_kernel"] == Gates({"output": 9}, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: select("kernel", gate="reset")(parameters()),
            r"no reset gate among the leaves of 'kernel': \{'fc/kernel': None, "
            r"'lstm1/hh_kernel': \['input', 'forget', 'cell', 'output'\]",
        ),
        (lambda: select("fc", gate="each")(parameters()), r"no each gate among .*\{'fc/bias': None, 'fc/kernel': None"),
        (lambda: select("kernel", gate="all"), "found gate='all', wanted one of .*'new', 'each'"),
        (
            lambda: optax.masked(optax.sgd(1.0), select("lstm1", gate="cell")).init(parameters()),
            r"found a leaf that holds the gates \['cell'\] among others, wanted whole leaves",
        ),
        (
            lambda: selective_reinitialisation(0.1, every=1, on=select("lstm1.*kernel", gate="cell")).apply(
                parameters(), selective_reinitialisation(0.1, every=1).init(parameters())
            ),
            r"found grad without \['lstm1/hh_kernel:cell', 'lstm1/ih_kernel:cell'\]",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
