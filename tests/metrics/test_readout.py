"""The linear readout against scikit-learn's logistic regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from identax.metrics import linear_readout_accuracy
from identax.metrics.readout import _fit, _standardise

N, DIM, CLASSES = 240, 5, 3


def _data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, size=N)
    x = rng.normal(size=(N, DIM)) + rng.normal(size=(CLASSES, DIM))[labels]
    return x * np.array([1.0, 100.0, 0.01, 1.0, 1.0]) + 20, labels


def test_agrees_with_scikit_learn(x64):
    x, labels = _data()
    l2 = 1e-2
    scaled = (x - x.mean(0)) / x.std(0)
    model = LogisticRegression(C=1 / (l2 * 160), tol=1e-10, max_iter=1000)
    train = (x[:160] - x[:160].mean(0)) / x[:160].std(0)
    model.fit(train, labels[:160])
    weights, bias = _fit(_standardise(jnp.asarray(x[:160]))[0], jnp.asarray(labels[:160]), CLASSES, l2, 500)
    predicted = jax.nn.softmax(jnp.asarray(train) @ weights + bias[None, :])
    np.testing.assert_allclose(predicted, model.predict_proba(train), atol=1e-6)
    test = (x[160:] - x[:160].mean(0)) / x[:160].std(0)
    got = linear_readout_accuracy(
        jnp.asarray(x[:160]),
        jnp.asarray(labels[:160]),
        CLASSES,
        test_features=jnp.asarray(x[160:]),
        test_labels=jnp.asarray(labels[160:]),
        l2=l2,
    )
    np.testing.assert_allclose(got, model.score(test, labels[160:]))
    assert scaled.shape == x.shape


@pytest.mark.slow
def test_vmap_over_trials_with_separable_collapsed_and_broken_features():
    x, labels = _data()
    x[:, 0] = 0.3
    separable = np.eye(CLASSES)[labels] @ np.eye(CLASSES, DIM)
    trials = jnp.asarray(np.stack([x, separable, np.ones_like(x), np.full_like(x, np.nan)]), jnp.float32)
    function = jax.jit(jax.vmap(lambda h: linear_readout_accuracy(h, jnp.asarray(labels), CLASSES)))
    got = function(trials)
    assert 0.5 < got[0] < 1.0
    assert got[1] == 1.0
    np.testing.assert_allclose(got[2], np.bincount(labels).max() / N, atol=1e-6)
    assert np.isnan(got[3])


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda x, y: linear_readout_accuracy(x, y[:3], CLASSES), "with labels of shape"),
        (lambda x, y: linear_readout_accuracy(x, y, 2), "wanted 0 to 1"),
        (lambda x, y: linear_readout_accuracy(x, y, 1), "num_classes=1"),
        (lambda x, y: linear_readout_accuracy(x, y, CLASSES, l2=0.0), "l2=0.0"),
        (lambda x, y: linear_readout_accuracy(x, y, CLASSES, test_features=x), "both or none"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(jnp.ones((6, DIM)), jnp.arange(6) % CLASSES)
