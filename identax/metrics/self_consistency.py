"""Does an encoder's posterior have the width that its decoder asks for, and are all its dimensions in use?"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from identax.checks import check_positive, concrete
from identax.inputs import centred, float_type, numbers
from identax.metrics._samples import Samples, named


def self_consistency(
    variance: Samples, predicted: Samples, observations: Samples | None = None, reconstructions: Samples | None = None
) -> dict[str, Float[Array, ""]]:
    """Posterior variances against their prediction, and how well decoded posterior means reproduce the data.

    `log10_ratio`, `log10_ratio_sd`: mean and standard deviation over samples and dims of log10(variance / predicted),
    both [N, d] (`assumptions.asymptotic_variance` predicts). With observations x and reconstructions f(mu(x)) [N, ...]
    also `mse`, the mean over samples and dims of (x - f(mu(x)))^2. All three go to 0 where a VAE is self-consistent.
    Raises `ValueError` for shapes that differ, one of the last two without the other, and known variances <= 0.
    Source: Reizinger et al. 2022, section 2 and code.
    """
    where = "self_consistency"
    variance, predicted = _equal(where, variance=variance, predicted=predicted)
    for name, array in (("variance", variance), ("predicted", predicted)):
        check_positive(where, name, array)
    found = _log_ratio(*_floats(variance, predicted))
    if (observations is None) != (reconstructions is None):
        raise ValueError(f"{where}: found one of observations and reconstructions, wanted both or none")
    if observations is not None:
        pair = _equal(where, observations=observations, reconstructions=reconstructions)
        found["mse"] = _mse(*centred(where, observations=pair[0], reconstructions=pair[1]))
    return found


def dead_dims(variance: Samples, *, threshold: float | int = 1.0) -> Int[Array, ""]:
    """How many latents carry nothing: #{k : mean over samples of variance_k > threshold}, variance [N, d].

    The posterior of a dead dimension is the best one that knows nothing of x: of variance 3.06 under the logistic
    prior (uniform latents before the sigmoid; threshold 1), 1 under the standard Gaussian (threshold .5).
    A dim whose variance is NaN counts: nothing can be read out of it.
    Raises `ValueError` for another shape, known variances < 0 and a known threshold <= 0.
    Source: recommended for Reizinger et al. 2022, whose low MCC it mostly explains.
    """
    (variance,) = _equal("dead_dims", variance=variance)
    check_positive("dead_dims", "threshold", threshold, ())
    known = concrete(variance)
    if known is not None and (known < 0).any():
        raise ValueError(f"dead_dims: found {int((known < 0).sum())} variances below 0, wanted none")
    if np.ndim(variance) != 2:
        raise ValueError(f"dead_dims: found variance of shape {np.shape(variance)}, wanted [N, d]")
    return _count_above(*_floats(variance), threshold)


def _equal(where, **arrays):
    """The arrays as numbers; raises `ValueError` unless they have one shape, with entries."""
    found = {name: numbers(where, name, array) for name, array in arrays.items()}
    shapes = {name: np.shape(array) for name, array in found.items()}
    if len(set(shapes.values())) > 1 or any(not shape or 0 in shape for shape in shapes.values()):
        raise ValueError(f"{where}: found {named(shapes)}, wanted one shape [N, ...] with entries")
    return list(found.values())


def _floats(*arrays):
    dtype = float_type(*arrays)
    return [jnp.asarray(array, dtype) for array in arrays]


@functools.partial(jax.jit, inline=True)
def _log_ratio(variance, predicted):
    ratio = (jnp.log(variance) - jnp.log(predicted)) / np.log(10)
    return {"log10_ratio": jnp.mean(ratio), "log10_ratio_sd": jnp.std(ratio)}


@functools.partial(jax.jit, inline=True)
def _mse(observations, reconstructions):
    return jnp.mean(jnp.square(observations - reconstructions))


@functools.partial(jax.jit, inline=True)
def _count_above(variance, threshold):
    return jnp.sum(~(jnp.mean(variance, axis=0) <= threshold))
