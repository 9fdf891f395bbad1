"""What the operators on weight matrices cost on top of a training step, and many trials in one program."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import Measurement, compiled, excess, in_turn, result, wait
from identax.models import lstm_network
from identax.transforms import Perturbation, reinitialise_weights, select, shuffle_weights

P, C, MOST_C = 0.4, 0.15, 0.35
"""a usual strength of the published search, and the largest c of it"""
OPERATORS: dict[str, Callable[..., Perturbation]] = {
    "reinitialise": reinitialise_weights,
    "released shuffle": lambda p, c, **options: shuffle_weights(p, c, mode="released", **options),
    "permutation": shuffle_weights,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The published network and training of the chorales: an LSTM whose h is the logit, Nesterov's SGD."""

    keys: int = 88
    batch_size: int = 32
    window: int = 2
    learning_rate: float = 0.05
    momentum: float = 0.75
    weight_decay: float = 1e-4
    num_batches: int = 64


def batches(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Random chords: x [batches, B, window, keys] and what follows [batches, B, keys], four keys of 88 on average."""
    shape = (setting.num_batches, setting.batch_size, setting.window + 1, setting.keys)
    drawn = (np.random.default_rng(0).random(shape) < 4 / 88).astype(np.float32)
    return drawn[:, :, :-1], drawn[:, :, -1]


def trainer(setting: Setting, operator: Perturbation | None) -> tuple[Callable, Callable]:
    """`start(key) -> state` and `step(state, t) -> state`, the operator exact after the update."""
    model = lstm_network((setting.keys,))
    xs, ys = (jnp.asarray(part) for part in batches(setting))
    optimizer = optax.chain(
        optax.add_decayed_weights(setting.weight_decay),
        optax.sgd(setting.learning_rate, momentum=setting.momentum, nesterov=True),
    )

    def loss(params, x, y):
        logits, _ = model.apply({"params": params, "state": {}}, x)
        return optax.sigmoid_binary_cross_entropy(logits, y).mean()

    def start(key):
        params = model.init(key, xs[0])["params"]
        held = () if operator is None else operator.init(params)._replace(key=key)
        return params, optimizer.init(params), held

    def step(state, t):
        params, opt_state, held = state
        grads = jax.grad(loss)(params, xs[t % len(xs)], ys[t % len(xs)])
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        if operator is not None:
            params, held, _ = operator.apply(params, held)
        return params, opt_state, held

    return start, step


def made(name: str, p: Any, c: Any, most: float) -> Perturbation:
    """An operator as the published program acts: on all gates of both matrices, each without its last unit."""
    on = select("lstm1.*kernel", gate="each")
    return OPERATORS[name](p, c, max_c=most, skip_last=True, on=on)


def measure(
    *, rounds: int, num_steps: int, cells: int = 4, seeds: int = 4, setting: Setting = Setting(), torch: bool = True
) -> dict[str, Any]:
    """Times blocks of `num_steps` steps, alone and with each operator, and of cells x cells (p, c) x seeds together.

    All trials of a grid are one program, one after the other ("map") or batched ("vmap"), of a tenth as many steps. In
    turn with eager PyTorch's step and the published operators there; one thread each, so that seconds are those of the
    processor. Derived: what an operator adds to a step in per
    cent, on both sides, and trial-steps per second over those of PyTorch, with the same operator and without.
    """
    runs: dict[str, Callable[[], Any]] = {}
    seconds: dict[str, float] = {}
    few = max(1, num_steps // 10)
    units = {}
    grid = np.meshgrid(np.geomspace(0.05, 0.4, cells), np.linspace(0.03, MOST_C, cells), range(seeds), indexing="ij")
    ps, cs, numbers = (axis.ravel() for axis in grid)
    keys = jax.random.split(jax.random.key(0), seeds)[numbers]
    for name in (None, *OPERATORS):
        label = "step" if name is None else f"step + {name}"
        start, step = trainer(setting, None if name is None else made(name, P, C, C))

        def steps(state, step=step):
            return jax.lax.scan(lambda state, t: (step(state, t), None), state, jnp.arange(num_steps))[0]

        def trial(p, c, state, name=name):
            _, step = trainer(setting, None if name is None else made(name, p, c, MOST_C))
            return jax.lax.scan(lambda state, t: (step(state, t), None), state, jnp.arange(few))[0]

        states = wait(jax.jit(jax.vmap(start))(keys))
        program, seconds[label] = compiled(steps, jax.tree.map(lambda leaf: leaf[0], states))
        runs[label] = partial(_call, program, jax.tree.map(lambda leaf: leaf[0], states))
        units[label] = num_steps
        several = {
            "map": lambda p, c, state, trial=trial: jax.lax.map(lambda one: trial(*one), (p, c, state)),
            "vmap": jax.vmap(trial),
        }
        for kind, together in several.items():
            many = f"{len(ps)} trials, {kind}: {label}"
            arguments = jnp.asarray(ps, jnp.float32), jnp.asarray(cs, jnp.float32), states
            program, seconds[many] = compiled(together, *arguments)
            runs[many], units[many] = partial(_call, program, *arguments), len(ps) * few
    if torch:
        theirs = _torch_runs(setting, few)
        runs, units = runs | theirs, units | dict.fromkeys(theirs, few)
    found = in_turn(runs, rounds=rounds, units=units, clock=time.process_time)
    timings = {name: Measurement.of(values) for name, values in found.items()}
    sizes = {**dataclasses.asdict(setting), "p": P, "c": C, "trials": len(ps), "steps_per_block": num_steps}
    return result(sizes, "seconds of the processor per trial-step", seconds, timings, _derived(found, timings))


def _call(program: Callable[..., Any], *arguments: Any) -> Any:
    return wait(program(*arguments))


def _derived(found: dict[str, list[float]], timings: dict[str, Measurement]) -> dict[str, float]:
    derived = {}
    for name in OPERATORS:
        for base in ("step", "torch: step"):
            if base in found:
                derived[f"{base} + {name} over {base} (%)"] = excess(found[f"{base} + {name}"], found[base])[0]
    for label in (name for name in timings if " trials, " in name):
        derived[f"{label}: trial-steps/s"] = 1 / timings[label].median
        theirs = f"torch: {label.partition(': ')[2]}"
        if theirs in timings:
            derived[f"{label}: times PyTorch's"] = timings[theirs].median / timings[label].median
            derived[f"{label}: times PyTorch's step alone"] = timings["torch: step"].median / timings[label].median
    return derived


def _torch_runs(setting: Setting, num_steps: int) -> dict[str, Callable[[], Any]]:
    """PyTorch's side, from the start of one trial here."""
    from benchmarks.weight_operators_torch import Trainer

    params = jax.device_get(jax.jit(trainer(setting, None)[0])(jax.random.key(0))[0])
    xs, ys = batches(setting)
    runs: dict[str, Callable[[], Any]] = {}
    for name in (None, *OPERATORS):
        label = "torch: step" if name is None else f"torch: step + {name}"
        made = Trainer(setting, params["lstm1"], xs, ys, operator=name, p=P, c=C)
        runs[label] = lambda made=made: made.steps(num_steps)
    return runs
