"""The type every data-generating process has."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sample:
    """One draw of a world: `latents` z and `observations` x = g(z), leading axis n in every leaf.

    For worlds of pairs both fields are tuples (anchor, positive).
    """

    latents: Any
    observations: Any


class DGP(NamedTuple):
    """A data-generating process as two pure functions.

    `init(key) -> truth`: the ground-truth parameters, any pytree of arrays.
    `sample(truth, key, n) -> Sample`: n draws (n static), leading axis n.
    """

    init: Callable[..., Any]
    sample: Callable[..., Sample]
