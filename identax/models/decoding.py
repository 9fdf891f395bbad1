"""Completions of prompts, greedy or sampled, one token at a time with a state of fixed size."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from identax.checks import check_count, check_positive, concrete
from identax.models.sequence import Given, SequenceModel, as_lengths, as_tokens
from identax.rng import step_key


class Decoded(NamedTuple):
    """`tokens` [N, size]: prompt, completion, then padding; `lengths` [N] of both with the end; `finished` [N]: whether
    the completion has an end."""

    tokens: Int[Array, "N S"]
    lengths: Int[Array, " N"]
    finished: Bool[Array, " N"]


def decode(
    model: SequenceModel,
    variables: Any,
    prompts: Given,
    lengths: Given | None = None,
    *,
    num_tokens: int,
    pad: int,
    eos: int | None = None,
    temperature: Any = None,
    key: Key[Array, ""] | None = None,
    size: int | None = None,
) -> Decoded:
    """Completes every prompt by up to `num_tokens` tokens, each the likeliest or drawn, given all before it.

    token = argmax of the logits, the first of equals; with a `temperature` a draw from softmax(logits / temperature),
    token t of all rows with `step_key(key, t)`. A row that has given `eos` stops: it holds `pad` from there on. Without
    `eos` all rows get `num_tokens`, as published, where completions go on behind their end.

    * `prompts` [N, P], of which row i has `lengths[i]` tokens, 1 to P (None: all P), the rest may be anything. The
      completion stands directly behind its prompt
    * `size`: columns of the buffer and of the model's state, P + num_tokens if None

    One prefill, then a scan over the state, which is set up once: each token costs one step. Runs under `jit` and
    `vmap`; mapped over `variables` (and keys) it completes with many models in one program.
    Raises `ValueError` for a temperature <= 0, one of temperature and key without the other, prompts longer than the
    buffer or without a token, a buffer shorter than prompts and completions or longer than the model's positions, and
    unknown tokens.
    Source: Reizinger et al. 2024, code: greedy or at temperature 1, with a stop at the end that never comes into force.
    """
    check_count("decode", "num_tokens", num_tokens)
    rows: Any = as_tokens("decode", "prompts", prompts, None, 2, None)
    columns = _columns(model, rows.shape[1], num_tokens, size)
    for name, token in {"pad": pad, "eos": 0 if eos is None else eos}.items():
        as_tokens("decode", name, [token], model.vocabulary, 1, None)
    sizes = jnp.full(len(rows), rows.shape[1], jnp.int32) if lengths is None else as_lengths("decode", lengths, rows)
    known = concrete(sizes)
    if known is not None and (known == 0).any():
        raise ValueError("decode: found a prompt of length 0, wanted at least one token, such as the first of all")
    if temperature is not None:
        check_positive("decode", "temperature", temperature, ())
        known = concrete(temperature)
        if known is not None and known < (least := jnp.finfo(jnp.float32).tiny):
            raise ValueError(f"decode: found temperature={known}, wanted at least {least:g}, or None for the likeliest")
    if (temperature is None) != (key is None):
        raise ValueError(
            "decode: found a key without a temperature, wanted one to draw at, or no key for the likeliest"
            if temperature is None
            else "decode: found a temperature without a key, wanted one to draw with"
        )
    # Outside, so that unknown tokens are refused before anything is decoded; the prefill itself is compiled.
    logits, state = model.prefill(variables, rows, sizes, size=columns)
    return _continued(model, variables, rows, sizes, logits, state, temperature, key, num_tokens, pad, eos, columns)


def _columns(model: SequenceModel, width: int, num_tokens: int, size: int | None) -> int:
    """Columns of the buffer; raises what `decode` does of its sizes."""
    size = width + num_tokens if size is None else size
    check_count("decode", "size", size)
    if width > size:
        raise ValueError(f"decode: found prompts of {width} columns, wanted at most the size={size} of the buffer")
    if width + num_tokens > size:
        raise ValueError(
            f"decode: found size={size} for prompts of {width} columns and num_tokens={num_tokens}, "
            f"wanted at least {width + num_tokens}"
        )
    if model.positions is not None and size > model.positions:
        raise ValueError(f"decode: found size={size}, wanted at most the model's {model.positions} positions")
    return size


@partial(jax.jit, static_argnums=(0, 8, 9, 10, 11), inline=True)
def _continued(model, variables, prompts, lengths, logits, state, temperature, key, num_tokens, pad, eos, size):
    num, width = prompts.shape

    def chosen(logits, number):
        if temperature is None:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        # The largest at 0, so that none becomes infinite.
        logits = (logits - logits.max(axis=-1, keepdims=True)) / temperature
        return jax.random.categorical(step_key(key, number), logits).astype(jnp.int32)

    def one(carry, number):
        logits, state, done = carry
        token = jnp.where(done, pad, chosen(logits, number))
        ended = done if eos is None else done | (token == eos)
        logits, state = model.step(variables, state, token)
        return (logits, state, ended), (token, ~done)

    # The last token is chosen behind the loop: what follows it is asked by nobody.
    carry = (logits, state, jnp.zeros(num, bool))
    (logits, _, done), (tokens, given) = jax.lax.scan(one, carry, jnp.arange(num_tokens - 1))
    last = jnp.where(done, pad, chosen(logits, num_tokens - 1))
    tokens, given = jnp.concatenate([tokens, last[None]]).T, jnp.concatenate([given, ~done[None]]).T
    finished = done if eos is None else done | (last == eos)
    # Column c holds the prompt below the row's length and completion c - length from there on.
    columns = jnp.arange(size)[None]
    places = jnp.clip(columns - lengths[:, None], 0, num_tokens - 1)
    behind = jnp.take_along_axis(jnp.where(given, tokens, pad), places, axis=1)
    behind = jnp.where(columns - lengths[:, None] < num_tokens, behind, pad)
    prompts = jnp.pad(prompts, ((0, 0), (0, size - width)))
    return Decoded(
        jnp.where(columns < lengths[:, None], prompts, behind), lengths + given.sum(axis=1, dtype=jnp.int32), finished
    )
