"""The frame of sequence models: tokens to vectors, through blocks in a loop, to logits; with or without a state."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from identax.checks import check_between, check_count
from identax.models.row_chunks import over_rows
from identax.models.sequence import SequenceModel, with_checks
from identax.rng import stream

MOST_BLOCKS = 2**12
"""of a group: far more than any model has, so that a mistyped number is refused before it fills the memory"""


class Span(NamedTuple):
    """What a block is told about the columns it sees.

    `visible` [N, S]: keys that may be attended to, None where no block attends; `real` [N, T]: tokens that move a
    state, None for all; `slot`: the column of a cache at which these begin; `size`: columns of the caches that are to
    be returned, None for no state at all.
    """

    visible: Any = None
    real: Any = None
    slot: Any = 0
    size: int | None = None


class Group(NamedTuple):
    """`count` equal blocks one after the other: `block(x [N, T, d], state or None, span, train) -> (y, state)`.

    `unrolled`: whole rows without a state go through them without a loop, which would store and fetch what the backward
    pass needs of each; to be said of few.
    """

    block: nn.Module
    count: int
    width: int
    unrolled: bool = False


def assembled(
    where: str,
    ends: nn.Module,
    groups: Sequence[Group],
    *,
    vocabulary: int,
    pad: int | None = None,
    attends: bool = False,
    identical: bool = False,
    chunk: int | None = None,
    draws: bool = False,
) -> SequenceModel:
    """Tokens embedded by `ends`, through the blocks of `groups`, to logits by `ends`.

    `params` are {"ends", "blocks_0", ...}, one entry per group, its leaves [count, ...]: equal blocks are one loop.
    `attends`: there are caches of keys, from which `pad` is hidden. `identical`: all blocks of a group start alike.
    `chunk`: so many rows at a time go through a block, and are computed again backwards. `draws`:
    there is dropout, so that training needs a key.
    Raises `ValueError` for a chunk < 1, a `pad` that is no token, and groups of more than `MOST_BLOCKS`.
    """
    for group in groups:
        check_between(where, "the number of equal blocks", group.count, 0, MOST_BLOCKS)
    if chunk is not None:
        check_count(where, "chunk", chunk)
    if pad is not None:
        check_count(where, "pad", pad, 0)
        check_between(where, "pad", pad, 0, vocabulary - 1)
    frame = _Frame(ends, tuple(groups), pad, attends, identical, chunk)
    return with_checks(
        where,
        jax.jit(frame.make),
        partial(jax.jit, static_argnums=3)(frame.whole),
        partial(jax.jit, static_argnums=3)(frame.filled),
        jax.jit(frame.advanced),
        vocabulary=vocabulary,
        draws=draws,
    )


@dataclasses.dataclass(frozen=True)
class _Frame:
    ends: nn.Module
    groups: tuple[Group, ...]
    pad: int | None
    attends: bool
    identical: bool
    chunk: int | None

    def make(self, key):
        """The start of all parameters."""
        token, params = jnp.zeros((1, 1), jnp.int32), {}
        params["ends"] = self.ends.init(stream(key, "ends"), token, token)["params"]
        dtype = jax.tree.leaves(params["ends"])[0].dtype
        span = Span(jnp.ones((1, 1), bool) if self.attends else None)
        for number, group in enumerate(self.groups):
            own = stream(key, f"blocks_{number}")
            keys = jnp.stack([own] * group.count) if self.identical else jax.random.split(own, group.count)
            x = jnp.zeros((1, 1, group.width), dtype)
            start = jax.vmap(lambda key, x=x, block=group.block: block.init(key, x, None, span, False)["params"])
            params[f"blocks_{number}"] = start(keys)
        return {"params": params, "state": {}}

    def whole(self, params, tokens, key, train):
        """Logits of all columns."""
        x = self._at_ends(params, "embed", tokens, _columns(tokens), train=train, key=key)
        visible = self._shown(tokens) if self.attends else None
        x, _ = self._through(params, x, None, Span(visible), train, key)
        return self._at_ends(params, "logits", x, train=train, key=key)

    def filled(self, params, tokens, lengths, size):
        """Logits behind the last token of each row, and the state there."""
        columns, length = _columns(tokens), tokens.shape[1]
        real = columns < lengths[:, None]
        # What stands behind a row's length may be anything, also no token at all.
        x = self._at_ends(params, "embed", jnp.where(real, tokens, 0), columns)
        visible = self._shown(tokens) & real if self.attends else None
        x, blocks = self._through(params, x, None, Span(visible, real, 0, size), False, None)
        last = jnp.take_along_axis(x, jnp.maximum(lengths - 1, 0)[:, None, None], axis=1)
        logits = self._at_ends(params, "logits", last)[:, 0] * (lengths > 0)[:, None]
        state = {"blocks": blocks, "lengths": lengths, "slot": jnp.asarray(length, jnp.int32)}
        if visible is not None:
            state["visible"] = jnp.pad(visible, ((0, 0), (0, size - length)))
        return logits, state | {"room": jnp.asarray(size, jnp.int32)}

    def advanced(self, params, state, token):
        """One more token for every row."""
        slot, lengths, tokens, visible = state["slot"], state["lengths"], token[:, None], None
        if self.attends:
            visible = jax.lax.dynamic_update_slice_in_dim(state["visible"], self._shown(tokens), slot, axis=1)
            state = state | {"visible": visible}
        x = self._at_ends(params, "embed", tokens, lengths[:, None])
        span = Span(visible, None, slot, 0 if visible is None else visible.shape[1])
        x, blocks = self._through(params, x, state["blocks"], span, False, None)
        logits = jnp.where(slot < state["room"], self._at_ends(params, "logits", x)[:, 0], jnp.nan)
        return logits, state | {"blocks": blocks, "lengths": lengths + 1, "slot": slot + 1}

    def _through(self, params, x, states, span, train, key):
        """All blocks: x and, if the span has a size, the states of each group, leaves [count, ...]."""
        found = []
        for number, group in enumerate(self.groups):
            name = f"blocks_{number}"
            keys = None if key is None else jax.random.split(stream(key, name), group.count)
            run = _one_block(group.block, span, train, self.chunk if span.size is None else None)
            before = None if states is None else states[number]
            inputs = (params[name], before, keys)
            if group.count == 1:  # the only block that may change the width
                x, after = run(x, jax.tree.map(lambda leaf: leaf[0], inputs))
                after = jax.tree.map(lambda leaf: leaf[None], after)
            elif group.unrolled and span.size is None:
                for layer in range(group.count):
                    x, after = run(x, jax.tree.map(lambda leaf, layer=layer: leaf[layer], inputs))
            else:
                x, after = jax.lax.scan(run, x, inputs)
            found.append(after)
        return x, tuple(found)

    def _at_ends(self, params, method, *arguments, train=False, key=None) -> Any:
        rngs = {} if key is None else {"dropout": stream(key, method)}
        return self.ends.apply({"params": params["ends"]}, *arguments, train, method=method, rngs=rngs)

    def _shown(self, tokens):
        return jnp.ones(tokens.shape, bool) if self.pad is None else tokens != self.pad


def _one_block(block: nn.Module, span: Span, train: bool, chunk: int | None) -> Callable:
    """`(x, (params, state, key)) -> (y, state)`, the body of a loop over blocks."""

    def run(x, one):
        params, state, key = one

        def block_of(key, x, visible):
            rngs = {} if key is None else {"dropout": key}
            return block.apply({"params": params}, x, state, span._replace(visible=visible), train, rngs=rngs)

        if chunk is None or chunk >= len(x):
            return block_of(key, x, span.visible)
        return over_rows(lambda key, *rows: block_of(key, *rows)[0], key, (x, span.visible), chunk), None

    return run


def _columns(tokens: Any) -> Any:
    return jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
