"""Returns of reinforcement learning over runs and tasks: robust means, their intervals, scores of learning curves."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_count, check_finite, check_key, check_real, concrete, shape_of
from identax.inputs import kept, numbers, ranks
from identax.metrics._samples import Samples


def interquartile_mean(scores: Samples) -> Float[Array, ""]:
    """Mean of the middle half of all scores, whatever run and task they are of.

    Of the m scores in order, the floor(m / 4) smallest and as many largest are left out.
    Args: `scores` [runs, tasks], or [runs] of one task. NaN where one of them is.
    Raises `ValueError` for another number of axes and no entries.
    Source: Agarwal et al. 2021, section 4.3 (their code trims so, without interpolation).
    """
    return _interquartile_mean(_scores("interquartile_mean", "scores", scores))


@partial(jax.jit, inline=True)
def _interquartile_mean(scores):
    cut = scores.size // 4
    middle = jnp.sort(scores.reshape(-1))[cut : scores.size - cut].mean()
    # Sorting puts NaN last, where it would be trimmed away.
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, middle)


def optimality_gap(scores: Samples, *, target: float | int = 1.0) -> Float[Array, ""]:
    """By how much the scores miss `target` on average: target - mean of min(score, target).

    Args: `scores` [runs, tasks] or [runs], normalised so that `target` is what is wanted of every task.
    Raises `ValueError` for another number of axes, no entries, and a target that is no finite number.
    Source: Agarwal et al. 2021, section 4.3.
    """
    check_real("optimality_gap", "target", target)
    check_finite("optimality_gap", "target", target, ())
    scores = _runs_by_tasks("optimality_gap", "scores", scores)
    if isinstance(scores, np.ndarray) and (known := concrete(target)) is not None:
        return _mean_of_positive(jnp.asarray(kept("optimality_gap", "scores", known.astype(float) - scores)))
    scores = jnp.asarray(kept("optimality_gap", "scores", scores))
    return _mean_of_positive(target - scores)


@partial(jax.jit, inline=True)
def _mean_of_positive(missing):
    return jnp.maximum(missing, 0).mean()


def probability_of_improvement(scores: Samples, others: Samples) -> Float[Array, ""]:
    """How probably a run of one algorithm beats one of another on the same task, averaged over tasks.

        mean over tasks of  (#{(i, j): x_i > y_j} + 1/2 #{x_i = y_j}) / (n m)

    The Mann-Whitney statistic. Args: `scores` [n, tasks], `others` [m, tasks] (or both without the axis of tasks).
    NaN where one of them is. Raises `ValueError` for unequal numbers of tasks, other numbers of axes and no entries.
    Source: Agarwal et al. 2021, section 4.3.
    """
    where = "probability_of_improvement"
    x, y = (_runs_by_tasks(where, *given) for given in (("scores", scores), ("others", others)))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{where}: found {x.shape[1]} and {y.shape[1]} tasks, wanted scores of the same tasks")
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        # Who beats whom is in the ranks, which float32 holds whatever the scores are.
        placed = ranks(where, "scores", np.concatenate([x, y]))
        x, y = placed[: len(x)], placed[len(x) :]
    return _improvement(*(jnp.asarray(kept(where, "scores", array)) for array in (x, y)))


@partial(jax.jit, inline=True)
def _improvement(x, y):
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return jnp.where(jnp.isnan(x).any() | jnp.isnan(y).any(), jnp.nan, wins.mean())


def stratified_bootstrap(
    key: Key[Array, ""],
    statistic: Callable[..., Any],
    *scores: Samples,
    level: float | int = 0.95,
    num_draws: int = 2000,
    draws_at_once: int = 100,
) -> Float[Array, "2 *statistic"]:
    """Interval of a statistic of runs: its percentiles over draws of runs with replacement, in every task apart.

    Of several arrays each is drawn for itself: `stratified_bootstrap(key, probability_of_improvement, x, y)`. Below
    some 10 runs the interval is too narrow whatever is drawn.

    Args:
        key: decides all draws.
        statistic: of as many arrays as there are `scores`, each [runs, tasks]; gives an array of any shape.
        scores: [runs, tasks] or [runs], each with runs and tasks of its own.
        level: of the interval, in (0, 1).
        num_draws, draws_at_once: how many, and how many of them side by side (memory).
    Returns the lower and the upper end. Raises `ValueError` for what is no key, no scores, other numbers of axes and no
    entries, a level outside (0, 1) and counts < 1.
    Source: Agarwal et al. 2021, section 4.1 (percentile bootstrap, 50,000 draws there).
    """
    check_key("stratified_bootstrap", key)
    if not scores:
        raise ValueError("stratified_bootstrap: found no scores, wanted one array [runs, tasks] at least")
    arrays = [_scores("stratified_bootstrap", f"scores {i}", array) for i, array in enumerate(scores)]
    check_between("stratified_bootstrap", "level", level, 0, 1, ())
    if level in (0, 1):
        raise ValueError(f"stratified_bootstrap: found level={level}, wanted a share in (0, 1)")
    check_count("stratified_bootstrap", "num_draws", num_draws)
    check_count("stratified_bootstrap", "draws_at_once", draws_at_once)
    return _bootstrap(key, statistic, arrays, level, num_draws, min(draws_at_once, num_draws))


@partial(jax.jit, static_argnums=(1, 4, 5))
def _bootstrap(key, statistic, arrays, level, num_draws, at_once):
    def drawn(key):
        keys = jax.random.split(key, len(arrays))
        chosen = [jax.random.randint(own, array.shape, 0, len(array)) for own, array in zip(keys, arrays, strict=True)]
        return statistic(*(jnp.take_along_axis(a, i, axis=0) for a, i in zip(arrays, chosen, strict=True)))

    found = jax.lax.map(drawn, jax.random.split(key, num_draws), batch_size=at_once)
    return jnp.quantile(found, jnp.stack([(1 - level) / 2, (1 + level) / 2]), axis=0)


def exponential_average(values: Samples, *, span: float | int = 1000) -> Float[Array, "*batch T"]:
    """Exponentially weighted moving average along the last axis, started at the first value.

        y_0 = x_0,    y_t = a x_t + (1 - a) y_{t-1},    a = 2 / (span + 1)

    Raises `ValueError` for span < 1 and no entries. Source: Reizinger & Szemenyei 2020, code (span 1000, over every
    hundredth update).
    """
    return _average(_curves("exponential_average", values, span), span)


@partial(jax.jit, inline=True)
def _average(values, span):
    weight = jnp.asarray(2 / (span + 1), values.dtype)

    def follow(last, value):
        last = weight * value + (1 - weight) * last
        return last, last

    along = jnp.moveaxis(values, -1, 0)
    _, rest = jax.lax.scan(follow, along[0], along[1:])
    return jnp.moveaxis(jnp.concatenate([along[:1], rest]), 0, -1)


def best_average(values: Samples, *, span: float | int = 1000) -> Float[Array, "*batch"]:
    """The published score of a learning curve: the largest `exponential_average` along the last axis.

    A maximum over training, chosen by what it reports: comparable with the published table, optimistic otherwise.
    Raises `ValueError` as that. Source: Reizinger & Szemenyei 2020, code.
    """
    return _best(_curves("best_average", values, span), span)


@partial(jax.jit, inline=True)
def _best(values, span):
    return _average(values, span).max(axis=-1)


def _curves(where, values, span):
    values = numbers(where, "values", values)
    if values.ndim == 0 or 0 in values.shape:
        raise ValueError(f"{where}: found values of shape {shape_of(values)}, wanted [..., T] with T >= 1")
    check_between(where, "span", span, 1, float("inf"), ())
    return jnp.asarray(kept(where, "values", values))


def relative_scores(scores: Samples) -> Float[Array, "methods tasks"]:
    """Scores over the best method's in the same task. Args: `scores` [methods, tasks], the best ones > 0.

    Raises `ValueError` for another number of axes, no entries, and a task whose best score is known and not > 0, where
    the quotient would turn the order around. Source: Reizinger & Szemenyei 2020, code.
    """
    if len(shape_of(scores)) != 2:
        raise ValueError(f"relative_scores: found scores of shape {shape_of(scores)}, wanted [methods, tasks]")
    array = _scores("relative_scores", "scores", scores)
    known = concrete(array)
    best = None if known is None else known.max(axis=0)
    if best is not None and not ((best > 0) & (best < np.inf)).all():
        raise ValueError(f"relative_scores: found best scores {best} of the tasks, wanted positive finite ones")
    return _relative(array)


@partial(jax.jit, inline=True)
def _relative(scores):
    return scores / scores.max(axis=0, keepdims=True)


def area_under_curve(steps: Samples, values: Samples) -> Float[Array, "*batch"]:
    """Mean height of a learning curve, by trapezoids: integral of values over steps, over the last less the first step.

    Args: `steps` [T] increasing, `values` [..., T]. Raises `ValueError` for T < 2, shapes that do not match and steps
    that are known not to increase.
    """
    steps, values = (numbers("area_under_curve", *given) for given in (("steps", steps), ("values", values)))
    if steps.ndim != 1 or len(steps) < 2 or shape_of(values)[-1:] != steps.shape:
        raise ValueError(
            f"area_under_curve: found steps of shape {shape_of(steps)} and values of shape {shape_of(values)}, wanted "
            "[T] and [..., T] with T >= 2"
        )
    known = concrete(steps)
    if known is not None and not (np.isfinite(known).all() and (known[1:] > known[:-1]).all()):
        raise ValueError("area_under_curve: found steps that do not increase, wanted them in order and once each")
    values = jnp.asarray(kept("area_under_curve", "values", values))
    steps = steps.astype(float) if steps.dtype == bool else steps
    return _area(jnp.asarray(steps - steps[:1], values.dtype), values)


@partial(jax.jit, inline=True)
def _area(at, values):
    return ((values[..., 1:] + values[..., :-1]) / 2 @ jnp.diff(at)) / at[-1]


def _scores(where: str, name: str, scores: Samples) -> Any:
    """Scores as floats [runs, tasks]."""
    return jnp.asarray(kept(where, name, _runs_by_tasks(where, name, scores)))


def _runs_by_tasks(where: str, name: str, scores: Samples) -> Any:
    """Scores [runs, tasks] as they came, on the host or not."""
    array = numbers(where, name, scores)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"{where}: found {name} of shape {shape_of(array)}, wanted [runs, tasks] or [runs]")
    return array[:, None] if array.ndim == 1 else array
