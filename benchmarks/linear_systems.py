"""Linear systems: a step of the published training against eager PyTorch, and systems identified per second."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import alternate, compiled, result, wait
from experiments.lti import table1, worlds
from identax.lti.closed_form import closed_form_unmixing
from identax.lti.mle import fit_conditional
from identax.lti.moments import pair_moments
from identax.lti.sgd import orthonormal_rows, published_epoch
from identax.metrics import mcc
from identax.study import Trials

BATCH_SIZE, RATE, MAX_NORM = 64, 1e-3, 0.5
SWITCHES = {"use_B": 1.0, "use_C": 1.0, "zero_means": 0.0}


def training(
    dims: tuple[int, ...], *, rounds: int, num_epochs: int, num_samples: int = 12_000, torch: bool = True
) -> dict[str, Any]:
    """Times `num_epochs` epochs of clipped SGD, shuffling included, in turn with PyTorch's.

    Same pairs, start, batches of 64 (the last one smaller), rate and clip; float32 on both sides, ours in float64
    too. Derived: microseconds per step, and `speedup` (PyTorch's median over identax's) at every dim.
    """
    timings, seconds, derived = {}, {}, {}
    with jax.enable_x64(True):
        for dim in dims:
            flat = worlds.flat_pairs(_world(dim, num_samples))
            steps = num_epochs * -(-len(flat[0]) // BATCH_SIZE)
            runs = {}
            for dtype in ("float32", "float64"):
                name = f"d {dim} identax {dtype}"
                arrays = [jnp.asarray(values, dtype) for values in flat]
                start = orthonormal_rows(jax.random.key(1), dim, 2 * dim).astype(dtype)
                program, seconds[name] = compiled(_epochs(num_epochs), jax.random.key(2), start, *arrays)
                runs[name] = lambda program=program, start=start, arrays=arrays: wait(
                    program(jax.random.key(2), start, *arrays)
                )
            if torch:
                from benchmarks.linear_systems_torch import Trainer

                trainer = Trainer(start, *flat, batch_size=BATCH_SIZE, learning_rate=RATE, max_norm=MAX_NORM)
                runs[f"d {dim} torch"] = lambda trainer=trainer: trainer.epochs(num_epochs)
            timings |= alternate(runs, rounds=rounds, units=steps)
            for name in runs:
                derived[f"{name}: microseconds per step"] = 1e6 * timings[name].median
            if torch:
                derived[f"d {dim}: speedup"] = (
                    timings[f"d {dim} torch"].median / timings[f"d {dim} identax float32"].median
                )
    settings = {"num_samples": num_samples, "batch_size": BATCH_SIZE, "epochs_per_block": num_epochs}
    return result(settings, "seconds per step", seconds, timings, derived)


def identification(*, num_systems: int, dim: int, rounds: int, num_samples: int = 2000) -> dict[str, Any]:
    """Times one program that identifies `num_systems` systems from the pairs of all their environments.

    Moments, closed form and conditional maximum likelihood started from it, in float64. The systems and their pairs
    are drawn by another program, untimed. Derived: systems per second of closed form and of both together, and the
    share of systems whose controls are found with an MCC above .99.
    """
    with jax.enable_x64(True):
        config = _config(dim, num_samples)
        keys = Trials.grid(num_systems).keys
        drawn = wait(jax.jit(jax.vmap(lambda key: worlds.draw_world(key, config, SWITCHES)))(keys))
        environments = drawn.environments
        programs, seconds, runs, derived = {}, {}, {}, {}
        for name, identify in (("closed form", _closed_form), ("conditional", _conditional)):
            programs[name], seconds[name] = compiled(
                jax.vmap(identify), drawn.pairs, environments.means, environments.variances
            )
            runs[name] = lambda program=programs[name]: wait(
                program(drawn.pairs, environments.means, environments.variances)
            )
        timings = alternate(runs, rounds=rounds)
        score = jax.jit(jax.vmap(lambda world, w: mcc(*_controls(world, w))))
        for name, run in runs.items():
            derived[f"{name}: systems per second"] = num_systems / timings[name].median
            derived[f"{name}: share of MCC above .99"] = float(np.mean(np.asarray(score(drawn, run())) > 0.99))
    settings = {"num_systems": num_systems, "dim": dim, "num_environments": dim + 1, "num_samples": num_samples}
    return result(settings, "seconds per call", seconds, timings, derived)


def _config(dim, num_samples):
    return table1.Config(dim=dim, num_samples=num_samples)


def _world(dim, num_samples):
    key = Trials.grid(1).keys[0]
    return jax.jit(lambda key: worlds.draw_world(key, _config(dim, num_samples), SWITCHES))(key)


def _epochs(count):
    def run(key, unmixing, z, means, variances):
        def epoch(number, unmixing):
            how = {"batch_size": BATCH_SIZE, "learning_rate": RATE, "max_norm": MAX_NORM}
            found = published_epoch(jax.random.fold_in(key, number), unmixing, z, means, variances, **how)
            return found.astype(unmixing.dtype)

        return jax.lax.fori_loop(0, count, epoch, unmixing)

    return run


def _closed_form(pairs, means, variances):
    return closed_form_unmixing(pair_moments(pairs), means, variances)


def _conditional(pairs, means, variances):
    moments = pair_moments(pairs)
    return fit_conditional(moments, means, variances, closed_form_unmixing(moments, means, variances)).unmixing


def _controls(world, unmixing):
    dim = unmixing.shape[0]
    return world.controls.reshape(-1, dim), world.pairs.reshape(-1, 2 * dim) @ unmixing.T
