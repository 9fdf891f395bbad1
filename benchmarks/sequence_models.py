"""Sequence models: tokens a second of each kind, one step of many trials against PyTorch, decoding with a state.

Seconds are those of the processor in a process of one thread: by the clock on an idle machine, and hardly longer on one
that is shared.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import alternate, compiled, result, wait
from identax.losses import sequence_nll, shifted
from identax.models import SequenceModel, decode, linear_sequence, lstm_sequence, mamba, transformer, xlstm

SOS, EOS, PAD, VOCABULARY = 2, 3, 4, 5


def rows(half: int) -> np.ndarray:
    """All strings a^n b^n up to n = `half`, [half, 2 half + 2]."""
    found = np.full((half, 2 * half + 2), PAD, np.int32)
    for n in range(1, half + 1):
        found[n - 1, : 2 * n + 2] = [SOS, *[0] * n, *[1] * n, EOS]
    return found


def small(hidden: int = 64, **options: Any) -> SequenceModel:
    """(8, 4, 3, ff 64), the transformer of the small settings."""
    return transformer(VOCABULARY, width=8, heads=4, layers=3, hidden=hidden, pad=PAD, **options)


MODELS: dict[str, Callable[[int], SequenceModel]] = {
    "transformer": lambda length: small(),
    "lstm": lambda length: lstm_sequence(VOCABULARY),
    "linear": lambda length: linear_sequence(VOCABULARY, positions=length),
    "mamba": lambda length: mamba(VOCABULARY),
    "xlstm": lambda length: xlstm(VOCABULARY),
}


def throughput(*, names: Sequence[str], half: int, rounds: int) -> dict[str, Any]:
    """A forward and backward pass of one model on all strings up to 2 `half`; derived: tokens a second."""
    tokens = rows(half)
    inputs, targets = shifted(tokens)
    runs, seconds = {}, {}
    for name in names:
        model = MODELS[name](inputs.shape[1])
        variables = model.init(jax.random.key(0), inputs)
        program, seconds[name] = compiled(jax.value_and_grad(partial(_loss, model, inputs, targets)), variables)
        runs[name] = partial(_run, program, variables)
    timings = alternate(runs, rounds=rounds, units=inputs.size, clock=time.process_time)
    derived = {f"{name}: tokens/s": 1 / timing.median for name, timing in timings.items()}
    settings = {"rows": half, "columns": inputs.shape[1]}
    return result(settings, "seconds of the processor per token", seconds, timings, derived)


def training(*, half: int, trials: int, num_steps: int, rounds: int, torch: bool = True) -> dict[str, Any]:
    """AdamW steps on all strings up to 2 `half`, `trials` transformers in one program; dropout .1.

    A unit is one step of one trial. Derived: `speedup`, PyTorch's median over ours.
    """
    inputs, targets = shifted(rows(half))
    model, adamw = small(), optax.adamw(5e-3, weight_decay=0.01)
    variables = jax.vmap(lambda key: model.init(key, inputs))(jax.random.split(jax.random.key(0), trials))
    state = (variables, jax.vmap(adamw.init)(variables), jax.random.split(jax.random.key(1), trials))

    def step(carry, number):
        variables, memory, key = carry
        loss, grad = jax.value_and_grad(partial(_loss, model, inputs, targets, key=jax.random.fold_in(key, number)))(
            variables
        )
        updates, memory = adamw.update(grad, memory, variables)
        return (optax.apply_updates(variables, updates), memory, key), loss

    def steps(state):
        return jax.vmap(lambda one: jax.lax.scan(step, one, jnp.arange(num_steps)))(state)

    program, seconds = compiled(steps, state)
    runs: dict[str, Callable[[], Any]] = {"identax": partial(_run, program, state)}
    units = {"identax": num_steps * trials}
    if torch:
        from benchmarks.sequence_models_torch import Trainer

        one = jax.tree.map(lambda leaf: np.asarray(leaf[0]), variables["params"])
        trainer = Trainer(one, inputs, targets, heads=4, pad=PAD)
        runs["torch"], units["torch"] = partial(trainer.steps, num_steps), num_steps
    timings = alternate(runs, rounds=rounds, units=units, clock=time.process_time)
    derived = {f"{name}: ms per step and trial": 1e3 * timing.median for name, timing in timings.items()}
    if torch:
        derived["speedup"] = timings["torch"].median / timings["identax"].median
    settings = {"rows": half, "columns": inputs.shape[1], "trials": trials, "steps_per_block": num_steps}
    return result(settings, "seconds of the processor per step and trial", {"identax": seconds}, timings, derived)


def decoding(*, length: int, num_tokens: int, rounds: int, torch: bool = True) -> dict[str, Any]:
    """All 2^`length` prompts completed by `num_tokens` tokens: with the state, and by a forward pass for each token.

    "published": that loop in eager PyTorch, as published, over rows that grow. "forward passes": the same in our model,
    in a buffer of the final size, so that it is one program. Derived: `speedup` over either.
    """
    symbols = (np.arange(2**length)[:, None] >> np.arange(length)[::-1]) & 1
    prompts = np.concatenate([np.full((len(symbols), 1), SOS), symbols], axis=1).astype(np.int32)
    model = small()
    variables = model.init(jax.random.key(0), prompts)
    size = prompts.shape[1] + num_tokens

    def with_state(variables):
        return decode(model, variables, prompts, num_tokens=num_tokens, pad=PAD).tokens

    def by_forward_passes(variables):
        def one(tokens, place):
            logits = jnp.take(model.apply(variables, tokens)[0], place - 1, axis=1)
            return tokens.at[:, place].set(jnp.argmax(logits, axis=-1).astype(jnp.int32)), None

        start = jnp.pad(prompts, ((0, 0), (0, num_tokens)), constant_values=PAD)
        return jax.lax.scan(one, start, jnp.arange(prompts.shape[1], size))[0]

    runs, seconds = {}, {}
    for name, function in {"state": with_state, "forward passes": by_forward_passes}.items():
        program, seconds[name] = compiled(function, variables)
        runs[name] = partial(_run, program, variables)
    if torch:
        from benchmarks.sequence_models_torch import Completer

        theirs = Completer(jax.tree.map(np.asarray, variables["params"]), prompts, heads=4, pad=PAD)
        runs["published"] = partial(theirs.complete, num_tokens)
    with_it, others = np.asarray(runs["state"]()), [name for name in runs if name != "state"]
    derived = {f"{name}: share of equal tokens": np.mean(with_it == np.asarray(runs[name]())).item() for name in others}
    timings = alternate(runs, rounds=rounds, units=num_tokens, clock=time.process_time)
    derived |= {f"speedup over {name}": timings[name].median / timings["state"].median for name in others}
    settings = {"prompts": len(prompts), "columns": size}
    return result(settings, "seconds of the processor per token", seconds, timings, derived)


def memory(*, half: int, chunk: int, hidden: int) -> dict[str, Any]:
    """Memory of one loss and gradient, (10, 5, 5, `hidden`), all rows at once and `chunk` at a time.

    "MiB": temporaries, as compiled. "MiB, measured": by how much the most that is resident while it runs exceeds what
    was there before; on Linux alone. Derived: shares of the dense form.
    """
    inputs, targets = shifted(rows(half))
    derived, seconds = {}, {}
    for name, size in {"chunked": chunk, "dense": None}.items():
        model = transformer(VOCABULARY, hidden=hidden, pad=PAD, chunk=size)
        variables = model.init(jax.random.key(0), inputs)
        loss = jax.value_and_grad(partial(_loss, model, inputs, targets, key=jax.random.key(0)))
        program, seconds[name] = compiled(loss, variables)
        derived[f"{name}: MiB"] = program.memory_analysis().temp_size_in_bytes / 2**20
        derived[f"{name}: MiB, measured"] = most_resident(partial(_run, program, variables))
    for kind in ("MiB", "MiB, measured"):
        found = derived[f"chunked: {kind}"] / derived[f"dense: {kind}"]
        derived[f"chunked over dense{kind[3:]}"] = found
    return result({"rows": half, "columns": inputs.shape[1], "chunk": chunk}, "none", seconds, {}, derived)


def most_resident(run: Callable[[], Any]) -> float:
    """MiB by which this process grows at most while `run` runs; NaN where Linux does not say."""
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is there now
    except OSError:
        return math.nan
    run()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    """A line of /proc/self/status, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), math.nan)


def _loss(model, inputs, targets, variables, key=None):
    logits, _ = model.apply(variables, inputs, train=key is not None, key=key)
    return sequence_nll(logits, targets).mean()


def _run(program, arguments):
    return wait(program(arguments))
