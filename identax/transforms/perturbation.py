"""Acting on the parameters after the optimiser: a `Perturbation`, and the two ways to put one behind an update."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identax.checks import check_choice, check_count, is_integer
from identax.rng import stream, stream_id, streams
from identax.transforms._rarely import rarely
from identax.transforms._words import folded, words
from identax.transforms.selection import Gates, leaf_paths

MOMENTS = ("keep", "zero")
"""what becomes of the optimiser's memory of replaced entries"""


class PerturbationState(NamedTuple):
    """`count` of updates seen, the root `key` (never advanced), and what the perturbation itself remembers."""

    count: Any
    key: Any
    memory: Any


class Perturbation(NamedTuple):
    """A change of the parameters after every update, exact: parameters -> parameters.

    * `init(params) -> state`
    * `apply(params, state, **context) -> (params, state, replaced)`, to be called after `optax.apply_updates`.
      `replaced` is a tree of booleans like the parameters: entries whose value does not continue the old one. Of the
      context it takes what it needs: `key` (this step's, instead of one of its own), `grad`, `activations`, ...

    `after_update` and `with_perturbation` make optax transformations of it.
    """

    init: Callable[[Any], PerturbationState]
    apply: Callable[..., tuple[Any, PerturbationState, Any]]


class Acting(NamedTuple):
    """What a perturbation does to the chosen leaves, a dict by their paths.

    * `needs`: names of the context that reach the others; what the loop did not give is None
    * `alike`: names of the context that are trees like the parameters, and reach the others as dicts like the leaves
    * `remember(leaves) -> memory`, the first one
    * `watch(key, leaves, memory, context) -> memory`, after every update, also one at which it does not act
    * `act(key, leaves, memory, count, context) -> (leaves, memory, replaced)`
    * `within(leaf, units, count) -> (plan, first, arguments)`, in the place of `act`, for a window of each leaf, the
      output units counted from `first`: what is random of all windows of one plan is computed together, by
      `plan.lies(words, *arguments)`, then each leaf becomes `plan.act(keys, lies, number, leaf, first)`.
      `units` are the first of the last axis and how many, None for all, so that a gate's slice is not copied.
    """

    act: Callable[..., tuple[dict[str, Any], Any, dict[str, Any]]] | None = None
    within: Callable[..., Any] | None = None
    needs: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    remember: Callable[[dict[str, Any]], Any] = lambda leaves: ()
    watch: Callable[..., Any] = lambda key, leaves, memory, context: memory


def perturbation(
    acting: Acting,
    *,
    key: Any = 0,
    every: int = 1,
    on: Callable[[Any], Any] | Any = None,
) -> Perturbation:
    """A perturbation that acts after the updates `every`, 2 `every`, ... on the leaves that `on` chooses.

    `on` is a tree of booleans like the parameters, or a function of them that gives one, e.g. `select`; None for all.
    A gate's slice of a leaf, see `select`, is a leaf like the others to what acts.
    The key of update t is `step_key(key, t)`, or of the `key` of the context where the loop gives one (as
    `gradient_study` does, so that trials differ) its stream "perturbation". Each leaf takes its own by its path.
    Raises `ValueError` for every < 1, and when used for a mask of another structure.
    """
    check_count("perturbation", "every", every)

    def chosen(params):
        paths, treedef = leaf_paths(params)
        mask = on(params) if callable(on) else on
        flags = [True] * len(paths) if mask is None else jax.tree.leaves(mask)
        if len(flags) != len(paths):
            raise ValueError(f"perturbation: found a mask of {len(flags)} leaves, wanted {len(paths)}: {paths}")
        flags = {path: flag for path, flag in zip(paths, flags, strict=True) if isinstance(flag, Gates) or flag}
        return treedef, dict(zip(paths, jax.tree.leaves(params), strict=True)), flags

    def init(params):
        root = jax.random.key(key) if is_integer(key) else key
        _, leaves, flags = chosen(params)
        return PerturbationState(jnp.zeros((), jnp.int32), root, acting.remember(_cut(leaves, flags)))

    def apply(params, state, **context):
        return compiled(params, state, {name: context.get(name) for name in ("key", *acting.needs, *acting.alike)})

    # One program for each shape, also where a loop calls it outside `jit`.
    @partial(jax.jit, inline=True)
    def compiled(params, state, context):
        treedef, leaves, flags = chosen(params)
        given = context["key"]
        now = folded(*((state.key, state.count) if given is None else (given, stream_id("perturbation"))))
        for name in acting.alike:
            tree = context[name]
            context |= {name: _cut(dict(zip(leaf_paths(tree)[0], jax.tree.leaves(tree), strict=True)), flags)}
        mine = {path: leaves[path] for path in flags}
        memory = acting.watch(stream(now, "watch"), _cut(mine, flags), state.memory, context)
        nowhere = {path: jnp.zeros(leaf.shape, bool) for path, leaf in leaves.items()}

        def act(held):
            mine, memory = held
            if acting.within is not None:
                new = _within(acting.within, now, mine, flags, state.count)
                return new, memory, {path: new[path] != leaf for path, leaf in mine.items()}
            assert acting.act is not None
            new, memory, replaced = acting.act(now, _cut(mine, flags), memory, state.count, context)
            return _paste(mine, new, flags), memory, _paste({path: nowhere[path] for path in mine}, replaced, flags)

        def rest(held):
            return *held, {path: nowhere[path] for path in flags}

        if every == 1:
            mine, memory, replaced = act((mine, memory))
        else:
            mine, memory, replaced = rarely((state.count + 1) % every == 0, act, rest, (mine, memory))
        params, replaced = (jax.tree.unflatten(treedef, tree.values()) for tree in (leaves | mine, nowhere | replaced))
        return params, PerturbationState(state.count + 1, state.key, memory), replaced

    return Perturbation(init, apply)


