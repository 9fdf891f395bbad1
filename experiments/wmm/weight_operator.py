"""The two operators as they act on a network's layers, in the reading of the text and in that of the program."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.wmm.config import TrainingConfig
from identax.assumptions import Premise
from identax.checks import check_choice
from identax.models import GATES
from identax.transforms import Perturbation, idle_window, reinitialise_weights, select, shuffle_weights
from identax.transforms.selection import EACH, Gates

OPERATORS = ("none", "reinit", "shuffle")
READINGS = ("intended", "released")


def weight_operator(config: TrainingConfig) -> Callable[[Any, Any, Any, Any], Any]:
    """`act(key, params, p, c) -> params`, exact: a permutation keeps every value to the last bit.

    Acts on kernels of the layers whose names hold `config.layer`, of an LSTM on the slice of every gate apart.

    * "intended": of an LSTM the gate `config.gate` alone (all four without one), all of its units; permutations;
      rectangles of the matrix [out, everything else]
    * "released": all four gates whatever is asked for, each without its last unit; copies instead of permutations;
      sizes of the kernel's sides used on the channels of a convolution

    Redrawn values come from U(-b, b) with b = 1/sqrt(inputs), in both readings, also where an LSTM starts with
    b = 1/sqrt(units). The operators remember nothing: their state is made anew at every step, and a trial's state is
    that of the baseline.
    Raises `ValueError` for an unknown operator, reading or gate, no layer, and, when used, for a layer that matches
    nothing, a gate of a layer without gates (both list what there is).
    Source: Reizinger & Gyires-Toth 2019, and their code.
    """
    check_choice("weight_operator", "operator", config.operator, OPERATORS)
    check_choice("weight_operator", "reading", config.reading, READINGS)
    check_choice("weight_operator", "gate", config.gate, ("", *GATES))
    if config.operator == "none":
        return lambda key, params, p, c: params
    if not config.layer:
        raise ValueError(f"weight_operator: found no layer for {config.operator!r}, wanted e.g. layer='fc'")

    def act(key, params, p, c):
        for perturbation in _perturbations(config, params, p, c):
            params, _, _ = perturbation.apply(params, perturbation.init(params), key=key)
        return params

    return act


def targets(config: TrainingConfig, params: Any) -> dict[str, tuple[int, ...]]:
    """Path and shape of what the operator acts on, "lstm1/ih_kernel:forget" for a gate; errors as `weight_operator`.

    `params` may hold shapes in the place of arrays.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    found: dict[str, tuple[int, ...]] = {}
    for (path, leaf), flag in zip(leaves, jax.tree.leaves(_chosen(config)(params)), strict=True):
        name, shape = jax.tree_util.keystr(path, simple=True, separator="/"), jnp.shape(leaf)
        if isinstance(flag, Gates):
            found |= {gate: (*shape[:-1], size) for gate, (_, size) in flag.units(name).items()}
        elif flag:
            found[name] = shape
    return found


def window_premises(config: TrainingConfig, params: Any, coverages: Sequence[float]) -> list[Premise]:
    """Whether windows of these largest shares c can move anything: one premise for every c, before training.

    Raises `ValueError` for c above `config.max_c`, whose windows would be cut, and as `weight_operator`.
    """
    above = [c for c in coverages if c > config.max_c]
    if above:
        raise ValueError(f"wmm: found c={above} above max_c={config.max_c}, wanted at most that")
    if config.operator == "none":
        return []
    shapes, made = targets(config, params), []
    for c in coverages:
        idle = {}
        if config.operator == "shuffle":
            skipped = {name: _kept(config, name, shape) for name, shape in shapes.items()}
            idle = {name: why for name, shape in skipped.items() if (why := idle_window(shape, c))}
        found = "; ".join(f"{name}: {why}" for name, why in idle.items()) or f"{len(shapes)} arrays"
        why = "where every window holds one weight nothing moves, and training is that of the baseline"
        made.append(Premise(f"windows of c = {c:g} act on {config.layer}", not idle, found, why))
    return made


def _perturbations(config: TrainingConfig, params: Any, p: Any, c: Any) -> list[Perturbation]:
    """One, or two where some of what is chosen lacks its last unit and the rest does not."""
    chosen = _chosen(config)(params)
    skipping = jax.tree.map(lambda flag: flag if _skips(config, flag) else False, chosen)
    rest = jax.tree.map(lambda flag: False if _skips(config, flag) else flag, chosen)
    mode = "released" if config.reading == "released" else {"reinit": "intended", "shuffle": "permute"}[config.operator]
    make = reinitialise_weights if config.operator == "reinit" else shuffle_weights
    return [
        make(p, c, mode=mode, skip_last=skip_last, on=mask, max_c=config.max_c)
        for skip_last, mask in ((False, rest), (True, skipping))
        if any(flag is not False for flag in jax.tree.leaves(mask))
    ]


def _skips(config: TrainingConfig, flag: Any) -> bool:
    return config.reading == "released" and isinstance(flag, Gates)


def _kept(config: TrainingConfig, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-1], shape[-1] - int(config.reading == "released" and ":" in name))


def _chosen(config: TrainingConfig) -> Callable[[Any], Any]:
    """The kernels of the layers, those of an LSTM gate by gate."""
    layer = "" if config.layer == "all" else re.escape(config.layer)
    gate = config.gate if config.reading == "intended" else ""
    kernels = select(rf"^[^/]*{layer}[^/]*/[^/]*kernel", gate=gate or None)

    def mask(params: Any) -> Any:
        found = kernels(params)
        for name, part in params.items() if not gate else ():
            if "hh_kernel" in part and any(jax.tree.leaves(found[name])):
                found = {**found, name: select("kernel", gate=EACH)(part)}
        return found

    return mask
