"""Graphs: an arrow for every edge, a node for every name, and panels beside and below each other."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from identax.report.graphs import DrawnGraph, graphs

CHAIN = DrawnGraph([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[0, 0], [0.5, 1], [1, 0]], ("a", "b", "c"), (False, True, False))


def test_every_edge_is_an_arrow_and_every_node_stands_where_it_is_put():
    (axes,) = graphs({"one": CHAIN, "two": CHAIN, "below": CHAIN}, columns=2).axes
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    places = [tuple(line.get_xydata()[0]) for line in axes.lines]
    assert len(arrows) == 6 and len(places) == 9
    assert tuple(arrows[0].xyann) == places[0] and tuple(arrows[0].xy) == places[1]
    np.testing.assert_allclose(np.subtract(places[3], places[0]), (1, 0), atol=1e-12)
    np.testing.assert_allclose(np.subtract(places[6], places[0]), (0, -1), atol=1e-12)
    assert {text.get_text() for text in axes.texts} == {"", "a", "b", "c", "one", "two", "below"}
    fills = [to_rgb(line.get_markerfacecolor()) for line in axes.lines[:3]]
    assert fills[0] == fills[2] != fills[1] == (1, 1, 1)


@pytest.mark.parametrize(
    "panels", [{}, {"a": CHAIN._replace(names=("a", "b"))}, {"a": CHAIN._replace(places=np.zeros((2, 2)))}]
)
def test_refusals(panels):
    with pytest.raises(ValueError, match="graphs: found"):
        graphs(panels)
