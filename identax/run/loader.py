"""Feeds host batches to the device in chunks; remembers where it is."""

import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from identax.run.guard import check_batch
from identax.run.program import batch_sharding


class Feed:
    """Stacks batches of a host iterator for the advance program.

    `batches` yields pytrees of NumPy arrays [N, ...], always of the same shapes: this process's share of the
    global batch, which is all of it where this process's devices hold the whole data axis. An iterator with
    `get_state()` and `set_state()` (grain's have both) is resumed by them, any other by skipping.
    """

    def __init__(self, batches: Iterator | None, mesh: Mesh) -> None:
        self._batches: Any = batches
        self._sharding = batch_sharding(mesh)
        self._mesh = mesh
        self._held: list[Any] = []  # one batch that example() looked at, and the position before it
        self._before_held: dict[str, Any] = {}
        self._shapes: Any = None

    @property
    def active(self) -> bool:
        """Whether there is a loader at all."""
        return self._batches is not None

    def example(self) -> Any:
        """Shapes of one global batch (None where the study samples for itself), without consuming it."""
        if self._batches is None:
            return None
        return jax.eval_shape(lambda stacked: jax.tree.map(lambda leaf: leaf[0], stacked), self._place([self._peek()]))

    def take(self, count: int) -> Any:
        """Next `count` batches, stacked [count, N, ...] on the device; None without an iterator."""
        if self._batches is None:
            return None
        return self._place([self._next() for _ in range(count)])

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs, as JSON."""
        if self._batches is None or not hasattr(self._batches, "get_state"):
            return {}
        if self._held:
            return self._before_held
        state = self._batches.get_state()
        # Latin-1 maps every byte to one character and back.
        return {"bytes": state.decode("latin-1")} if isinstance(state, bytes) else {"json": state}

    def set_state(self, state: dict[str, Any], step: int) -> None:
        """Moves to the position after `step` batches."""
        if self._batches is None:
            return
        if state:
            if not hasattr(self._batches, "set_state"):
                raise ValueError("run: the checkpoint holds a loader's position, but this loader has no set_state()")
            self._held.clear()
            bytes_ = state.get("bytes")
            self._batches.set_state(state["json"] if bytes_ is None else bytes_.encode("latin-1"))
            return
        warnings.warn(f"the loader cannot be set to a position: reading {step} batches to skip them", stacklevel=3)
        for _ in range(step):
            self._next()

    def _peek(self) -> Any:
        if not self._held:
            self._before_held = self.get_state()
            self._held.append(self._next())
        return self._held[0]

    def _next(self) -> Any:
        if self._held:
            return self._held.pop()
        try:
            return next(self._batches)
        except StopIteration:
            raise ValueError("run: the loader ended before num_steps; wanted one batch per step (repeat it)") from None

    def _place(self, batches: list[Any]) -> Any:
        for batch in batches:
            check_batch(batch, self._mesh)
            shapes = jax.tree.map(np.shape, batch)
            self._shapes = shapes if self._shapes is None else self._shapes
            if shapes != self._shapes:
                raise ValueError(f"run: found a batch of shapes {shapes}, wanted {self._shapes} like the one before")
        return jax.tree.map(
            lambda *leaves: jax.make_array_from_process_local_data(self._sharding, np.stack(leaves)), *batches
        )
