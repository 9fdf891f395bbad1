"""The evidence lower bound of a Gaussian-latent, Bernoulli-pixel autoencoder, term by term."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_positive
from identax.losses._checks import Embeddings, Scalar, as_floats, as_number


def gaussian_kl(mean: Embeddings, log_variance: Embeddings, *, per_dim: bool = False) -> Float[Array, "..."]:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)), one value per row.

        KL_j = 1/2 (mean_j^2 + exp(log_variance_j) - 1 - log_variance_j),    summed over j unless `per_dim`

    in nats. exp(v) - 1 is taken as expm1, so a posterior close to the prior keeps its digits. Source: Kingma and
    Welling 2014, appendix B.
    """
    mean, log_variance = as_floats("gaussian_kl", mean=mean, log_variance=log_variance)
    values = 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)
    return values if per_dim else values.sum(axis=-1)


def bernoulli_nll(logits: Embeddings, targets: Embeddings) -> Float[Array, " N"]:
    """-sum over pixels of t log p + (1 - t) log(1 - p), p = sigmoid(logit), one value per example.

    Computed as softplus(logit) - t logit, in nats, finite for every finite logit. `targets` in [0, 1], not bytes; grey
    values strictly between count as they do in most MNIST autoencoders (a cross-entropy, not a density).
    Raises `ValueError` for unequal shapes and targets known to be outside [0, 1].
    """
    if np.shape(logits) != np.shape(targets) or np.ndim(logits) < 1:
        raise ValueError(
            f"bernoulli_nll: found logits of shape {np.shape(logits)} and targets of shape {np.shape(targets)}, "
            "wanted one shape [N, ...]"
        )
    check_between("bernoulli_nll", "targets", targets, 0, 1)
    logits, targets = as_floats("bernoulli_nll", logits=logits, targets=targets)
    return (jax.nn.softplus(logits) - targets * logits).sum(axis=tuple(range(1, logits.ndim)))


def negative_elbo(
    logits: Embeddings,
    targets: Embeddings,
    mean: Embeddings,
    log_variance: Embeddings,
    *,
    beta: Scalar = 1.0,
) -> Float[Array, " N"]:
    """-ELBO = `bernoulli_nll`(logits, targets) + beta * `gaussian_kl`(mean, log_variance), one value per example.

    `logits` = decoder(z) at one draw z ~ N(mean, exp(log_variance)), see `sample_gaussian`. `beta` > 0 may be traced.
    Raises `ValueError` for shapes that do not match or a known beta that is not positive.
    Source: Kingma and Welling 2014, eq. 10; beta: Higgins et al. 2017, eq. 4.
    """
    check_positive("negative_elbo", "beta", beta, ())
    shapes = np.shape(mean), np.shape(log_variance), np.shape(logits)
    if shapes[0] != shapes[1] or not shapes[0] or shapes[0][0] != (shapes[2] or (None,))[0]:
        raise ValueError(
            f"negative_elbo: found mean {shapes[0]}, log_variance {shapes[1]} and logits {shapes[2]}, "
            "wanted [N, n], [N, n] and [N, ...]"
        )
    beta = as_number("negative_elbo", "beta", beta)
    return bernoulli_nll(logits, targets) + beta * gaussian_kl(mean, log_variance)


def sample_gaussian(
    key: Key[Array, ""], mean: Float[Array, "*batch n"], log_variance: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Draws mean + exp(log_variance / 2) * eps with eps ~ N(0, I), differentiable in both."""
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape, mean.dtype)
