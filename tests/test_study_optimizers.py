"""What an optimiser may ask `gradient_study` for by name, against loops over optax written by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.rng import step_key, stream
from identax.study import Trials, gradient_study

NUM_STEPS = 8
DIM = 3
pytestmark = pytest.mark.usefixtures("x64")


def per_example_loss(params, batch, key):
    """Squared error of a linear map under noise on its inputs, so that the loss key matters to value and gradient."""
    z, y = batch
    return (((z + 0.3 * jax.random.normal(key, z.shape)) @ params["w"].T - y) ** 2).sum(axis=-1)


def start(key):
    truth, guess = (jax.random.normal(stream(key, name), (DIM, DIM)) for name in ("truth", "params"))
    return truth, {"w": guess}


def draw(truth, key):
    z = jax.random.normal(key, (16, DIM))
    return z, z @ truth.T


def study(optimizer, loss=per_example_loss):
    return gradient_study(
        init=lambda key, hparams: (*start(key), None),
        sample=lambda state, key: draw(state.truth, key),
        loss=lambda params, state, batch, key: (loss(params, batch, key), (None, {})),
        optimizer=optimizer,
        evaluate=lambda state, key: {},
    )


TRIALS = Trials.grid(1, learning_rate=[0.02, 0.05])


def trained(optimizer, num_steps=NUM_STEPS, trials=TRIALS, **parts):
    """States of two trials as the runner makes them: a scan over steps, mapped over trials."""
    made = study(optimizer, **parts)

    @jax.jit
    @jax.vmap
    def train(key, hparams):
        def step(state, _):
            state, metrics = made.step(state, None)
            return state, (state.params["w"], metrics["loss"])

        return jax.lax.scan(step, made.init(key, hparams), None, length=num_steps)

    state, (weights, losses) = train(trials.keys, jax.tree.map(lambda leaf: leaf.astype(float), trials.hparams))
    return state, np.asarray(weights), np.asarray(losses)


def by_hand(optimizer, extra, num_steps=NUM_STEPS):
    """Weights after every step and losses [trials, steps], one trial after the other."""

    @jax.jit
    def step(params, opt_state, key, truth, rate):
        batch = draw(truth, stream(key, "data"))

        def mean_loss(params):
            return per_example_loss(params, batch, stream(key, "loss")).mean()

        value, grads = jax.value_and_grad(mean_loss)(params)
        extras = extra(mean_loss, value, grads, key)
        updates, opt_state = optimizer({"learning_rate": rate}).update(grads, opt_state, params, **extras)
        return optax.apply_updates(params, updates), opt_state, value

    weights, losses = np.zeros((len(TRIALS), num_steps, DIM, DIM)), np.zeros((len(TRIALS), num_steps))
    for trial, (key, rate) in enumerate(zip(TRIALS.keys, TRIALS.hparams["learning_rate"], strict=True)):
        truth, params = start(key)
        rate = rate.astype(float)
        opt_state = optimizer({"learning_rate": rate}).init(params)
        for number in range(num_steps):
            params, opt_state, losses[trial, number] = step(params, opt_state, step_key(key, number), truth, rate)
            weights[trial, number] = params["w"]
    return weights, losses


def sgd(hparams):
    return optax.sgd(hparams["learning_rate"])


def plateau(hparams):
    shrinks = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, rtol=0.5)
    return optax.chain(optax.sgd(hparams["learning_rate"]), shrinks)


def sam(hparams, opaque_mode):
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.3))
    return optax.contrib.sam(sgd(hparams), ascent, sync_period=2, opaque_mode=opaque_mode)


def gradient_noise(scale):
    """Adds N(0, scale^2) to every entry; a transformation without a key in its state."""

    def update(updates, state, params=None, *, key, **extra):
        leaves, treedef = jax.tree.flatten(updates)
        keys = jax.random.split(key, len(leaves))
        noisy = [
            leaf + scale * jax.random.normal(k, leaf.shape, leaf.dtype) for leaf, k in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(treedef, noisy), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def noisy(hparams, scale=0.5):
    return optax.chain(gradient_noise(scale), sgd(hparams))


def by_value(loss, value, grads, key):
    return {"value": value}


def nothing(loss, value, grads, key):
    return {}


CASES = {
    "reduce_on_plateau": (plateau, by_value),
    "polyak_sgd": (lambda hparams: optax.polyak_sgd(10 * hparams["learning_rate"]), by_value),
    "lbfgs": (
        lambda hparams: optax.lbfgs(memory_size=3),
        lambda loss, value, grads, key: {"value": value, "grad": grads, "value_fn": loss},
    ),
    "sam": (functools.partial(sam, opaque_mode=False), nothing),
    "sam, opaque": (
        functools.partial(sam, opaque_mode=True),
        lambda loss, value, grads, key: {"grad_fn": lambda params, i: jax.grad(loss)(params)},
    ),
    "momo": (lambda hparams: optax.contrib.momo(hparams["learning_rate"]), by_value),
    "own stream": (noisy, lambda loss, value, grads, key: {"key": stream(key, "optimizer")}),
    "MultiSteps": (lambda hparams: optax.MultiSteps(sgd(hparams), 2), nothing),
    "MultiSteps of an asking one": (
        lambda hparams: optax.MultiSteps(optax.polyak_sgd(hparams["learning_rate"]), 2),
        by_value,
    ),
}


# Every name that an update may ask for is in one of them.
QUICK = {"polyak_sgd", "lbfgs", "sam, opaque", "own stream", "MultiSteps of an asking one"}


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_an_optimiser_sees_what_it_asks_for(name):
    optimizer, extra = CASES[name]
    _, weights, losses = trained(optimizer)
    wanted, wanted_losses = by_hand(optimizer, extra)
    np.testing.assert_allclose(weights, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-9)
    assert (np.abs(weights - descent())[:, -1].max(axis=(1, 2)) > 1e-3).all()


@functools.cache
def descent():
    """Weights under plain gradient descent, which none of the above may come to."""
    return trained(sgd)[1]


def test_a_plain_transformation_is_called_as_ever():
    def plain(hparams):
        def update(updates, state, params):
            return jax.tree.map(lambda leaf: -hparams["learning_rate"] * leaf, updates), state

        return optax.GradientTransformation(lambda params: (), update)

    np.testing.assert_array_equal(trained(plain)[1], descent())


@pytest.mark.parametrize("names", [("key",), ("value", "grad"), ("loss", "value_fn"), ("grad_fn",), ()])
def test_an_update_gets_what_its_signature_names(names):
    """A transformation written by hand, with or without defaults, of the plain type."""
    seen = {}

    def check(updates, params, given):
        seen.update(given)
        return jax.tree.map(lambda leaf: 0 * leaf, updates)

    updates = {
        ("key",): lambda updates, state, params, *, key: (check(updates, params, {"key": key}), state),
        ("value", "grad"): lambda updates, state, params, value, grad=None: (
            check(updates, params, {"value": value, "grad": grad}),
            state,
        ),
        ("loss", "value_fn"): lambda updates, state, params=None, *, loss=None, value_fn: (
            check(updates, params, {"loss": loss, "value_fn": value_fn(params)}),
            state,
        ),
        ("grad_fn",): lambda updates, state, params, *, grad_fn, other=3: (
            check(updates, params, {"grad_fn": grad_fn(params, other)}),
            state,
        ),
        (): lambda updates, state, params, **extra: (check(updates, params, extra), state),
    }
    tx = optax.GradientTransformation(lambda params: (), updates[names])
    made = study(lambda hparams: tx)
    jax.eval_shape(lambda key: made.step(made.init(key, {}), None), jax.random.key(0))
    assert set(seen) == set(names or ("value", "loss", "grad", "value_fn", "grad_fn", "key"))
    assert all(leaf is not None for leaf in seen.values())


@pytest.mark.parametrize(
    "update",
    [
        lambda updates, state, params, *, hessian: (updates, state),
        lambda updates, state, params, hessian, value: (updates, state),
        lambda updates, state, params, *, hessian, **extra: (updates, state),
    ],
)
def test_an_update_that_wants_something_else_is_refused_by_name(update):
    made = study(lambda hparams: optax.GradientTransformation(lambda params: (), update))
    with pytest.raises(ValueError, match=r"update requires \['hessian'\], wanted any of \('value', 'loss'"):
        made.init(jax.random.key(0), {})


def test_noise_from_the_key_is_independent_over_steps_entries_and_trials():
    """A loss that depends on nothing leaves the noise alone: its moments and correlations over 500 steps, 6 sigma."""
    num, scale = 500, 0.5
    trials = Trials.grid(2, learning_rate=1.0)  # of two seeds: cells of one seed share their streams
    optimizer = functools.partial(noisy, scale=scale)
    _, weights, _ = trained(optimizer, num, trials, loss=lambda params, batch, key: 0 * batch[0][:, 0])
    noise = -np.diff(weights, axis=1).reshape(2, num - 1, DIM * DIM) / scale
    assert len(np.unique(noise)) == noise.size
    size = noise[0].size
    assert abs(noise.mean()) < 6 / np.sqrt(2 * size) and abs((noise**2).mean() - 1) < 6 * np.sqrt(2 / (2 * size))
    assert abs((noise[0] * noise[1]).mean()) < 6 / np.sqrt(size)  # trials
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 6 / np.sqrt(2 * size)  # steps
    assert abs((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 6 / np.sqrt(2 * size)  # entries


def test_without_noise_the_stream_changes_nothing():
    np.testing.assert_array_equal(trained(functools.partial(noisy, scale=0.0))[1], descent())


def test_a_gradient_that_is_not_finite_is_passed_over():
    """`apply_if_finite` under a loss that is finite, while its gradient at one batch in four or so is not."""

    def loss(params, batch, key):
        breaks = batch[0][0, 0] > 0.5
        slope_of_infinity = jnp.sqrt(jnp.where(breaks, 0 * params["w"].sum(), 1.0)) - jnp.where(breaks, 0.0, 1.0)
        return per_example_loss(params, batch, key) + slope_of_infinity

    def careful(hparams):
        return optax.apply_if_finite(optax.polyak_sgd(hparams["learning_rate"]), max_consecutive_errors=NUM_STEPS)

    state, weights, losses = trained(careful, loss=loss)
    skipped = (np.diff(weights, axis=1) == 0).all(axis=(2, 3))
    breaking = np.stack(
        [
            [draw(start(key)[0], stream(step_key(key, t), "data"))[0][0, 0] > 0.5 for t in range(NUM_STEPS)]
            for key in TRIALS.keys
        ]
    )
    assert breaking[:, 1:].any() and not breaking[:, 1:].all()
    np.testing.assert_array_equal(skipped, breaking[:, 1:])
    np.testing.assert_array_equal(state.opt_state.total_notfinite, breaking.sum(axis=1))
    assert np.isfinite(losses).all() and np.isfinite(weights).all()
    assert np.isnan(trained(sgd, loss=loss)[1]).any()
