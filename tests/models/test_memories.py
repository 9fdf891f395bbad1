"""The recurrences of xLSTM and Mamba: fixed values, and the plain recursions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import mlstm, selective_scan, slstm


def mlstm_draws(seed=0, length=7, size=4, forget=3.0):
    rng = np.random.default_rng(seed)
    q, k, v = rng.standard_normal((3, length, size))
    return q, k, v, rng.standard_normal(length), rng.standard_normal(length) + forget


def plain_mlstm(q, k, v, i, f):
    """No running maximum, float64."""
    memory, normaliser, found = np.zeros((q.shape[1],) * 2), np.zeros(q.shape[1]), []
    for t in range(len(q)):
        key = k[t] / np.sqrt(q.shape[1])
        gates = 1 / (1 + np.exp(-f[t])), np.exp(i[t])
        memory = gates[0] * memory + gates[1] * np.outer(key, v[t])
        normaliser = gates[0] * normaliser + gates[1] * key
        found.append(q[t] @ memory / max(abs(q[t] @ normaliser), 1))
    return np.array(found)


@pytest.mark.parametrize("form", ["chunked", "parallel", "recurrent"])
def test_mlstm_has_the_fixed_values(form, x64):
    out, _ = mlstm(*mlstm_draws(), form=form, epsilon=0, chunk=3)
    np.testing.assert_allclose(out.sum(), 11.821907583173122, rtol=0, atol=1e-12)
    np.testing.assert_allclose(out[-1], [-7.92561912, 16.6890747, -4.81025452, 8.11857809], rtol=0, atol=5e-9)
    np.testing.assert_allclose(out[0, 0], -0.04523269226578419, rtol=0, atol=1e-15)
    np.testing.assert_allclose(out, plain_mlstm(*mlstm_draws()), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_forms_of_mlstm_agree_with_epsilon_large_gates_and_batches(x64):
    draws = [np.stack(one) for one in zip(*[mlstm_draws(seed, 64) for seed in range(3)], strict=True)]
    for scale, epsilon in ((1, 0.0), (1, 1e-6), (30, 0.0)):
        q, k, v, i, f = draws
        arrays = (q, k, v, scale * i, scale * f)
        forms = {form: mlstm(*arrays, form=form, epsilon=epsilon) for form in ("chunked", "recurrent", "parallel")}
        pieces = mlstm(*arrays, chunk=10, epsilon=epsilon)
        for found in (forms["chunked"], pieces):  # m is the same, so `epsilon` moves nothing
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found, forms["recurrent"]
            )
        bound = 1e-12 if epsilon == 0 else 1e-3
        gap = np.abs(forms["parallel"][0] - forms["recurrent"][0]) / np.abs(forms["recurrent"][0]).clip(1)
        assert gap.max() < bound and (epsilon == 0 or gap.max() > 1e-12)


@pytest.mark.slow
def test_chunks_keep_the_digits_that_one_long_sum_loses():
    """2,000 columns in float32, against float64."""
    draws = mlstm_draws(1, 2000, forget=0.0)
    with jax.enable_x64(True):
        wanted = np.asarray(mlstm(*draws, form="recurrent", epsilon=0)[0])
    error = {form: np.abs(mlstm(*draws, form=form, epsilon=0)[0] - wanted).max() for form in ("parallel", "chunked")}
    assert error["chunked"] < 1e-4 < 10 * error["chunked"] < error["parallel"]


@pytest.mark.slow
def test_very_small_input_gates_give_zero_and_a_finite_gradient():
    q, k, v, i, f = (np.float32(one) for one in mlstm_draws())
    for form in ("chunked", "parallel"):

        def total(i, form=form):
            return mlstm(q, k, v, i, f - 100, form=form)[0].sum()

        assert np.isfinite(jax.grad(total)(i - 95)).all() and abs(total(i - 95)) < 1e-15


def test_held_columns_leave_a_state_of_mlstm(x64):
    q, k, v, i, f = mlstm_draws()
    held = np.arange(7) >= 4
    _, wanted = mlstm(*(one[:4] for one in (q, k, v, i, f)))
    _, found = mlstm(q, k, v, np.where(held, -np.inf, i), np.where(held, np.inf, f))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14), found, wanted)
    again, _ = mlstm(*(one[4:] for one in (q, k, v, i, f)), start=found)
    np.testing.assert_allclose(again, mlstm(q, k, v, i, f)[0][4:], rtol=0, atol=1e-12)


def test_slstm_has_the_fixed_values(x64):
    z, i, f, o = np.random.default_rng(2).standard_normal((4, 6))
    y, _ = slstm(np.stack([i, f, z, o], axis=-1)[None, :, :, None])
    wanted = [0.09933237, -0.1212281, -0.2828212, -0.3173212, 0.27409301, 0.35572602]
    np.testing.assert_allclose(y[0, :, 0], wanted, rtol=0, atol=5e-9)


def test_slstm_with_heads_is_the_plain_recursion(x64):
    rng = np.random.default_rng(3)
    gates, recurrent = rng.standard_normal((2, 5, 4, 6)), 0.5 * rng.standard_normal((4, 2, 3, 3))
    found, state = slstm(gates, recurrent)
    y, c, n = np.zeros((3, 2, 6))
    for t in range(5):
        across = np.stack([np.concatenate([y[:, :3] @ one[0], y[:, 3:] @ one[1]], axis=1) for one in recurrent], axis=1)
        i, f, z, o = np.moveaxis(gates[:, t] + across, 1, 0)
        keep, new = 1 / (1 + np.exp(-f)), np.exp(i)
        c, n = keep * c + new * np.tanh(z), keep * n + new
        y = c / n / (1 + np.exp(-o))
        np.testing.assert_allclose(found[:, t], y, rtol=0, atol=1e-13)
    real = np.arange(5)[None] < np.array([[2], [5]])
    _, held = slstm(gates, recurrent, real=real)
    _, short = slstm(gates[:1, :2], recurrent)
    for a, b, c in zip(held, short, state, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], c[1])


def scan_draws():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((9, 3))
    delta = np.log1p(np.exp(rng.standard_normal((9, 3)) - 2))
    b, c = rng.standard_normal((2, 9, 4))
    return x, delta, -np.tile(np.arange(1.0, 5.0), (3, 1)), b, c, np.ones(3)


def test_selective_scan_has_the_fixed_values(x64):
    y, h = selective_scan(*scan_draws())
    np.testing.assert_allclose(y.sum(), -3.089326042210466, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y[-1], [-4.31626301, -1.56213391, 0.6532818], rtol=0, atol=5e-9)
    exact, _ = selective_scan(*scan_draws(), hold="exact")
    np.testing.assert_allclose(exact.sum(), -2.1831252245, rtol=0, atol=5e-11)
    x, delta, a, b, c, skip = scan_draws()
    for hold, wanted in {"euler": y, "exact": exact}.items():
        state = np.zeros((3, 4))
        for t in range(9):
            gain = np.exp(delta[t][:, None] * a)
            inward = delta[t][:, None] if hold == "euler" else (gain - 1) / a
            state = gain * state + inward * b[t][None] * x[t][:, None]
            np.testing.assert_allclose(wanted[t], state @ c[t] + skip * x[t], rtol=0, atol=1e-12)
    _, half = selective_scan(x[:5], delta[:5], a, b[:5], c[:5], skip)
    rest, last = selective_scan(x[5:], delta[5:], a, b[5:], c[5:], skip, start=half)
    np.testing.assert_allclose(rest, y[5:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(last, h, rtol=0, atol=1e-12)
    still = np.where(np.arange(9)[:, None] < 5, delta, 0.0)
    np.testing.assert_allclose(selective_scan(x, still, a, b, c, skip)[1], half, rtol=0, atol=1e-12)


def test_memories_at_their_edges(x64):
    """Rates of size 0 are sums whatever the hold; columns without input at the start of the parallel form are 0."""
    x, delta, a, b, c, skip = scan_draws()
    exact, _ = selective_scan(x, delta, 0 * a, b, c, skip, hold="exact")
    np.testing.assert_allclose(exact, selective_scan(x, delta, 0 * a, b, c, skip)[0], rtol=0, atol=1e-12)
    q, k, v, i, f = mlstm_draws()
    held = np.arange(7) < 3
    i, f = np.where(held, -np.inf, i), np.where(held, np.inf, f)
    found, _ = mlstm(q, k, v, i, f, form="parallel", epsilon=0)
    assert (found[:3] == 0).all()
    np.testing.assert_allclose(found[3:], plain_mlstm(*(one[3:] for one in (q, k, v, i, f))), rtol=0, atol=1e-12)


BAD = [
    (lambda: mlstm(*mlstm_draws(), form="parallell"), "did you mean 'parallel'"),
    (lambda: mlstm(*mlstm_draws(), chunk=0), "found chunk=0"),
    (lambda: mlstm(*mlstm_draws(), epsilon=-1), "found epsilon=-1"),
    (lambda: mlstm(*mlstm_draws()[:4], np.ones(6)), r"mlstm: found shapes .*\(6,\)"),
    (lambda: mlstm(*mlstm_draws(), form="parallel", start=()), "found a start for form='parallel'"),
    (lambda: slstm(np.ones((1, 2, 3, 4))), r"found gates of shape \(1, 2, 3, 4\)"),
    (lambda: slstm(np.ones((1, 2, 4, 4)), np.ones((4, 2, 3, 3))), "with H w = 4"),
    (lambda: slstm(np.ones((1, 2, 4, 4)), real=np.ones((1, 3), bool)), r"found bool real of shape \(1, 3\)"),
    (lambda: selective_scan(*scan_draws(), hold="zero"), "found hold='zero'"),
    (lambda: selective_scan(*scan_draws()[:5], np.ones(2)), r"selective_scan: found x \(9, 3\), .* skip \(2,\)"),
    (lambda: selective_scan(*scan_draws(), start=np.ones((3, 3))), r"found start \(3, 3\), wanted \(3, 4\)"),
    (lambda: mlstm(*mlstm_draws(), start=0), "found a start of shapes"),
    (lambda: mlstm(*mlstm_draws(), start=(np.ones((4, 3)), np.ones(4), 0.0)), r"shapes \[\(4, 3\), \(4,\), \(\)\]"),
    (lambda: slstm(np.ones((1, 2, 4, 4)), start=[np.ones((1, 4))] * 3), "slstm: found a start of shapes"),
    (lambda: slstm(np.ones((1, 2, 4, 4)), real=np.full((1, 2), np.nan)), "found float64 real"),
    (lambda: selective_scan(scan_draws()[0], -scan_draws()[1], *scan_draws()[2:]), "found delta down to -"),
    (lambda: selective_scan(*scan_draws()[:2], -scan_draws()[2], *scan_draws()[3:]), "found a up to 4"),
    (lambda: selective_scan(1j, *scan_draws()[1:]), "found x of type complex128"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_of_memories(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_lists_and_integers_are_numbers(x64):
    found, _ = mlstm([[1, 0]], [[1, 2]], [[3, 4]], [0], [1], epsilon=0)
    np.testing.assert_allclose(
        found, plain_mlstm(*(np.array(one, float) for one in ([[1, 0]], [[1, 2]], [[3, 4]], [0], [1])))
    )
    assert jnp.isfinite(slstm(np.zeros((1, 1, 4, 1), int))[0]).all()
