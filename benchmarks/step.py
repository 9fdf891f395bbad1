"""One training step of AnInfoNCE, sampler included: identax against eager PyTorch, and where identax's time goes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import settings
from benchmarks.step_parts import matrix_products, parts
from benchmarks.timing import alternate, compiled, wait


def measure(setting: str, *, rounds: int, num_steps: int, torch: bool = True) -> dict[str, Any]:
    """Times blocks of `num_steps` steps, in turn with PyTorch's and with the step's parts alone.

    Derived: `speedup` (PyTorch's median over identax's), `matmul_share` (the step's matrix products alone over the
    step), each part's share of the step, and the products' GFLOP/s.
    """
    config = settings.SETTINGS[setting]
    study = settings.study_of(config)
    trial = settings.trials_of(config, 1)[0]
    state = wait(jax.jit(study.init)(trial.keys, trial.hparams))

    def steps(state):
        return jax.lax.scan(study.step, state, None, length=num_steps)

    program, compile_seconds = compiled(steps, state)
    runs = {"identax": lambda: wait(program(state))}
    if torch:
        trainer = _trainer(config, state)
        runs["torch"] = lambda: trainer.steps(num_steps)
    zero = jnp.zeros(())
    for name, part in parts(config, state).items():
        alone, _ = compiled(lambda zero, part=part: part(zero, num_steps), zero)
        runs[name] = lambda alone=alone: wait(alone(zero))
    timings = alternate(runs, rounds=rounds, units=num_steps)
    step = timings["identax"].median
    flops = matrix_products(config)[1]
    derived = {f"share of {name}": timings[name].median / step for name in runs if name not in ("identax", "torch")}
    derived["matmul_share"] = derived.pop("share of matrix products")
    derived["matmul_gflops_per_second"] = flops / timings["matrix products"].median / 1e9
    if torch:
        derived["speedup"] = timings["torch"].median / step
    return {
        "settings": {**settings.describe(config), "steps_per_block": num_steps, "flops_in_matrix_products": flops},
        "unit": "seconds per step",
        "compile_seconds": {"identax": compile_seconds},
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": derived,
    }


def _trainer(config, state):
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks.step_torch import Trainer

    torch.set_num_threads(1)
    return Trainer(config, jax.device_get(state.truth), jax.device_get(state.params))
