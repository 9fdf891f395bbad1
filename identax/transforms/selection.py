"""Which leaves of the parameters a transformation acts on, by path and by gate."""

import re
from collections.abc import Callable
from typing import Any

import jax

# Per kind of cell: the letters of Flax's parameter names (i.: from the input, h.: from the state) by name of the gate.
_GATES = {
    "lstm": {"input": "i", "forget": "f", "cell": "g", "output": "o"},
    "gru": {"reset": "r", "update": "z", "new": "n"},
}


def select(pattern: str = "kernel", *, gate: str | None = None) -> Callable[[Any], Any]:
    """A mask for `optax.masked`, and for `on` of the transformations here: True at the leaves that are chosen.

    Chosen are the leaves whose path, names joined by "/" ("cell/hi/kernel", "Dense_0/bias"), holds the regular
    expression `pattern`; with `gate` those that belong to this gate of a recurrent cell besides: input, forget, cell or
    output of an LSTM, reset, update or new of a GRU, as `lstm` and `gru` (and Flax's cells) name their weights.

    The mask, a function of parameters, raises `ValueError` where it chooses nothing, and lists what there is; `select`
    for a pattern that is no regular expression and for an unknown gate.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"select: found pattern={pattern!r}, wanted a regular expression: {error}") from None
    names = [name for gates in _GATES.values() for name in gates]
    if gate is not None and gate not in names:
        raise ValueError(f"select: found gate={gate!r}, wanted one of {names}")

    def mask(params: Any) -> Any:
        paths, treedef = leaf_paths(params)
        chosen = {path for path in paths if search(path)}
        if not chosen and paths:
            raise ValueError(f"select: found no leaf whose path holds {pattern!r}, wanted one of {paths}")
        if gate is not None:
            of_gates = _gate_of(paths)
            found = {path for path in chosen if of_gates.get(path) == gate}
            if not found and paths:
                there = {path: of_gates.get(path) for path in sorted(chosen)}
                raise ValueError(f"select: found no {gate} gate among the leaves of {pattern!r}: {there}")
            chosen = found
        return jax.tree.unflatten(treedef, [path in chosen for path in paths])

    return mask


def leaf_paths(tree: Any) -> tuple[list[str], Any]:
    """Paths of all leaves, names joined by "/", and the tree's structure."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves], treedef


def _gate_of(paths: list[str]) -> dict[str, str]:
    """The gate of each leaf that belongs to one: a cell is known by having the weights of all its gates."""
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth, name in enumerate(parts[:-1]):
            children.setdefault("/".join(parts[:depth]), set()).add(name)
    found = {}
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
