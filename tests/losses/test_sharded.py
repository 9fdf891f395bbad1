"""The losses on 8 virtual devices against one device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from identax.losses import (
    aninfonce,
    infonce,
    lp_infonce,
    sharded,
    sharded_softmax_cross_entropy,
    softmax_cross_entropy,
)
from identax.run.mesh import make_mesh

N, DIM = 16, 3
PRECISION = jnp.array([25.0, 5.0, 0.3])


def _pairs():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, DIM)) + 3.0
    return jnp.asarray(z), jnp.asarray(z + 0.3 * rng.normal(size=(N, DIM)))


def _placed(mesh, *arrays):
    return jax.device_put(arrays, NamedSharding(mesh, PartitionSpec("data")))


def _value_and_grads(loss, z, z_pos, parameter):
    def total(*args):
        values = loss(*args)
        return values @ jnp.cos(jnp.arange(values.shape[0], dtype=values.dtype)), values

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))(z, z_pos, parameter)


CASES = {
    "two_view": (aninfonce, {}),
    "published, blocks that do not divide": (aninfonce, {"scheme": "two_view_as_published", "block_size": 3}),
    "with self, reweighted, blocks": (
        aninfonce,
        {"scheme": "one_view_with_self", "reweighting": 0.7, "block_size": 2},
    ),
    "lp traced": (lambda z, zp, t, f=lp_infonce, **kw: f(z, zp, p=t[1] / 3, **kw), {"scheme": "one_view"}),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_one_device(x64, name):
    loss, options = CASES[name]
    mesh = make_mesh(data=2 if "divide" in name else 8)
    z, z_pos = _pairs()
    plain = {key: value for key, value in options.items() if key != "block_size"}
    want = _value_and_grads(lambda *args: loss(*args, **plain), z, z_pos, jnp.asarray(PRECISION, z.dtype))
    if loss is aninfonce:
        spread = sharded(aninfonce, mesh)
    else:
        inner = sharded(lp_infonce, mesh)
        spread = lambda *args, **kw: loss(*args, f=inner, **kw)  # noqa: E731
    z, z_pos = _placed(mesh, z, z_pos)
    got = _value_and_grads(lambda *args: spread(*args, **options), z, z_pos, jnp.asarray(PRECISION, z.dtype))
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)
    assert not got[1][0].sharding.is_fully_replicated


@pytest.mark.slow
def test_trials_on_another_axis_under_vmap(x64):
    mesh = make_mesh(data=4)  # 2 trials x 4
    z, z_pos = _pairs()
    batch = jnp.stack([z, z_pos]), jnp.stack([z_pos, z])
    precisions = jnp.stack([PRECISION, PRECISION[::-1]]).astype(z.dtype)
    batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("trial", "data")))

    def grads(loss):
        one = jax.value_and_grad(lambda *args: loss(*args).mean(), argnums=(0, 1, 2))
        return jax.jit(jax.vmap(one))(*batch, precisions)

    for x, y in zip(*map(jax.tree.leaves, (grads(sharded(aninfonce, mesh)), grads(aninfonce))), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


def test_what_travels_is_the_embeddings_and_no_device_holds_all_pairs():
    mesh = make_mesh(data=8)
    z = jax.ShapeDtypeStruct((1024, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("data")))

    def temporary(loss):
        total = jax.value_and_grad(lambda a, b: loss(a, b, block_size=32).mean(), argnums=(0, 1))
        program = jax.jit(total).lower(z, z).compile()
        analysis = program.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes, program.as_text()

    memory, text = temporary(sharded(infonce, mesh))
    assert text and "collective-permute" in text
    assert memory < 0.05 * 1024 * 1024 * 4  # of one N x N matrix


GOOD = np.ones((N, DIM), np.float32)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda mesh: sharded(jnp.sum, mesh), "wanted one of infonce, lp_infonce, aninfonce"),
        (lambda mesh: sharded(infonce, mesh, "batch"), r"axis='batch', wanted one of the mesh's \['trial', 'data'\]"),
        (lambda mesh: sharded(infonce, mesh)(GOOD[:4], GOOD[:4]), "N=4 on 8 devices along 'data', wanted a multiple"),
        (lambda mesh: sharded(infonce, mesh)(GOOD[:12], GOOD[:12]), "N=12 on 8 devices"),
        (lambda mesh: sharded(infonce, mesh)(GOOD, GOOD, block_size=3), "from 1 to the 2 rows"),
        (lambda mesh: sharded(infonce, mesh)(GOOD, GOOD, negatives=GOOD[:, None]), "found negatives"),
        (lambda mesh: sharded(infonce, mesh)(GOOD, GOOD, temperature=-1.0), "temperature=-1.0"),
        (lambda mesh: sharded(aninfonce, mesh)(GOOD, GOOD, -jnp.ones(DIM)), "positive finite"),
        (lambda mesh: sharded(infonce, mesh)(GOOD, GOOD, scheme="two"), "did you mean"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call(make_mesh(data=8))


def test_without_jit_and_on_a_mesh_with_one_axis():
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    z, z_pos = (x.astype(jnp.float32) for x in _pairs())
    np.testing.assert_allclose(sharded(infonce, mesh)(z, z_pos), infonce(z, z_pos), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [{"data": 4}, {"trial": 2, "data": 4}])
def test_explicit_axes_as_jax_make_mesh_gives_them(axes):
    """Arrays that lie anywhere, arrays whose types tell where they lie, compiled or not; gradients, too."""
    mesh = jax.make_mesh(tuple(axes.values()), tuple(axes), devices=jax.devices()[: int(np.prod(list(axes.values())))])
    assert set(mesh.axis_types) == {AxisType.Explicit}
    z, z_pos = (x.astype(jnp.float32) for x in _pairs())
    labels = jnp.arange(N)[::-1]
    spread, heads = (
        partial(sharded(infonce, mesh), scheme="one_view"),
        partial(sharded_softmax_cross_entropy, mesh=mesh),
    )
    with_grad = jax.jit(jax.value_and_grad(lambda *pair: infonce(*pair, scheme="one_view").mean()))
    want, slope = with_grad(z, z_pos)
    np.testing.assert_allclose(spread(z, z_pos).mean(), want, rtol=1e-5)
    for given in ((z, z_pos), _placed(mesh, z, z_pos)):
        got = jax.jit(jax.value_and_grad(lambda *pair: spread(*pair).mean()))(*given)
        np.testing.assert_allclose(got[0], want, rtol=1e-5)
        np.testing.assert_allclose(got[1], slope, atol=1e-5)
    with jax.set_mesh(mesh):
        np.testing.assert_allclose(spread(*given).mean(), want, rtol=1e-5)
    want, slope = jax.jit(jax.value_and_grad(lambda w: softmax_cross_entropy(z, w, labels).mean()))(z_pos)
    np.testing.assert_allclose(heads(*given, labels).mean(), want, rtol=1e-5)
    got = jax.grad(lambda head: heads(z, head, labels).mean())(z_pos)  # neither compiled nor in a context
    np.testing.assert_allclose(got, slope, atol=1e-5)
