"""The compiled programs of a study: start, advance by k steps, evaluate, keep arrays, choose states, and its events."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool

from identax.rng import step_key, stream
from identax.run.events import Change, program_text
from identax.run.mesh import TrialMap, map_trials, trial_sharding
from identax.run.progress import COMPILING, RUNNING
from identax.run.values import flat_metrics, is_weighted
from identax.study import Study


class Progressed(NamedTuple):
    """What one call of the advance program returns, trials leading."""

    state: Any
    alive: Bool[Array, "..."]
    metrics: Any  # {name: [T, k, ...] or a pair of those}, one value per step; those of a failed trial mean nothing
    survived: Bool[Array, "..."]  # the same as `alive`, which the next call takes over while this one is read


_CACHE: dict[tuple, Any] = {}  # compiled programs of this process, the one used last at the end
_CACHE_SIZE = 64
_LEVEL = "xla_backend_optimization_level"
LONG_RUN = 10_000
"""A run of so many steps or more compiles its steps at XLA's own level; see `compiler_options`."""


class Programs:
    """The programs of one (study, mesh, way of mapping); each signature compiles once per process.

    A signature is shapes, dtypes and shardings: other seeds, learning rates or DGP parameters never recompile.
    `compile_seconds` counts tracing and compiling, apart from running; `on_phase(text)` hears about it.
    `num_steps` is how many steps the run has in all: those of a `LONG_RUN` are compiled for speed.
    """

    def __init__(
        self, study: Study, mesh: Mesh, how: TrialMap, on_phase: Callable[[str], None], *, num_steps: int = 0
    ) -> None:
        self.study, self._mesh, self._how, self._on_phase = study, mesh, how, on_phase
        self._long = num_steps >= LONG_RUN
        self.events = study.events
        self.compile_seconds = 0.0

    def start(self, keys: Any, hparams: Any, before: Any = None) -> Any:
        """Initial states of all trials, `before` the states to start from [T, ...] or None."""
        return self._call(_start, (keys, hparams) if before is None else (keys, hparams, before))

    def advance(self, state: Any, alive: Any, batches: Any, num_steps: int) -> Progressed:
        """Runs `num_steps` steps; the state's buffers are donated. `batches` [k, N, ...] or None."""
        return self._call(_advance, (state, alive, batches), num_steps)

    def evaluate(self, state: Any) -> Any:
        """Metrics {name: [T, ...]} at the current step."""
        return self._call(_evaluate, (state,))

    def keep(self, state: Any) -> Any:
        """Arrays to keep {name: [T, ...]} at the current step."""
        return self._call(_keep, (state,))

    def choose(self, chosen: Any, new: Any, old: Any) -> Any:
        """`new` for the trials where `chosen` [T] and `old` for the others, in buffers of its own."""
        return self._call(_choose, (chosen, new, old))

    def intervene(self, state: Any, alive: Any, number: int) -> Any:
        """State after the study's event `number`; failed trials stay as they are."""
        return self._call(_intervene, (state, alive), Change(self.events[number][1]))

    def _call(self, make: Callable, args: tuple, *static: int | Change) -> Any:
        leaves, treedef = jax.tree.flatten(args)
        signature = treedef, tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)
        # By part, not by study: studies that differ in their loss alone share start, evaluation and events.
        study = self.study
        own = {_start: study.init, _evaluate: study.evaluate, _keep: study.keep, _choose: None, _intervene: None}
        part = own.get(make, study)
        options = compiler_options(fast=self._long and make is _advance)
        name = (make, part, self._mesh, self._how, static, signature, *options.items(), *_numerics())
        if name not in _CACHE:
            self._on_phase(COMPILING)
            begin = time.perf_counter()
            with jax.set_mesh(self._mesh):
                lowered = make(study, self._mesh, self._how, *static).lower(*args)
                alike = (_intervene, self._mesh, signature, *_numerics()) if make is _intervene else None
                _CACHE[name] = _compiled(lowered, alike, options)
            self.compile_seconds += time.perf_counter() - begin
            while len(_CACHE) > _CACHE_SIZE:
                _CACHE.pop(next(iter(_CACHE)))
            self._on_phase(RUNNING)
        _CACHE[name] = _CACHE.pop(name)
        return _CACHE[name](*args)


def _compiled(lowered: Any, alike: tuple | None, options: dict[str, int]) -> Any:
    """Compiles, or takes the program that one of the same text, among those `alike`, was compiled to."""
    if alike is None:
        return lowered.compile(options)
    name = (*alike, program_text(lowered))
    _CACHE[name] = _CACHE.pop(name, None) or lowered.compile(options)
    return _CACHE[name]


