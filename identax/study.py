"""What one trial is (`State`, `Study`) and which trials to run (`Trials`)."""

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Key

from identax.columns import as_column, whole_number
from identax.rng import step_key, stream

HParams = Mapping[str, Any]
Metrics = Mapping[str, Any]
MOST_TRIALS = 2**24
"""of one grid: far more than any machine records apart, so that a mistyped number is refused, not allocated"""
OPTIMIZER_ARGUMENTS = ("value", "loss", "grad", "value_fn", "grad_fn", "key")
"""what an optimiser may ask any `gradient_study` for, by name"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Everything one trial needs to go on: a pytree, saved and restored whole.

    `step` counts finished updates, `key` is the trial's root key (never advanced), `truth` the ground-truth
    parameters, `params` what is learned, `model_state` e.g. batch statistics, `opt_state` the optimiser's,
    `hparams` the trial's traced numeric hyper-parameters. Like any pytree it may also hold shapes or shardings
    in the place of arrays.
    """

    step: Any  # Int[Array, ""]
    key: Any  # Key[Array, ""]
    truth: Any
    params: Any
    model_state: Any
    opt_state: Any
    hparams: Any = dataclasses.field(default_factory=dict)


class Best(NamedTuple):
    """Which state of a trial is its best: the one with the smallest or largest evaluated `metric`, earliest of equals.

    With `patience`, a trial stops after so many evaluations in a row without a new best one: it is frozen like a failed
    trial and counts as finished. Select by data that no reported number is computed from.
    """

    metric: str
    direction: Literal["min", "max"] = "min"
    patience: int | None = None


class Study(NamedTuple):
    """How the parts become one trial; pure functions that the runner maps over trials.

    `init(key, hparams) -> state`; `step(state, batch) -> (state, metrics)` with `batch=None` when the step
    samples its own data; `evaluate(state, key) -> metrics`. A state is any pytree with `.step` and `.key`; a
    trial counts as failed when `.params` (the whole state where there are none) or the metric `loss` is not finite.
    A study that starts after another one (`run(after=...)`) has `init(key, hparams, before)`: `before` is the state in
    which the trial of the same seed ended there, of whatever kind.

    Metrics are a dict of real scalars or small arrays, nested or not. One of the step may be a pair (sum, weight): its
    value over a chunk of steps is the ratio of both sums, and empty where nothing was weighed (returns of episodes).

    `events` are rare changes of the state from outside the step, `(after_steps, change(state, key) -> state)`:
    a warm start, a reset of weights. Their steps are multiples of the runner's `log_every`. Equal changes (one function
    many times, lambdas of a loop that hold equal things) compile once.
    `keep(state, key) -> {name: array}` are arrays of any size that the run keeps beside its metrics (trajectories,
    images, matrices), at the evaluations after `keep_at` steps, by default after the last one alone.
    `best` says which state to keep besides the last one.
    `check(hparams)` gets the hyper-parameters of all trials as NumPy arrays [T, ...] before anything is compiled or
    written, and raises `ValueError` for what makes no sense: a traced program cannot.
    """

    init: Callable[..., Any]
    step: Callable[[Any, Any], tuple[Any, Metrics]]
    evaluate: Callable[[Any, Any], Metrics]
    events: tuple[tuple[int, Callable[[Any, Any], Any]], ...] = ()
    keep: Callable[[Any, Any], Mapping[str, Any]] | None = None
    keep_at: tuple[int, ...] = ()
    best: Best | None = None
    check: Callable[[HParams], None] | None = None


