"""`Trials.grid`, `gradient_study` and its key discipline, `shard_batch`."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.rng import step_key, stream
from identax.run import make_mesh
from identax.study import Trials, gradient_study, shard_batch


def _bits(keys):
    return np.asarray(jax.random.key_data(keys)).tolist()


def test_grid_is_the_cross_product_with_seeds_fastest():
    trials = Trials.grid(3, learning_rate=[1e-3, 1e-4], temperature=[0.5, 1.0])
    found = list(
        zip(*(np.asarray(trials.hparams[n]) for n in ("learning_rate", "temperature")), trials.seeds, strict=True)
    )
    wanted = list(itertools.product([1e-3, 1e-4], [0.5, 1.0], range(3)))
    assert len(trials) == 12
    np.testing.assert_allclose(np.array(found, float), np.array(wanted), rtol=1e-6)


def test_grid_takes_scalars_and_vectors():
    trials = Trials.grid(2, learning_rate=1e-3, precision=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert trials.hparams["learning_rate"].shape == (6,)
    np.testing.assert_array_equal(trials.hparams["precision"], np.repeat([[1, 2], [3, 4], [5, 6]], 2, axis=0))


def test_grid_without_values_is_seeds_alone():
    trials = Trials.grid(4)
    assert trials.hparams == {} and trials.seeds.tolist() == [0, 1, 2, 3]


def test_seeds_are_stable_when_seeds_or_cells_are_added():
    few, many = Trials.grid(2, seed=7, a=[1.0]), Trials.grid(5, seed=7, a=[1.0, 2.0], b=[3.0, 4.0])
    assert _bits(few.keys) == _bits(many.keys)[:2]
    for cell in range(4):  # every cell runs on the same worlds
        assert _bits(many.keys)[5 * cell : 5 * cell + 5] == _bits(many.keys)[:5]
    assert _bits(few.keys) == _bits(jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(7), jnp.arange(2)))


def test_different_seeds_are_different_keys():
    keys = _bits(Trials.grid(50).keys) + _bits(Trials.grid(50, seed=1).keys)
    assert len({tuple(key) for key in keys}) == 100


def test_indexing_keeps_the_trial_axis():
    trials = Trials.grid(3, a=[1.0, 2.0])
    assert len(trials[2:5]) == 3 and len(trials[np.array([4])]) == 1
    assert _bits(trials[np.array([4])].keys) == _bits(trials.keys)[4:5]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_seeds": 0}, "num_seeds: found 0, wanted an integer from 1"),
        ({"num_seeds": 2.5}, "num_seeds: found 2.5"),
        ({"num_seeds": True}, "num_seeds: found True"),
        ({"seed": -1}, "seed: found -1, wanted an integer from 0 to 4294967295"),
        ({"seed": 2**32}, "seed: found 4294967296"),
        ({"seed": 1.0}, "seed: found 1.0"),
        ({"learning_rate": []}, "learning_rate has entries of shapes"),
        ({"precision": [[1.0], [1.0, 2.0]]}, r"shapes \[\(1,\), \(2,\)\]"),
        ({"learning_rate": [1e-3, float("nan")]}, "learning_rate holds NaN"),
        ({"name": "abc"}, "name holds <U1, wanted real numbers"),
        ({"z": [1.0, 2j]}, "z holds complex128"),
        ({"size": [1, 2**31]}, r"size holds 2147483648, wanted integers from -2147483648 to 2147483647 \(int32\)"),
        ({"size": [2**70]}, "size holds object"),
        ({"size": [2**63, -1]}, "size holds 9223372036854775808"),
        ({"size": [16777216.0, 16777217]}, "size holds 16777216.0 and 16777217, wanted values that float32 holds"),
        ({"rate": [0.1, 0.2, 0.1 + 1e-12]}, "rate holds 0.1 and 0.100000000001"),
        ({"rate": [1e39]}, r"rate holds 1e\+39"),
        ({"rate": [1e-50]}, "rate holds 1e-50, wanted values that float32 holds"),
        ({"size": [0.5, 16777217]}, "size holds 16777217, wanted values that float32 holds"),
        ({"num_seeds": 10**11}, "num_seeds: found 100000000000, wanted an integer from 1"),
        ({"num_seeds": 2 * 10**9}, "found 2,000,000,000 trials, wanted at most 16,777,216"),
        ({"num_seeds": 2} | {name: list(range(1000)) for name in "abcdef"}, "wanted at most 16,777,216"),
        ({"precision": [[1.0, 2.0], [1.0, 2.0 + 1e-12]]}, r"precision holds \(1.0, 2.0\) and \(1.0, 2.000000000001\)"),
    ],
)
def test_grid_refuses_nonsense(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Trials.grid(**kwargs)


COLUMNS = [  # values, dtype without and with 64-bit types
    ([1, 2**31 - 1], jnp.int32, jnp.int64),
    (3, jnp.int32, jnp.int64),
    ([True, False], jnp.bool_, jnp.bool_),
    ([True, 3], jnp.int32, jnp.int64),
    ([0.5, 1.0], jnp.float32, jnp.float64),
    ([1, 2.5], jnp.float32, jnp.float64),
    ([float("inf"), 1.0, 1.0], jnp.float32, jnp.float64),
    ([False, 0.5], jnp.float32, jnp.float64),
    (np.arange(3), jnp.int32, jnp.int64),
    (np.arange(3, dtype=np.uint8), jnp.uint8, jnp.uint8),
    (np.array([0.5], np.float16), jnp.float32, jnp.float64),
    ([[1, 2], [3, 4]], jnp.int32, jnp.int64),
    ([np.array([1, 2]), np.array([3.5, 4.0])], jnp.float32, jnp.float64),
]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("column", "single_dtype", "double_dtype"), COLUMNS)
def test_grid_keeps_kinds_and_values(column, single_dtype, double_dtype, double):
    with jax.enable_x64(double):
        found = Trials.grid(2, x=column, other=[0.5, 0.25]).hparams["x"]
    assert found.dtype == (double_dtype if double else single_dtype)
    wanted = np.repeat(np.atleast_1d(np.array(column, float)), 4, axis=0)
    np.testing.assert_array_equal(np.asarray(found, float), wanted)


def test_the_largest_seeds_are_not_wrapped():
    assert _bits(Trials.grid(seed=2**32 - 1).keys) != _bits(Trials.grid(seed=2**31 - 1).keys)
    with jax.enable_x64(True):
        assert _bits(Trials.grid(seed=2**32).keys) != _bits(Trials.grid(seed=0).keys)
        assert len(Trials.grid(seed=2**63 - 1, big=[2**53, 2**53 + 1])) == 2
        with pytest.raises(ValueError, match=r"big holds 9007199254740992.0 and 9007199254740993"):
            Trials.grid(big=[2.0**53, 2**53 + 1])


def _study(**changes):
    """Estimates a mean from noisy draws; the loss adds noise of its own."""

    def init(key, hparams):
        return jax.random.normal(stream(key, "truth"), (2,)), {"mean": jnp.zeros(2)}, jnp.zeros(())

    def sample(state, key):
        return state.truth[None] + jax.random.normal(key, (8, 2))

    def loss(params, state, batch, key):
        noise = jax.random.normal(key, (8,))
        per_example = ((batch - params["mean"][None]) ** 2).sum(axis=-1) + noise
        return per_example, (state.model_state + 1.0, {"noise": noise.mean(), "draw": batch.mean()})

    parts = {
        "init": init,
        "sample": sample,
        "loss": loss,
        "optimizer": lambda hparams: optax.sgd(hparams["learning_rate"]),
        "evaluate": lambda state, key: {"distance": jnp.abs(state.params["mean"] - state.truth).max()},
    }
    return gradient_study(**{**parts, **changes})


HPARAMS = {"learning_rate": jnp.asarray(0.25)}


def test_a_step_is_one_gradient_step_on_the_mean(getkey):
    key, study = getkey(), _study()
    state = study.init(key, HPARAMS)
    after, metrics = jax.jit(study.step)(state, None)
    batch = state.truth[None] + jax.random.normal(stream(step_key(key, 0), "data"), (8, 2))
    np.testing.assert_allclose(after.params["mean"], 0.25 * 2 * batch.mean(axis=0), rtol=1e-5)
    noise = jax.random.normal(stream(step_key(key, 0), "loss"), (8,)).mean()
    np.testing.assert_allclose(metrics["loss"], (batch**2).sum(axis=-1).mean() + noise, rtol=1e-5)
    assert after.step == 1 and after.model_state == 1.0


@pytest.mark.parametrize("metrics", [{"loss": 0.0}, {"a": 1.0, "loss": {"left": 0.0}}, {"loss/left": 0.0}])
def test_a_metric_that_would_hide_the_loss_is_refused(metrics, getkey):
    study = _study(loss=lambda params, *_: (jnp.full(8, jnp.nan) * params["mean"].sum(), (0.0, metrics)))
    with pytest.raises(ValueError, match="found a metric called 'loss', which is what is minimised"):
        jax.eval_shape(study.step, study.init(getkey(), HPARAMS), None)


def test_a_complex_loss_is_refused(getkey):
    study = _study(loss=lambda params, *_: (params["mean"] * 1j, (0.0, {})))
    with pytest.raises(ValueError, match="found a loss of dtype complex64, wanted real values"):
        jax.eval_shape(study.step, study.init(getkey(), HPARAMS), None)


def test_the_trials_key_never_advances_and_steps_differ(getkey):
    key, study = getkey(), _study()
    step = jax.jit(study.step)
    state, noises, draws = study.init(key, HPARAMS), [], []
    for _ in range(5):
        state, metrics = step(state, None)
        noises.append(float(metrics["noise"]))
        draws.append(float(metrics["draw"]))
    assert _bits(state.key) == _bits(key)
    assert len(set(noises)) == len(set(draws)) == 5


def test_a_step_depends_on_the_counter_alone(getkey):
    # Step 3 sees the same numbers whether steps 0..2 ran or not: what a resumed run relies on.
    study = _study(optimizer=lambda hparams: optax.sgd(0.0))
    state = study.init(getkey(), HPARAMS)
    there, metrics = state, None
    for _ in range(4):
        there, metrics = study.step(there, None)
    _, jumped = study.step(dataclasses.replace(state, step=state.step + 3), None)
    assert metrics is not None and metrics["draw"] == jumped["draw"] and metrics["noise"] == jumped["noise"]


def test_adding_a_consumer_shifts_nobody(getkey):
    def thirsty(params, state, batch, key):
        extra = jax.random.normal(stream(key, "augment"), (3,)).mean()
        per_example, (model_state, metrics) = loss(params, state, batch, key)
        return per_example, (model_state, {**metrics, "extra": extra})

    def loss(params, state, batch, key):
        return ((batch - params["mean"][None]) ** 2).sum(axis=-1), (
            None,
            {"noise": jax.random.normal(key), "draw": batch.sum()},
        )

    key = getkey()
    metrics = [s.step(s.init(key, HPARAMS), None)[1] for s in (_study(loss=loss), _study(loss=thirsty))]
    assert metrics[0]["draw"] == metrics[1]["draw"] and metrics[0]["noise"] == metrics[1]["noise"]


def test_no_key_is_used_twice_in_a_step(getkey):
    study, key = _study(), getkey()

    def careless(params, state, batch, key):
        noise = jax.random.normal(key) + jax.random.uniform(key)
        return ((batch - params["mean"][None]) ** 2).sum(axis=-1) + noise, (None, {})

    with jax.debug_key_reuse(True):
        state = jax.jit(study.init)(key, HPARAMS)
        step = jax.jit(study.step)
        step(state, None)
        step(state, None)  # not even the trial's key is used up
        with pytest.raises(jax.errors.KeyReuseError):  # the check works
            jax.jit(_study(loss=careless).step)(state, None)


def test_a_fed_study_takes_the_batch_it_is_given(getkey):
    study = _study(sample=None)
    _, metrics = study.step(study.init(getkey(), HPARAMS), jnp.full((8, 2), 3.0))
    assert metrics["draw"] == 3.0


def test_sweeps_over_learning_rates_trace_once(getkey):
    study, traces = _study(), []

    @jax.jit
    def train(key, hparams):
        traces.append(1)
        return jax.lax.scan(study.step, study.init(key, hparams), None, length=3)[0].params["mean"]

    means = [train(getkey(), {"learning_rate": jnp.asarray(rate)}) for rate in (0.1, 0.2)]
    assert len(traces) == 1 and not np.allclose(*means)


def test_shard_batch_leaves_values_alone_outside_a_mesh():
    batch = jnp.arange(6.0)
    assert shard_batch(batch) is batch


def test_shard_batch_splits_over_the_data_axis():
    batch = {"x": jnp.arange(32.0).reshape(16, 2)}
    with jax.set_mesh(make_mesh(data=8)):
        placed = jax.jit(shard_batch)(batch)["x"]
    np.testing.assert_array_equal(placed, batch["x"])
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 2)}


def test_shard_batch_refuses_what_does_not_divide():
    with jax.set_mesh(make_mesh(data=8)), pytest.raises(ValueError, match=r"\(12, 2\) does not divide .* 8"):
        jax.jit(shard_batch)(jnp.zeros((12, 2)))
