"""The losses in tiles against the dense ones: same values and gradients, no array of N x N."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.losses import SCHEMES, aninfonce, infonce, lp_infonce

N, DIM = 23, 3
PRECISION = np.array([25.0, 5.0, 0.3])

LOSSES = {
    "infonce": (0.3, lambda t, z, zp, **kw: infonce(z, zp, temperature=t, **kw)),
    "aninfonce": (PRECISION, lambda q, z, zp, **kw: aninfonce(z, zp, q, **kw)),
    "lp3": (0.3, lambda t, z, zp, **kw: lp_infonce(z, zp, p=3, temperature=t, **kw)),
    "lp traced": (1.3, lambda p, z, zp, **kw: lp_infonce(z, zp, p=p, temperature=0.7, **kw)),
}


def _pairs(num=N, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num, DIM))
    return jnp.asarray(z + shift), jnp.asarray(z + 0.3 * rng.normal(size=(num, DIM)) + shift)


def _value_and_grads(loss, schemes=SCHEMES, **options):
    """Values per anchor, and gradients of a differently weighted sum of them, for every scheme."""

    def one(scheme, *args):
        def total(*args):
            values = loss(*args, scheme=scheme, **options)
            return values @ jnp.cos(jnp.arange(values.shape[0], dtype=values.dtype)), values

        return jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)(*args)

    return jax.jit(lambda *args: {scheme: one(scheme, *args) for scheme in schemes})


def _assert_equal(got, want, rtol=1e-12, atol=1e-12):
    for (path, x), y in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=str(path))


@pytest.mark.parametrize("name", LOSSES)
def test_same_values_and_gradients_as_dense(x64, name):
    parameter, loss = LOSSES[name]
    args = (jnp.asarray(parameter), *_pairs(shift=3.0))
    schemes = SCHEMES if name == "aninfonce" else ("two_view",)
    want = _value_and_grads(loss, schemes)(*args)
    assert float(jnp.abs(want["two_view"][1][0]).max()) > 1e-2  # the parameter's gradient is there to be compared
    _assert_equal(_value_and_grads(loss, schemes, block_size=8)(*args), want)


@pytest.mark.slow
def test_any_block_size(x64):
    parameter, loss = LOSSES["aninfonce"]
    args = (jnp.asarray(parameter), *_pairs())
    want = _value_and_grads(loss, ("two_view",))(*args)
    for block_size in (1, N):
        _assert_equal(_value_and_grads(loss, ("two_view",), block_size=block_size)(*args), want)


def test_reweighted_in_tiles_as_dense(x64):
    parameter, loss = LOSSES["aninfonce"]
    args = (jnp.asarray(parameter), *_pairs())
    want = _value_and_grads(loss, ("one_view_with_self",), reweighting=0.7)(*args)
    _assert_equal(_value_and_grads(loss, ("one_view_with_self",), reweighting=0.7, block_size=8)(*args), want)


def test_in_float32_under_vmap_and_far_apart():
    z, z_pos = (x.astype(jnp.float32) for x in _pairs())
    precisions = jnp.asarray([PRECISION, 100 * PRECISION[::-1]], jnp.float32)  # logits down to -1e5

    def grads(block_size):
        one = jax.value_and_grad(lambda q, a, b: aninfonce(a, b, q, block_size=block_size).mean(), argnums=(0, 1, 2))
        return jax.jit(jax.vmap(one, in_axes=(0, None, None)))(precisions, z, z_pos)

    got, want = grads(5), grads(None)
    assert all(x.dtype == jnp.float32 and np.isfinite(x).all() for x in jax.tree.leaves(got))
    _assert_equal(got, want, rtol=2e-5, atol=2e-5)


def _largest(jaxpr):
    """Most elements of any array in a program, the bodies of its loops included."""
    sizes = [np.prod(var.aval.shape) for eqn in jaxpr.eqns for var in eqn.outvars if hasattr(var.aval, "shape")]
    inner = [x for eqn in jaxpr.eqns for x in jax.tree.leaves(eqn.params, is_leaf=lambda x: hasattr(x, "eqns"))]
    return max([*sizes, *(_largest(getattr(x, "jaxpr", x)) for x in inner if hasattr(x, "eqns"))], default=0)


@pytest.mark.parametrize("name", LOSSES)
def test_no_array_is_larger_than_a_tile_or_the_batch(name):
    parameter, loss = LOSSES[name]
    z = jnp.ones((64, DIM))

    def jaxpr(**options):
        total = jax.value_and_grad(lambda *args: loss(*args, **options).sum(), argnums=(0, 1, 2))
        return jax.make_jaxpr(total)(jnp.asarray(parameter, z.dtype), z, z + 1.0).jaxpr

    assert _largest(jaxpr(block_size=8)) <= 64 * (DIM + 2)  # two dims hold squares; a tile [8, 8] is smaller
    assert _largest(jaxpr()) >= 64 * 64


def test_memory_of_the_compiled_program():
    # n=128 as in the benchmark; an eighth of its N, where what grows with N weighs more against N^2
    shape = jax.ShapeDtypeStruct((4096, 128), jnp.float32)

    def temporary(block_size):
        total = jax.value_and_grad(lambda z, zp: infonce(z, zp, block_size=block_size).mean(), argnums=(0, 1))
        analysis = jax.jit(total).lower(shape, shape).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(512) < 0.12 * temporary(None)


GOOD = np.ones((8, DIM), np.float32)


@pytest.mark.parametrize("block_size", [0, -1, 9, 2.5, 4.0, True, "4"])
@pytest.mark.parametrize("loss", [infonce, lambda z, zp, **kw: lp_infonce(z, zp, p=1, **kw)])
def test_wrong_block_sizes_are_refused(loss, block_size):
    with pytest.raises(ValueError, match=rf"found block_size={block_size!r}, wanted None or a whole number from 1 to"):
        jax.jit(lambda z: loss(z, z, block_size=block_size))(GOOD)


def test_given_negatives_are_not_cut_into_blocks():
    with pytest.raises(ValueError, match=r"block_size=2 with negatives of shape \(8, 4, 3\)"):
        infonce(GOOD, GOOD, negatives=np.ones((8, 4, DIM), np.float32), block_size=2)