def _numerics() -> tuple[Any, Any]:
    """Settings that change what the same study compiles to."""
    return jnp.zeros(()).dtype, jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def compiler_options(*, fast: bool = False) -> dict[str, int]:
    """On a CPU, level 1 of LLVM's optimisations unless XLA_FLAGS or jax_disable_most_optimizations say otherwise.

    At XLA's own level, 3, compiling takes 1.2 to 3.5 times as long: LLVM unrolls short inner loops. With AVX-512 steps
    over short vectors are up to 8 % faster for it, which some thousand of them do not win back; `fast` leaves a program
    at that level. The numbers of the two differ by rounding.
    """
    chosen = _LEVEL in os.environ.get("XLA_FLAGS", "") or jax.config.read("jax_disable_most_optimizations")
    return {} if fast or chosen or jax.default_backend() != "cpu" else {_LEVEL: 1}


def _start(study: Study, mesh: Mesh, how: TrialMap):
    def start(key, hparams, *before):
        return jax.tree.map(_strongly_typed, study.init(key, hparams, *before))

    def mapped(*args):
        return map_trials(start, mesh, how=how, num_args=len(args))(*args)

    return jax.jit(mapped, out_shardings=trial_sharding(mesh))


def _strongly_typed(leaf: Any) -> Any:
    """Drops JAX's weak type: a checkpoint does not keep it, and a resumed run must compile the same program."""
    leaf = jnp.asarray(leaf)
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) else leaf.astype(leaf.dtype)


def _evaluate(study: Study, mesh: Mesh, how: TrialMap):
    def evaluate(state):
        found = flat_metrics(study.evaluate(state, step_key(stream(state.key, "eval"), state.step)), "evaluate")
        return {name: _ratio(*value) if is_weighted(value) else value for name, value in found.items()}

    return jax.jit(map_trials(evaluate, mesh, how=how), out_shardings=trial_sharding(mesh))


def _ratio(total: Any, weight: Any) -> Any:
    return jnp.where(weight == 0, jnp.nan, total / weight)


def _keep(study: Study, mesh: Mesh, how: TrialMap):
    def keep(state):
        assert study.keep is not None
        return dict(study.keep(state, step_key(stream(state.key, "keep"), state.step)))

    return jax.jit(map_trials(keep, mesh, how=how), out_shardings=trial_sharding(mesh))


def _choose(study: Study, mesh: Mesh, how: TrialMap):
    def choose(chosen, new, old):
        return jax.tree.map(lambda one, other: jnp.where(chosen, one, other), new, old)

    return jax.jit(map_trials(choose, mesh, how=how, num_args=3), out_shardings=trial_sharding(mesh))


def _intervene(study: Study, mesh: Mesh, how: TrialMap, event: Change):
    del study  # equal events of several studies are one program

    def intervene(state, alive):
        changed = event.change(state, step_key(stream(state.key, "event"), state.step))
        return jax.tree.map(lambda new, old: jnp.where(alive, new, old), changed, state)

    mapped = map_trials(intervene, mesh, how=how, num_args=2)
    return jax.jit(mapped, out_shardings=trial_sharding(mesh))


def _advance(study: Study, mesh: Mesh, how: TrialMap, num_steps: int):
    def advance(state, alive, batches):
        new_state, metrics = jax.lax.scan(study.step, state, batches, length=num_steps)
        metrics = flat_metrics(metrics, "step")
        # Trials share nothing, so a non-finite one cannot disturb the others. Going back to the last good
        # state once per chunk, not once per step, keeps the check out of the step's cost.
        alive = alive & _all_finite(getattr(new_state, "params", new_state)) & _all_finite(metrics.get("loss"))
        kept = jax.tree.map(lambda new, old: jnp.where(alive, new, old), new_state, state)
        return Progressed(kept, alive, metrics, alive)

    mapped = map_trials(advance, mesh, how=how, num_args=3, shared=(2,))
    return jax.jit(mapped, donate_argnums=(0, 1), out_shardings=trial_sharding(mesh))


def _all_finite(tree: Any) -> Bool[Array, ""]:
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.array(True)] + [jnp.isfinite(leaf).all() for leaf in floats]).all()


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding of stacked host batches [k, N, ...]: the same for all trials, N over the data axis."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def abstract_state(study: Study, mesh: Mesh, keys: Any, hparams: Any, before: Any = None) -> Any:
    """Shapes, dtypes and shardings of the trial-batched state, without computing or compiling anything."""
    shapes = jax.eval_shape(_all_at_once(study.init), keys, hparams, *([] if before is None else [before]))
    sharding = trial_sharding(mesh)
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes)


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _all_at_once(init: Callable) -> Callable:
    # One function object per study, so that JAX remembers its shapes and a second run traces nothing.
    return jax.vmap(init)
