"""Models of token sequences: whole sequences, a prompt and its state, and one token at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from identax.checks import check_between, check_count, concrete, shape_of
from identax.inputs import numbers

# Loose on purpose: what does not fit is refused by the checks, with a message that says what is wanted.
if TYPE_CHECKING:
    Given = ArrayLike | Sequence[Any]
else:
    Given = object


class SequenceModel(NamedTuple):
    """A `Model` of token sequences, and the same model one token at a time.

    Tokens are integers 0 .. vocabulary - 1; logits at column t are those of the token in column t + 1.

    * `init(key, tokens [N, T]) -> variables`
    * `apply(variables, tokens [N, T], *, train=False, key=None) -> (logits [N, T, V], {})`, rows padded on the right
    * `prefill(variables, tokens [N, P], lengths [N], *, size=None) -> (logits [N, V], state)`: the first `lengths`
      tokens of each row, which may differ, 0 to P. The logits are those behind a row's last token, 0 for a row without
      one. What stands behind a row's length moves nothing. `size`: how many columns the state can hold, at least P,
      the default; P + n for n further steps
    * `step(variables, state, token [N]) -> (logits [N, V], state)`: one more token for every row; the shapes of the
      state do not change. Steps beyond `size` raise `ValueError` where that is known, and give NaN while tracing

    A state is a tree; its arrays are [N, ...] but those that say how often it was stepped. All run under `jit`, `vmap`
    and `grad`, and as one program per shape outside. Parameters have JAX's default float. Tokens that do not exist,
    empty arrays, other than integers, and training with dropout but no key raise `ValueError`; while tracing, a token
    that does not exist gives NaN.
    `positions`: the longest sequence, None for any.
    """

    init: Callable[..., Any]
    apply: Callable[..., tuple[Any, Any]]
    prefill: Callable[..., tuple[Any, Any]]
    step: Callable[..., tuple[Any, Any]]
    vocabulary: int
    positions: int | None = None


def with_checks(
    where: str,
    make: Callable,
    whole: Callable,
    filled: Callable,
    advanced: Callable,
    *,
    vocabulary: int,
    positions: int | None = None,
    draws: bool = False,
) -> SequenceModel:
    """A `SequenceModel` of its four programs, which see tokens that were looked at. Raises what the type says.

    `draws`: training needs a key.
    """

    def init(key, tokens):
        as_tokens(where, "tokens", tokens, vocabulary, 2, positions)
        return make(key)

    def apply(variables, tokens, *, train=False, key=None):
        tokens = as_tokens(where, "tokens", tokens, vocabulary, 2, positions)
        if train and draws and key is None:
            raise ValueError(f"{where}: found train=True without a key, wanted one: the model draws what it drops")
        return whole(variables["params"], tokens, key, bool(train)), {}

    def prefill(variables, tokens, lengths, *, size=None):
        tokens = as_tokens(where, "tokens", tokens, None, 2, positions)
        lengths, size = as_lengths(where, lengths, tokens), tokens.shape[1] if size is None else size
        check_count(where, "size", size)
        if size < tokens.shape[1] or (positions is not None and size > positions):
            bound = "" if positions is None else f", and at most {positions}"
            raise ValueError(f"{where}: found size={size}, wanted at least the {tokens.shape[1]} columns{bound}")
        _check_known(where, tokens, lengths, vocabulary)
        return filled(variables["params"], tokens, lengths, int(size))

    def step(variables, state, token):
        token = as_tokens(where, "token", token, vocabulary, 1, None)
        num, room = state["lengths"].shape[0], concrete(state["room"])
        if token.shape != (num,):
            raise ValueError(f"{where}: found token of shape {token.shape}, wanted [{num}], the rows of the state")
        slot = concrete(state["slot"])
        if slot is not None and room is not None and (slot >= room).any():
            raise ValueError(f"{where}: found a state of size {room} that is full, wanted a prefill of larger size")
        return advanced(variables["params"], state, token)

    return SequenceModel(init, apply, prefill, step, vocabulary, positions)


def state_of(where: str, start: Any, shapes: Sequence[tuple[int, ...]], dtype: Any) -> tuple[Any, ...]:
    """`start` as arrays of these shapes; raises `ValueError` for others."""
    known = [numbers(where, "start", one) for one in start] if isinstance(start, tuple | list) else [start]
    found = [shape_of(one) for one in known]
    if found != list(shapes):
        raise ValueError(f"{where}: found a start of shapes {found}, wanted {list(shapes)}")
    return tuple(jnp.asarray(one, dtype) for one in known)


def as_tokens(where: str, name: str, value: Any, vocabulary: int | None, axes: int, positions: int | None) -> Any:
    """Tokens as int32 with that many axes; raises `ValueError` for what a `SequenceModel` does not take."""
    array = numbers(where, name, value)
    wanted = "[N, T]" if axes == 2 else "[N]"
    if array.ndim != axes or 0 in array.shape or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{where}: found {array.dtype} {name} of shape {array.shape}, wanted integers {wanted}")
    if positions is not None and axes == 2 and array.shape[1] > positions:
        raise ValueError(f"{where}: found {array.shape[1]} columns of {name}, wanted at most {positions}")
    known = concrete(array)
    if vocabulary is not None and known is not None and not ((known >= 0) & (known < vocabulary)).all():
        wrong = known[(known < 0) | (known >= vocabulary)].reshape(-1)[0]
        raise ValueError(f"{where}: found the unknown token {wrong} in {name}, wanted 0 to {vocabulary - 1}")
    return jnp.asarray(array if known is None else known.astype(np.int32), jnp.int32)


def none_from_the_end(tokens: Any, vocabulary: int) -> Any:
    """Tokens to look up in a table of that many rows: those below 0, which it would count from its end, lie beyond it.

    What lies beyond is NaN there, as `with_checks` promises of unknown tokens while tracing.
    """
    return jnp.where(tokens < 0, vocabulary, tokens)


def as_lengths(where: str, lengths: Any, tokens: Any) -> Any:
    """Lengths of rows as int32 [N]; raises `ValueError` unless they are whole numbers from 0 to the columns."""
    array = numbers(where, "lengths", lengths)
    num, columns = tokens.shape
    if array.shape != (num,) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{where}: found {array.dtype} lengths of shape {array.shape}, wanted integers [{num}]")
    check_between(where, "lengths", array, 0, columns)
    return jnp.asarray(array, jnp.int32)


def _check_known(where: str, tokens: Any, lengths: Any, vocabulary: int) -> None:
    """Of a prompt only what belongs to it has to be known tokens."""
    known, sizes = concrete(tokens), concrete(lengths)
    if known is not None and sizes is not None:
        real = np.arange(known.shape[1])[None] < sizes[:, None]
        as_tokens(where, "tokens", np.where(real, known, 0), vocabulary, 2, None)
