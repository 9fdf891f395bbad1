"""The InfoNCE family against the literal double loop, closed forms and invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import SCHEMES, aninfonce, infonce, lp_infonce

N, DIM, M = 7, 3, 4
PRECISION = np.array([25.0, 5.0, 0.3])


def _lp(p, temperature=1.0):
    return (
        lambda u, v: -(np.abs(u - v) ** p).sum() / temperature,
        lambda z, zp, **kw: lp_infonce(z, zp, p=p, temperature=temperature, **kw),
    )


LOSSES = {
    "infonce": (lambda u, v: u @ v / 0.3, lambda z, zp, **kw: infonce(z, zp, temperature=0.3, **kw)),
    "lp1": _lp(1, 0.3),
    "lp2": _lp(2, 0.3),
    "lp3": _lp(3),
    "lp0.5": _lp(0.5),
    "aninfonce": (
        lambda u, v: -0.5 * (PRECISION * (u - v) ** 2).sum(),
        lambda z, zp, **kw: aninfonce(z, zp, jnp.asarray(PRECISION, z.dtype), **kw),
    ),
}


def _pairs(seed=0, num=N, spread=0.2, shift=0.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num, DIM))
    return z + shift, z + spread * rng.normal(size=(num, DIM)) + shift


def _double_loop(s, a, b, scheme, negatives=None):
    """Writes the definition of every scheme out, one anchor and one term at a time."""

    def value(pos, terms):
        terms = np.array([pos, *terms])
        return -pos + terms.max() + np.log(np.exp(terms - terms.max()).sum())

    num, first, second = len(a), [], []
    for i in range(num):
        pos, others = s(a[i], b[i]), [k for k in range(num) if k != i]
        within = [s(a[i], a[k]) for k in others]
        across = [s(a[i], b[k]) for k in others]
        if negatives is not None:
            first.append(value(pos, [s(a[i], row) for row in negatives[i]]))
        elif scheme == "one_view":
            first.append(value(pos, within))
        elif scheme == "one_view_with_self":
            first.append(value(pos, [*within, s(a[i], a[i])]))
        else:
            first.append(value(pos, within + across))
            back = [s(b[i], a[k]) for k in others] if scheme == "two_view" else across
            second.append(value(pos, [s(b[i], b[k]) for k in others] + back))
    return np.array(first + second)


@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_the_double_loop(x64, name):
    s, loss = LOSSES[name]
    a, b = _pairs(shift=3.0)
    negatives = np.random.default_rng(5).normal(size=(N, M, DIM))

    @jax.jit
    def values(z, zp, negatives):
        return {scheme: loss(z, zp, scheme=scheme) for scheme in SCHEMES} | {
            "negatives": loss(z, zp, negatives=negatives)
        }

    got = values(*map(jnp.asarray, (a, b, negatives)))
    for scheme, value in got.items():
        want = _double_loop(s, a, b, scheme, negatives if scheme == "negatives" else None)
        np.testing.assert_allclose(value, want, rtol=1e-10, atol=1e-10, err_msg=scheme)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scheme", ["two_view", "one_view_with_self"])
def test_gradients_agree_with_finite_differences(x64, name, scheme):
    s, loss = LOSSES[name]
    a, b = _pairs(3)
    direction_a, direction_b = _pairs(4)

    def value(t):
        return _double_loop(s, a + t * direction_a, b + t * direction_b, scheme).mean()

    want = (value(1e-6) - value(-1e-6)) / 2e-6
    grads = jax.jit(jax.grad(lambda z, zp: loss(z, zp, scheme=scheme).mean(), argnums=(0, 1)))(
        jnp.asarray(a), jnp.asarray(b)
    )
    got = (grads[0] * direction_a).sum() + (grads[1] * direction_b).sum()
    np.testing.assert_allclose(got, want, rtol=2e-6)


@pytest.mark.parametrize("scheme, terms", list(zip(SCHEMES, [2 * N - 1, 2 * N - 1, N, N + 1], strict=True)))
@pytest.mark.parametrize("name", ["infonce", "lp0.5", "aninfonce"])
def test_collapsed_embedding_costs_the_log_of_the_number_of_terms(name, scheme, terms):
    z = jnp.full((N, DIM), 0.7)
    value, grads = jax.jit(jax.value_and_grad(lambda z: LOSSES[name][1](z, z, scheme=scheme).mean()))(z)
    np.testing.assert_allclose(value, np.log(terms), rtol=1e-6)
    assert np.isfinite(grads).all()


def _loss_of_p(p, z, zp):
    return lp_infonce(z, zp, p=p, scheme="one_view_with_self").mean() + lp_infonce(z, zp, p=p).mean()


_traced_grad = jax.jit(jax.grad(_loss_of_p, argnums=(0, 1, 2)))
_static_grad = jax.jit(jax.grad(_loss_of_p, argnums=(1, 2)), static_argnums=0)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3])
def test_gradient_is_finite_where_coordinates_coincide(x64, p):
    a, _ = _pairs()
    b = np.array(a)
    b[:, 0] += 0.1
    traced = _traced_grad(float(p), jnp.asarray(a), jnp.asarray(b))
    static = _static_grad(p, jnp.asarray(a), jnp.asarray(b))
    assert all(np.isfinite(g).all() for g in traced)
    np.testing.assert_allclose(traced[1], static[0], rtol=1e-9, atol=1e-12)


def test_value_and_gradient_of_a_traced_exponent(x64):
    a, b = map(jnp.asarray, _pairs())
    powers = jnp.array([1.0, 2.0, 3.0, 1.7, 1.7 + 1e-6, 1.7 - 1e-6])
    values, grads = jax.jit(jax.vmap(jax.value_and_grad(lambda p: lp_infonce(a, b, p=p).mean())))(powers)
    static = jax.jit(lambda: jnp.stack([lp_infonce(a, b, p=p).mean() for p in (1, 2, 3)]))()
    np.testing.assert_allclose(values[:3], static, rtol=1e-12)
    np.testing.assert_allclose(grads[3], (values[4] - values[5]) / 2e-6, rtol=1e-7)


def test_on_the_sphere_equal_precision_is_infonce(x64):
    a, b = (jnp.asarray(v / np.linalg.norm(v, axis=1, keepdims=True)) for v in _pairs())
    for scheme in SCHEMES:
        got = aninfonce(a, b, jnp.full(DIM, 1 / 0.2), scheme=scheme)
        np.testing.assert_allclose(got, infonce(a, b, temperature=0.2, scheme=scheme), rtol=1e-12)


def test_symmetric_scheme_swaps_its_halves_with_the_views_and_the_published_one_does_not(x64):
    a, b = map(jnp.asarray, _pairs(spread=0.5))
    swapped = jnp.roll(aninfonce(b, a, jnp.asarray(PRECISION)), N)
    np.testing.assert_allclose(aninfonce(a, b, jnp.asarray(PRECISION)), swapped, rtol=1e-12)

    def published(z, zp):
        return aninfonce(z, zp, jnp.asarray(PRECISION), scheme="two_view_as_published")

    assert np.abs(published(a, b) - jnp.roll(published(b, a), N)).max() > 1e-3


def test_shift_invariance_and_float32_accuracy_far_from_the_origin():
    a, b = _pairs(num=64, spread=0.02)
    want = _double_loop(LOSSES["aninfonce"][0], a, b, "two_view")
    precision = jnp.asarray(PRECISION, jnp.float32)
    near = aninfonce(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), precision)
    np.testing.assert_allclose(near, want, atol=5e-5)
    # 30 away the inputs themselves are rounded to 2e-6, which costs about 1e-4; uncentred, the expanded
    # square would be off by 25 * 30^2 * 6e-8, ten times as much.
    far = aninfonce(jnp.asarray(a + 30, jnp.float32), jnp.asarray(b + 30, jnp.float32), precision)
    np.testing.assert_allclose(far, want, atol=3e-4)


def test_values_never_fall_below_zero_by_cancellation():
    a, b = _pairs(num=64, spread=1e-3, shift=5.0)
    value = aninfonce(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), jnp.full(DIM, 1e4))
    assert float(value.min()) >= 0.0


def test_vmap_over_traced_temperature_and_precision():
    a, b = (jnp.asarray(v, jnp.float32) for v in _pairs())
    swept = jax.jit(jax.vmap(lambda t: infonce(a, b, temperature=t)))(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(swept[1], infonce(a, b, temperature=2.0), rtol=1e-5)
    rows = jnp.asarray([PRECISION, PRECISION[::-1]], jnp.float32)
    swept = jax.jit(jax.vmap(lambda q: aninfonce(a, b, q)))(rows)
    np.testing.assert_allclose(swept[1], aninfonce(a, b, rows[1]), rtol=1e-5)


def test_matmul_precision_is_pinned():
    z = jnp.ones((N, DIM), jnp.float32)
    losses = {
        "infonce": lambda z: infonce(z, z),
        "aninfonce": lambda z: aninfonce(z, z, jnp.ones(DIM)),
        "lp2": lambda z: lp_infonce(z, z, p=2),
    }
    for loss in losses.values():
        jaxpr = str(jax.make_jaxpr(jax.grad(lambda z, loss=loss: loss(z).sum()))(z))
        assert jaxpr.count("dot_general") > 0
        assert jaxpr.count("Precision.HIGHEST, Precision.HIGHEST") == jaxpr.count("dot_general")


def test_accepts_numpy_arrays():
    a, b = (v.astype(np.float32) for v in _pairs())
    np.testing.assert_allclose(infonce(a, b), infonce(jnp.asarray(a), jnp.asarray(b)))
    assert aninfonce(a, b, PRECISION.astype(np.float32), negatives=a[:, None]).shape == (N,)


GOOD = np.ones((N, DIM), np.float32)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: infonce(GOOD, GOOD[:3]), r"one shape \[N, n\]"),
        (lambda: infonce(GOOD[0], GOOD[0]), r"one shape \[N, n\]"),
        (lambda: infonce(GOOD[:0], GOOD[:0]), "empty batch"),
        (lambda: infonce(GOOD[:1], GOOD[:1]), "N=1"),
        (lambda: infonce(GOOD[:1], GOOD[:1], scheme="one_view_with_self"), "N=1"),
        (lambda: infonce(GOOD, GOOD, scheme="twoview"), "did you mean 'two_view'"),
        (lambda: infonce(GOOD, GOOD, temperature=0.0), "temperature=0.0"),
        (lambda: infonce(GOOD, GOOD, temperature=float("nan")), "temperature=nan"),
        (lambda: infonce(GOOD, GOOD, temperature=jnp.ones(DIM)), "wanted a scalar"),
        (lambda: infonce(GOOD, GOOD, negatives=GOOD), "negatives of shape"),
        (lambda: infonce(GOOD, GOOD, negatives=GOOD[:, None, :2]), "negatives of shape"),
        (lambda: infonce(GOOD, GOOD, negatives=np.ones((N, 0, DIM), np.float32)), "M >= 1"),
        (lambda: lp_infonce(GOOD, GOOD, p=0), "p=0"),
        (lambda: lp_infonce(GOOD, GOOD, p=-1.0), "p=-1"),
        (lambda: lp_infonce(GOOD, GOOD, p=1, temperature=-1.0), "temperature=-1"),
        (lambda: aninfonce(GOOD, GOOD, jnp.ones(DIM + 1)), "precision of shape"),
        (lambda: aninfonce(GOOD, GOOD, jnp.array([1.0, 0.0, 1.0])), "positive finite entries"),
        (lambda: jax.jit(lambda z: infonce(z, z, temperature=-1.0))(GOOD), "temperature=-1"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()


def test_explicit_negatives_make_one_anchor_enough():
    assert infonce(GOOD[:1], GOOD[:1], negatives=GOOD[None]).shape == (1,)


@pytest.mark.slow
def test_forward_mode_and_second_derivatives(x64):
    a, b = map(jnp.asarray, _pairs(num=4))

    def total(z):
        values = LOSSES["aninfonce"][1](z, b)
        return values @ jnp.cos(jnp.arange(8.0))

    gradient = jax.jit(jax.grad(total))
    np.testing.assert_allclose(jax.jit(jax.jacfwd(total))(a), gradient(a), rtol=1e-11, atol=1e-13)
    step = jnp.asarray(_pairs(9, num=4)[0])
    second = jax.jit(jax.jvp, static_argnums=0)(jax.grad(total), (a,), (step,))[1]
    np.testing.assert_allclose(second, (gradient(a + 1e-6 * step) - gradient(a - 1e-6 * step)) / 2e-6, atol=1e-6)
