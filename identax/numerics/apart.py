"""A piece of a program that the compiler on a CPU does not merge with what its results go into."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def apart(function: Callable, *arguments: Any) -> Any:
    """`function(*arguments)`, whose results are computed once, under `vmap` as well.

    XLA has no barrier on a CPU: it removes `jax.lax.optimization_barrier`. Sums that are written out are cheap in its
    eyes, so that it puts them into everything they go into and computes them again for every element of that. What a
    conditional takes and gives back it leaves alone. This one has a condition that never holds, whatever the numbers; a
    compiler that saw it would only lose time again. Elsewhere than on a CPU nothing is set apart.

    `function` closes over no traced arrays. Meant for pieces whose derivatives the caller gives.
    """
    leaves = jax.tree.leaves(arguments)
    if jax.default_backend() != "cpu" or not leaves or leaves[0].size == 0:
        return function(*arguments)

    @jax.custom_batching.custom_vmap
    def run(*arguments):
        some = jax.tree.leaves(arguments)[0].reshape(-1)[0]
        shapes = jax.eval_shape(function, *arguments)

        def never(*_):
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        return jax.lax.cond((some > 1) & (some < 1), never, function, *arguments)

    @run.def_vmap
    def _(size, batched, *arguments):
        # A condition of each trial's own would become a choice between two results, both of them computed.
        axes = jax.tree.map(lambda one: 0 if one else None, tuple(batched))
        found = apart(jax.vmap(function, in_axes=axes, axis_size=size), *arguments)
        return found, jax.tree.map(lambda _: True, found)

    return run(*arguments)