def _cut(leaves: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The chosen leaves, those of which gates are chosen in slices; a leaf that is not there is left out."""
    found: dict[str, Any] = {}
    for path, flag in flags.items():
        if path in leaves:
            found |= flag.cut(path, leaves[path]) if isinstance(flag, Gates) else {path: leaves[path]}
    return found


def _paste(leaves: dict[str, Any], parts: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The leaves with what became of their parts, the inverse of `_cut`."""
    return {
        path: flags[path].paste(path, leaf, parts) if isinstance(flags[path], Gates) else parts[path]
        for path, leaf in leaves.items()
    }


def _within(planned: Callable[..., Any], key: Any, leaves: dict[str, Any], flags: dict[str, Any], count: Any) -> Any:
    """The leaves with a window of each, or of each slice, acted on: those that take as many words draw together."""
    parts = {}
    for path, flag in flags.items():
        parts |= flag.units(path) if isinstance(flag, Gates) else {path: None}
    paths = [name if units is None else name.rpartition(":")[0] for name, units in parts.items()]
    plans = [planned(leaves[path], units, count) for path, units in zip(paths, parts.values(), strict=True)]
    keys = folded(key, np.array([stream_id(name or "leaf") for name in parts], np.uint32))
    new = dict(leaves)
    # Equal plans belong to slices of one shape, and have equal arguments.
    for plan in dict.fromkeys(plan for plan, _, _ in plans):
        same = [number for number, (other, _, _) in enumerate(plans) if other == plan]
        own, arguments = keys[np.array(same)], plans[same[0]][2]
        lies = jax.vmap(lambda key, plan=plan, given=arguments: plan.lies(words(key, plan.num_words), *given))(own)
        for place, number in enumerate(same):
            path, first = paths[number], plans[number][1]
            new[path] = plan.act(own, lies, place, new[path], first)
    return new


def leafwise(change: Callable[..., Any], *, continues: bool = False) -> Callable[..., Any]:
    """The `act` of a perturbation without memory: `change(key, leaf, count)` of each leaf, with a key of its own.

    `continues`: every new value continues the old one (noise, shrinking), so none counts as replaced.
    """

    def act(key, leaves, memory, count, context):
        del context
        keys = streams(key, [name or "leaf" for name in leaves])
        new = {name: change(own, leaf, count) for own, (name, leaf) in zip(keys, leaves.items(), strict=True)}
        replaced = {
            name: jnp.zeros(leaf.shape, bool) if continues else new[name] != leaf for name, leaf in leaves.items()
        }
        return new, memory, replaced

    return act


def after_update(perturbation: Perturbation) -> optax.GradientTransformationExtraArgs:
    """The perturbation as the last part of an `optax.chain`: it changes the update so that the parameters end there.

        updates' = perturbed(params + updates) - params,   updates where nothing was changed

    What `optax.apply_updates` then gives may differ from `perturbed(...)` in the last digits: in float32 a third of all
    replaced entries does, so a permutation does not keep the values to the last bit. `Perturbation.apply` does.
    It acts on what `optax.masked` and `optax.multi_transform` leave it. The optimiser's memory stays, see
    `with_perturbation`. Raises `ValueError` when used without params.
    """

    def init(params):
        return perturbation.init(params)

    def update(updates, state, params=None, **context):
        if params is None:
            raise ValueError("after_update: found params=None, wanted the parameters: update(updates, state, params)")
        stepped = optax.apply_updates(params, updates)
        new, state, _ = perturbation.apply(stepped, state, **context)
        return _towards(new, params, stepped, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def with_perturbation(
    optimizer: optax.GradientTransformation, perturbation: Perturbation, *, moments: str = "keep"
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, then the perturbation as in `after_update`; its state is the pair of both.

    `moments`: "keep" leaves the optimiser's memory, "zero" calls `forget` for replaced entries.
    Raises `ValueError` for another choice, and when used without params.
    """
    check_choice("with_perturbation", "moments", moments, MOMENTS)
    inner = optax.with_extra_args_support(optimizer)

    def init(params):
        return inner.init(params), perturbation.init(params)

    def update(updates, state, params=None, **context):
        if params is None:
            raise ValueError("with_perturbation: found params=None, wanted update(updates, state, params)")
        held, own = state
        updates, held = inner.update(updates, held, params, **context)
        stepped = optax.apply_updates(params, updates)
        new, own, replaced = perturbation.apply(stepped, own, **context)
        if moments == "zero":
            held = forget(inner, held, replaced)
        return _towards(new, params, stepped, updates), (held, own)

    return optax.GradientTransformationExtraArgs(init, update)


def as_event(
    perturbation: Perturbation, context: Callable[[Any, Any], dict[str, Any]] | None = None
) -> Callable[[Any, Any], Any]:
    """The perturbation as an event of a study, exact: `events=[(1000, as_event(shrink_and_perturb(0.3, 0.01)))]`.

    A restart between two phases: the parameters are perturbed once, with numbers of the event's key; the optimiser's
    memory stays. `context(state, key) -> {name: value}` are the named arguments that the perturbation needs (DASH's
    direction). It is one with `every` = 1: another does nothing at its first call.
    """

    def change(state, key):
        given = {} if context is None else context(state, stream(key, "context"))
        params, _, _ = perturbation.apply(state.params, perturbation.init(state.params), key=key, **given)
        return dataclasses.replace(state, params=params)

    return change


def _towards(new: Any, params: Any, stepped: Any, updates: Any) -> Any:
    """Updates that lead to `new`; where nothing was perturbed, those that there were, to the last bit."""
    return jax.tree.map(lambda n, p, s, u: jnp.where(n == s, u, (n - p).astype(u.dtype)), new, params, stepped, updates)


def forget(optimizer: optax.GradientTransformation, opt_state: Any, replaced: Any) -> Any:
    """The optimiser's state with zeros for `replaced` entries, in whatever it holds once per parameter.

    Those are moments and traces, and the counts of `scale_by_entrywise_adam`. Adam's one count stays: its bias
    correction is over, and the first step of an entry whose moments were zeroed is (1 - b1)/sqrt(1 - b2) times (3.2 at
    the usual .9 and .999) what it is at the start of training. Averages of the parameters become 0 too: keep them
    outside. Raises `ValueError` where a state has other shapes than the parameters (L-BFGS).
    """

    def clear(held, entries):
        if isinstance(held, optax.MaskedNode):
            return held
        if jnp.shape(held) != jnp.shape(entries):
            raise ValueError(f"forget: found a state of shape {jnp.shape(held)} of {jnp.shape(entries)} parameters")
        return jnp.where(entries, jnp.zeros_like(held), held)

    def is_masked(leaf):
        return isinstance(leaf, optax.MaskedNode)

    return optax.tree.map_params(optimizer, clear, opt_state, replaced, is_leaf=is_masked)
