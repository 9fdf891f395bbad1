"""Integers, booleans, lists and data frames count as floats; complex and empty arrays and odd labels are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from identax import losses
from identax.losses import alignment, bernoulli_nll, infonce, sharded_softmax_cross_entropy, softmax_cross_entropy
from identax.run.mesh import make_mesh
from tests.losses.public_calls import CALLS, HEAD, LABELS, NOT_FUNCTIONS, arrays_of

POSITIVE = {"precision"}


def test_every_public_loss_is_called():
    assert {name.split(",")[0] for name in CALLS} == set(losses.__all__) - NOT_FUNCTIONS


def _whole(name):
    """Integers that the arguments permit."""
    shapes = CALLS[name][1]
    return [array + 1 if key in POSITIVE else array for key, array in zip(shapes, arrays_of(name, 0), strict=True)]


@pytest.mark.parametrize("name", CALLS)
def test_integers_are_floats(x64, name):
    """uint8 would wrap below 0 and above 255, int8 cut parameters: the values are those of float64, in float64."""
    call, arrays = CALLS[name][0], _whole(name)
    want = np.asarray(call(*[array.astype(float) for array in arrays]))
    assert (want.dtype == np.float64 and np.ptp(want) > 0) or want.ndim == 0
    for dtype in (np.uint8, np.int64):
        got = call(*[array.astype(dtype) for array in arrays])
        assert got.dtype == jnp.float64
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["infonce", "softmax_cross_entropy", "bernoulli_nll", "sharded", "slow_vae"])
def test_booleans_lists_and_device_arrays_too(name):
    call, arrays = CALLS[name][0], [array % 2 for array in arrays_of(name, 0)]
    want = call(*[array.astype(np.float32) for array in arrays])
    for made in ([a.astype(bool) for a in arrays], [jnp.asarray(a, jnp.uint8) for a in arrays]):
        got = call(*made)
        assert got.dtype == jnp.float32
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(call(*[array.tolist() for array in arrays]), want)


def test_data_frames_and_integers_beyond_32_bits():
    z = np.array([[2**40, 1], [3, 2**33 + 5]])
    want = infonce(z.astype(np.float32), np.eye(2, dtype=np.float32), temperature=1e12)
    np.testing.assert_array_equal(infonce(pd.DataFrame(z), np.eye(2), temperature=1e12), want)
    assert alignment([[1, 2]], [[0, 4]]).tolist() == [5.0]
    assert alignment(np.array([[250]], np.uint8), np.array([[5]], np.uint8)).tolist() == [245.0**2]


@pytest.mark.parametrize("name", CALLS)
def test_complex_and_empty_arrays_are_refused_by_name(name):
    call, arrays = CALLS[name][0], [array.astype(np.float32) for array in _whole(name)]
    for k, key in enumerate(CALLS[name][1]):
        changed = [array + 1j if i == k else array for i, array in enumerate(arrays)]
        wanted = key.strip() if key.strip() not in ("", "other") else next(iter(CALLS[name][1]))
        with pytest.raises(ValueError, match=r"found .* of type complex64"):
            call(*changed)
        if wanted == key:
            with pytest.raises(ValueError, match=f"found {key} of type"):
                call(*changed)
    with pytest.raises(ValueError, match=rf"^{name.split(',')[0]}|found .*\(0,"):
        call(*[array[:0] for array in arrays])


@pytest.mark.parametrize("option", ["temperature", "reweighting"])
def test_complex_parameters_are_refused(option):
    z = np.eye(3, dtype=np.float32)
    for value in (1j, jnp.asarray(1 + 0j)):
        with pytest.raises(ValueError, match=f"{option} of type complex"):
            infonce(z, z, **{option: value})
    with pytest.raises(ValueError, match="beta of type complex"):
        jax.jit(lambda beta: softmax_cross_entropy(z, z, np.arange(3), beta=beta))(1j)


def test_bytes_are_no_targets():
    logits = np.zeros((2, 3), np.float32)
    for wrong in (np.array([[0, 128, 255]] * 2, np.uint8), logits - 0.1, logits + np.nan):
        with pytest.raises(ValueError, match=r"found targets from .* wanted 0 to 1"):
            bernoulli_nll(logits, wrong)
    assert jax.jit(bernoulli_nll)(logits, logits + 2).shape == (2,)  # unknown values pass


def _spread(*args, **kwargs):
    return sharded_softmax_cross_entropy(*args, mesh=make_mesh(data=8), **kwargs)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, _spread], ids=["dense", "sharded"])
def test_narrow_labels_count_beyond_their_range(loss):
    """1,024 rows: in uint8 the numbers of the rows would wrap, in int8 they would not fit."""
    rng = np.random.default_rng(0)
    head = rng.normal(size=(1024, 2)).astype(np.float32)
    z, labels = rng.normal(size=(3, 2)).astype(np.float32), np.array([3, 100, 7])
    logits = z.astype(float) @ head.T
    want = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), labels]
    for dtype in (np.uint8, np.int8, np.uint64):
        np.testing.assert_allclose(loss(z, head, labels.astype(dtype)), want, rtol=1e-5)
        np.testing.assert_allclose(jax.jit(loss)(z, head, labels.astype(dtype)), want, rtol=1e-5)
    np.testing.assert_allclose(loss(z, head, labels.tolist()), want, rtol=1e-5)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, _spread], ids=["dense", "sharded"])
def test_labels_that_are_none_are_refused(loss):
    z, head = np.ones(HEAD["embeddings"], np.float32), np.ones((8, 3), np.float32)
    for wrong in (LABELS.astype(float), LABELS > 0, LABELS + 0j):
        with pytest.raises(ValueError, match=f"found labels of type {wrong.dtype}, wanted"):
            loss(z, head, wrong)
        with pytest.raises(ValueError, match="found labels of type"):
            jax.jit(loss)(z, head, wrong)
    for wrong in (np.array([0, 1, 2, 8], np.uint8), np.array([-1, 0, 1, 2], np.int8)):
        with pytest.raises(ValueError, match=r"labels from -?\d to \d, wanted 0 to 7"):
            loss(z, head, wrong)


def test_targets_may_overshoot_by_one_rounding():
    logits = np.zeros((1, 2), np.float32)
    for dtype in (np.float32, np.float64):
        over = np.array([[1 + 2.0**-23, -(2.0**-23)]], dtype)
        np.testing.assert_allclose(losses.bernoulli_nll(logits, over), 2 * np.log(2), rtol=1e-6)
        for beyond in (2 * over - over.round(), over.round() + [[0.0, 1e-3]] + 1e-3):
            with pytest.raises(ValueError, match="bernoulli_nll: found targets"):
                losses.bernoulli_nll(logits, beyond)
