"""Starting where another run ended: which state each trial starts from, and proof that it is still the same run."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from identax.run.mesh import trial_sharding
from identax.run.results import Results
from identax.study import HostTrial, Trials

if TYPE_CHECKING:
    Which = Literal["final", "best"]
else:
    Which = str  # so that an unknown name meets the check below, with or without a run-time type checker


def earlier_trials(earlier: Results, trials: Trials, what: str = "after") -> np.ndarray:
    """Per trial the number of the earlier trial it starts from, [T].

    That is the one of the same seed and of equal values of every hyper-parameter that varied there; a single earlier
    trial serves all. Raises `ValueError` where there is none or more than one, naming seed and values.
    """
    if len(earlier.trials) == 1:
        return np.zeros(len(trials), int)
    seeds, found = np.asarray(trials.seeds), []
    varied = _varied(earlier.trials)
    for number in range(len(trials)):
        mask = np.asarray(earlier.trials.seeds) == seeds[number]
        for name, values in varied.items():
            if name in trials.hparams:
                wanted = np.asarray(trials.hparams[name])[number]
                mask &= (values == wanted).reshape(len(values), -1).all(axis=1)
        places = np.flatnonzero(mask)
        if len(places) != 1:
            shared = [name for name in varied if name in trials.hparams]
            given = {name: np.asarray(trials.hparams[name])[number].tolist() for name in shared}
            raise ValueError(
                f"{what}: found {len(places)} earlier trials of seed {seeds[number]} with {given}, wanted one;"
                f" the earlier run has the seeds {sorted(set(np.asarray(earlier.trials.seeds).tolist()))}"
            )
        found.append(places[0])
    return np.array(found)


def _varied(trials: Trials) -> dict[str, np.ndarray]:
    columns = {name: np.asarray(values) for name, values in trials.hparams.items()}
    return {name: values for name, values in columns.items() if len(np.unique(values, axis=0)) > 1}


def states_of(earlier: Results, which: Which, what: str = "after") -> Any:
    """The final or best states of a run; raises `ValueError` where it has none or where no trial has one."""
    if which not in ("final", "best"):
        raise ValueError(f"{what}: found state {which!r}, wanted 'final' or 'best'")
    state = earlier.best_state if which == "best" else earlier.state
    if state is None:
        raise ValueError(f"{what}: found no {which} states in the earlier run, wanted one that has them")
    if (earlier.failed_at > 0).all():
        raise ValueError(f"{what}: found an earlier run of which all {len(earlier.trials)} trials failed")
    return state


def check_init(init: Callable[..., Any]) -> None:
    """Raises `ValueError` for a study whose `init` takes no earlier state."""
    try:
        inspect.signature(init).bind("key", "hparams", "before")
    except TypeError:
        raise ValueError(
            "run: found `after` and a study whose init takes (key, hparams), wanted init(key, hparams, before)"
        ) from None


def start_from(state: Any, index: np.ndarray, mesh: Mesh) -> Any:
    """The states `index` [T] of a trial-batched tree, on the mesh, whatever devices they were on."""
    if jax.process_count() == 1:
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    pick = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[index], tree), out_shardings=trial_sharding(mesh))
    return pick(state)


def with_before(trial: Any, trials: Trials, earlier: Results, which: Which) -> tuple[Any, Trials]:
    """A function `trial(key, hparams, before)` as one of key and hparams, and the trials that hold both.

    On the host, keys inside `before` are their raw words. Raises as `earlier_trials` and `states_of`, and when an
    earlier trial failed.
    """
    index = earlier_trials(earlier, trials)
    state = states_of(earlier, which)
    failed = np.asarray(earlier.failed_at)[index] > 0
    if failed.any():
        seeds = sorted(set(np.asarray(trials.seeds)[failed].tolist()))
        raise ValueError(f"after: found failed earlier trials of the seeds {seeds}, wanted all of them finished")
    on_host = isinstance(trial, HostTrial)
    before = jax.tree.map(lambda leaf: (_words(leaf) if on_host else leaf)[index], jax.device_get(state))
    both = dataclasses.replace(trials, hparams={"hparams": trials.hparams, "before": before})
    return (HostTrial(_of_both(trial.trial)) if on_host else _of_both(trial)), both


def _words(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


@functools.lru_cache(maxsize=64)  # the same function gives the same one, which compiles once
def _of_both(trial: Callable) -> Callable:
    return lambda key, both: trial(key, both["hparams"], both["before"])


def fingerprint(earlier: Results | None, which: Which) -> dict[str, Any]:
    """What a later run records of the earlier one: training it anew, or otherwise, gives another fingerprint."""
    if earlier is None:
        return {}
    digest = hashlib.sha256()
    parts = {**{f"t/{n}": v for n, v in earlier.train.items()}, **{f"e/{n}": v for n, v in earlier.evaluation.items()}}
    for name, values in sorted(parts.items()):
        digest.update(f"{name}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values, float).tobytes())
    digest.update(np.asarray(earlier.failed_at, np.int64).tobytes())
    return {"after": {"state": which, "steps": earlier.num_steps, "sha256": digest.hexdigest()}}