class HostTrial(NamedTuple):
    """A trial without steps whose code JAX cannot trace (SciPy, third-party packages): the runner calls it on the host.

    `trial(key, hparams) -> metrics`, or `-> (metrics, arrays)` with arrays to keep, is called once per trial with a
    concrete key and the hyper-parameters as NumPy scalars or arrays; it returns numbers and arrays, the same names in
    every trial. A trial that raises `ValueError` or `ArithmeticError` (`numpy.linalg.LinAlgError` is one) has failed;
    anything else that it raises ends the run.
    """

    trial: Callable[[Any, HParams], Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials of one study: `keys` [T], `hparams` a pytree of arrays [T, ...], `seeds` [T] for labels."""

    keys: Any  # Key[Array, "T"]
    hparams: Any
    seeds: Any  # Int[Array, "T"]

    def __len__(self) -> int:
        return self.keys.shape[0]

    def __getitem__(self, index) -> "Trials":
        """Selects trials by slice or integer array; the trial axis stays."""
        return jax.tree.map(lambda leaf: leaf[index], self)

    @staticmethod
    def grid(num_seeds: Any = 1, *, seed: Any = 0, **values: Any) -> "Trials":
        """Crosses `num_seeds` seeds with every named list of values (seeds vary fastest).

        A scalar counts as a list of one; an entry may itself be an array (a precision vector), then the list
        must hold equal shapes. Seed i has the key `fold_in(key(seed), i)` in every cell, so cells are
        compared on the same worlds and adding seeds keeps the earlier ones.
        Booleans stay booleans and integers integers (Python's become JAX's default integer); a list with floats becomes
        JAX's default float.
        Raises `ValueError` for `num_seeds` < 1, more than `MOST_TRIALS` trials in all, a seed that `jax.random.key`
        would wrap, an empty list, NaN, entries of unequal shape, anything but real numbers, and values that the dtype
        cannot hold or not tell apart.
        """
        num_seeds = whole_number("Trials.grid: num_seeds", num_seeds, 1, 2**31)
        with_64_bits = jax.dtypes.canonicalize_dtype(np.int64) == np.int64
        seed = whole_number("Trials.grid: seed", seed, 0, 2**63 if with_64_bits else 2**32)
        columns = {name: as_column(f"Trials.grid: {name}", column) for name, column in values.items()}
        count = num_seeds * math.prod(len(column) for column in columns.values())
        if count > MOST_TRIALS:
            raise ValueError(f"Trials.grid: found {count:,} trials, wanted at most {MOST_TRIALS:,}")
        cells = list(itertools.product(*columns.values()))
        seeds = jnp.tile(jnp.arange(num_seeds), len(cells))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), seeds)
        hparams = {
            name: jnp.repeat(jnp.asarray(np.array([cell[i] for cell in cells], column.dtype)), num_seeds, axis=0)
            for i, (name, column) in enumerate(columns.items())
        }
        return Trials(keys, hparams, seeds)


def shard_batch(batch: Any) -> Any:
    """Constrains every leaf's leading axis to the mesh axis "data", where a mesh with one is in scope.

    Outside such a mesh it returns `batch` unchanged; values never depend on it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape.get("data", 1) == 1:
        return batch
    data = mesh.shape["data"]
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % data:
            raise ValueError(f"batch of shape {leaf.shape} does not divide over the mesh's data axis of {data} devices")
    spec = PartitionSpec("data")
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, spec), batch)


