"""Supervised and DIET training steps against eager PyTorch, programs of a whole table, memory of a large head."""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import alternate, compiled, result, wait
from experiments.csi import simulation, tables, tables_claims
from experiments.csi.simulation import TRACED, Config
from identax.losses import softmax_cross_entropy
from identax.study import Trials

CONFIGS = {
    # Only the pool of the mixing is smaller than the presets', which no step sees. A constant rate for both sides.
    name: dataclasses.replace(simulation.PRESETS[name], pool_size=1000, schedule="constant")
    for name in ("paper", "quick", "smoke")
}


def measure(
    presets: tuple[str, ...], *, num_labels: tuple[int, ...], rounds: int, num_steps: int, torch: bool = True
) -> dict[str, Any]:
    """Times blocks of `num_steps` steps, sampler included, in turn with PyTorch's, on as many threads as cores to use.

    Per preset one supervised step and a DIET step for each of `num_labels`, all in float32. Derived: `speedup`
    (PyTorch's median over identax's) of each.
    """
    timings, seconds, derived = {}, {}, {}
    runs: dict[str, Callable[[], Any]]
    for preset in presets:
        for case, config in cases(CONFIGS[preset], num_labels).items():
            name = f"{preset} {case}"
            study, state = _started(config)

            def steps(state, study=study):
                return jax.lax.scan(study.step, state, None, length=num_steps)

            program, seconds[name] = compiled(steps, state)
            runs = {f"{name} identax": lambda program=program, state=state: wait(program(state))}
            if torch:
                trainer = _trainer(config, state)
                runs[f"{name} torch"] = lambda trainer=trainer: trainer.steps(num_steps)
            timings |= alternate(runs, rounds=rounds, units=num_steps)
            if torch:
                derived[f"{name}: speedup"] = timings[f"{name} torch"].median / timings[f"{name} identax"].median
    described = {preset: _widths(CONFIGS[preset]) for preset in presets}
    some = CONFIGS[presets[0]]
    sizes = {"dim": some.dim, "num_clusters": some.num_clusters, "batch_size": some.batch_size, "kappa": some.kappa}
    settings = {**sizes, **described, "steps_per_block": num_steps, "torch_threads": _cores() if torch else 0}
    return result(settings, "seconds per step", seconds, timings, derived)


def programs(*, rows: tuple[str, ...] | None = None, num_seeds: int = 5) -> dict[str, Any]:
    """Counts the different step programs of the paper's table, seeds in one batch, as text before compilation.

    Rows (default: all) under class and under instance labels. What is compiled is the text: rows that share it share
    one program, also with the compilation cache. Derived per head: rows, trials (rows times seeds) and programs.
    """
    rows = tuple(tables_claims.ROWS) if rows is None else rows
    # A number of instance labels, and blocks of them, mean nothing to a head of class labels.
    by_class = tuple(row for row in rows if "num_labels" not in tables_claims.ROWS[row])
    config = dataclasses.replace(
        tables.PRESETS["paper"],
        supervised=by_class,
        diet=rows,
        unit_diet=(),
        num_seeds=num_seeds,
        wide_seeds=num_seeds,
    )
    texts: dict[str, set[str]] = {"supervised": set(), "DIET": set()}
    counts = {"supervised": len(by_class), "DIET": len(rows)}
    for arm in tables.arms(config):
        texts[arm.name.split(",")[0]].add(_fingerprint(arm.config))
    derived = {}
    for head, found in texts.items():
        derived |= {f"{head}: rows": counts[head], f"{head}: trials": counts[head] * num_seeds}
        derived[f"{head}: programs"] = len(found)
    return result({"rows": len(rows), "num_seeds": num_seeds}, "none", {}, {}, derived)


def blocked(*, num_labels: int, blocks: tuple[int, ...], rounds: int, batch_size: int = 1024, dim: int = 5) -> dict:
    """Value and gradient of the DIET loss with a large head: all logits at once, and a block of rows at a time.

    Memory is what the compiled program holds beside its arguments and results. Derived: MiB, memory relative to the
    dense form, speed relative to it, and the largest relative difference of values and gradients from it.
    """
    first, second, third = jax.random.split(jax.random.key(0), 3)
    z = jax.random.normal(first, (batch_size, dim))
    head = jax.random.normal(second, (num_labels, dim))
    labels = jax.random.randint(third, (batch_size,), 0, num_labels)
    forms = {"dense": None} | {f"block {size}": size for size in blocks}
    runs, seconds, derived, memory = {}, {}, {}, {}
    for form, size in forms.items():
        loss = partial(_mean_loss, block_size=size)
        program, seconds[form] = compiled(jax.value_and_grad(loss, argnums=(0, 1)), z, head, labels)
        memory[form] = program.memory_analysis().temp_size_in_bytes
        derived[f"{form}: MiB"] = memory[form] / 2**20
        runs[form] = lambda program=program: wait(program(z, head, labels))
    expected, *others = (jax.tree.leaves(jax.device_get(call())) for call in runs.values())
    timings = alternate(runs, rounds=rounds)
    for form, leaves in zip(list(forms)[1:], others, strict=True):
        gaps = [np.abs(x - y).max() / np.abs(y).max() for x, y in zip(leaves, expected, strict=True)]
        derived[f"{form}: memory of dense (%)"] = 100 * memory[form] / memory["dense"]
        derived[f"{form}: speedup over dense"] = timings["dense"].median / timings[form].median
        derived[f"{form}: largest relative difference"] = float(max(gaps))
    settings = {"num_labels": num_labels, "batch_size": batch_size, "dim": dim}
    return result(settings, "seconds per value and gradient", seconds, timings, derived)


def cases(config: Config, num_labels: tuple[int, ...]) -> dict[str, Config]:
    """The supervised step, and the DIET step with every number of labels."""
    made = {"supervised": dataclasses.replace(config, targets="class")}
    for num in num_labels:
        made[f"DIET N={num}"] = dataclasses.replace(config, targets="instance", num_labels=num)
    return made


def _trials(config: Config, num_seeds: int) -> Trials:
    return Trials.grid(num_seeds, **{name: getattr(config, name) for name in TRACED})


def _started(config: Config):
    """The study of a config, and the state of one trial before its first step."""
    study, trial = simulation.build(config), _trials(config, 1)[0]
    return study, wait(jax.jit(study.init)(trial.keys, trial.hparams))


def _fingerprint(config: Config) -> str:
    """Digest of the text of the program that steps all seeds of a config; nothing runs."""
    study, trials = simulation.build(config), _trials(config, config.num_seeds)
    state = jax.eval_shape(jax.vmap(study.init), trials.keys, trials.hparams)
    lowered = jax.jit(jax.vmap(lambda one: jax.lax.scan(study.step, one, None, length=2))).lower(state)
    return hashlib.sha256(lowered.as_text().encode()).hexdigest()


def _trainer(config: Config, state: Any):
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks.discrimination_torch import Trainer

    torch.set_num_threads(_cores())
    return Trainer(config, jax.device_get(state.truth), jax.device_get(state.params))


def _cores() -> int:
    """Cores that this process may use: one where it is pinned."""
    if "OMP_NUM_THREADS" in os.environ:
        return int(os.environ["OMP_NUM_THREADS"])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mean_loss(z, head, labels, *, block_size):
    return jnp.mean(softmax_cross_entropy(z, head, labels, block_size=block_size))


def _widths(config: Config) -> str:
    widths = (1, *config.hidden, 1)
    return "-".join(str(config.dim * multiple) for multiple in widths)
