"""What a loss hands its optimiser: activations reach the operators on units, against NumPy on the same batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.rng import step_key, stream
from identax.study import gradient_study
from identax.transforms import after_update, hidden_layers, redo

UNITS, TAU = 6, 0.5
LAYERS = hidden_layers("first", "second")
KEY = jax.random.key(3)


def start(key):
    first, second = (
        jax.random.normal(stream(key, name), shape) for name, shape in (("w", (4, UNITS)), ("v", (UNITS, 1)))
    )
    # Units 1 and 4 rarely fire.
    bias = jnp.zeros(UNITS).at[jnp.array([1, 4])].set(-2.5)
    return {"first": {"kernel": first, "bias": bias}, "second": {"kernel": second, "bias": jnp.zeros(1)}}


def draw(key):
    return jax.random.normal(key, (32, 4))


def hidden(params, x):
    return jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"][None])


def study(optimizer, context=("activations",), given=lambda h: ({"activations": {"first": h}},)):
    def loss(params, state, batch, key):
        h = hidden(params, batch)
        out = h @ params["second"]["kernel"] + params["second"]["bias"][None]
        return (out[:, 0] - batch[:, 0]) ** 2, (None, {}, *given(h))

    return gradient_study(
        init=lambda key, hparams: (None, start(key), None),
        sample=lambda state, key: draw(key),
        loss=loss,
        optimizer=lambda hparams: optimizer,
        evaluate=lambda state, key: {},
        context=context,
    )


def recycling(tau=TAU, rate=0.01):
    return optax.chain(optax.sgd(rate), after_update(redo(LAYERS, tau=tau, every=1)))


def nothing(h):
    return ()


@pytest.mark.parametrize("tau", [TAU, pytest.param(0.0, marks=pytest.mark.slow)])
def test_the_units_recycled_are_those_dormant_on_the_batch(tau):
    made = study(recycling(tau, rate=0.0))  # without descent nothing else moves
    state = made.init(KEY, {})
    before, after = state.params, jax.jit(made.step)(state, None)[0].params
    h = np.asarray(hidden(before, draw(stream(step_key(KEY, 0), "data"))))
    dormant = np.abs(h).mean(axis=0) / np.abs(h).mean() <= tau
    assert dormant.sum() == (2 if tau else 0)
    moved = np.asarray(after["first"]["kernel"] != before["first"]["kernel"])
    np.testing.assert_array_equal(moved, np.broadcast_to(dormant, moved.shape))
    np.testing.assert_array_equal(np.asarray(after["second"]["kernel"])[:, 0] == 0, dormant)
    np.testing.assert_array_equal(after["second"]["kernel"][~dormant], before["second"]["kernel"][~dormant])


def test_without_activations_the_operator_says_what_it_misses():
    made = study(recycling(), (), nothing)
    with pytest.raises(ValueError, match="redo: found activations of None, wanted update"):
        jax.eval_shape(lambda key: made.step(made.init(key, {}), None), KEY)


def asking(seen):
    def update(updates, state, params=None, *, activations):
        seen.append(activations)
        return updates, state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)  # pyright: ignore[reportArgumentType]


def test_an_update_that_requires_them_is_refused_by_name_where_there_are_none():
    seen = []
    with pytest.raises(ValueError, match=r"update requires \['activations'\], wanted any of \('value'"):
        study(asking(seen), (), nothing).init(KEY, {})
    made = study(asking(seen))
    jax.eval_shape(lambda key: made.step(made.init(key, {}), None), KEY)
    assert [found["first"].shape for found in seen] == [(32, UNITS)]


def test_the_forward_pass_is_not_repeated():
    def products(made):
        return str(jax.make_jaxpr(lambda key: made.step(made.init(key, {}), None))(KEY)).count("dot_general")

    assert products(study(recycling())) == products(study(optax.sgd(0.01), (), nothing)) > 0


@pytest.mark.slow
def test_line_searches_are_not_disturbed():
    with_context, without = study(optax.lbfgs(memory_size=2)), study(optax.lbfgs(memory_size=2), (), nothing)
    found = [
        jax.jit(lambda key, made=made: made.step(made.init(key, {}), None)[0].params)(KEY)
        for made in (with_context, without)
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize(
    ("context", "given", "wanted"),
    [
        (("activations",), nothing, r"gives its optimizer \[\], wanted context=\('activations',\)"),
        ((), lambda h: ({"activations": h},), r"gives its optimizer \['activations'\], wanted context=\(\)"),
        (("activations",), lambda h: ({"activation": h},), r"\['activation'\], wanted"),
        (("activations",), lambda h: ({"activations": h}, 1), "4 parts, wanted"),
        (("activations",), lambda h: (h,), "3 parts, wanted"),
        ("activations", nothing, "context='activations', wanted a tuple of names"),
        (("key",), nothing, r"context=\('key',\), wanted a tuple of names, none of"),
    ],
)
def test_what_does_not_fit_is_refused(context, given, wanted):
    with pytest.raises(ValueError, match=wanted):
        made = study(optax.sgd(0.01), context, given)
        jax.eval_shape(lambda key: made.step(made.init(key, {}), None), KEY)
