"""The type every model has, and how a Flax module becomes one; flax stays behind it."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
from flax.errors import InvalidRngError

from identax.rng import stream

_IN_TRAINING = {"train": True, "training": True, "deterministic": False, "use_running_average": False}


class Model(NamedTuple):
    """A model as two pure functions.

    `init(key, example) -> variables`: a dict of `params`, what is trained, and `state`, whatever else the model keeps
    (batch statistics, a cache; {} where there is nothing).
    `apply(variables, x, *, train=False, key=None) -> (output, new_model_state)`; `key` feeds what the model draws.
    """

    init: Callable[..., Any]
    apply: Callable[..., tuple[Any, Any]]


def from_flax(
    module: nn.Module, *, streams: Sequence[str] = ("dropout",), train_only: Sequence[str] = ("batch_stats",)
) -> Model:
    """Wraps a Flax Linen module as a `Model`, with all of its collections and random streams.

    * `variables["state"]` is {collection: its variables} for every collection beside `params`: batch statistics, the
      cache of a decoder, one of the module's own. An `apply` may change all of them, but those of `train_only` in
      training alone, and returns the new ones. What `init` returns is what the module wrote while initialising.
    * `key` feeds the stream `name` of the module with `stream(key, name)`: those of `streams`, which it may look for
      with `has_rng`, and every other that it takes by `make_rng`. Adding one shifts no other.
    * A module whose `__call__` takes `train`, `training`, `deterministic` or `use_running_average`, and has no value of
      its own for it, gets it from `train`. A module that takes none is trained when its collection is mutable.
    * `init(key, *inputs, **named)` and `apply(variables, *inputs, **named)` hand all else to the module.

    `apply` raises `ValueError` if the module draws (dropout in training) and there is no key; it names the stream.
    """

    def init(key, *inputs, **named):
        rngs = {"params": key, **{name: stream(key, name) for name in streams if name != "params"}}
        variables = dict(module.init(rngs, *inputs, **{**_switches(module, False), **named}))
        return {"params": variables.pop("params", {}), "state": variables}

    def apply(variables, *inputs, train=False, key=None, **named):
        state = variables.get("state") or {}
        mutable = [name for name in state if train or name not in train_only]
        held = {"params": variables["params"], **state}
        named = {**_switches(module, train), **named}

        def call(rngs):
            return module.apply(held, *inputs, rngs=rngs, mutable=mutable, **named)

        output, changed = _with_streams(call, key, streams)
        return output, {**state, **changed}

    return Model(init, apply)


def from_linen(module: nn.Module) -> Model:
    """`from_flax` for a module that keeps batch statistics or nothing: `state` is that one collection itself."""
    model = from_flax(module)

    def init(key, example):
        variables = model.init(key, example)
        if set(variables["state"]) - {"batch_stats"}:
            raise ValueError(f"from_linen: found collections {sorted(variables['state'])}, wanted batch_stats alone")
        return {"params": variables["params"], "state": variables["state"].get("batch_stats", {})}

    def apply(variables, x, *, train=False, key=None):
        state = variables.get("state") or {}
        whole = {"params": variables["params"], "state": {"batch_stats": state} if state else {}}
        output, changed = model.apply(whole, x, train=train, key=key)
        return output, changed.get("batch_stats", state)

    return Model(init, apply)


def _switches(module: nn.Module, train: bool) -> dict[str, bool]:
    """Those of the usual arguments that the module's `__call__` takes and that it has no value for."""
    taken = inspect.signature(module.__call__).parameters
    return {
        name: train == value
        for name, value in _IN_TRAINING.items()
        if name in taken and getattr(module, name, None) is None
    }


def _with_streams(call: Callable[[Any], Any], key: Any, names: Sequence[str]) -> Any:
    """`call(rngs)` with streams of `key`, those of `names` and whichever else turns out to be asked for."""
    names = list(names)
    while True:
        try:
            return call({} if key is None else {name: stream(key, name) for name in names})
        except InvalidRngError as error:
            # Flax tells which name it missed in the text of the error alone; tracing again costs one name each.
            found = re.search('needs PRNG for "(.+)"', str(error))
            if found is None or (found[1] in names and key is not None):
                raise  # given, but dropped on the way, as by a lifted transformation that splits other streams
            if key is None:
                raise ValueError(
                    f"from_flax: found apply without a key, wanted one: the module draws from its stream {found[1]!r}"
                ) from error
            names.append(found[1])
