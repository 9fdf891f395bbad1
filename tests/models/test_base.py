"""`from_flax`: every collection and every random stream of a Flax module, and the two adapters' layouts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.errors import InvalidRngError

from identax.models import from_flax, from_linen
from identax.rng import step_key, stream
from identax.study import Trials, gradient_study


class Noisy(nn.Module):
    """Dropout, and noise from a stream that nobody was told of; training as its author chose to say it."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(self.rate)(nn.Dense(64)(x), deterministic=not train)
        return x + jax.random.normal(self.make_rng("fog"), x.shape) if train else x


class Normalised(nn.Module):
    """Flax's own batch norm, spectral norm and dropout."""

    @nn.compact
    def __call__(self, x, *, deterministic):
        x = nn.SpectralNorm(nn.Dense(8))(x, update_stats=not deterministic)
        x = nn.BatchNorm(momentum=0.9)(x, use_running_average=deterministic)
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=deterministic)(x))


class Counting(nn.Module):
    """Counts its calls in a collection of its own."""

    @nn.compact
    def __call__(self, x):
        calls = self.variable("tally", "calls", lambda: jnp.zeros((), jnp.int32))
        if self.is_mutable_collection("tally") and not self.is_initializing():
            calls.value += 1
        return x * calls.value


def test_dropout_is_off_in_evaluation_and_on_in_training(getkey):
    model, x = from_flax(nn.Dropout(0.25)), jnp.ones((100, 40))
    variables = model.init(getkey(), x)
    assert variables == {"params": {}, "state": {}}
    np.testing.assert_array_equal(model.apply(variables, x)[0], x)
    np.testing.assert_array_equal(model.apply(variables, x, key=getkey())[0], x)
    key = getkey()
    first, again, other = (np.asarray(model.apply(variables, x, train=True, key=k)[0]) for k in (key, key, getkey()))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2
    np.testing.assert_allclose(np.unique(first), [0, 4 / 3], rtol=1e-6)
    assert abs((first == 0).mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 4000)


def test_streams_are_those_of_the_key_by_name(getkey):
    """ "fog" was named to nobody; naming it, or another one, shifts nothing."""
    x, key = jnp.ones((5, 3)), getkey()
    models = [from_flax(Noisy(), streams=names) for names in (("dropout",), (), ("dropout", "fog", "more"))]
    variables = models[0].init(getkey(), x)
    rngs = {name: stream(key, name) for name in ("dropout", "fog")}
    wanted = Noisy().apply({"params": variables["params"]}, x, train=True, rngs=rngs)
    for model in models:
        found, _ = jax.jit(lambda v, x, key, m=model: m.apply(v, x, train=True, key=key))(variables, x, key)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_parameters_start_as_without_the_adapter(getkey):
    key, x = getkey(), jnp.ones((4, 3))
    variables = from_flax(Normalised()).init(key, x)
    wanted = Normalised().init(key, x, deterministic=True)
    assert set(variables["state"]) == {"batch_stats"} and set(wanted) == {"params", "batch_stats"}
    found = {"params": variables["params"], **variables["state"]}
    jax.tree.map(np.testing.assert_array_equal, found, dict(wanted))


@pytest.mark.parametrize("streams", [("dropout",), ()])
def test_drawing_without_a_key_is_refused_by_name(streams, getkey):
    model, x = from_flax(Normalised(), streams=streams), jnp.ones((4, 3))
    variables = model.init(getkey(), x)
    model.apply(variables, x)
    with pytest.raises(ValueError, match=r"found apply without a key, wanted one: .* stream 'dropout'"):
        model.apply(variables, x, train=True)


def test_statistics_change_in_training_alone(getkey):
    model, x = from_flax(Normalised()), 3 + jax.random.normal(getkey(), (16, 3))
    variables = model.init(getkey(), x)
    output, state = model.apply(variables, x)
    assert jax.tree.all(jax.tree.map(np.array_equal, state, variables["state"]))
    _, state = model.apply(variables, x, train=True, key=getkey())
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), state, variables["state"])["batch_stats"]
    changed["SpectralNorm_0"].pop("Dense_0/kernel/sigma")  # Flax keeps that of the divided kernel, 1 up to rounding
    assert jax.tree.all(changed) and len(jax.tree.leaves(changed)) == 3
    # and what changed is used
    assert not np.allclose(model.apply({**variables, "state": state}, x)[0], output)


class Optional(nn.Module):
    """Draws if there is something to draw from."""

    @nn.compact
    def __call__(self, x):
        return x + jax.random.normal(self.make_rng("fog"), x.shape) if self.has_rng("fog") else x


def test_a_stream_that_is_looked_for_is_to_be_named(getkey):
    x = jnp.ones(3)
    for streams, drawn in (((), False), (("fog",), True)):
        assert (from_flax(Optional(), streams=streams).apply({"params": {}}, x, key=getkey())[0] != x).all() == drawn


class Foggy(nn.Module):
    """Draws, whether there is something to draw from or not."""

    @nn.compact
    def __call__(self, x):
        return x + jax.random.normal(self.make_rng("fog"), x.shape)


def test_a_stream_lost_inside_the_module_is_told_as_flax_does(getkey):
    lost = nn.vmap(Foggy, variable_axes={}, split_rngs={})()
    with pytest.raises(InvalidRngError, match="fog"):
        from_flax(lost).apply({"params": {}}, jnp.ones((2, 3)), key=getkey())
    split = nn.vmap(Foggy, variable_axes={}, split_rngs={"fog": True})()
    drawn = from_flax(split).apply({"params": {}}, jnp.ones((2, 3)), key=getkey())[0]
    assert len(np.unique(drawn)) == 6


