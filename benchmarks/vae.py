"""Training steps of many autoencoders in one program against eager PyTorch's, one at a time."""

import dataclasses
from typing import Any

import jax
import numpy as np

from benchmarks.timing import alternate, compiled, result, wait
from experiments.imavae import moebius
from experiments.imavae.moebius import TRACED, Config
from identax.study import Trials

CONFIG = dataclasses.replace(moebius.PRESETS["paper"], num_examples=None)


def measure(
    *, counts: tuple[int, ...], rounds: int, num_steps: int, config: Config = CONFIG, torch: bool = True
) -> dict[str, Any]:
    """Times blocks of `num_steps` steps of the Moebius sweep's network, sampler included, in turn with PyTorch's.

    `counts`: seeds that are vmapped. A unit is one step of one seed, in float32. Derived per count: ms per step and
    seed, and `speedup`: PyTorch's median over identax's.
    """
    timings, seconds, derived, runs = {}, {}, {}, {}
    study = moebius.build(config)
    for count in counts:
        trials = Trials.grid(count, **{name: getattr(config, name) for name in TRACED})
        state = wait(jax.jit(jax.vmap(study.init))(trials.keys, trials.hparams))

        def steps(state, study=study):
            return jax.vmap(lambda one: jax.lax.scan(study.step, one, None, length=num_steps))(state)

        name = f"{count} seeds"
        program, seconds[name] = compiled(steps, state)
        runs[name] = lambda program=program, state=state: wait(program(state))
    if torch:
        trainer = _trainer(config, study)
        runs["torch"] = lambda: trainer.steps(num_steps)
    timings = alternate(runs, rounds=rounds, units=num_steps)
    for count in counts:
        each = timings[f"{count} seeds"].median / count
        derived[f"{count} seeds: ms per step and seed"] = 1e3 * each
        if torch:
            derived[f"{count} seeds: speedup"] = timings["torch"].median / each
    if torch:
        derived["torch: ms per step"] = 1e3 * timings["torch"].median
    sizes = {name: getattr(config, name) for name in ("dim", "num_layers", "width", "batch_size", "precision")}
    return result({**sizes, "steps_per_block": num_steps}, "seconds per step", seconds, timings, derived)


def _trainer(config: Config, study: Any):
    """The PyTorch side, from the parameters and the world of an identax trial."""
    from benchmarks.vae_torch import Trainer

    trial = Trials.grid(1, **{name: getattr(config, name) for name in TRACED})[0]
    state = jax.device_get(jax.jit(study.init)(trial.keys, trial.hparams))
    return Trainer(config, jax.tree.map(np.asarray, state.truth["world"]), state.params)
