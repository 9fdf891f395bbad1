"""SlowVAE: the evidence lower bound of pairs of frames whose latents move sparsely."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from identax.checks import check_positive, shape_of
from identax.losses._checks import Embeddings, Scalar, as_floats, as_number

_LOG_2PI = float(np.log(2 * np.pi))


def normal_entropy(log_variance: Embeddings) -> Float[Array, "..."]:
    """Entropy of N(., exp(log_variance)): 1/2 (log_variance + ln(2 pi e)), in nats, entry by entry."""
    (log_variance,) = as_floats("normal_entropy", log_variance=log_variance)
    return 0.5 * (log_variance + (_LOG_2PI + 1.0))


def cross_entropy_to_normal(mean: Embeddings, log_variance: Embeddings) -> Float[Array, "..."]:
    """-E ln N(x; 0, 1) for x ~ N(mean, exp(log_variance)): 1/2 (mean^2 + exp(log_variance) + ln 2 pi), in nats."""
    _check_alike("cross_entropy_to_normal", mean, log_variance)
    mean, log_variance = as_floats("cross_entropy_to_normal", mean=mean, log_variance=log_variance)
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) + _LOG_2PI)


def cross_entropy_to_laplace(mean: Embeddings, log_variance: Embeddings, rate: Scalar) -> Float[Array, "..."]:
    """-E ln Laplace(x; 0, rate) for x ~ N(mean, s^2), s = exp(log_variance / 2), in nats, entry by entry.

        -ln(rate / 2) + rate (s sqrt(2/pi) exp(-mean^2 / 2 s^2) + mean erf(mean / (s sqrt 2)))

    Raises `ValueError` for a known rate that is not positive. Source: Klindt et al. 2021, appendix.
    """
    check_positive("cross_entropy_to_laplace", "rate", rate, ())
    _check_alike("cross_entropy_to_laplace", mean, log_variance)
    rate = as_number("cross_entropy_to_laplace", "rate", rate)
    mean, log_variance = as_floats("cross_entropy_to_laplace", mean=mean, log_variance=log_variance)
    scale = jnp.exp(0.5 * log_variance)
    ratio = mean / scale
    absolute = scale * float(np.sqrt(2 / np.pi)) * jnp.exp(-0.5 * jnp.square(ratio)) + mean * erf(
        ratio * float(np.sqrt(0.5))
    )
    return -jnp.log(0.5 * rate) + rate * absolute


def _check_alike(where, mean, log_variance):
    shapes = shape_of(mean), shape_of(log_variance)
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{where}: found mean {shapes[0]} and log_variance {shapes[1]}, wanted one shape") from None


def slow_vae(
    reconstruction: Embeddings,
    means: tuple[Embeddings, Embeddings],
    log_variances: tuple[Embeddings, Embeddings],
    *,
    beta: Scalar = 1.0,
    gamma: Scalar = 10.0,
    rate: Scalar = 6.0,
) -> Float[Array, " N"]:
    """SlowVAE's objective, one value per pair i of frames t = 0, 1; its mean over i is the published loss.

        2 reconstruction_i + beta (1/2 sum_tj CE_N[t, i, j] - 1/2 sum_tj H[t, i, j])
                           + gamma (  sum_tj CE_L[t, i, j] - 1/2 sum_tj H[t, i, j])

    sums over the frames t and the dims j: `normal_entropy` H and `cross_entropy_to_normal` CE_N are means over the 2N
    frames in the source, `cross_entropy_to_laplace` CE_L, of the step m[t] - m[1 - t], is a mean over the N pairs of
    the sum over both. So gamma sets two cross-entropies against one entropy.
    Args: `reconstruction` [N], mean negative log-likelihood of the two frames of a pair; `means`, `log_variances` of
    the posteriors: one [N, n] per frame; `rate` of the Laplace prior of the steps. Weights > 0 may be traced.
    Raises `ValueError` for shapes that do not match and known weights or rate that are not positive.
    Source: Klindt et al. 2021, eq. 8, reduced as in the authors' code (beta 1, gamma 10, rate 6), which Zimmermann et
    al. 2021 use.
    """
    for name, value in (("beta", beta), ("gamma", gamma), ("rate", rate)):
        check_positive("slow_vae", name, value, ())
    shapes = {shape_of(x) for x in (*means, *log_variances)}
    pairs = len(means) == len(log_variances) == 2 and len(shapes) == 1 and len(*shapes) == 2
    if not pairs or shape_of(reconstruction) != next(iter(shapes))[:1]:
        raise ValueError(
            f"slow_vae: found reconstruction {shape_of(reconstruction)} with means and log-variances {sorted(shapes)}, "
            "wanted [N] with two means and two log-variances [N, n]"
        )
    beta, gamma = as_number("slow_vae", "beta", beta), as_number("slow_vae", "gamma", gamma)
    m0, m1 = (as_floats("slow_vae", means=mean)[0] for mean in means)
    v0, v1 = (as_floats("slow_vae", log_variances=log_variance)[0] for log_variance in log_variances)
    (reconstruction,) = as_floats("slow_vae", reconstruction=reconstruction)
    total = 2.0 * reconstruction
    for mean, log_variance, step in ((m0, v0, m0 - m1), (m1, v1, m1 - m0)):
        entropy = 0.5 * normal_entropy(log_variance)
        total += beta * (0.5 * cross_entropy_to_normal(mean, log_variance) - entropy).sum(axis=-1)
        total += gamma * (cross_entropy_to_laplace(step, log_variance, rate) - entropy).sum(axis=-1)
    return total