def gradient_study(
    *,
    init: Callable[..., tuple[Any, Any, Any]],
    loss: Callable[[Any, State, Any, Key[Array, ""]], tuple[Float[Array, " N"], tuple[Any, ...]]],
    optimizer: Callable[[HParams], optax.GradientTransformation],
    evaluate: Callable[[State, Key[Array, ""]], Metrics],
    sample: Callable[[State, Key[Array, ""]], Any] | None = None,
    context: Sequence[str] = (),
    events: Sequence[tuple[int, Callable[[State, Key[Array, ""]], State]]] = (),
    keep: Callable[[State, Key[Array, ""]], Mapping[str, Any]] | None = None,
    keep_at: Sequence[int] = (),
    best: Best | None = None,
    check: Callable[[HParams], None] | None = None,
) -> Study:
    """Composes a study that minimises a per-example loss by gradient descent.

    * `init(key, hparams) -> (truth, params, model_state)`, or `init(key, hparams, before)` for a study that starts
      after another one
    * `sample(state, key) -> batch`, drawn inside the step; None for studies fed by a loader
    * `loss(params, state, batch, key) -> (per_example [N], (model_state, metrics))`; its mean is minimised
    * `optimizer(hparams) -> optax transformation`, built from the trial's traced hyper-parameters, so a
      sweep over learning rates compiles once
    * `evaluate(state, key) -> metrics`
    * `events`, `keep`, `keep_at`, `best`, `check`: see `Study`

    The step's metrics hold `loss` (the mean) and whatever `loss` returned beside it, which has another name.

    The transformation's `update(updates, state, params, *, ...)` gets those of the following that its signature names,
    or all of them if it ends in `**extra_args` (as `optax.chain` and most of optax do, which hand them on to every
    part that is a `GradientTransformationExtraArgs`):

    * `value`, `loss`: the mean loss of this step; `grad`: its gradient
    * `value_fn(params)`: the mean loss on this step's batch, with this step's loss key
    * `grad_fn(params, i)`: the gradient of that; `i`, which `optax.contrib.sam` counts, changes nothing
    * `key`: this step's random stream "optimizer", so a transformation needs no key in its state
    * the names in `context`: what `loss` computes on the way and returns as a third part, a dict of these names, beside
      the metrics: `(per_example, (model_state, metrics, {"activations": ...}))`, of the parameters before the update

    Raises `ValueError` for a name in `context` that is in the list above it, and when a trial is first traced for an
    `update` that requires any other name, a loss whose third part does not hold the names in `context`, a metric called
    `loss`, which would hide that the loss diverges, and complex losses.
    """
    if isinstance(context, str) or set(context) & set(OPTIMIZER_ARGUMENTS):
        raise ValueError(
            f"gradient_study: found context={context!r}, wanted a tuple of names, none of {OPTIMIZER_ARGUMENTS}"
        )
    context = tuple(context)

    def init_state(key, hparams, *before):
        truth, params, model_state = init(key, hparams, *before)
        transformation = optimizer(hparams)
        _asked_for(transformation, context)
        opt_state = transformation.init(params)
        return State(jnp.zeros((), jnp.int32), key, truth, params, model_state, opt_state, hparams)

    def step(state, batch):
        key = step_key(state.key, state.step)
        if sample is not None:
            batch = sample(state, stream(key, "data"))
        batch = shard_batch(batch)

        def objective(params):
            per_example, aux = loss(params, state, batch, stream(key, "loss"))
            if jnp.iscomplexobj(per_example):
                raise ValueError(f"gradient_study: found a loss of dtype {per_example.dtype}, wanted real values")
            return per_example.mean(), _three_parts(aux, context)

        (value, (model_state, metrics, given)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        if any(str(name).split("/")[0] == "loss" for name in metrics):
            raise ValueError("gradient_study: found a metric called 'loss', which is what is minimised; rename it")
        transformation = optimizer(state.hparams)
        extra = _extra_arguments(transformation, objective, value, grads, key, given)
        updates, opt_state = transformation.update(grads, state.opt_state, state.params, **extra)
        params = optax.apply_updates(state.params, updates)
        state = dataclasses.replace(
            state, step=state.step + 1, params=params, model_state=model_state, opt_state=opt_state
        )
        return state, {"loss": value, **metrics}

    return Study(init_state, step, evaluate, tuple(events), keep, tuple(keep_at), best, check)


def _three_parts(aux: tuple[Any, ...], context: tuple[str, ...]) -> tuple[Any, Metrics, Mapping[str, Any]]:
    """What a loss returns beside its values: model state, metrics, and what the optimiser's update may ask for."""
    model_state, metrics, *rest = aux
    given = rest[0] if rest else {}
    if len(rest) > 1 or not isinstance(given, Mapping) or set(given) != set(context):
        found = sorted(given) if isinstance(given, Mapping) and len(rest) < 2 else f"{len(aux)} parts"
        raise ValueError(
            f"gradient_study: found a loss that gives its optimizer {found}, wanted context={context} as the third part"
        )
    return model_state, metrics, given


def _asked_for(transformation: Any, context: tuple[str, ...] = ()) -> list[str]:
    """Those of `OPTIMIZER_ARGUMENTS` and of the loss's `context` that the transformation's `update` takes."""
    wanted = (*OPTIMIZER_ARGUMENTS, *context)
    parameters = list(inspect.signature(transformation.update).parameters.values())
    extra = [p for p in parameters[3:] if p.kind is p.POSITIONAL_OR_KEYWORD]  # behind updates, state, params
    extra += [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    unknown = [p.name for p in extra if p.default is p.empty and p.name not in wanted]
    if unknown:
        raise ValueError(f"gradient_study: found an optimizer whose update requires {unknown}, wanted any of {wanted}")
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return list(wanted)
    return [p.name for p in extra if p.name in wanted]


def _extra_arguments(
    transformation: Any, objective: Callable, value: Any, grads: Any, key: Any, context: Mapping[str, Any]
) -> dict[str, Any]:
    """What the transformation's `update` asks for; see `gradient_study`."""

    def value_fn(params, **others):
        del others
        return objective(params)[0]

    # optax's line searches refuse to be given what `value_fn` does not name, and hand it what it does.
    named = [inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    named += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("loss", "grad_fn", "key", *context)]
    value_fn.__signature__ = inspect.Signature(named)  # pyright: ignore[reportFunctionMemberAccess]

    def grad_fn(params, i=None):
        del i
        return jax.grad(value_fn)(params)

    given = {"value": value, "loss": value, "grad": grads, "value_fn": value_fn, "grad_fn": grad_fn, **context}
    asked = _asked_for(transformation, tuple(context))
    if "key" in asked:
        given["key"] = stream(key, "optimizer")
    return {name: given[name] for name in asked}
