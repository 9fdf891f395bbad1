"""Exchangeable mechanisms: what several environments identify, of causal structure and of sources, before a run."""

from typing import Any

import numpy as np

from identax.assumptions.d_separation import known_flags
from identax.assumptions.exchangeable_conditions import parameter_rank
from identax.assumptions.exchangeable_structure import (
    PAIR_TESTS,
    bivariate_tests,
    cross_sample_separations,
    identified_edges,
)
from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_choice, check_count
from identax.dgp.exchangeable import ExchangeableMechanisms, topological_order
from identax.dgp.exchangeable_bivariate import STRUCTURES


def structure_report(
    adjacency: Any, varies: Any, *, num_environments: int | None = None, num_samples: int = 2
) -> Report:
    """Does exchangeability identify the causal graph of observed variables, which edges, and which tests hold?

    `adjacency` [d, d], entry (i, j) of i -> j; `varies` [d]: whether variable j's mechanism (or its source) has a prior
    other than a point mass, `ExchangeableMechanisms.varies`. Two variables: the three tests of the bivariate theorem
    and the decision they lead to; more: the tests that find sinks. Predictions are for infinitely many environments and
    faithful data; a linear model of equal spreads is not (`second_order_dependence`).
    Raises `ValueError` for cyclic graphs, other than d flags that are known, and numbers < 1.
    Source: Guo et al. 2023; Reizinger et al. 2025; more than two variables with point masses among them: derived here.
    """
    check_count("structure_report", "num_samples", num_samples)
    if num_environments is not None:
        check_count("structure_report", "num_environments", num_environments)
    topological_order(adjacency)
    graph = np.asarray(adjacency, bool)
    flags = known_flags("structure_report", varies, len(graph))
    several = num_samples >= 2
    seen = flags if several else np.zeros_like(flags)
    found = identified_edges(graph, seen)
    predictions = [
        Prediction("edges identified", int(found.sum()), _named(found)),
        Prediction("edges left open", int((graph & ~found).sum()), _named(graph & ~found)),
        Prediction("graph", "identified" if (found == graph).all() else "up to the open edges", "Meek's rules"),
        Prediction("skeleton", "identified", "independences within a sample are those of the graph"),
        Prediction(
            "varying mechanisms",
            "identified" if several else "not identified",
            "two samples of j depend on each other given all else if and only if j's prior is no point mass",
        ),
        *(_bivariate(graph, seen) if len(graph) == 2 else _sinks(graph, seen)),
    ]
    return Report(_structure_premises(graph, flags, num_samples, num_environments), predictions)


def source_report(
    natural_parameters: Any,
    *,
    statistic: str = "|s|",
    componentwise: bool = True,
    mixing_is_invertible: bool | None = None,
    segment_length: int | None = None,
) -> Report:
    """Does time-contrastive learning identify sources modulated over K segments, and what of them?

    `natural_parameters` lambda [K, n] of the modulated latents sigma_u(s~), in either reading: of sources that change,
    or of one law under mixings f_u = f o sigma_u. `componentwise`: whether sigma_u acts on every source by itself; a
    rotation does not, and no theorem covers it. `statistic`: q(s), "|s|" or "s^2".
    Raises `ValueError` for parameters other than finite [K, n], other statistics and segments of fewer than 2 points.
    Source: Hyvarinen and Morioka 2016, theorem 1; Reizinger et al. 2025 (the dual).
    """
    where = "source_report"
    check_choice(where, "statistic", statistic, ("|s|", "s^2"))
    if segment_length is not None:
        check_count(where, "segment_length", segment_length, 2)
    if np.ndim(natural_parameters) != 2:
        raise ValueError(f"{where}: found natural parameters {np.shape(natural_parameters)}, wanted [K, n]")
    rank = parameter_rank(natural_parameters)
    num_segments, n = np.shape(natural_parameters)
    words = {True: "invertible", False: "not invertible", None: "not checked"}
    premises = (
        Premise(
            "segments enough",
            num_segments >= n + 1,
            f"K = {num_segments} for n = {n}",
            "K parameters have K - 1 differences, and the rank condition asks for n of them",
        ),
        Premise(
            "parameter differences of rank n",
            rank == n,
            f"rank {rank} of {n}",
            "every source must change over segments in a way that the others do not",
        ),
        Premise(
            "modulation by component",
            componentwise,
            "one function per source" if componentwise else "mixed across sources in every segment",
            "only f o sigma_u with sigma_u by component is one mixing of changing sources",
        ),
        Premise("invertible mixing", mixing_is_invertible, words[mixing_is_invertible], "it must lose no source"),
        Premise("points per segment", None, str(segment_length or "not said"), "the theorem has infinitely many"),
    )
    ours = componentwise and rank == n and mixing_is_invertible is not False
    named = f"{statistic} up to order, sign, scale and offset" if ours else "not identified"
    why = "features are affine in q of the modulated latents, and linear ICA undoes the matrix"
    if not ours:
        why = f"{rank} directions of q change over segments" if componentwise else "outside the theorem"
    base = "identified after ranks within segments become quantiles of one law" if ours else "not identified"
    predictions = (
        Prediction("q of modulated latents", named, why),
        Prediction("directions of q identified", rank if componentwise else 0, "the rank of parameter differences"),
        Prediction("latents of one law", base, "sigma_u is monotone on every source; pooled over segments they differ"),
        Prediction(
            "segments distinguishable",
            "yes" if rank or not componentwise else "no: accuracy 1/K",
            f"chance is {1 / num_segments:.3g}",
        ),
    )
    return Report(premises, predictions)


