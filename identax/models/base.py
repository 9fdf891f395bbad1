"""The type every model has; flax stays behind it."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Model(NamedTuple):
    """A model as two pure functions.

    `init(key, example) -> variables`: a dict with `params` and, where the model keeps statistics, `state`.
    `apply(variables, x, *, train=False, key=None) -> (output, new_model_state)`.
    """

    init: Callable[..., Any]
    apply: Callable[..., tuple[Any, Any]]
