"""MCC within environments and within mini-batches, and what it is by chance."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_count, shape_of
from identax.inputs import numbers
from identax.metrics._samples import Samples, apart, named, warn_of_unmatched
from identax.metrics.correlation import best_match


def within_mcc(latents: Samples, estimates: Samples) -> Float[Array, ""]:
    """Mean over environments of the MCC inside each; latents [E, P, n], estimates [E, P, m].

    Unlike the MCC of all samples together it does not profit from means that differ between environments.
    Raises `ValueError` unless both are [E, P, dims] with equal E and P >= 2.
    Source: recommended for Rajendran et al. 2024, whose validation value is near to it.
    """
    latents, estimates = (numbers("within_mcc", *pair) for pair in (("latents", latents), ("estimates", estimates)))
    check_environments("within_mcc", latents=latents, estimates=estimates)
    warn_of_unmatched("within_mcc", latents, estimates)
    return _within(*apart("within_mcc", axis=1, latents=latents, estimates=estimates))


def batch_mcc(
    key: Key[Array, ""], latents: Samples, estimates: Samples, batch_size: int, *, num_batches: int = 64
) -> Float[Array, ""]:
    """Mean MCC of `num_batches` random mini-batches of `batch_size` samples; latents [N, n], estimates [N, m].

    The expectation of what a training loop logs on one shuffled batch. It is biased upwards, the more so the smaller
    the batch (`chance_mcc`), and includes differences between environments.
    Raises `ValueError` for unequal numbers of samples and batch_size outside 2..N.
    Source: Rajendran et al. 2024, Tables 1 and 2 (value of the last training batch).
    """
    latents, estimates = _batches("batch_mcc", latents, estimates, batch_size)
    check_count("batch_mcc", "num_batches", num_batches)
    return _random_batches(key, latents, estimates, batch_size, num_batches)


def epoch_mcc(latents: Samples, estimates: Samples, batch_size: int) -> Float[Array, ""]:
    """Mean over consecutive batches of the MCC of each, weighted by their sizes; latents [N, n], estimates [N, m].

    What a training loop reports as the validation value of one unshuffled epoch: nearly `within_mcc` where the
    samples are ordered by environment. A last batch of what is left over counts too; one of a single sample, which
    has no correlation, does not.
    Raises `ValueError` for unequal numbers of samples and batch_size outside 2..N.
    Source: Rajendran et al. 2024's code (validation MCC).
    """
    return _consecutive_batches(*_batches("epoch_mcc", latents, estimates, batch_size), batch_size)


def chance_mcc(
    key: Key[Array, ""], dim: int, num_samples: int, *, num_draws: int = 256
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation of the MCC between independent Gaussian samples [num_samples, dim].

    What "nothing was recovered" looks like: .31 for one control and 8 samples, .21 for 10 controls and 64 samples.
    Raises `ValueError` for dim < 1, num_samples < 2 or num_draws < 2.
    """
    if dim < 1 or num_samples < 2 or num_draws < 2:
        raise ValueError(f"chance_mcc: found {dim=}, {num_samples=}, {num_draws=}, wanted >= 1, >= 2, >= 2")
    return _chance(key, dim, num_samples, num_draws)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _chance(key, dim, num_samples, num_draws):
    pairs = jax.random.normal(key, (num_draws, 2, dim, num_samples)).swapaxes(2, 3)
    scores = _each(pairs[:, 0], pairs[:, 1])
    return jnp.mean(scores), jnp.std(scores, ddof=1)


def _each(latents, estimates):
    return jax.vmap(lambda *pair: best_match(*pair)[0])(latents, estimates)


@functools.partial(jax.jit, inline=True)
def _within(latents, estimates):
    return _each(latents, estimates).mean()


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _random_batches(key, latents, estimates, batch_size, num_batches):
    # With replacement between batches, hardly ever within one: a sort of all samples would cost more than the rest.
    rows = jax.random.randint(key, (num_batches, batch_size), 0, latents.shape[0])
    return _each(latents[rows], estimates[rows]).mean()


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _consecutive_batches(latents, estimates, batch_size):
    num = latents.shape[0]
    full = num // batch_size * batch_size
    first, last = (values[:full].reshape(-1, batch_size, values.shape[1]) for values in (latents, estimates))
    total = _each(first, last).sum() * batch_size
    if num - full < 2:
        return total / full
    return (total + (num - full) * best_match(latents[full:], estimates[full:])[0]) / num


def check_environments(where: str, **arrays: Samples) -> None:
    """Raises `ValueError` unless all arrays are [E, P, dims] with equal E and P, P >= 2."""
    shapes = {name: shape_of(array) for name, array in arrays.items()}
    fits = all(len(shape) == 3 and 0 not in shape for shape in shapes.values())
    if not fits or len({shape[:2] for shape in shapes.values()}) > 1 or next(iter(shapes.values()))[1] < 2:
        raise ValueError(f"{where}: found {named(shapes)}, wanted [E, P, n] and [E, P, m] with E, n, m >= 1 and P >= 2")


def _batches(where, latents, estimates, batch_size):
    latents, estimates = (numbers(where, *pair) for pair in (("latents", latents), ("estimates", estimates)))
    shapes = shape_of(latents), shape_of(estimates)
    if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
        found = named({"latents": shapes[0], "estimates": shapes[1]})
        raise ValueError(f"{where}: found {found}, wanted [N, n] and [N, m], none of them empty")
    if not 2 <= batch_size <= shapes[0][0]:
        raise ValueError(f"{where}: found batch_size={batch_size}, wanted 2 <= size <= {shapes[0][0]}")
    warn_of_unmatched(where, latents, estimates, stacklevel=4)
    return apart(where, latents=latents, estimates=estimates)
