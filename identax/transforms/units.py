"""Perturbations of whole hidden units: ReDo and continual backpropagation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_between, check_choice, check_count, check_nonnegative, check_positive
from identax.numerics import ranks
from identax.rng import stream
from identax.transforms._rarely import rarely
from identax.transforms.perturbation import Acting, Perturbation, perturbation
from identax.transforms.weightwise import glorot_uniform

UTILITIES = ("contribution", "zero_contribution", "adaptable_contribution")
CBP_MODES = ("intended", "released")


class Hidden(NamedTuple):
    """A layer of hidden units: its name among the activations, and the paths of the weights into and out of it.

    Kernels are [..., in, out]. Behind a flattened convolution the outgoing kernel has a row for each place and channel,
    the channel fastest. `bias`, `outgoing_bias`: None for layers without.
    """

    name: str
    kernel: str
    outgoing: str
    bias: str | None = None
    outgoing_bias: str | None = None


def hidden_layers(*names: str, bias: bool = True) -> tuple[Hidden, ...]:
    """The hidden layers of a chain of Flax layers, e.g. `hidden_layers("Dense_0", "Dense_1", "Dense_2")`: two of them.

    Their activations go by the name of the layer. Raises `ValueError` for fewer than two names.
    """
    if len(names) < 2:
        raise ValueError(f"hidden_layers: found {names}, wanted two layers or more: the last one has no hidden units")
    own = [(f"{name}/kernel", f"{name}/bias" if bias else None) for name in names]
    return tuple(
        Hidden(name, *(before[0], after[0], before[1], after[1]))
        for name, before, after in zip(names[:-1], own[:-1], own[1:], strict=True)
    )


def dormancy(activations: Any) -> Any:
    """s_i = E|h_i| / (mean over units of E|h| + 1e-9), of activations [..., units]: 1 on average.

    Source: Sokar et al. 2023, eq. 1; an all-zero layer has s = 0 (their code), not NaN.
    """
    size = _mean_over_samples(jnp.abs(activations))
    return size / (size.mean() + 1e-9)


def redo(layers: Sequence[Hidden], *, tau: ArrayLike = 0.1, every: int = 1000, key: Any = 0) -> Perturbation:
    """Recycles dormant units after `every` updates: those with `dormancy` <= tau, so tau = 0 takes dead ones only.

    Incoming weights are drawn Glorot-uniform, biases 0, and then all outgoing weights 0: a new unit does not see a new
    predecessor. The context holds `activations`, {name: [..., units]}, of a batch for the statistics. As published,
    biases do not count as replaced: their moments stay.
    Raises `ValueError` for a negative tau, as `perturbation` does, and when used for missing or misshapen activations
    and leaves.
    Source: Sokar et al. 2023, and their code. A flattened convolution's channels are found here where they are.
    """
    check_nonnegative("redo", "tau", tau, ())

    def act(key, leaves, memory, count, context):
        del count
        units = {layer.name: dormancy(_activations("redo", layer, leaves, context)) <= tau for layer in layers}
        new, replaced = dict(leaves), {name: jnp.zeros(leaf.shape, bool) for name, leaf in leaves.items()}
        for layer in layers:
            new, into = _renewed_incoming(stream(key, layer.name), new, layer, units[layer.name], glorot_uniform)
            replaced[layer.kernel] |= into
        for layer in layers:
            out = _rows(units[layer.name], new[layer.outgoing])
            new[layer.outgoing] = jnp.where(out, 0, new[layer.outgoing])
            replaced[layer.outgoing] |= out
        return new, memory, replaced

    def remember(leaves):
        _check_layers("redo", layers, leaves)
        return ()

    return perturbation(Acting(act, needs=("activations",), remember=remember), key=key, every=every)


class UnitMemory(NamedTuple):
    """Running utility, mean activation and age of the units [n] of a layer, and the fraction of a unit that is due."""

    utility: Any
    mean: Any
    age: Any
    due: Any


def continual_backprop(
    layers: Sequence[Hidden],
    *,
    rate: ArrayLike = 1e-4,
    maturity: int = 100,
    decay: float | int = 0.99,
    utility: str = "adaptable_contribution",
    accumulate: bool = True,
    gain: float | int = math.sqrt(2),
    mode: str = "intended",
    key: Any = 0,
) -> Perturbation:
    """Replaces the least useful of the units older than `maturity`, a share `rate` of them per update.

    After every update, for a unit i with activation h, weights W in and V out (after the update), and age a:

        m <- decay m + (1 - decay) E[h],   u <- decay u + (1 - decay) y,   both over 1 - decay^a
        y = E|h| mean|V_i| ("contribution"), E|h - m| mean|V_i| ("zero_contribution"), or that over mean|W_i|

    The share due is added up over updates (`accumulate`), or what is less than one unit is drawn. A new unit has
    W ~ U(-b, b) with b = gain sqrt(3 / fan-in), bias 0, V = 0, and u = m = a = 0. With "intended" the mean effect V_i m
    of the unit goes into the next bias; "released" is the published program, which forgets m before it does so.
    The context holds `activations`, {name: [..., units]}, of the step's forward pass.
    Raises `ValueError` for rate outside [0, 1], decay outside [0, 1), maturity < 0, a gain that is not positive,
    unknown names, and when used for missing or misshapen activations and leaves.
    Source: Dohare et al. 2024, and their code.
    """
    where = "continual_backprop"
    check_between(where, "rate", rate, 0, 1, ())
    check_count(where, "maturity", maturity, 0)
    check_choice(where, "utility", utility, UTILITIES)
    check_choice(where, "mode", mode, CBP_MODES)
    check_positive(where, "gain", gain, ())
    if not 0 <= decay < 1:
        raise ValueError(f"{where}: found decay={decay}, wanted a number in [0, 1)")

    def remember(leaves):
        _check_layers(where, layers, leaves)
        kernels = {layer.name: leaves[layer.kernel] for layer in layers if layer.kernel in leaves}
        zeros = {name: jnp.zeros(kernel.shape[-1], kernel.dtype) for name, kernel in kernels.items()}
        return {name: UnitMemory(n, n, n.astype(jnp.int32), jnp.zeros((), n.dtype)) for name, n in zeros.items()}

    def corrected(value, age):
        return value / jnp.maximum(1 - decay ** age.astype(value.dtype), jnp.finfo(value.dtype).tiny)

    def watch(key, leaves, memory, context):
        del key
        new = {}
        for layer in layers:
            h, held = _activations(where, layer, leaves, context), memory[layer.name]
            age = held.age + 1
            mean = decay * held.mean + (1 - decay) * _mean_over_samples(h)
            centre = 0 if utility == "contribution" else jnp.broadcast_to(corrected(mean, age), h.shape)
            useful = _mean_over_samples(jnp.abs(h - centre)) * _outgoing_size(leaves[layer.outgoing], len(mean))
            if utility == "adaptable_contribution":
                useful = useful / _mean_over_samples(jnp.abs(leaves[layer.kernel]))
            new[layer.name] = UnitMemory(decay * held.utility + (1 - decay) * useful, mean, age, held.due)
        return new

    def draw(key, shape, dtype):
        bound = gain * math.sqrt(3 / math.prod(shape[:-1]))
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    def renew(key, leaves, memory, numbers):
        new, remembered = dict(leaves), {}
        replaced = {name: jnp.zeros(leaf.shape, bool) for name, leaf in leaves.items()}
        for layer in layers:
            held, own = memory[layer.name], stream(key, layer.name)
            utility_now = jnp.where(held.age > maturity, corrected(held.utility, held.age), jnp.inf)
            units = (held.age > maturity) & (ranks(utility_now) < numbers[layer.name])
            new, into = _renewed_incoming(own, new, layer, units, draw)
            out = _rows(units, new[layer.outgoing])
            if mode == "intended" and layer.outgoing_bias is not None:
                effect = jnp.where(units, corrected(held.mean, held.age), 0)
                new[layer.outgoing_bias] += effect @ _by_unit(new[layer.outgoing], len(units)).sum(axis=0)
            new[layer.outgoing] = jnp.where(out, 0, new[layer.outgoing])
            replaced[layer.kernel] |= into
            replaced[layer.outgoing] |= out
            if layer.bias is not None:
                replaced[layer.bias] |= units
            used, mean, age = (jnp.where(units, 0, value) for value in held[:3])
            remembered[layer.name] = UnitMemory(used, mean, age, held.due)
        return new, remembered, replaced

    def act(key, leaves, memory, count, context):
        del count, context
        numbers, owed = {}, {}
        for layer in layers:
            held, drawn = memory[layer.name], stream(stream(key, layer.name), "number")
            numbers[layer.name], due = _number_due(drawn, held, rate, maturity, accumulate)
            owed[layer.name] = held._replace(due=due)
        # At most updates nothing is replaced, and drawing new weights costs more than all else.
        some = jnp.stack(list(numbers.values())).sum() > 0
        untouched = {name: jnp.zeros(leaf.shape, bool) for name, leaf in leaves.items()}
        held = dict(leaves), owed
        return rarely(
            some, lambda held: renew(key, held[0], held[1], numbers), lambda held: (held[0], held[1], untouched), held
        )

    return perturbation(Acting(act, needs=("activations",), remember=remember, watch=watch), key=key)


def _number_due(key, held, rate, maturity, accumulate):
    """How many units are replaced, and what remains due."""
    share = jnp.asarray(rate, held.due.dtype) * (held.age > maturity).sum()
    if accumulate:
        number = jnp.floor(held.due + share)
        return number, held.due + share - number
    drawn = (jax.random.uniform(key, (), share.dtype) < share).astype(share.dtype)
    return jnp.where(share < 1, drawn, jnp.floor(share)), held.due


def _renewed_incoming(key, leaves, layer, units, draw):
    """The leaves with new incoming weights and biases of these units, and which entries of the kernel those are."""
    kernel = leaves[layer.kernel]
    into = jnp.broadcast_to(units, kernel.shape)
    new = leaves | {layer.kernel: jnp.where(into, draw(stream(key, "kernel"), kernel.shape, kernel.dtype), kernel)}
    if layer.bias is not None:
        new[layer.bias] = jnp.where(units, 0, leaves[layer.bias])
    return new, into


def _rows(units, kernel):
    """These units among the inputs of a kernel [..., in, out], of its shape."""
    places = kernel.shape[-2] // len(units)
    return jnp.broadcast_to(jnp.tile(units, places)[:, None], kernel.shape)


def _by_unit(kernel, num_units):
    """[..., places units, out] -> [everything else, units, out]"""
    return kernel.reshape(-1, num_units, kernel.shape[-1])


def _outgoing_size(kernel, num_units):
    return jnp.abs(_by_unit(kernel, num_units)).mean(axis=(0, 2))


def _mean_over_samples(values):
    return values.reshape(-1, values.shape[-1]).mean(axis=0)


def _activations(where: str, layer: Hidden, leaves: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    given = context.get("activations")
    if not isinstance(given, Mapping) or layer.name not in given:
        found = sorted(given) if isinstance(given, Mapping) else given
        raise ValueError(
            f"{where}: found activations of {found}, wanted update(..., activations={{{layer.name!r}: ...}})"
        )
    h, units = given[layer.name], leaves[layer.kernel].shape[-1]
    if h.ndim < 2 or h.shape[-1] != units:
        raise ValueError(f"{where}: found activations of {layer.name} {h.shape}, wanted [samples, ..., {units}]")
    return h


def _check_layers(where: str, layers: Sequence[Hidden], leaves: Mapping[str, Any]) -> None:
    """Raises `ValueError` for leaves that are not there or do not fit; nothing to check among no leaves."""
    for layer in layers if leaves else ():
        paths = [path for path in layer[1:] if path is not None]
        missing = [path for path in paths if path not in leaves]
        if missing:
            raise ValueError(f"{where}: found no leaves {missing}, wanted some of {sorted(leaves)}")
        units, inputs = leaves[layer.kernel].shape[-1], leaves[layer.outgoing].shape[-2]
        if inputs % units:
            raise ValueError(f"{where}: found {inputs} inputs of {layer.outgoing}, wanted a multiple of {units} units")
