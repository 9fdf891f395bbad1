"""The evidence lower bound of variational autoencoders, term by term: normal posteriors, any prior, two likelihoods."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_choice, check_positive, concrete, shape_of
from identax.losses._checks import Embeddings, Scalar, as_floats, as_number
from identax.losses.priors import GivenPrior, check_prior

KL_FORMS = ("sampled", "analytic")
_LOG_2PI = math.log(2 * math.pi)


class Elbo(NamedTuple):
    """`value` = `log_likelihood` - beta `kl`, each [N], in nats per example with all constants kept."""

    value: Any
    log_likelihood: Any
    kl: Any


def elbo(
    x: Embeddings,
    reconstruction: Embeddings,
    u: Embeddings,
    mean: Embeddings,
    log_variance: Embeddings,
    *,
    prior: GivenPrior,
    precision: Scalar,
    beta: Scalar = 1.0,
    kl: str = "sampled",
) -> Elbo:
    """ELBO of a normal posterior and decoder, `Elbo(value, log_likelihood, kl)` per example.

        u = mean + exp(log_variance / 2) eps,    z = prior.squash(u),    reconstruction = f(z)
        log_likelihood = `gaussian_log_likelihood`(x, f(z), precision = gamma^2)
        kl = log q(u|x) - log p(u) at that u (`sampled_kl`), or in closed form (`analytic_kl`)
        value = log_likelihood - beta kl

    Args: `x`, `reconstruction` [N, ...]; `u`, `mean`, `log_variance` [N, n]. `precision`, `beta` > 0 may be traced.
    Raises `ValueError` for shapes that do not match, a known precision or beta that is not finite and > 0, and
    kl="analytic" with a prior that has no closed form.
    Source: Kingma and Welling 2014, eq. 10; Reizinger et al. 2022, code.
    """
    check_choice("elbo", "kl", kl, KL_FORMS)
    check_positive("elbo", "beta", beta, ())
    if shape_of(mean)[:1] != shape_of(x)[:1]:
        raise ValueError(f"elbo: found {shape_of(x)[:1]} examples and {shape_of(mean)[:1]} posteriors, wanted as many")
    fit = gaussian_log_likelihood(x, reconstruction, precision=precision)
    if kl == "sampled":
        divergence = sampled_kl(u, mean, log_variance, prior=prior)
    else:
        divergence = analytic_kl(mean, log_variance, prior=prior)
    return Elbo(fit - as_number("elbo", "beta", beta) * divergence, fit, divergence)


def gaussian_log_likelihood(x: Embeddings, reconstruction: Embeddings, *, precision: Scalar) -> Float[Array, " N"]:
    """log N(x; f(z), I / precision) = -1/2 sum_j [log 2 pi - log precision + precision (x_j - f_j)^2], per example.

    `x`, `reconstruction` [N, ...]; `precision` = gamma^2 = 1 / decoder variance > 0, one number, may be traced: learn
    it as the exponential of a free parameter, or take `mle_precision`.
    Raises `ValueError` for unequal shapes and a known precision that is not finite and > 0.
    Source: Reizinger et al. 2022, code.
    """
    _check_alike("gaussian_log_likelihood", x=x, reconstruction=reconstruction)
    check_positive("gaussian_log_likelihood", "precision", precision, ())
    x, reconstruction = as_floats("gaussian_log_likelihood", x=x, reconstruction=reconstruction)
    precision = as_number("gaussian_log_likelihood", "precision", precision)
    squares = jnp.square(x - reconstruction).sum(axis=tuple(range(1, x.ndim)))
    return -0.5 * (math.prod(x.shape[1:]) * (_LOG_2PI - jnp.log(precision)) + precision * squares)


def mle_precision(x: Embeddings, reconstruction: Embeddings) -> Float[Array, ""]:
    """The precision of largest likelihood, 1 / mean_{i,j} (x_ij - f_ij)^2; inf where every residual is 0.

    For the published estimate f decodes the posterior means; stop its gradient where it enters a loss.
    Raises `ValueError` for unequal shapes. Source: Reizinger et al. 2022, code (sigma-VAE: Rybkin et al. 2021).
    """
    _check_alike("mle_precision", x=x, reconstruction=reconstruction)
    x, reconstruction = as_floats("mle_precision", x=x, reconstruction=reconstruction)
    return 1 / jnp.square(x - reconstruction).mean()


def sampled_kl(
    u: Embeddings, mean: Embeddings, log_variance: Embeddings, *, prior: GivenPrior, per_dim: bool = False
) -> Float[Array, "..."]:
    """log q(u|x) - log p(u) of q = N(mean, diag exp(log_variance)), one value per row, summed unless `per_dim`.

    Its expectation over u ~ q is KL(q || p); in u, whatever the prior does to it (a squashed q and p have the same).
    All [N, n]. Raises `ValueError` for unequal shapes and what is no `Prior`. Source: Reizinger et al. 2022, code.
    """
    check_prior("sampled_kl", prior)
    _check_alike("sampled_kl", u=u, mean=mean, log_variance=log_variance)
    u, mean, log_variance = as_floats("sampled_kl", u=u, mean=mean, log_variance=log_variance)
    log_q = -0.5 * (_LOG_2PI + log_variance + jnp.square(u - mean) * jnp.exp(-log_variance))
    values = log_q - prior.log_prob(u)
    return values if per_dim else values.sum(axis=-1)


def analytic_kl(
    mean: Embeddings, log_variance: Embeddings, *, prior: GivenPrior, per_dim: bool = False
) -> Float[Array, "..."]:
    """KL(N(mean, diag exp(log_variance)) || prior) in closed form, one value per row, summed unless `per_dim`.

    Raises `ValueError` for unequal shapes, what is no `Prior` and one without a closed form (uniform, logistic, Beta).
    """
    check_prior("analytic_kl", prior)
    _check_alike("analytic_kl", mean=mean, log_variance=log_variance)
    if prior.kl is None:
        raise ValueError(f"analytic_kl: found the prior {prior.name!r}, wanted one with a closed form; use sampled_kl")
    mean, log_variance = as_floats("analytic_kl", mean=mean, log_variance=log_variance)
    values = prior.kl(mean, log_variance)
    return values if per_dim else values.sum(axis=-1)


def importance_weighted_bound(log_likelihood: Embeddings, kl: Embeddings) -> Float[Array, " N"]:
    """log 1/K sum_k exp(log_likelihood_k - kl_k): a bound on log p(x) that K draws of u make tighter, per example.

    `log_likelihood`, `kl` [K, N], of `elbo` at K independent draws with the sampled KL and beta 1. K = 1 is the ELBO.
    Raises `ValueError` for unequal shapes. Source: Burda et al. 2016, eq. 8.
    """
    _check_alike("importance_weighted_bound", log_likelihood=log_likelihood, kl=kl)
    fit, kl = as_floats("importance_weighted_bound", log_likelihood=log_likelihood, kl=kl)
    return jax.nn.logsumexp(fit - kl, axis=0) - math.log(len(fit))


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
    Raises `ValueError` for unequal shapes and targets known to be outside [0, 1] by more than a rounding of float32
    (1 + 2^-23 passes, as a mean or a resized image may have it).
    """
    if shape_of(logits) != shape_of(targets) or not shape_of(logits):
        raise ValueError(
            f"bernoulli_nll: found logits of shape {shape_of(logits)} and targets of shape {shape_of(targets)}, "
            "wanted one shape [N, ...]"
        )
    check_between("bernoulli_nll", "targets", _without_rounding(targets), 0, 1)
    logits, targets = as_floats("bernoulli_nll", logits=logits, targets=targets)
    return (jax.nn.softplus(logits) - targets * logits).sum(axis=tuple(range(1, logits.ndim)))


def _without_rounding(targets):
    """Known floats with what lies within 2^-23 of [0, 1] put onto its end."""
    known = None if isinstance(targets, list | tuple) else concrete(targets)
    if known is None or known.dtype.kind != "f":
        return targets
    nearest = np.clip(known, 0, 1)
    return np.where(np.abs(known.astype(float) - nearest) <= 2.0**-23, nearest, known)


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
    shapes = shape_of(mean), shape_of(log_variance), shape_of(logits)
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


def _check_alike(where: str, **arrays: Any) -> None:
    shapes = {name: shape_of(value) for name, value in arrays.items()}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) < 2:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{where}: found {found}, wanted one shape of at least two axes")
