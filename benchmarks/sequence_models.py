"""Sequence models: tokens a second of each kind, one step of many trials against PyTorch, decoding with a state."""

from collections.abc import Callable, Sequence
from functools import partial
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
    timings = alternate(runs, rounds=rounds, units=inputs.size)
    derived = {f"{name}: tokens/s": 1 / timing.median for name, timing in timings.items()}
    return result({"rows": half, "columns": inputs.shape[1]}, "seconds per token", seconds, timings, derived)


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
    timings = alternate(runs, rounds=rounds, units=units)
    derived = {f"{name}: ms per step and trial": 1e3 * timing.median for name, timing in timings.items()}
    if torch:
        derived["speedup"] = timings["torch"].median / timings["identax"].median
    settings = {"rows": half, "columns": inputs.shape[1], "trials": trials, "steps_per_block": num_steps}
    return result(settings, "seconds per step and trial", {"identax": seconds}, timings, derived)


def decoding(*, length: int, num_tokens: int, rounds: int) -> dict[str, Any]:
    """All 2^`length` prompts completed by `num_tokens` tokens: with the state, and by a forward pass for each token.

    The other side is the published loop in our model: the whole of what is there goes through it again for every token
    (in a buffer of the final size, so that it is one program). Derived: `speedup`.
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
    same = np.mean(np.asarray(runs["state"]()) == np.asarray(runs["forward passes"]()))
    timings = alternate(runs, rounds=rounds, units=num_tokens)
    derived = {
        "speedup": timings["forward passes"].median / timings["state"].median,
        "share of equal tokens": float(same),
    }
    return result({"prompts": len(prompts), "columns": size}, "seconds per token", seconds, timings, derived)


def memory(*, half: int, chunk: int, hidden: int) -> dict[str, Any]:
    """Bytes of temporaries of one loss and gradient, (10, 5, 5, `hidden`), all rows at once and `chunk` at a time."""
    inputs, targets = shifted(rows(half))
    derived, seconds = {}, {}
    for name, size in {"dense": None, "chunked": chunk}.items():
        model = transformer(VOCABULARY, hidden=hidden, pad=PAD, chunk=size)
        shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
        loss = jax.value_and_grad(partial(_loss, model, inputs, targets, key=jax.random.key(0)))
        program, seconds[name] = compiled(loss, shapes)
        derived[f"{name}: MiB"] = program.memory_analysis().temp_size_in_bytes / 2**20
    derived["chunked over dense"] = derived["chunked: MiB"] / derived["dense: MiB"]
    return result({"rows": half, "columns": inputs.shape[1], "chunk": chunk}, "none", seconds, {}, derived)


def _loss(model, inputs, targets, variables, key=None):
    logits, _ = model.apply(variables, inputs, train=key is not None, key=key)
    return sequence_nll(logits, targets).mean()


def _run(program, arguments):
    return wait(program(arguments))
