"""What `iem/zoo` compares: for every case of the model what theory predicts before a run, and what its learner gets."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.iem import tcl_duality, zoo_flows
from experiments.iem.bands import share_band
from experiments.iem.pair_oracle import of_condition, report_by_condition
from experiments.iem.tcl_duality_claims import CAUSE, MECHANISM, MEDIAN, WORLDS, world_of
from experiments.iem.variability_claims import CONDITIONS
from identax.assumptions import (
    Prediction,
    Premise,
    Report,
    gcl_variability,
    intervention_report,
    parameter_rank,
    score_difference,
    source_report,
    special_case,
)
from identax.checks import check_between
from identax.dgp import identity, intervened_densities, modulated_sources, modulated_world
from identax.experiment import Arm, Reference
from identax.rng import stream
from identax.run import Results, final_values

PAIRS, LABELS, INTERVENTIONS, NO_INTERVENTIONS = "pairs", "labels", "interventions", "no interventions"
_WORLD = {name: number for number, name in enumerate(WORLDS)}
SEGMENTS = {
    "segments, sources vary": {"world": _WORLD[CAUSE]},
    "segments, mixing varies": {"world": _WORLD[MECHANISM]},
    "segments, contrasted in pairs": {"world": _WORLD[CAUSE], "objective": "pairs"},
    "segments, nothing varies": {"world": _WORLD["const"]},
}
"""fields of `iem/tcl_duality`"""
DIRECTION = "direction accuracy"
_IDENTIFIED, _CHANCE = (0.95, None), {"segments, nothing varies": 0.65, NO_INTERVENTIONS: 0.9}
_PAIRS = {"quick": 100, "medium": 1000}


def arms(config: Any) -> Sequence[Arm]:
    """One arm per learner and world; all conditions of a pair are one."""
    if config.dim != len(zoo_flows.PARENTS):
        raise ValueError(
            f"iem/zoo: found dim={config.dim}, wanted {len(zoo_flows.PARENTS)}, as the graph has variables"
        )
    check_between("iem/zoo", "level", config.level, 0, 1, ())
    pairs = dataclasses.replace(config, case=PAIRS, num_seeds=config.pairs, num_steps=0)
    found = [Arm(PAIRS, pairs)]
    found += [Arm(name, _of_segments(config, fields)) for name, fields in SEGMENTS.items()]
    flows = {
        LABELS: {"case": LABELS},
        INTERVENTIONS: {"case": INTERVENTIONS},
        NO_INTERVENTIONS: {"case": INTERVENTIONS, "world": 1},
    }
    return found + [Arm(name, dataclasses.replace(config, **fields)) for name, fields in flows.items()]


def _of_segments(config, fields):
    """The small study of `iem/tcl_duality`, shorter."""
    num, length = config.segments
    steps = config.segment_steps
    return dataclasses.replace(
        tcl_duality.PRESETS["quick"],
        num_segments=num,
        segment_length=length,
        batch_size=min(512, num * length),
        num_seeds=config.num_seeds,
        seed=config.seed,
        num_steps=steps,
        log_every=min(config.log_every, steps),
        evaluate_every=steps,
        checkpoint_every=steps,
        **fields,
    )


def pair_row(condition: str) -> str:
    """The quantity of a pair."""
    return f"{PAIRS}, {of_condition(condition, DIRECTION)}"


def _references():
    for condition in CONDITIONS:
        if condition == "none":
            bands = {preset: share_band(0.5, math.inf, num, 3) for preset, num in _PAIRS.items()}
            yield Reference(pair_row(condition), "not identified: a coin, 1/2", bands)
        else:
            bands = dict.fromkeys(_PAIRS, (0.96, None))
            note = "The tests have power .99 at 4,000 environments; less three standard errors of 100 pairs."
            yield Reference(pair_row(condition), "identified: 1 in the limit", bands, note)
    for name in (*SEGMENTS, LABELS, INTERVENTIONS, NO_INTERVENTIONS):
        quantity = f"{name}: {MEDIAN}"
        if name in _CHANCE:
            yield Reference(quantity, "not identified", dict.fromkeys(_PAIRS, (None, _CHANCE[name])))
        else:
            yield Reference(quantity, "identified: 1 in the limit", dict.fromkeys(_PAIRS, _IDENTIFIED))
    for name in (LABELS, INTERVENTIONS, NO_INTERVENTIONS):
        yield Reference(f"{name}: MCC, observations", "what a learner starts from")
    yield Reference(f"{next(iter(SEGMENTS))}: MCC, linear FastICA", "what a network must beat")


REFERENCES = tuple(_references())


def premises(config: Any) -> dict[str, Any]:
    """The oracle of every case."""
    found = {PAIRS: functools.partial(_of_pairs, config)}
    for arm in arms(config):
        if arm.name in SEGMENTS:
            found[arm.name] = functools.partial(_of_sources, arm.config)
        elif arm.name == LABELS:
            found[arm.name] = functools.partial(_of_labels, arm.config)
        elif arm.name != PAIRS:
            found[arm.name] = functools.partial(_of_interventions, arm.config)
    return found


def _of_pairs(config):
    report = report_by_condition(CONDITIONS, config.num_environments)
    held = [one for one in report.premises if "cause or mechanism variability" in one.name]
    chances = [
        dataclasses.replace(one, quantity=f"{PAIRS}, {one.quantity}")
        for one in report.predictions
        if one.quantity.endswith(f": {DIRECTION}")
    ]
    return Report(held, chances)


def _key(config):
    """Of the first seed."""
    return jax.random.fold_in(jax.random.key(config.seed), 0)


def _named(report, world):
    case = Prediction("special case", special_case(world), "by its layers and whose priors vary")
    return Report(report.premises, [case, *report.predictions])


def _of_sources(config):
    world, key = world_of(config), stream(_key(config), "world")
    drawn = modulated_sources(key, identity(), config.dim, config.num_segments, 2, family=config.family, **world)
    report = source_report(drawn.natural_parameters, mixing_is_invertible=True, segment_length=config.segment_length)
    modulation = -math.sqrt(2) / drawn.natural_parameters
    return _named(report, modulated_world(identity(), (), modulation, reading=world["reading"]))


def _of_labels(config):
    world, n = zoo_flows.draw_world(config, _key(config), identity(), config.world), config.dim
    laws = [mechanism.prior.sample(_key(config), config.num_labels) for mechanism in world.sources]
    means, scales = (np.stack([np.asarray(law[part]) for law in laws], axis=1) for part in (0, 1))
    first, second = means / scales**2, -1 / scales**2
    ranks = parameter_rank(np.stack([first, second / 2], axis=2)), gcl_variability(first, second)
    found = [
        Premise("labels enough", config.num_labels >= 2 * n + 1, f"K = {config.num_labels} for n = {n}", "2n + 1"),
        Premise(
            "parameter differences of rank 2n",
            ranks[0] == 2 * n,
            f"rank {ranks[0]} of {2 * n}",
            "two statistics a source, s and s^2",
        ),
        Premise(
            "variability of generalised contrastive learning",
            ranks[1] == 2 * n,
            f"rank {ranks[1]} of {2 * n} at s = 0",
            "first and second derivatives of the log densities must move apart",
        ),
        Premise("volume kept by the mixing", True, "by construction", "the flow has no other Jacobian"),
    ]
    held = all(premise.holds for premise in found)
    latents = Prediction(
        "latents", "up to order, sign, scale and offset" if held else "not identified", "Gaussians that differ by label"
    )
    return _named(Report(found, [latents]), world)


def _of_interventions(config):
    key, targets = _key(config), zoo_flows.targets(config.world)
    world = zoo_flows.draw_world(config, key, identity(), config.world)
    weights = zoo_flows.weights(stream(key, "edges"))
    z = world.sample(stream(key, "points"), len(targets), 200).variables.reshape(-1, config.dim)
    shares = [
        float(score_difference(*intervened_densities(zoo_flows.PARENTS, weights, j), z, j).share)
        for j in range(config.dim)
    ]
    return _named(intervention_report(zoo_flows.edges(), targets, shares, mixing_is_invertible=True), world)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Directions of pairs, the last values of the learners, and the medians of their MCC."""
    found = {}
    for name, value in final_values(results).items():
        arm, quantity = name.split(": ", 1)
        found[pair_row(quantity.removesuffix(": direction")) if arm == PAIRS else name] = value
    for name in results:
        if name != PAIRS:
            found[f"{name}: {MEDIAN}"] = np.median(found[f"{name}: MCC"])[None]
    return found
