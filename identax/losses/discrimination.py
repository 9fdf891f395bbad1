"""Softmax cross-entropy against the rows of a head: instance discrimination (DIET) and supervised classification."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from identax.checks import check_positive, concrete, shape_of
from identax.losses._checks import (
    BlockSize,
    Embeddings,
    Labels,
    Scalar,
    as_floats,
    as_labels,
    as_number,
    check_block_size,
)
from identax.losses._on_mesh import Local, on_mesh

_HIGHEST = jax.lax.Precision.HIGHEST


def softmax_cross_entropy(
    embeddings: Embeddings,
    head: Embeddings,
    labels: Labels,
    *,
    beta: Scalar = 1.0,
    block_size: BlockSize = None,
    normalize_rows: bool = False,
) -> Float[Array, " B"]:
    """Cross-entropy of every example's label under a softmax over the rows of `head`: [B], in nats.

        L_b = log sum_j exp(beta <w_j, z_b>) - beta <w_{i_b}, z_b>

    Labels are instances (DIET: one row for each of N data points) or classes (supervised learning).
    Args: `embeddings` z [B, d], `head` w [N, d], `labels` i [B] in 0..N-1 of any integer type, `beta` > 0 a scalar (may
    be learned).
    `block_size` rows of the head at a time: no [B, N] array exists, neither forwards nor backwards; same values and
    gradients, reverse mode only. `normalize_rows` divides the rows by their norms inside the loss, differentiably; for
    the projection of the stored parameter see `project_rows`.
    Integer embeddings and rows count as floats. Raises `ValueError` for shapes that do not fit, a head without rows,
    complex entries, labels that are floats or booleans or known to be out of range, a beta known not to be > 0, and a
    block size other than 1..N.
    Source: Reizinger et al. 2025, eq. of DIET and theorem 1.
    """
    where = "softmax_cross_entropy"
    operands = _checked(where, embeddings, head, labels, beta)
    check_block_size(where, block_size, shape_of(head)[0])
    return _dense(None if block_size is None else int(block_size), bool(normalize_rows), *operands)


@partial(jax.jit, static_argnums=(0, 1), inline=True)
def _dense(block_size, normalize_rows, scaled, head, labels):
    if normalize_rows:
        head = _projected(head)
    own = jnp.sum(scaled * head[labels], axis=1)
    return _logsumexps(scaled, head, block_size) - own


def sharded_softmax_cross_entropy(
    embeddings: Embeddings,
    head: Embeddings,
    labels: Labels,
    *,
    mesh: Mesh,
    axis: str = "data",
    beta: Scalar = 1.0,
    block_size: BlockSize = None,
    normalize_rows: bool = False,
) -> Float[Array, " B"]:
    """`softmax_cross_entropy` with the rows of `head` spread over the mesh's `axis`: same values and gradients.

    Each of the axis' P devices keeps N/P rows, and their gradient, and meets all embeddings with them under one
    `shard_map`; what travels is [B, d] embeddings and [B] maxima and sums. Arguments and results are global arrays.
    With `block_size` (at most N/P) a device holds [B, block_size] logits. Reverse mode only. Other axes of the mesh
    stay with the compiler, so it maps over trials. The mesh's axes may be Auto or Explicit.

    Raises `ValueError` as the loss does, for an axis that the mesh does not have, and where P does not divide N.
    """
    where = "sharded_softmax_cross_entropy"
    operands = _checked(where, embeddings, head, labels, beta)
    if axis not in mesh.shape:
        raise ValueError(f"{where}: found axis={axis!r}, wanted one of the mesh's {list(mesh.shape)}")
    num, devices = shape_of(head)[0], mesh.shape[axis]
    if num % devices:
        raise ValueError(f"{where}: found a head of N={num} rows on {devices} devices, wanted a multiple of {devices}")
    check_block_size(where, block_size, num // devices)
    scaled, head, labels = operands
    rows, everywhere = PartitionSpec(axis), PartitionSpec()
    # The numbers of the rows come as an array: asking for the device's index is refused beside automatic axes.
    specs = (everywhere, rows, rows, everywhere)
    local = Local(_of_rows, (None if block_size is None else int(block_size), bool(normalize_rows), axis))
    return on_mesh(local, mesh, axis, specs, everywhere, (scaled, head, jnp.arange(num, dtype=labels.dtype), labels))


def _of_rows(block_size, normalize_rows, axis, scaled, rows, ids, labels):
    """One device's share: all examples against its rows of the head."""
    if normalize_rows:
        rows = _projected(rows)
    sums = _logsumexps(scaled, rows, block_size)
    top = jax.lax.pmax(jax.lax.stop_gradient(sums), axis)
    total = jnp.log(jax.lax.psum(jnp.exp(sums - top), axis)) + top
    place = labels - ids[0]
    here = (place >= 0) & (place < rows.shape[0])
    own = jnp.sum(scaled * rows[jnp.where(here, place, 0)], axis=1)
    return total - jax.lax.psum(jnp.where(here, own, 0.0), axis)


