"""What the metrics of networks take: trees of parameters or activations, their leaves checked by name."""

from typing import Any

import jax
import numpy as np

from identax.checks import shape_of
from identax.inputs import numbers

Tree = Any
"""an array, or any tree of them: dicts, lists of layers; a list of plain numbers is an array"""


def leaves_of(where: str, name: str, tree: Tree, *, least_axes: int = 0) -> list[Any]:
    """The arrays of a tree, in JAX's order, as `numbers`.

    Raises `ValueError` for a tree without arrays, and, with its path, for one without entries or with fewer axes than
    `least_axes`.
    """
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_array):
        label = ".".join(filter(None, (name, jax.tree_util.keystr(path, simple=True, separator="."))))
        array = numbers(where, label, leaf)
        if 0 in shape_of(array) or len(shape_of(array)) < least_axes:
            wanted = f", at least {least_axes} axes" * bool(least_axes)
            raise ValueError(f"{where}: found {label} of shape {shape_of(array)}, wanted entries{wanted}")
        found.append(array)
    if not found:
        raise ValueError(f"{where}: found no arrays in {name}, wanted one or more")
    return found


def _is_array(node: Any) -> bool:
    """Lists of numbers, nested to one shape, which JAX would take apart."""
    if not isinstance(node, list | tuple):
        return False
    entries = jax.tree.leaves(node)
    if not entries or not all(isinstance(entry, bool | int | float | np.generic) for entry in entries):
        return False
    try:
        np.shape(node)
    except ValueError:  # a list of several arrays
        return False
    return True
