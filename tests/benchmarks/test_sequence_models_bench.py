"""The benchmarks of sequence models run at tiny sizes, and the eager PyTorch step is the same step."""

import jax
import numpy as np
import pytest

from benchmarks import sequence_models as bench
from identax.losses import sequence_nll, shifted

pytestmark = pytest.mark.slow


def test_they_run():
    found = bench.throughput(names=("transformer", "linear"), half=2, rounds=1)
    assert all(value > 0 for value in found["derived"].values()) and len(found["derived"]) == 2
    found = bench.decoding(length=2, num_tokens=4, rounds=1, torch=False)
    assert found["derived"]["forward passes: share of equal tokens"] == 1.0
    found = bench.memory(half=32, chunk=2, hidden=256)
    assert 0 < found["derived"]["chunked over dense"] < 0.5
    assert 0 < found["derived"]["chunked over dense, measured"] < 0.5


def test_what_is_resident_is_seen():
    assert 60 < bench.most_resident(lambda: np.ones(2**23).sum()) < 80
    assert bench.most_resident(lambda: None) < 8


def test_rows_are_all_strings():
    np.testing.assert_array_equal(bench.rows(2), [[2, 0, 1, 3, 4, 4], [2, 0, 0, 1, 1, 3]])


def test_both_sides_have_one_loss():
    torch = pytest.importorskip("torch")
    from benchmarks.sequence_models_torch import Trainer

    inputs, targets = shifted(bench.rows(4))
    model = bench.small()
    variables = model.init(jax.random.key(0), inputs)
    trainer = Trainer(jax.tree.map(np.asarray, variables["params"]), inputs, targets, heads=4, pad=bench.PAD)
    trainer.net.eval()
    with torch.enable_grad():
        theirs = float(trainer.step())
    np.testing.assert_allclose(theirs, sequence_nll(model.apply(variables, inputs)[0], targets).mean(), rtol=1e-5)
    found = bench.training(half=2, trials=2, num_steps=2, rounds=1)
    assert found["derived"]["speedup"] > 0
    found = bench.decoding(length=3, num_tokens=6, rounds=1)
    assert found["derived"]["published: share of equal tokens"] == 1.0