def project_rows(head: Embeddings) -> Float[Array, "N d"]:
    """Divides every row of the head by its Euclidean norm: [N, d].

    As in the original unit-norm variant it is meant for the stored parameter at the start of a step, outside the
    gradient: optimiser moments are not projected, and after the step rows are off the sphere by about the learning
    rate. Inside a loss it is a differentiable normalisation instead (`normalize_rows`). A traced zero row stays zero.
    Raises `ValueError` unless `head` is [N, d] with N, d >= 1, and for a row known to be zero.
    Source: Reizinger et al. 2025, code (`normalize_rows`).
    """
    _check_head("project_rows", head)
    (head,) = as_floats("project_rows", head=head)
    known = concrete(head)
    if known is not None and not np.all(np.any(known != 0, axis=1)):
        raise ValueError("project_rows: found a row of zeros, wanted rows with a direction")
    return _projected(head)


def _projected(head):
    # By the largest entry first: squares of very small or large ones would leave the range of the type.
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(head), axis=1, keepdims=True))
    scaled = head / jnp.where(size > 0, size, 1.0)
    squared = jnp.sum(scaled * scaled, axis=1, keepdims=True)
    return scaled / jnp.sqrt(jnp.where(squared > 0, squared, 1.0))


def _logsumexps(embeddings, head, block_size):
    """log sum_j exp(<w_j, z_b>) of every embedding: [B]."""
    if block_size is None:
        # With the barrier the head's gradient is formed as [d, N] and turned round afterwards. Otherwise XLA makes one
        # product of the two, [N, B] by [B, d], which takes several times as long on a CPU, as d is small.
        columns = jax.lax.optimization_barrier(head.T)
        return jax.nn.logsumexp(jnp.matmul(embeddings, columns, precision=_HIGHEST), axis=1)
    return cast(Array, _blocked(_padded(head, int(block_size)), embeddings, head.shape[0]))


def _padded(head, size):
    """Rows in blocks: [N, d] -> [K, size, d], the last one filled up."""
    return jnp.pad(head, ((0, -head.shape[0] % size), (0, 0))).reshape(-1, size, head.shape[1])


def _logits(number, block, embeddings, num):
    """Logits [B, size] of one block, -inf for the filling."""
    logits = jnp.matmul(embeddings, block.T, precision=_HIGHEST)
    counted = number * block.shape[0] + jnp.arange(block.shape[0]) < num
    return jnp.where(counted[None, :], logits, -jnp.inf)


def _blocked_sums(blocks, embeddings, num):
    def step(carry, item):
        top, total = carry
        number, block = item
        logits = _logits(number, block, embeddings, num)
        above = jnp.maximum(top, logits.max(axis=1))
        total = total * jnp.exp(top - above) + jnp.exp(logits - above[:, None]).sum(axis=1)
        return (above, total), None

    first = _logits(0, blocks[0], embeddings, num)
    top = first.max(axis=1)
    start = top, jnp.exp(first - top[:, None]).sum(axis=1)
    (top, total), _ = jax.lax.scan(step, start, (jnp.arange(1, blocks.shape[0]), blocks[1:]))
    return top + jnp.log(total)


def _forward(blocks, embeddings, num):
    sums = _blocked_sums(blocks, embeddings, num)
    return sums, (blocks, embeddings, sums)


@partial(jax.jit, static_argnums=0, inline=True)
def _backward(num, residuals, cotangent):
    """The softmax of every block once more, from the sums that are known now."""
    blocks, embeddings, sums = residuals

    def step(total, item):
        number, block = item
        weights = cotangent[:, None] * jnp.exp(_logits(number, block, embeddings, num) - sums[:, None])
        of_block = jnp.matmul(embeddings.T, weights, precision=_HIGHEST)  # as [d, size]: see `_logsumexps`
        return total + jnp.matmul(weights, block, precision=_HIGHEST), of_block

    items = jnp.arange(blocks.shape[0]), blocks
    of_embeddings, of_blocks = jax.lax.scan(step, jnp.zeros_like(embeddings), items)
    return of_blocks.swapaxes(1, 2), of_embeddings


_blocked: Callable[..., Any] = jax.custom_vjp(_blocked_sums, nondiff_argnums=(2,))
_blocked.defvjp(_forward, _backward)  # pyright: ignore[reportFunctionMemberAccess]


def _checked(where, embeddings, head, labels, beta):
    """beta z [B, d], w [N, d] and the labels [B], in types that can be computed with."""
    _check_head(where, head)
    batch, num = shape_of(embeddings), shape_of(head)[0]
    if len(batch) != 2 or 0 in batch or batch[1] != shape_of(head)[1]:
        raise ValueError(
            f"{where}: found embeddings of shape {batch} and a head of shape {shape_of(head)}, wanted [B, d] and [N, d]"
        )
    if shape_of(labels) != batch[:1]:
        raise ValueError(f"{where}: found labels of shape {shape_of(labels)}, wanted one for each of {batch[0]} rows")
    check_positive(where, "beta", beta, ())
    labels, beta = as_labels(where, "labels", labels, num), as_number(where, "beta", beta)
    embeddings, head = as_floats(where, embeddings=embeddings, head=head)
    return jnp.asarray(beta, embeddings.dtype) * embeddings, head, labels


def _check_head(where, head):
    if len(shape_of(head)) != 2 or 0 in shape_of(head):
        raise ValueError(f"{where}: found a head of shape {shape_of(head)}, wanted [N, d] with N, d >= 1")
