"""Pictures of `iem/zoo`: the unrolled graph of every case, and what was predicted beside what came out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.iem import zoo_claims as claims
from identax.assumptions import unrolled_graph
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.graphs import DrawnGraph, graphs
from identax.run import Results


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


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """The unrolled graphs, and bars of what is predicted as a number and what was measured."""
    pictures = [
        Figure(
            "Two samples of one environment, above and below, of every case; θ: parameters whose priors are no point "
            "masses; filled: observed.",
            figure_png(graphs(cases())),
        )
    ]
    measured, predicted = {}, {}
    found = claims.measure(config, results)
    for reference in claims.REFERENCES:
        if not reference.bands or reference.quantity not in found:
            continue
        case = reference.quantity.split(": ")[0]
        is_pair = claims.DIRECTION in reference.quantity
        label = case.replace(", ", ",\n").replace(" ", "\n", 1)
        measured[label] = found[reference.quantity if is_pair else f"{case}: MCC"]
        if is_pair or reference.paper.startswith("identified"):
            predicted[label] = np.array([1.0 if reference.paper.startswith("identified") else 0.5])
    if measured:
        series = {"measured": measured} | ({"predicted": predicted} if predicted else {})
        picture = bars(series, "direction accuracy (pairs), MCC (others)", ylim=(0.0, 1.02))
        caption = "Predicted from layers and priors, and measured; no bar where the prediction is no number."
        pictures.append(Figure(caption, figure_png(picture)))
    return pictures
