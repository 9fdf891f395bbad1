"""Which leaves of the parameters a transformation acts on, by path and by gate."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax

# Per kind of cell: the letters of Flax's parameter names (i.: from the input, h.: from the state) by name of the gate.
_GATES = {
    "lstm": {"input": "i", "forget": "f", "cell": "g", "output": "o"},
    "gru": {"reset": "r", "update": "z", "new": "n"},
}
# Parameters of `torch_lstm`, which hold the LSTM's gates in the order above along their last axis.
_PACKED = ("ih_kernel", "hh_kernel", "ih_bias", "hh_bias")
EACH = "each"
"""instead of the name of a gate: all gates, each by itself"""


@dataclasses.dataclass(frozen=True)
class Gates:
    """In a mask: of this leaf the slices that belong to some gates, `size` wide on the last axis.

    What knows whole leaves only, such as `optax.masked`, asks for its truth value and is refused.
    """

    starts: dict[str, int]
    size: int

    def __bool__(self) -> bool:
        raise ValueError(
            f"select: found a leaf that holds the gates {list(self.starts)} among others, wanted whole leaves: give "
            "the selection as `on` of the perturbation instead of optax.masked"
        )

    def units(self, path: str) -> dict[str, tuple[int, int]]:
        """Where the slices begin and how wide they are, by `path:gate`."""
        return {f"{path}:{gate}": (at, self.size) for gate, at in self.starts.items()}

    def cut(self, path: str, leaf: Any) -> dict[str, Any]:
        """The slices, by `path:gate`."""
        return {name: leaf[..., at : at + size] for name, (at, size) in self.units(path).items()}

    def paste(self, path: str, leaf: Any, slices: dict[str, Any]) -> Any:
        """The leaf with these slices in their places, the inverse of `cut`."""
        for name, (at, _) in self.units(path).items():
            leaf = jax.lax.dynamic_update_slice_in_dim(leaf, slices[name], at, leaf.ndim - 1)
        return leaf


def select(pattern: str = "kernel", *, gate: str | None = None) -> Callable[[Any], Any]:
    """A mask for `optax.masked`, and for `on` of the transformations here: True at the leaves that are chosen.

    Chosen are the leaves whose path, names joined by "/" ("cell/hi/kernel", "Dense_0/bias"), holds the regular
    expression `pattern`; with `gate` those that belong to this gate of a recurrent cell besides: input, forget, cell or
    output of an LSTM, reset, update or new of a GRU, as `lstm` and `gru` (and Flax's cells) name their weights, or all
    of these with "each".

    The leaves of `torch_lstm` hold four gates [..., 4 features]. There `gate` chooses a slice of a leaf, and "each" all
    four: perturbations (their `on`) take a slice for a leaf of its own, named "lstm1/hh_kernel:forget", and leave the
    others alone; `optax.masked` cannot, and is refused. Without `gate` such a leaf is one matrix of all gates.

    The mask, a function of parameters, raises `ValueError` where it chooses nothing, and lists what there is; `select`
    for a pattern that is no regular expression and for an unknown gate.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"select: found pattern={pattern!r}, wanted a regular expression: {error}") from None
    names = [*(name for gates in _GATES.values() for name in gates), EACH]
    if gate is not None and gate not in names:
        raise ValueError(f"select: found gate={gate!r}, wanted one of {names}")

    def mask(params: Any) -> Any:
        paths, treedef = leaf_paths(params)
        chosen: dict[str, bool | Gates] = {path: True for path in paths if search(path)}
        if not chosen and paths:
            raise ValueError(f"select: found no leaf whose path holds {pattern!r}, wanted one of {paths}")
        if gate is not None:
            leaves = dict(zip(paths, jax.tree.leaves(params), strict=True))
            of_gates = _gate_of(paths) | _packed(leaves)
            there = {path: of_gates.get(path) for path in sorted(chosen)}
            chosen = {path: part for path, held in there.items() if (part := _part(held, gate)) is not None}
            if not chosen and paths:
                listed = {path: list(held.starts) if isinstance(held, Gates) else held for path, held in there.items()}
                raise ValueError(f"select: found no {gate} gate among the leaves of {pattern!r}: {listed}")
        return jax.tree.unflatten(treedef, [chosen.get(path, False) for path in paths])

    return mask


def leaf_paths(tree: Any) -> tuple[list[str], Any]:
    """Paths of all leaves, names joined by "/", and the tree's structure."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves], treedef


def _part(held: str | Gates | None, gate: str) -> bool | Gates | None:
    """What of a leaf is this gate's: the leaf holds that one gate, or several, or is of no cell."""
    if isinstance(held, Gates):
        starts = held.starts if gate == EACH else {name: at for name, at in held.starts.items() if name == gate}
        return Gates(starts, held.size) if starts else None
    return True if held is not None and gate in (EACH, held) else None


def _gate_of(paths: list[str]) -> dict[str, str | Gates]:
    """The gate of each leaf that belongs to one: a cell is known by having the weights of all its gates."""
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth, name in enumerate(parts[:-1]):
            children.setdefault("/".join(parts[:depth]), set()).add(name)
    found: dict[str, str | Gates] = {}
    for cell, names in children.items():
        for gates in _GATES.values():
            own = {source + letter: gate for gate, letter in gates.items() for source in "ih"}
            if own.keys() <= names:
                start = f"{cell}/" if cell else ""
                found |= {
                    path: own[name]
                    for path in paths
                    if path.startswith(start) and (name := path[len(start) :].split("/")[0]) in own
                }
    return found


def _packed(leaves: dict[str, Any]) -> dict[str, str | Gates]:
    """The gates of leaves that hold four: an LSTM in one matrix is known by its `hh_kernel` [n, 4 n]."""
    found: dict[str, str | Gates] = {}
    for path, leaf in leaves.items():
        *cell, name = path.split("/")
        shape = getattr(leaf, "shape", ())
        if name != "hh_kernel" or len(shape) < 2 or shape[-1] != 4 * shape[-2]:
            continue
        size = shape[-2]
        all_four = Gates({gate: number * size for number, gate in enumerate(_GATES["lstm"])}, size)
        of_cell = ("/".join([*cell, own]) for own in _PACKED)
        found |= {own: all_four for own in of_cell if own in leaves and leaves[own].shape[-1] == 4 * size}
    return found
