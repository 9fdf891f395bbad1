"""Finds the experiments: every module of `experiments/<paper>/` that assigns `PRESETS`."""

import ast
import difflib
import importlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


def summaries(root: Path = ROOT) -> dict[str, str]:
    """Maps `paper/experiment` to the first line of its docstring, without importing anything."""
    found = {}
    for path in sorted(root.glob("*/*.py")):
        tree = ast.parse(path.read_text())
        assigned = {
            target.id
            for node in tree.body
            for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
            if isinstance(target, ast.Name)
        }
        if "PRESETS" in assigned:
            found[f"{path.parent.name}/{path.stem}"] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def load(name: str) -> Any:
    """Imports the experiment `name`; raises `ValueError` with the nearest name for an unknown one."""
    require("experiment", name, list(summaries()))
    return importlib.import_module(f"experiments.{name.replace('/', '.')}")


def matching(names: list[str]) -> list[str]:
    """Experiments with one of the given names or papers, all without any; raises `ValueError` for an unknown one."""
    known = list(summaries())
    for name in names:
        require("experiment or paper", name, known + sorted({one.split("/")[0] for one in known}))
    return [one for one in known if not names or one in names or one.split("/")[0] in names]


def require(what: str, found: str, wanted: list[str]) -> None:
    """Raises `ValueError` with the nearest suggestion unless `found` is one of `wanted`."""
    if found not in wanted:
        near = difflib.get_close_matches(found, wanted, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"found {what} {found!r}, wanted one of {wanted}{hint}")
