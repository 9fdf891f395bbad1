"""Imports of the whole tree run one way: read from the sources, so that an import inside a function counts too."""

import ast
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("identax", "experiments")


class Found(NamedTuple):
    """One name that a module imports; `inside`: in a function; `module`: what it is a module of, ours or another's."""

    module: str
    inside: bool


def read(root: Path, packages=OURS) -> dict[str, list[Found]]:
    """What every module below `root` imports, by dotted names; a package's own is that of its `__init__`."""
    known = {}
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        known[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: list(_imports(name, path, known)) for name, path in known.items()}


def _imports(name: str, path: Path, known):
    """What one module imports; `from package import submodule` is the submodule."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node, inside in _statements(ast.parse(path.read_text()), False):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            names = [f"{source}.{alias.name}" for alias in node.names]
            targets = [target if target in known else source for target in names]
        yield from (Found(target, inside) for target in targets)


def _statements(tree, inside):
    """Import statements below a node, and whether in a function; what only type checkers see is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, inside
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _statements(ast.Module(node.orelse, []), inside)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(node, inside or function)


def arrows(tree: dict[str, list[Found]]) -> dict[str, set[str]]:
    """The modules of the tree that each module runs first: those it imports, and the packages that these lie in.

    Not the packages that the module lies in itself: they are running already when it is reached.
    """
    graph: dict[str, set[str]] = {name: set() for name in tree}
    for name, imported in tree.items():
        for found in imported:
            parts = found.module.split(".")
            for target in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
                if target in tree and (target == found.module or not within(name, target)):
                    graph[name].add(target)
    return graph


def circle(graph) -> list[str] | None:
    """The modules of one circle, if there is one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def reached(graph, start: str) -> set[str]:
    """Everything that some module in the room `start` imports, however indirectly, itself included."""
    todo, seen = [name for name in graph if within(name, start)], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(graph[name])
    return seen


def within(name: str, room: str) -> bool:
    """Whether a module is `room` or lies in it."""
    return f"{name}.".startswith(f"{room}.")


TREE = read(ROOT)
GRAPH = arrows(TREE)


def test_the_tree_is_seen():
    assert len(GRAPH) > 150
    assert "identax.study" in GRAPH["experiments.aninfonce.synthetic"]
    assert "identax.losses" in GRAPH["identax.models.autoencoder"]  # the package of identax.losses.elbo
    assert reached(GRAPH, "experiments.aninfonce") >= {"identax.dgp.pairs", "identax.checks", "identax.rng"}


def test_there_is_no_circle():
    assert circle(GRAPH) is None


def test_identax_knows_no_experiment():
    assert [name for name in reached(GRAPH, "identax") if not within(name, "identax")] == []


def test_no_paper_imports_another():
    papers = {name for name in GRAPH if name.startswith("experiments.") and (ROOT / name.replace(".", "/")).is_dir()}
    assert papers >= {f"experiments.{name}" for name in ("aninfonce", "contrastive_ica", "csi", "lti")}
    for paper in papers:
        others = {name for name in reached(GRAPH, paper) for other in papers - {paper} if within(name, other)}
        assert others == set(), paper


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("identax.run", ("identax.report", "identax.experiment", "identax.agents", "identax.dgp.environments")),
        ("identax.agents", ("identax.run",)),
        ("identax.report", ("identax.experiment",)),
        ("identax.study", ("identax.run",)),
        *((f"identax.{room}", ("identax.study", "identax.run")) for room in ("losses", "models", "metrics", "data")),
        ("identax.dgp", ("identax.lti", "identax.study", "identax.run")),
        ("identax.assumptions", ("identax.lti", "identax.study", "identax.run")),
    ],
)
def test_rooms_know_only_what_lies_below(room, forbidden):
    assert any(within(name, room) for name in GRAPH)
    assert {name for name in reached(GRAPH, room) for other in forbidden if within(name, other)} == set()


def test_models_alone_import_flax_and_functions_import_nothing_of_ours():
    found = [(name, found) for name, imported in TREE.items() for found in imported]
    flax = {name for name, (module, _) in found if within(module, "flax")}
    assert flax and all(within(name, "identax.models") for name in flax)
    assert [(name, module) for name, (module, inside) in found if inside and module.split(".")[0] in OURS] == []


FAKE = {
    "pkg/__init__.py": "from pkg.low import thing",
    "pkg/low.py": "import os\nthing = 1",
    "pkg/room/__init__.py": "from pkg.room import inner",
    "pkg/room/inner.py": "from ..low import thing\nfrom . import sibling",
    "pkg/room/sibling.py": "",
    "pkg/user.py": "import typing\nif typing.TYPE_CHECKING:\n    import pkg.room\nelse:\n    import flax.linen",
}


def _written(folder: Path, **more: str) -> Path:
    for name, text in (FAKE | {name.replace("__", "/") + ".py": text for name, text in more.items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_walk_resolves_names(tmp_path):
    tree = read(_written(tmp_path), ("pkg",))
    graph = arrows(tree)
    assert graph == {
        "pkg": {"pkg.low"},
        "pkg.low": set(),
        "pkg.room": {"pkg.room.inner"},
        "pkg.room.inner": {"pkg.low", "pkg.room.sibling"},
        "pkg.room.sibling": set(),
        "pkg.user": set(),  # what only type checkers see is no import
    }
    assert Found("flax.linen", False) in tree["pkg.user"]
    assert circle(graph) is None


@pytest.mark.parametrize(
    "sibling",
    [
        "from pkg.room.inner import thing",
        "def late():\n    from pkg.room import inner",
        "class A:\n    def late(self):\n        import pkg.room.inner",
        "from pkg.room import something",  # of the package that is still loading
        "try:\n    from pkg.other import x\nexcept ImportError:\n    pass",
    ],
)
def test_the_walk_finds_circles(tmp_path, sibling):
    tree = read(_written(tmp_path, pkg__room__sibling=sibling, pkg__other="import pkg.room.inner"), ("pkg",))
    assert set(circle(arrows(tree)) or ()) >= {"pkg.room.inner", "pkg.room.sibling"}


def test_the_walk_sees_functions_and_what_is_reached(tmp_path):
    tree = read(_written(tmp_path, pkg__lazy="def late():\n    import pkg.user"), ("pkg",))
    assert tree["pkg.lazy"] == [Found("pkg.user", True)]
    assert reached(arrows(tree), "pkg.room") == {"pkg.room", "pkg.room.inner", "pkg.room.sibling", "pkg.low"}
    assert not within("pkg.roommate", "pkg.room") and within("pkg.room.inner", "pkg.room")
