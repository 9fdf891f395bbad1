"""The benchmark of the operators runs at a tiny size, and both sides take the same steps and act alike."""

import jax
import numpy as np
import pytest

from benchmarks import weight_operators
from identax.transforms import reinitialise_touch, shuffle_touch

pytestmark = pytest.mark.slow
KINDS = ("", "2 trials, map: ", "2 trials, vmap: ", "torch: ")
TINY = weight_operators.Setting(keys=6, batch_size=3, num_batches=2)


def test_it_times_every_operator_on_both_sides():
    pytest.importorskip("torch")
    found = weight_operators.measure(rounds=1, num_steps=4, cells=1, seeds=2, setting=TINY)
    labels = ["step", *(f"step + {name}" for name in weight_operators.OPERATORS)]
    assert set(found["timings"]) == {f"{kind}{label}" for kind in KINDS for label in labels}
    assert {f"{base} + permutation over {base} (%)" for base in ("step", "torch: step")} <= set(found["derived"])
    assert found["derived"]["2 trials, map: step + reinitialise: times PyTorch's"] > 0


def _trainer(operator, p=0.5, c=0.5):
    torch_side = pytest.importorskip("benchmarks.weight_operators_torch", exc_type=ImportError)
    state = jax.jit(weight_operators.trainer(TINY, None)[0])(jax.random.key(0))
    params = jax.device_get(state[0])["lstm1"]
    return torch_side.Trainer(TINY, params, *weight_operators.batches(TINY), operator=operator, p=p, c=c), state


def test_both_sides_take_the_same_steps():
    theirs, state = _trainer(None)
    step = jax.jit(weight_operators.trainer(TINY, None)[1])
    for t in range(5):
        state = step(state, t)
        theirs.step()
    for name in ("ih", "hh"):
        weight, bias = (getattr(theirs.lstm, f"{kind}_{name}_l0").detach().numpy() for kind in ("weight", "bias"))
        np.testing.assert_allclose(state[0]["lstm1"][f"{name}_kernel"], weight.T, atol=2e-6)
        np.testing.assert_allclose(state[0]["lstm1"][f"{name}_bias"], bias, atol=2e-6)


@pytest.mark.parametrize(
    ("operator", "touch", "mode"),
    [
        ("reinitialise", reinitialise_touch, "released"),
        ("released shuffle", shuffle_touch, "released"),
        ("permutation", shuffle_touch, "permute"),
    ],
)
def test_the_loops_act_as_often_as_the_closed_forms_say(operator, touch, mode):
    theirs, _ = _trainer(operator)
    torch = pytest.importorskip("torch")
    start = torch.arange(30.0).reshape(5, 6)
    counts = []
    for _ in range(1500):
        w = start.clone()
        theirs.act(w)
        counts.append(int((w != start).sum()))
        if operator == "permutation":
            assert (w.flatten().sort().values == start.flatten()).all()
    wanted = touch((5, 6), 0.5, 0.5, mode=mode, layout="out_in").sum()
    assert abs(np.mean(counts) - wanted) < 4 * np.std(counts) / np.sqrt(len(counts))
