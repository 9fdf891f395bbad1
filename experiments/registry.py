"""Finds the experiments: every module `experiments/<paper>/<experiment>.py` that assigns `PRESETS`."""

import ast
import difflib
import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOTS = [Path(__file__).parent]
"""folders that hold one folder per paper"""


class Entry(NamedTuple):
    """What `list` shows of an experiment: the first line of its docstring and the names of its presets."""

    line: str
    presets: tuple[str, ...]


def discover() -> dict[str, Entry]:
    """Maps `paper/experiment` to its entry, from the source alone: nothing is imported, so nothing can fail to."""
    found = {}
    for path in sorted(path for root in ROOTS for path in root.glob("*/*.py")):
        now = path.stat()
        entry = _entry(path, now.st_mtime_ns, now.st_size)
        if entry is not None:
            found[f"{path.parent.name}/{path.stem}"] = entry
    return found


@functools.cache
def _entry(path: Path, changed: int, size: int) -> Entry | None:
    """Entry of a module, None without presets; read once for every state of the file, since each command asks often."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    line = (ast.get_docstring(tree) or "").split("\n")[0]
    entries = [Entry(line, _keys(presets)) for presets in _values_of("PRESETS", tree)]
    return entries[-1] if entries else None


def load(name: str) -> Any:
    """Imports the experiment `name`; raises `ValueError` with the nearest name for an unknown one."""
    require("experiment", name, list(discover()))
    return importlib.import_module(f"experiments.{name.replace('/', '.')}")


def matching(names: Sequence[str]) -> list[str]:
    """Experiments with one of the given names or papers, all without any; raises `ValueError` for an unknown one."""
    known = list(discover())
    for name in names:
        require("experiment or paper", name, [*known, *sorted({_paper(one) for one in known})])
    return [one for one in known if not names or one in names or _paper(one) in names]


def require(what: str, found: str, wanted: Sequence[str]) -> None:
    """Raises `ValueError` with the nearest suggestion unless `found` is one of `wanted`."""
    if found not in wanted:
        near = difflib.get_close_matches(found, wanted, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"found {what} {found!r}, wanted one of {list(wanted)}{hint}")


def _paper(name: str) -> str:
    return name.split("/")[0]


def _values_of(name: str, tree: ast.Module) -> Iterator[ast.expr]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield value


def _keys(presets: ast.expr) -> tuple[str, ...]:
    keys = presets.keys if isinstance(presets, ast.Dict) else []
    return tuple(str(key.value) for key in keys if isinstance(key, ast.Constant))
