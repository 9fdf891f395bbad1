"""Softmax cross-entropy: dense against SciPy, blocked and sharded against dense, projection of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.special import log_softmax, softmax

from identax.losses import project_rows, sharded_softmax_cross_entropy, softmax_cross_entropy
from identax.run.mesh import make_mesh

B, N, DIM, BETA = 12, 16, 3, 1.7
COTANGENT = np.cos(np.arange(B))


def _data(num=N, batch=B):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num, batch)
    labels[:2] = num - 1, 0
    return jnp.asarray(rng.normal(size=(batch, DIM))), jnp.asarray(3 * rng.normal(size=(num, DIM))), jnp.asarray(labels)


def _all(loss, labels, **options):
    """Values and the gradients with respect to embeddings, head and beta, under a fixed cotangent."""

    def total(z, head, beta):
        values = loss(z, head, labels, beta=beta, **options)
        return values @ jnp.asarray(COTANGENT, values.dtype), values

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))


def test_value_and_gradients_are_those_of_the_formula(x64):
    z, head, labels = map(np.asarray, _data())
    (_, values), grads = _all(softmax_cross_entropy, labels)(z, head, BETA)
    logits = BETA * z @ head.T
    np.testing.assert_allclose(values, -log_softmax(logits, axis=1)[np.arange(B), labels], rtol=1e-12)
    error = COTANGENT[:, None] * (softmax(logits, axis=1) - np.eye(N)[labels])
    np.testing.assert_allclose(grads[0], BETA * error @ head, atol=1e-12)
    np.testing.assert_allclose(grads[1], BETA * error.T @ z, atol=1e-12)
    np.testing.assert_allclose(grads[2], (error * logits).sum() / BETA, rtol=1e-10)


@pytest.mark.parametrize("normalize_rows", [False, True])
@pytest.mark.parametrize("block_size", [1, 5, 16])
def test_blocks_change_nothing(x64, block_size, normalize_rows):
    z, head, labels = _data()
    want = _all(softmax_cross_entropy, labels, normalize_rows=normalize_rows)(z, head, BETA)
    got = _all(softmax_cross_entropy, labels, block_size=block_size, normalize_rows=normalize_rows)(z, head, BETA)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("block_size", [None, 5])
def test_large_logits_in_float32_stay_finite_and_right(block_size):
    z, head, labels = (jnp.asarray(x, x.dtype) for x in _data())
    z, head = 300 * z.astype(jnp.float32), head.astype(jnp.float32)
    (_, values), grads = _all(softmax_cross_entropy, labels, block_size=block_size)(z, head, 1.0)
    logits = np.asarray(z, float) @ np.asarray(head, float).T
    want = -log_softmax(logits, axis=1)[np.arange(B), np.asarray(labels)]
    np.testing.assert_allclose(values, want, rtol=1e-5, atol=5e-4)
    assert all(np.isfinite(g).all() for g in grads)


def test_embeddings_that_know_nothing_cost_the_log_of_the_number_of_labels(x64):
    z, head, labels = _data()
    np.testing.assert_allclose(softmax_cross_entropy(jnp.zeros_like(z), head, labels), np.log(N), rtol=1e-12)


def test_a_constant_added_to_all_rows_changes_nothing(x64):
    """The offset psi that the theorem leaves undetermined; a negative control moves one row only."""
    z, head, labels = _data()
    want = softmax_cross_entropy(z, head, labels)
    np.testing.assert_allclose(softmax_cross_entropy(z, head + 5 * z[:1], labels), want, rtol=1e-10)
    assert np.abs(softmax_cross_entropy(z, head.at[0].add(1.0), labels) - want).max() > 0.01


def test_blocks_map_over_trials_and_hold_no_matrix_of_all_logits():
    z, head, labels = _data(num=1000, batch=64)

    def grads(size):
        def total(z, head):
            return softmax_cross_entropy(z, head, labels, block_size=size).sum()

        step = jax.jit(jax.vmap(jax.grad(total, argnums=(0, 1))))
        operands = jnp.stack([z, 2 * z]), jnp.stack([head, head])
        compiled = step.lower(*operands).compile()
        return compiled(*operands), compiled.as_text(), compiled.memory_analysis().temp_size_in_bytes

    got, program, memory = grads(48)
    want, dense, most = grads(None)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5)
    assert "64,1000]" in dense and "64,1000]" not in program and "64,1008]" not in program
    assert memory < most / 4


@pytest.mark.parametrize("data, block_size, normalize_rows", [(8, None, False), (8, 2, True), (2, 3, False)])
def test_rows_over_devices_change_nothing(x64, data, block_size, normalize_rows):
    mesh = make_mesh(data=data)
    z, head, labels = _data()
    want = _all(softmax_cross_entropy, labels, normalize_rows=normalize_rows)(z, head, BETA)
    z = jax.device_put(z, NamedSharding(mesh, PartitionSpec()))
    head = jax.device_put(head, NamedSharding(mesh, PartitionSpec("data")))
    options = {"mesh": mesh, "block_size": block_size, "normalize_rows": normalize_rows}
    got = _all(sharded_softmax_cross_entropy, labels, **options)(z, head, BETA)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)
    assert not got[1][1].sharding.is_fully_replicated  # the gradient of a row stays with the row


def test_rows_over_devices_beside_trials(x64):
    mesh = make_mesh(data=4)  # 2 trials x 4
    z, head, labels = _data()
    operands = jnp.stack([z, z[::-1]]), jnp.stack([head, -head])
    spread = [
        jax.device_put(operands[0], NamedSharding(mesh, PartitionSpec("trial"))),
        jax.device_put(operands[1], NamedSharding(mesh, PartitionSpec("trial", "data"))),
    ]

    def grads(loss, operands):
        one = jax.value_and_grad(lambda z, head: loss(z, head, labels).mean(), argnums=(0, 1))
        return jax.jit(jax.vmap(one))(*operands)

    got = grads(lambda *args: sharded_softmax_cross_entropy(*args, mesh=mesh), spread)
    want = grads(softmax_cross_entropy, operands)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)


def test_what_travels_is_as_long_as_the_batch_and_no_device_holds_all_logits():
    mesh = make_mesh(data=8)
    z, head, labels = _data(num=800, batch=64)
    head = jax.device_put(head.astype(jnp.float32), NamedSharding(mesh, PartitionSpec("data")))

    def total(z, head):
        return sharded_softmax_cross_entropy(z, head, labels, mesh=mesh).sum()

    text = jax.jit(jax.grad(total, argnums=(0, 1))).lower(z.astype(jnp.float32), head).compile().as_text()
    assert "64,100]" in text and "64,800]" not in text and "800,64]" not in text
    assert "all-gather" not in text and "all-reduce" in text


def test_projected_rows_have_unit_norm_and_the_gradient_of_a_normalisation(x64):
    _, head, _ = _data()
    unit = project_rows(head)
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(project_rows(unit), unit, rtol=1e-12)
    want = jax.grad(lambda w: jnp.sum(jnp.sin(w / jnp.linalg.norm(w, axis=1, keepdims=True))))(head)
    np.testing.assert_allclose(jax.grad(lambda w: jnp.sum(jnp.sin(project_rows(w))))(head), want, atol=1e-12)
    traced = jax.jit(jax.value_and_grad(lambda w: jnp.sum(project_rows(w))))(head.at[0].set(0.0))
    assert np.isfinite(traced[0]) and np.isfinite(traced[1]).all()
    tiny = jax.jit(project_rows)(jnp.asarray([[1e-30, 1e-30], [1e30, 0.0]], jnp.float32))
    np.testing.assert_allclose(tiny, [[0.5**0.5, 0.5**0.5], [1, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    "change, found",
    [
        ({"labels": jnp.full(B, N)}, f"labels from {N} to {N}"),
        ({"labels": jnp.full(B, -1)}, "labels from -1"),
        ({"labels": jnp.zeros(B - 1, int)}, "labels of shape"),
        ({"head": jnp.ones((0, DIM))}, "a head of shape"),
        ({"head": jnp.ones((N, DIM + 1))}, "embeddings of shape"),
        ({"embeddings": jnp.ones(DIM)}, "embeddings of shape"),
        ({"embeddings": jnp.ones((0, DIM)), "labels": jnp.zeros(0, int)}, "embeddings of shape"),
        ({"beta": 0.0}, "beta=0"),
        ({"beta": jnp.ones(2)}, "wanted a scalar"),
        ({"block_size": 0}, "block_size=0"),
        ({"block_size": N + 1}, f"block_size={N + 1}"),
        ({"block_size": 2.5}, "block_size=2.5"),
        ({"mesh": make_mesh(data=8), "axis": "rows"}, "axis='rows'"),
        ({"mesh": make_mesh(data=8), "head": jnp.ones((N + 1, DIM))}, "on 8 devices"),
        ({"mesh": make_mesh(data=8), "block_size": 3}, "block_size=3"),
    ],
)
def test_bad_input_is_named(change, found):
    z, head, labels = _data()
    operands = {"embeddings": z, "head": head, "labels": labels, **change}
    loss = sharded_softmax_cross_entropy if "mesh" in change else softmax_cross_entropy
    with pytest.raises(ValueError, match=found):
        loss(**operands)


def test_rows_of_zeros_are_refused_where_they_are_known():
    with pytest.raises(ValueError, match="row of zeros"):
        project_rows(jnp.zeros((2, 3)).at[0, 0].set(1.0))
    with pytest.raises(ValueError, match="a head of shape"):
        project_rows(jnp.zeros((0, 3)))
