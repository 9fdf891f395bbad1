"""MCC within environments and within mini-batches, and what it is by chance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_count
from identax.metrics._matching import Samples, as_floats
from identax.metrics.correlation import mcc


def within_mcc(latents: Samples, estimates: Samples) -> Float[Array, ""]:
    """Mean over environments of the MCC inside each; latents [E, P, n], estimates [E, P, m].

    Unlike the MCC of all samples together it does not profit from means that differ between environments.
    Raises `ValueError` unless both are [E, P, dims] with equal E and P >= 2.
    Source: recommended for Rajendran et al. 2024, whose validation value is near to it.
    """
    _check("within_mcc", latents, estimates)
    latents, estimates = as_floats(latents, estimates)
    return jax.vmap(mcc)(latents, estimates).mean()


def batch_mcc(
    key: Key[Array, ""], latents: Samples, estimates: Samples, batch_size: int, *, num_batches: int = 64
) -> Float[Array, ""]:
    """Mean MCC of `num_batches` random mini-batches of `batch_size` samples; latents [N, n], estimates [N, m].

    The expectation of what a training loop logs on one shuffled batch. It is biased upwards, the more so the smaller
    the batch (`chance_mcc`), and includes differences between environments.
    Raises `ValueError` for unequal numbers of samples and batch_size outside 2..N.
    Source: Rajendran et al. 2024, Tables 1 and 2 (value of the last training batch).
    """
    num = _check_batches("batch_mcc", latents, estimates, batch_size)
    check_count("batch_mcc", "num_batches", num_batches)
    latents, estimates = as_floats(latents, estimates)
    # With replacement between batches, hardly ever within one: a sort of all samples would cost more than the rest.
    rows = jax.random.randint(key, (num_batches, batch_size), 0, num)
    return jax.vmap(mcc)(latents[rows], estimates[rows]).mean()


def epoch_mcc(latents: Samples, estimates: Samples, batch_size: int) -> Float[Array, ""]:
    """Mean over consecutive batches of the MCC of each, weighted by their sizes; latents [N, n], estimates [N, m].

    What a training loop reports as the validation value of one unshuffled epoch: nearly `within_mcc` where the
    samples are ordered by environment. A last batch of what is left over counts too; one of a single sample, which
    has no correlation, does not.
    Raises `ValueError` for unequal numbers of samples and batch_size outside 2..N.
    Source: Rajendran et al. 2024's code (validation MCC).
    """
    num = _check_batches("epoch_mcc", latents, estimates, batch_size)
    latents, estimates = as_floats(latents, estimates)
    full = num // batch_size * batch_size
    first, last = (values[:full].reshape(-1, batch_size, values.shape[1]) for values in (latents, estimates))
    total = jax.vmap(mcc)(first, last).sum() * batch_size
    if num - full < 2:
        return total / full
    return (total + (num - full) * mcc(latents[full:], estimates[full:])) / num


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
    scores = jax.vmap(lambda pair: mcc(pair[0], pair[1]))(pairs)
    return jnp.mean(scores), jnp.std(scores, ddof=1)


def _check(where, latents, estimates):
    shapes = np.shape(latents), np.shape(estimates)
    if any(len(shape) != 3 for shape in shapes) or shapes[0][:2] != shapes[1][:2] or shapes[0][1] < 2:
        raise ValueError(f"{where}: found shapes {shapes}, wanted [E, P, n] and [E, P, m] with P >= 2")


def _check_batches(where, latents, estimates, batch_size):
    shapes = np.shape(latents), np.shape(estimates)
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][0] != shapes[1][0]:
        raise ValueError(f"{where}: found shapes {shapes}, wanted [N, n] and [N, m]")
    if not 2 <= batch_size <= shapes[0][0]:
        raise ValueError(f"{where}: found batch_size={batch_size}, wanted 2 <= size <= {shapes[0][0]}")
    return shapes[0][0]
