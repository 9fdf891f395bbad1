"""Mixtures of hidden Markov models over tokens: documents, forward filter, posteriors, the law of the next token."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from identax.checks import check_between, check_count, check_nonnegative, check_shape, concrete, shape_of
from identax.dgp.base import compiled
from identax.inputs import float_type, numbers
from identax.rng import stream

_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HmmMixture:
    """J hidden Markov models, of which a document has one: weights [J], start [J, S], transition [J, S, S] from row to
    column, emission [J, S, O]. Made by `hmm_mixture`, which looks whether these are probabilities."""

    weights: Any
    start: Any
    transition: Any
    emission: Any


class Prediction(NamedTuple):
    """What a mixture makes of tokens: `log_likelihood` [...] in nats, `posterior` [..., J] of the components,
    `next_token` [..., O], and `possible` [...]: whether any component gives the tokens a probability above 0.

    Where none does, the likelihood is -inf and the other two are 0 throughout: nothing is NaN, and no law is made up.
    """

    log_likelihood: Any
    posterior: Any
    next_token: Any
    possible: Any


class Documents(NamedTuple):
    """`tokens` int32 [N, T], the `components` [N] that they come from and the hidden `states` [N, T]."""

    tokens: Any
    components: Any
    states: Any


def hmm_mixture(start: Any, transition: Any, emission: Any, *, weights: Any = None) -> HmmMixture:
    """The mixture of J models: start [J, S], transition [J, S, S], emission [J, S, O], weights [J] (None: equal ones).

    Raises `ValueError` for other shapes, negative entries, and, if known, rows that do not sum to one.
    """
    where = "hmm_mixture"
    given = {"start": start, "transition": transition, "emission": emission}
    arrays = {name: numbers(where, name, value) for name, value in given.items()}
    check_shape(where, "start", arrays["start"], ("J", "S"))
    count, size = shape_of(arrays["start"])
    check_shape(where, "transition", arrays["transition"], (count, size, size))
    check_shape(where, "emission", arrays["emission"], (count, size, "O"))
    weights = np.full(count, 1 / count) if weights is None else numbers(where, "weights", weights)
    check_shape(where, "weights", weights, (count,))
    arrays["weights"] = weights
    for name, value in arrays.items():
        check_nonnegative(where, name, value)
        _check_sums(where, name, value)
    dtype = float_type(*arrays.values())
    return HmmMixture(**{name: jnp.asarray(value, dtype) for name, value in arrays.items()})


def smoothed(mixture: HmmMixture, epsilon: Any) -> HmmMixture:
    """The mixture with transitions (1 - epsilon) T + epsilon / S: with epsilon > 0 no path is impossible.

    Raises `ValueError` for epsilon that is no number from 0 to 1.
    """
    check_between("smoothed", "epsilon", epsilon, 0, 1, ())
    size = mixture.transition.shape[-1]
    return dataclasses.replace(mixture, transition=(1 - epsilon) * mixture.transition + epsilon / size)


def predict(mixture: HmmMixture, tokens: Any) -> Prediction:
    """What follows the rows of tokens [N, T], each a whole document so far: one `Prediction` per row. T may be 0.

        p(x) = sum_j w_j p_j(x),  P(j | x) = w_j p_j(x) / p(x),  P(y | x) = sum_j P(j | x) P_j(y | x)

    by the forward filter in log space: entries more than the type's range (88 nats in float32) below the largest of
    their component are 0. Compiles once per shape. Raises `ValueError` for tokens that there are none of.
    Source: Xie et al. 2022.
    """
    return _predict(mixture, _checked("predict", mixture, tokens))


def predictions(mixture: HmmMixture, tokens: Any) -> Prediction:
    """`predict` after the first 0, 1, ..., T tokens of every row: entries [N, T + 1, ...].

    `next_token[:, t + 1]` is the law of token t + 1 given tokens 0 to t, as logits of sequence models are counted.
    """
    return _predictions(mixture, _checked("predictions", mixture, tokens))


def sample_documents(mixture: HmmMixture, key: Key[Array, ""], num: int, length: int) -> Documents:
    """Draws documents, each of one component throughout. Raises `ValueError` for numbers < 1."""
    check_count("sample_documents", "num", num)
    check_count("sample_documents", "length", length)
    components = jax.random.categorical(stream(key, "component"), jnp.log(mixture.weights), shape=(num,))
    return _documents(mixture, key, components, length)


def filtered(
    mixture: HmmMixture, start: Float[Array, "N J S"], tokens: Int[Array, "N T"]
) -> tuple[Float[Array, "N J"], Float[Array, "N J S"]]:
    """log p_j of the tokens given the law of the first state, per component, and the law of the state that comes next.

    The carry is the normalised law of the next state; its norm goes into the sum of logarithms.
    """
    (total, state), _ = _scanned(mixture, start, tokens, keep=False)
    return total, state


def _scanned(mixture, start, tokens, keep):
    by_token = jnp.moveaxis(mixture.emission, -1, 0)  # [O, J, S]

    def step(carry, token):
        total, state = carry
        joint = state * by_token[token]
        norm = joint.sum(axis=-1)
        alive = norm > 0
        weight = jnp.where(alive[..., None], joint / jnp.where(alive, norm, 1.0)[..., None], 0.0)
        after = jnp.einsum("njs,jst->njt", weight, mixture.transition, precision=_HIGHEST)
        total = total + jnp.where(alive, jnp.log(jnp.where(alive, norm, 1.0)), -jnp.inf)
        return (total, after), ((total, after) if keep else None)

    first = jnp.zeros(start.shape[:-1], start.dtype), start
    return jax.lax.scan(step, first, tokens.T)


def _summary(mixture, total, state) -> Prediction:
    """Of log-likelihoods [..., J] and laws of the next state [..., J, S]."""
    ndim = total.ndim - 1
    weighted = total + jnp.log(mixture.weights).reshape((1,) * ndim + (-1,))
    log_likelihood = jax.nn.logsumexp(weighted, axis=-1)
    possible = log_likelihood > -jnp.inf
    shift = jnp.where(possible, log_likelihood, 0.0)[..., None]
    posterior = jnp.where(possible[..., None], jnp.exp(weighted - shift), 0.0)
    law = jnp.einsum("...js,jso->...jo", state, mixture.emission, precision=_HIGHEST)
    return Prediction(log_likelihood, posterior, (posterior[..., None] * law).sum(axis=-2), possible)


def _first(mixture, num):
    return jnp.broadcast_to(mixture.start[None], (num, *mixture.start.shape))


@compiled
def _predict(mixture, tokens):
    (total, state), _ = _scanned(mixture, _first(mixture, len(tokens)), tokens, keep=False)
    return _summary(mixture, total, state)


@compiled
def _predictions(mixture, tokens):
    start = _first(mixture, len(tokens))
    kept: Any = _scanned(mixture, start, tokens, keep=True)[1]
    totals, states = kept
    totals = jnp.concatenate([jnp.zeros((1, *totals.shape[1:]), totals.dtype), totals])
    return _summary(mixture, jnp.moveaxis(totals, 0, 1), jnp.moveaxis(jnp.concatenate([start[None], states]), 0, 1))


def _documents_of(mixture, key, components, length) -> Documents:
    """Documents of given components [N]: inverse distribution functions of uniform numbers, one scan."""
    num = len(components)
    levels = jax.random.uniform(stream(key, "states"), (length, num), mixture.start.dtype)
    steps = jnp.cumsum(mixture.transition, axis=-1)

    def draw(cumulative, level):
        # The last entry is 1 up to rounding: not counted, so that no state beyond the last is drawn.
        return (cumulative[..., :-1] <= level[:, None] * cumulative[..., -1:]).sum(axis=-1)

    first = draw(jnp.cumsum(mixture.start, axis=-1)[components], levels[0])

    def step(state, level):
        after = draw(steps[components, state], level)
        return after, after

    _, rest = jax.lax.scan(step, first, levels[1:])
    states = jnp.concatenate([first[None], rest]).T
    emitted = jnp.cumsum(mixture.emission, axis=-1)[components[:, None], states].reshape(num * length, -1)
    uniform = jax.random.uniform(stream(key, "tokens"), (num * length,), mixture.start.dtype)
    tokens = draw(emitted, uniform).reshape(num, length)
    return Documents(tokens.astype(jnp.int32), components, states)


_documents = compiled(_documents_of, static=(3,))


def _checked(where, mixture, tokens):
    tokens = numbers(where, "tokens", tokens)
    if tokens.ndim != 2 or not (jnp.issubdtype(tokens.dtype, jnp.integer) or tokens.size == 0):
        raise ValueError(f"{where}: found tokens {tokens.dtype} {tokens.shape}, wanted integers [N, T]")
    if tokens.size:
        check_between(where, "tokens", tokens, 0, mixture.emission.shape[-1] - 1)
    return jnp.asarray(tokens, jnp.int32)


def _check_sums(where, name, value):
    known = concrete(value)
    if known is None:
        return
    sums = known.astype(float).sum(axis=-1)
    worst = float(sums.flat[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > 1e-5:
        raise ValueError(f"{where}: found {name} with a row that sums to {worst:g}, wanted rows that sum to one")
