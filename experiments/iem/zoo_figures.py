"""Pictures of `iem/zoo`: the unrolled graph of every case, and what was predicted beside what came out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from identax.assumptions import unrolled_graph
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.graphs import DrawnGraph, graphs


def unrolled(adjacency: Any, varies: Any, names: Any, hidden: Any) -> DrawnGraph:
    """Two samples of one environment above and below the parameters that they share; point masses are left out.

    `names`, `hidden`: of the variables of one sample.
    """
    full, d = unrolled_graph(adjacency, varies), len(names)
    kept = np.append(np.ones(2 * d, bool), np.asarray(varies, bool))
    across = np.linspace(0, 1, d) if d > 1 else np.array([0.5])
    # Every other variable a little off the line, so that an edge that passes a variable by is seen.
    off = 0.12 * (np.arange(d) % 2)
    heights = np.concatenate([1 - off, off, np.full(d, 0.5)])
    places = np.stack([np.tile(across, 3), heights], axis=1)
    words = [f"{name}{sample}" for sample in (1, 2) for name in names] + [f"θ{name}" for name in names]
    unseen = [*hidden, *hidden, *[True] * d]
    chosen = np.flatnonzero(kept)
    return DrawnGraph(full[np.ix_(kept, kept)], places[kept], [words[i] for i in chosen], [unseen[i] for i in chosen])


def cases() -> dict[str, DrawnGraph]:
    """The graphs, with two sources or causes for any number."""
    pair = [[0, 1], [0, 0]]
    found = {
        f"pair: {name}": unrolled(pair, flags, "XY", (False, False))
        for name, flags in {"both vary": (1, 1), "cause": (1, 0), "mechanism": (0, 1), "neither": (0, 0)}.items()
    }
    mixed = [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    sources = {
        "sources vary (TCL, GCL, GIN)": (1, 1, 0),
        "mixing varies (TCL's dual)": (0, 0, 1),
        "i.i.d. sources": (0, 0, 0),
    }
    found |= {name: unrolled(mixed, flags, "abO", (True, True, False)) for name, flags in sources.items()}
    caused = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    for name, flag in (("interventions (CauCA)", 1), ("no interventions", 0)):
        found[name] = unrolled(caused, (flag, flag, 0), "abO", (True, True, False))
    return found


def figures(rows: Mapping[str, tuple[float | None, np.ndarray]]) -> list[Figure]:
    """`rows`: case -> what was predicted (None: no number) and measured."""
    pictures = [
        Figure(
            "Two samples of one environment, above and below, of every case; θ: parameters whose priors are no point "
            "masses; filled: observed.",
            figure_png(graphs(cases())),
        )
    ]
    if rows:
        predicted = {name: np.array([level]) for name, (level, _) in rows.items() if level is not None}
        measured = {name: values for name, (_, values) in rows.items()}
        series = {"measured": measured} | ({"predicted": predicted} if predicted else {})
        picture = bars(series, "direction accuracy (pairs), MCC (others)", ylim=(0, 1.02))
        caption = "Predicted from layers and priors, and measured; no bar where the prediction is no number."
        pictures.append(Figure(caption, figure_png(picture)))
    return pictures