@pytest.mark.parametrize(("train_only", "evaluated"), [(("batch_stats",), 2), (("tally",), 0)])
def test_a_collection_of_ones_own_goes_from_call_to_call(train_only, evaluated, getkey):
    model, x = from_flax(Counting(), train_only=train_only), jnp.ones(3)
    variables = model.init(getkey(), x)
    for _ in range(2):
        output, variables["state"] = model.apply(variables, x)
    assert variables["state"]["tally"]["calls"] == evaluated and output[0] == evaluated
    _, state = model.apply(variables, x, train=True)
    assert state["tally"]["calls"] == evaluated + 1


def test_a_switch_that_the_module_was_given_stays(getkey):
    x = jnp.ones((100, 4))
    always = from_flax(nn.Dropout(0.5, deterministic=False))
    assert (always.apply({"params": {}}, x, key=getkey())[0] == 0).any()
    # and so does one that the caller gives
    assert (from_flax(nn.Dropout(0.5)).apply({"params": {}}, x, key=getkey(), deterministic=False)[0] == 0).any()


class Attention(nn.Module):
    """Causal attention with one head over [N, T, d]; with `decode` one step at a time, on keys and values it kept."""

    length: int
    decode: bool = False

    @nn.compact
    def __call__(self, x):
        query, key, value = (nn.Dense(4, name=name, param_dtype=x.dtype)(x) for name in ("query", "key", "value"))
        seen = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        if self.decode:
            shape = (x.shape[0], self.length, 4)
            kept = [self.variable("memory", name, jnp.zeros, shape, x.dtype) for name in ("keys", "values")]
            index = self.variable("memory", "index", lambda: jnp.zeros((), jnp.int32))
            for variable, new in zip(kept, (key, value), strict=True):
                if not self.is_initializing():
                    variable.value = jax.lax.dynamic_update_slice_in_dim(variable.value, new, index.value, axis=1)
            key, value = (variable.value for variable in kept)
            seen = (jnp.arange(self.length) <= index.value)[None]
            if not self.is_initializing():
                index.value += 1
        scores = jnp.where(seen[None], jnp.einsum("ntd,nsd->nts", query, key), -jnp.inf)
        return jnp.einsum("nts,nsd->ntd", jax.nn.softmax(scores), value)


def test_decoding_step_by_step_from_a_cache_is_the_whole_sequence(x64, getkey):
    x = jax.random.normal(getkey(), (2, 5, 3))
    whole, stepwise = from_flax(Attention(5)), from_flax(Attention(5, decode=True))
    variables = stepwise.init(getkey(), x[:, :1])
    assert variables["state"]["memory"]["index"] == 0
    wanted, _ = whole.apply({"params": variables["params"]}, x)
    step = jax.jit(stepwise.apply)
    state, outputs = variables["state"], []
    for t in range(5):
        output, state = step({"params": variables["params"], "state": state}, x[:, t : t + 1])
        outputs.append(output)
    np.testing.assert_allclose(jnp.concatenate(outputs, axis=1), wanted, rtol=1e-12)
    forgetful, _ = step(variables, x[:, 4:])
    assert np.abs(forgetful - wanted[:, 4:]).max() > 1e-3


def test_from_linen_keeps_batch_statistics_alone(getkey):
    x = jnp.arange(6.0).reshape(3, 2)
    flat, nested = (make(nn.BatchNorm()) for make in (from_linen, from_flax))
    found, wanted = (model.init(getkey(), x) for model in (flat, nested))
    assert set(found["state"]) == {"mean", "var"} and set(wanted["state"]) == {"batch_stats"}
    for train in (False, True):
        (output, state), (other, others) = (m.apply(v, x, train=train) for m, v in ((flat, found), (nested, wanted)))
        np.testing.assert_array_equal(output, other)
        jax.tree.map(np.testing.assert_array_equal, state, others["batch_stats"])
        assert (state["mean"] != 0).all() == train
    with pytest.raises(ValueError, match=r"from_linen: found collections \['tally'\], wanted batch_stats alone"):
        from_linen(Counting()).init(getkey(), x)


def test_a_study_carries_statistics_and_draws_anew_at_every_step():
    model, batch = from_flax(Normalised()), 2 + jnp.arange(12.0).reshape(4, 3)

    def init(key, hparams):
        variables = model.init(stream(key, "params"), jnp.ones((1, 3)))
        return None, variables["params"], variables["state"]

    def loss(params, state, batch, key):
        variables = {"params": params, "state": state.model_state}
        output, model_state = model.apply(variables, batch, train=True, key=key)
        return (output**2).mean(axis=-1), (model_state, {})

    study = gradient_study(
        init=init,
        sample=lambda state, key: batch,
        loss=loss,
        optimizer=lambda hparams: optax.sgd(0.0),
        evaluate=lambda state, key: {},
    )
    trials = Trials.grid(2)

    @jax.jit
    @jax.vmap
    def train(key, hparams):
        state = study.init(key, hparams)
        return jax.lax.scan(study.step, state, None, length=4), model.apply(
            {"params": state.params, "state": state.model_state},
            batch,
            train=True,
            key=stream(step_key(key, 0), "loss"),
        )

    (state, metrics), (output, first) = train(trials.keys, trials.hparams)
    assert len(np.unique(metrics["loss"])) == 8  # parameters and batch stay, what is dropped does not
    np.testing.assert_allclose(metrics["loss"][:, 0], (output**2).mean(axis=(1, 2)), rtol=1e-5)
    means = [tree["batch_stats"]["BatchNorm_0"]["mean"] for tree in (first, state.model_state)]
    assert np.abs(means[1]).max() > 2 * np.abs(means[0]).max()  # 1 - 0.9^4 of the batch's mean instead of a tenth
