"""What each operator does to a matrix over time, without any training: touched entries, entropy, pictures.

Reizinger and Gyires-Toth, "Stochastic Weight Matrix-Based Regularization Methods for Deep Neural Networks", LOD 2019.
Counts of touched entries against their closed forms, windows that never act, and the collapse of a matrix under the
released shuffle, which copies values over others, where the permutation of the text keeps them all.

    python -m experiments run wmm/operators --preset quick
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments.wmm import operators_claims as claims
from experiments.wmm import operators_figures as drawing
from identax.experiment import RunConfig
from identax.metrics import cumulative_entropy
from identax.rng import step_key, stream
from identax.transforms import reinitialise, shuffle

TRACED: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One operator on one set of weights. Seeds are chains of calls."""

    show: Literal["counts", "collapse", "pictures"] = "counts"
    """of one arm"""
    operator: Literal["reinit", "shuffle"] = "shuffle"
    mode: str = "released"
    shape: tuple[int, ...] = (12, 10)
    """[out, in, ...]"""
    copies: int = 1
    """of the weights, each with windows of its own: the gates of an LSTM"""
    skip_last: bool = False
    p: float = 0.5
    c: float = 0.3
    num_calls: int = 1000
    """of a seed's chain; counts always start from the same weights"""
    calls: tuple[int, ...] = (0, 10, 100, 500, 1000, 2000)
    """after which a chain is looked at"""
    picture: int = 28
    """side of the matrix that is drawn"""
    drawn_calls: tuple[int, ...] = (0, 1, 10, 100, 1000)
    chains: int = 16
    """seeds of the collapse"""
    kept_chains: int = 2
    """seeds of the chains that keep their values"""
    num_seeds: int = 20


PRESETS: dict[str, Config] = {
    "smoke": Config(num_calls=50, calls=(0, 2, 4), drawn_calls=(0, 1), chains=2, num_seeds=2),
    "quick": Config(chains=8),
    "medium": Config(num_calls=10_000, num_seeds=40),
    "paper": Config(num_calls=10_000, num_seeds=40),
}

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = drawing.figures


def build(config: Config):
    """A trial function: counts of touched entries, a chain of calls on an LSTM's matrices, or pictures."""
    return {"counts": _counts, "collapse": _collapse, "pictures": _pictures}[config.show](config)


def called(config: Config, key: Any, w: Any) -> Any:
    """One call of the arm's operator on weights [out, in, ...]."""
    operator = reinitialise if config.operator == "reinit" else shuffle
    options = {"mode": config.mode, "layout": "out_in", "skip_last": config.skip_last, "max_c": config.c}
    return operator(key, w, config.p, config.c, **options)


def _counts(config: Config):
    """How many entries one call changes, all values being distinct, and how often each entry is touched."""
    w = 10.0 + jnp.arange(float(jnp.prod(jnp.array(config.shape)))).reshape(config.shape)

    def trial(key, hparams):
        def one(total, number):
            keys = jax.random.split(step_key(key, number), config.copies)
            changed = jax.vmap(lambda key: called(config, key, w) != w)(keys).sum(axis=0)
            return total + changed, changed.sum().astype(float)

        touched, counts = jax.lax.scan(one, jnp.zeros(config.shape, jnp.int32), jnp.arange(config.num_calls))
        found = {"changes": counts.mean(), "variance": counts.var(ddof=1)}
        return found, {"touched": touched / config.num_calls}

    return trial


def _collapse(config: Config):
    """Cumulative entropy and distinct values of an untrained LSTM's parameters over calls on all eight matrices."""
    side = config.shape[0]
    bound = side**-0.5

    def looked(w, biases):
        recurrent = jnp.sort(w[4:].reshape(-1))
        distinct = (1 + jnp.sum(recurrent[1:] != recurrent[:-1])) / recurrent.size
        params = {"ih": w[:4].reshape(-1), "hh": w[4:].reshape(-1), "ih bias": biases[0], "hh bias": biases[1]}
        return cumulative_entropy(params), distinct

    def trial(key, hparams):
        uniform = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
        w = uniform(stream(key, "kernels"), (8, side, side))
        biases = uniform(stream(key, "biases"), (2, 4 * side))
        own = stream(key, "calls")

        def call(number, w):
            return jax.vmap(functools.partial(called, config))(jax.random.split(step_key(own, number), 8), w)

        _, (entropy, distinct) = _along(config.calls, call, w, functools.partial(looked, biases=biases))
        return {"entropy": entropy, "distinct": distinct}

    return trial


def _pictures(config: Config):
    """A ramp, dark at one corner and light at the other, after some calls."""
    ramp = jnp.linspace(0, 1, config.picture)
    start = (ramp[:, None] + ramp[None, :]) / 2 - 0.5

    def trial(key, hparams):
        def call(number, w):
            return called(config, step_key(key, number), w)

        w, seen = _along(config.drawn_calls, call, start, lambda w: w)
        return {"distinct": (1 + jnp.sum(jnp.diff(jnp.sort(w.reshape(-1))) != 0)) / w.size}, {"matrix": seen}

    return trial


def _along(calls: tuple[int, ...], call: Callable[[Any, Any], Any], w: Any, looked: Callable[[Any], Any]):
    """The weights after the last of `calls` of `call(number, w) -> w`, and what `looked(w)` finds after each of them.

    One loop over the stretches, so that `call` and `looked` are compiled once.
    """

    def stretch(w, ends):
        begin, end = ends
        w = jax.lax.fori_loop(begin, end, call, w)
        return w, looked(w)

    return jax.lax.scan(stretch, w, (jnp.array((0, *calls[:-1])), jnp.array(calls)))