def special_case(world: ExchangeableMechanisms) -> str:
    """Which problem a world of exchangeable mechanisms poses, by its layers and its priors.

    "i.i.d.", all point masses; "causal structure", Z observed; "causal representation", Z behind a mixing; without Z,
    "nonlinear ICA, sources vary" (time-contrastive learning, auxiliary variables), "nonlinear ICA, mixing varies" (the
    dual reading) or "nonlinear ICA, both vary". Raises `ValueError` where a prior's variability is not known.
    Source: Reizinger et al. 2025.
    """
    mixing = False if world.observation is None else world.observation.prior.varies
    if mixing is None:
        raise ValueError("special_case: found a mixing whose prior may vary or not, wanted it known")
    of_variables = bool(known_flags("special_case", world.varies, len(world.varies)).any())
    if not mixing and not of_variables:
        return "i.i.d."
    if world.variables:
        return "causal structure" if world.observation is None else "causal representation"
    return f"nonlinear ICA, {'both vary' if mixing and of_variables else 'mixing varies' if mixing else 'sources vary'}"


def _structure_premises(graph, flags, num_samples, num_environments):
    return (
        Premise("acyclic graph", True, f"{len(graph)} variables, {graph.sum()} edges", "mechanisms need an order"),
        Premise(
            "independent priors",
            True,
            "one prior per mechanism, a product",
            "independent causal mechanisms: what one environment does to a mechanism says nothing about another",
        ),
        Premise(
            "two samples or more per environment",
            num_samples >= 2,
            f"{num_samples}",
            "what an environment's samples share is seen across two of them alone; single ones are i.i.d. over all",
        ),
        _several_environments(num_environments),
        Premise(
            "cause or mechanism variability of every edge",
            bool((flags[:, None] | flags[None, :])[graph].all()),
            _edges_found(graph, flags),
            "a prior other than a point mass at one end; both are not needed",
        ),
        Premise(
            "faithfulness",
            None,
            "not checked",
            "no dependence of the graph may cancel: a linear pair of equal spreads does, to second order",
        ),
    )


def _several_environments(num_environments):
    many = None if num_environments is None else num_environments > 1
    return Premise(
        "several environments",
        many,
        "not said" if num_environments is None else f"{num_environments}",
        "priors are seen over environments; tests of finitely many have errors that are not predicted here",
    )


def _edges_found(graph, flags):
    counts = {"both ends": 0, "the cause": 0, "the mechanism": 0, "neither": 0}
    for cause, effect in np.argwhere(graph):
        name = {(True, True): "both ends", (True, False): "the cause", (False, True): "the mechanism"}
        counts[name.get((bool(flags[cause]), bool(flags[effect])), "neither")] += 1
    return ", ".join(f"{name} of {count}" for name, count in counts.items() if count) or "no edge"


def _bivariate(graph, flags):
    tests = bivariate_tests(graph, flags)
    found = [
        Prediction(f"test {name}", "holds" if holds else "fails", "d-separation in the graph of two samples")
        for name, holds in zip(PAIR_TESTS, (tests.first, tests.second, tests.third), strict=True)
    ]
    decided = tests.decision
    chance = 1.0 if decided is not None else 0.5
    return [
        *found,
        Prediction("decision", "coin flip" if decided is None else STRUCTURES[decided], "the pattern of the three"),
        Prediction("direction accuracy" if graph.any() else "accuracy", chance, "limit of many environments"),
    ]


def _sinks(graph, flags):
    separations = cross_sample_separations(graph, flags)
    held = int((separations & ~np.eye(len(graph), dtype=bool)).sum())
    total = len(graph) * (len(graph) - 1)
    return [
        Prediction("tests across samples that hold", held, f"of {total}: v1 _||_ k2 given the other variables of 1")
    ]


def _named(edges):
    return ", ".join(f"{i} -> {j}" for i, j in np.argwhere(edges)) or "none"
