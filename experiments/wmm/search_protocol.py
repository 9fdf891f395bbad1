"""One search as one trial: cells are suggested, trained and told; then the chosen one meets the baseline anew."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.wmm.config import TRACED, TrainingConfig
from experiments.wmm.training import Task, plain, training_study
from identax.checks import check_choice, check_count
from identax.experiment import RunConfig
from identax.rng import stream
from identax.search import best_of, by_choice, carried, search, window_space

PROTOCOLS = {"own start": "validation loss", "shared model": "test loss"}
"""protocol -> what its search makes small"""
SCORES = ("validation loss", "test loss", "test accuracy")


def searched(config: Any, task: Task) -> Callable[[Any, Any], dict[str, Any]]:
    """`trial(key, hparams) -> metrics` of one whole search, a function of the host.

    Of all trials, in order [num_trials]: `place` (number in `config.places`), `p`, `c`, and the scores of each at its
    smallest validation loss; `chosen`, the number of the best one. On fresh seeds [fresh_seeds]: the scores of the
    chosen cell and of the baseline. Raises `ValueError` for counts below 1, evaluations that do not divide the steps,
    an unknown protocol and as `window_space`.
    """
    check_choice("wmm/search", "protocol", config.protocol, tuple(PROTOCOLS))
    for field in ("num_trials", "batch", "block", "search_seeds", "fresh_seeds", "train_steps", "look_every"):
        check_count("wmm/search", field, getattr(config, field))
    if config.train_steps % config.look_every:
        found = f"look_every={config.look_every} of {config.train_steps} steps"
        raise ValueError(f"wmm/search: found {found}, wanted a divisor of them")
    space = window_space(config.places, p=config.p_range, c=config.c_range)

    def programs(place):
        return _programs(_training_of(config, place), task, config.train_steps, config.look_every)

    def trial(key, hparams):
        del hparams
        seed = int(jax.random.bits(stream(key, "cells"), (), jnp.uint32))
        evaluate = (_own_starts if config.protocol == "own start" else _shared_model)(config, programs, key)
        how = {"num_trials": config.num_trials, "seed": seed, "method": config.method}
        batch = config.batch if config.protocol == "own start" else 1  # of one model there is only the next trial
        tried = search(evaluate, space, objective=PROTOCOLS[config.protocol], batch=batch, **how)
        number = best_of(tried)
        found: dict[str, Any] = {name: np.array([one.metrics[name] for one in tried]) for name in SCORES}
        found["place"] = np.array([config.places.index(one.cell["place"]) for one in tried], float)
        found |= {name: np.array([one.cell[name] for one in tried]) for name in ("p", "c")}
        found["chosen"] = float(number)
        keys = _keys(stream(key, "fresh"), config.fresh_seeds)
        for name, cell in {"chosen": tried[number].cell, "baseline": {"place": "", "p": 0.0, "c": 0.1}}.items():
            begin, proceed = programs(cell["place"])
            strengths = _strengths(config, *(np.full(len(keys), cell[one]) for one in ("p", "c")))
            fresh = _at_best(proceed(begin(keys, strengths), strengths)[1])
            found |= {f"{name}, {score}": fresh[score] for score in SCORES}
        return found

    return trial


def _own_starts(config, programs, key):
    """Every trial trained from the start, on the same seeds as all others; a block of one layer is one program."""
    keys = _keys(stream(key, "search"), config.search_seeds)

    def of_block(fixed, columns):
        begin, proceed = programs(fixed["place"])
        strengths = _strengths(config, *(np.repeat(columns[name], len(keys)) for name in ("p", "c")))
        states = begin(jnp.tile(keys, config.block), strengths)
        scores = _at_best(proceed(states, strengths)[1])
        return {name: values.reshape(config.block, len(keys)).mean(axis=1) for name, values in scores.items()}

    return by_choice(of_block, ["place"], block=config.block)


def _shared_model(config, programs, key):
    """As published: one network, one memory of the optimiser, and each trial goes on with them."""

    def train(states, cell):
        begin, proceed = programs(cell["place"])
        strengths = _strengths(config, *(np.full(1, cell[name]) for name in ("p", "c")))
        if states is None:
            states = begin(_keys(stream(key, "search"), 1), strengths)
        states, metrics = proceed(states, strengths)
        return states, {name: values[0] for name, values in _at_best(metrics).items()}

    return carried(train, None)


@functools.lru_cache(maxsize=32)  # arms differ in their protocol, not in what a place of the network compiles to
def _programs(config: TrainingConfig, task: Task, train_steps: int, look_every: int) -> tuple[Any, Any]:
    """`begin(keys [T], strengths) -> states` and `proceed(states, strengths) -> (states, metrics [T, looks])`."""
    study = training_study(config, task)

    def proceed(state, strengths):
        def stretch(state, _):
            state, _ = jax.lax.scan(lambda held, _: (study.step(held, None)[0], None), state, length=look_every)
            return state, study.evaluate(state, stream(state.key, "evaluation"))

        state = dataclasses.replace(state, hparams=strengths)
        return jax.lax.scan(stretch, state, length=train_steps // look_every)

    return _begin(plain(config), task), jax.jit(_of_all(proceed))


def _of_all(proceed: Any) -> Any:
    """`proceed` for all trials: batched, on a CPU one after the other, where eight at once do not fit into a cache."""
    if jax.default_backend() != "cpu":
        return jax.vmap(proceed)
    return lambda states, strengths: jax.lax.map(lambda one: proceed(*one), (states, strengths))


@functools.lru_cache(maxsize=4)
def _begin(config: TrainingConfig, task: Task) -> Any:
    """`begin`, which is one program for all places: a start knows nothing of the operator."""
    return jax.jit(jax.vmap(training_study(config, task).init))


def _training_of(config: Any, place: str) -> TrainingConfig:
    """What is static of a training with the operator on `place`, or without one; nothing of the search around it."""
    shared: dict[str, Any] = {field.name: getattr(config, field.name) for field in dataclasses.fields(TrainingConfig)}
    numbers: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    numbers |= dict.fromkeys(TRACED, 0.0)
    where = {"layer": place} if place else {"operator": "none", "layer": ""}
    chosen: dict[str, Any] = shared | numbers | where | {"max_c": config.c_range[1]}
    return TrainingConfig(**chosen)


def _keys(key: Any, num: int) -> Any:
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num))


def _strengths(config: Any, p: Any, c: Any) -> dict[str, Any]:
    rate = np.full(len(p), config.learning_rate)
    return {name: jnp.asarray(values, jnp.float32) for name, values in (("learning_rate", rate), ("p", p), ("c", c))}


def _at_best(metrics: Any) -> dict[str, np.ndarray]:
    """Scores [T] at the smallest validation loss of each training; NaN where none was finite."""
    losses = np.asarray(metrics["validation loss"], float)
    place = np.where(np.isfinite(losses), losses, np.inf).argmin(axis=1)
    rows = np.arange(len(losses))
    lost = ~np.isfinite(losses).any(axis=1)
    return {name: np.where(lost, np.nan, np.asarray(metrics[name], float)[rows, place]) for name in SCORES}
