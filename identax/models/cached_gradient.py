"""Large batches on small memory, exactly: embed in micro-batches, replay the encoder in the backward pass.

A contrastive loss compares all pairs of a batch, so the mean of gradients of smaller batches (gradient accumulation) is
another gradient. But given d loss / d embedding_i for the whole batch, the parameters' gradient is a sum over examples,
sum_i (d loss / d embedding_i) (d embedding_i / d params), which can be taken one micro-batch at a time: embeddings are
small, and of the encoder's activations only those of one micro-batch ever exist.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_choice, check_count
from identax.models.base import Model

STATISTICS = ("refuse", "micro_batch")


def micro_batched(embed: Callable[[Any, Any], Any], *, micro_batch: int) -> Callable[[Any, Any], Any]:
    """Returns `embed(params, batch) -> outputs` that works through the batch `micro_batch` examples at a time.

    Every leaf of `batch` and of the outputs is [N, ...]; order is kept. The backward pass runs `embed` again, one
    micro-batch at a time, and keeps nothing of it but the parameters' gradient (cached-gradient scheme; a scan over a
    rematerialised encoder). Value and gradient are those of `embed(params, batch)` for any loss on top, if embeddings
    depend on their own example alone; batch statistics do not, see `micro_batched_model`. Random keys per example
    belong into `batch`. Micro-batch j holds the examples j, j + N/M, j + 2N/M, ...: of a batch sharded over devices
    every device then has a share of each.
    Raises `ValueError` for a micro-batch < 1, and, when used, for one that does not divide N or leaves of unequal N.
    Source: Gao et al. 2021 (gradient caching); the Mahalanobis or dot-product loss on top does not matter.
    """
    check_count("micro_batched", "micro_batch", micro_batch)

    @jax.jit  # outside `jit`, too, one program for all its calls of one shape
    def replayed(params, batch):
        return _replayed(lambda params, part, number: (embed(params, part), None), params, batch, micro_batch)[0]

    def embed_all(params, batch):
        _batch_size(batch, micro_batch)
        return replayed(params, batch)

    return embed_all


def cached_gradient(
    embed: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any], Float[Array, ""]],
    params: Any,
    batch: Any,
    *,
    micro_batch: int,
) -> tuple[Float[Array, ""], Any]:
    """Value and gradient of `loss(params, embed(params, batch))`, with the memory of one micro-batch.

    * `embed(params, batch) -> embeddings`, leaves [N, ...], each example by itself (`micro_batched` says what if not)
    * `loss(params, embeddings) -> scalar` over the whole batch; it may depend on `params` too (a precision vector)

    Equal to the gradient of the whole batch up to rounding, for every `micro_batch` that divides N; costs one more
    forward pass of the encoder. Works under jit and vmap. Raises `ValueError` as `micro_batched`.
    """
    embed_all = micro_batched(embed, micro_batch=micro_batch)
    return jax.value_and_grad(lambda params: loss(params, embed_all(params, batch)))(params)


def micro_batched_model(model: Model, *, micro_batch: int, statistics: str = "refuse") -> Model:
    """A `Model` whose `apply` goes through its batch in micro-batches, as `micro_batched`.

    A model with batch statistics is, in training, another function then: its statistics would be those of each
    micro-batch, the whole batch's never being there at once. `statistics="refuse"` raises `ValueError` for it;
    `"micro_batch"` accepts it: value and gradient are exact for *that* function (the replay sees the same statistics),
    and the new state is the mean of the micro-batches' new states. With running statistics (`train=False`), or none, it
    is the model itself. Micro-batch j of several draws (dropout) from `fold_in(key, j)`: independent of the others, not
    the draws of the whole batch. Raises `ValueError` as `micro_batched` and for unknown `statistics`.
    """
    check_choice("micro_batched_model", "statistics", statistics, STATISTICS)
    check_count("micro_batched_model", "micro_batch", micro_batch)

    def apply(variables, x, *, train=False, key=None):
        state = variables.get("state") or {}
        keeps = train and bool(jax.tree.leaves(state))
        if keeps and statistics == "refuse" and _batch_size(x, micro_batch) != micro_batch:
            raise ValueError(
                f"micro_batched_model: found a model with batch statistics, in training, and micro_batch={micro_batch} "
                f"of {len(x)}, wanted a model without, or statistics='micro_batch': normalising by micro-batches is "
                "another function than by the whole batch"
            )

        whole = len(x) == micro_batch

        def embed(variables, part, number):
            own = key if key is None or whole else jax.random.fold_in(key, number)
            return model.apply(variables, part, train=train, key=own)

        output, states = _replayed(embed, variables, x, micro_batch)
        return output, jax.tree.map(lambda leaf: leaf.mean(axis=0), states) if keeps else state

    return Model(model.init, apply)


def _replayed(fn: Callable, params: Any, batch: Any, micro_batch: int) -> tuple[Any, Any]:
    """Maps `fn(params, part, number) -> (outputs, extra)` over micro-batches: outputs [N, ...], extras [N/M, ...]."""
    numbers = jnp.arange(_batch_size(batch, micro_batch) // micro_batch)
    # Inside a scan nothing can undo the recomputation, so the barriers against that are left out.
    replayed = jax.checkpoint(fn, prevent_cse=False)
    parts = jax.tree.map(lambda leaf: _split(leaf, micro_batch), batch)
    _, (outputs, extras) = jax.lax.scan(lambda carry, part: (carry, replayed(params, *part)), None, (parts, numbers))
    return jax.tree.map(_join, outputs), extras


def _batch_size(batch: Any, micro_batch: int) -> int:
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes == {()}:
        raise ValueError(f"micro_batched: found leading axes {sorted(sizes)}, wanted one length N >= 1 for all leaves")
    num = sizes.pop()[0]
    if num == 0 or num % micro_batch:
        raise ValueError(f"micro_batched: found micro_batch={micro_batch} and N={num}, wanted a divisor of N")
    return num


def _split(x: Any, micro_batch: int) -> Any:
    """[N, ...] -> [N/M, M, ...], strided."""
    return x.reshape(micro_batch, -1, *x.shape[1:]).swapaxes(0, 1)


def _join(x: Any) -> Any:
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
