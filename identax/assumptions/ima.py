"""What a variational autoencoder tends to as its decoder's noise vanishes: L_IMA, the log-likelihood less a contrast.

Everything takes a decoder or true map `function`: z [N, d] -> x [N, ...], each row apart, and a prior of the unsquashed
latent u (`losses.Prior`), so that contrasts and bounds are those of u -> function(prior.squash(u)). Log-densities and
bounds do not depend on which of u and z is looked at, variances do: they are those of u, as encoders output them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.checks import check_positive, concrete
from identax.inputs import float_type, kept, numbers
from identax.jacobians import jacobian
from identax.losses.priors import GivenPrior, check_prior
from identax.metrics import c_ima, column_norms

Function = Callable[[Array], Array]


def l_ima(function: Function, z: Any, prior: GivenPrior) -> Float[Array, " N"]:
    """What the ELBO tends to as its encoder is optimal and gamma goes to infinity, at every x = function(z).

        L_IMA(x) = log p(z) - sum_k log ||J_k|| = log p(x) - c_IMA(function, z),    J = dx/dz [D, d]

    in nats, z [N, d]; no determinant is left in it. Columns of zeros give inf.
    Raises `ValueError` unless z is [N, d], inside the prior's support where known.
    Source: Reizinger et al. 2022, theorem 1.
    """
    z = latents("l_ima", z, prior)
    return log_density(z, prior) - jnp.log(column_norms(jacobian_matrices(function, z))).sum(axis=-1)


def log_likelihood(function: Function, z: Any, prior: GivenPrior) -> Float[Array, " N"]:
    """log density of x = function(z) without observation noise, on the d-dimensional surface where x has more dims.

        log p(x) = log p(z) - 1/2 log det J^T J,    for D = d: log p(z) - log |det J|

    in nats, z [N, d]. `function` must be one to one; that is not checked beyond the rank of J.
    Raises `ValueError` as `l_ima` and `c_ima` (D < d, known singular Jacobians). Source: change of variables.
    """
    z = latents("log_likelihood", z, prior)
    matrices = jacobian_matrices(function, z)
    return log_density(z, prior) - jnp.log(column_norms(matrices)).sum(axis=-1) + c_ima(matrices)


def global_c_ima(function: Function, z: Any) -> Float[Array, ""]:
    """C_IMA = E c_IMA(function, z), the mean over draws z [N, d] of the prior: what L_IMA lies below log p on average.

    Raises `ValueError` as `c_ima`. Source: Gresele et al. 2021, definition 4.5.
    """
    return c_ima(
        jacobian_matrices(function, jnp.asarray(numbers("global_c_ima", "z", z), float_type(np.zeros(0))))
    ).mean()


def asymptotic_variance(jacobian: Any, z: Any, prior: GivenPrior, precision: Any) -> Float[Array, "N d"]:
    """Variances of the optimal diagonal posterior as gamma^2 = `precision` grows, of u, where `jacobian` = dx/dz.

        sigma_k^2 = 1 / (-d^2 log p(u_k) / du_k^2 + gamma^2 ||J_k||^2 (dz_k/du_k)^2)

    jacobian [N, ..., d] at z [N, d]; `precision` one number > 0. With z = sigmoid(u) uniform this is
    1 / (2 z (1 - z) + gamma^2 ||J_k||^2 (z (1 - z))^2); the squares of z (1 - z) <= 1/4 are missing in the authors'
    comparison. Relative errors fall as 1 / gamma^2. For a Laplace prior, which has no curvature, off 0.
    Raises `ValueError` for shapes that do not match, z outside the prior's support, and a known precision <= 0.
    Source: Reizinger et al. 2022, proposition on self-consistency; squashed priors: own.
    """
    where = "asymptotic_variance"
    check_positive(where, "precision", precision, ())
    z = latents(where, z, prior)
    matrices = jnp.asarray(numbers(where, "jacobian", jacobian))
    if matrices.ndim < 3 or (matrices.shape[0], matrices.shape[-1]) != z.shape:
        raise ValueError(f"{where}: found jacobian {matrices.shape} and z {z.shape}, wanted [N, ..., d] and [N, d]")
    norms = column_norms(matrices.reshape(len(z), -1, z.shape[1]))
    return variance_of(norms, prior.unsquash(z), prior, jnp.asarray(precision, z.dtype))


def variance_of(norms: Float[Array, "*batch d"], u: Float[Array, "*batch d"], prior: GivenPrior, precision: Any):
    """`asymptotic_variance` from norms of the columns of dx/dz and from u, without checks."""
    return 1 / (prior.curvature(u) + precision * jnp.square(norms * jnp.exp(prior.log_slope(u))))


def latents(where: str, z: Any, prior: GivenPrior) -> Float[Array, "N d"]:
    """z as floats [N, d].

    Raises `ValueError` for other shapes, known values outside the support of the prior, an offset that costs float32
    the digits of the host's numbers, and what is no `Prior`.
    """
    check_prior(where, prior)
    array = numbers(where, "z", z)
    if np.ndim(array) != 2 or 0 in np.shape(array):
        raise ValueError(f"{where}: found z of shape {np.shape(array)}, wanted [N, d] with N, d >= 1")
    z = jnp.asarray(kept(where, "z", array))
    with jax.ensure_compile_time_eval():  # what is known stays so inside a program
        known = concrete(z)
        inside = None if known is None else concrete(jnp.isfinite(prior.unsquash(z)))
    if known is not None and inside is not None and not inside.all():
        raise ValueError(
            f"{where}: found {int((~inside).sum())} entries of z outside the support of the prior {prior.name!r} or at "
            f"its ends (from {known.min():g} to {known.max():g}), wanted them inside"
        )
    return z


def decoded_shape(where: str, function: Function, z: Float[Array, "N d"]) -> tuple[int, ...]:
    """The shape of x = function(z); raises `ValueError` unless that is one array [N, ...]."""
    found: Any = jax.eval_shape(function, z)
    shape = getattr(found, "shape", ())
    if not shape or shape[0] != len(z):
        raise ValueError(f"{where}: found function(z) of {found} for z of shape {z.shape}, wanted [N, ...]")
    return shape


def log_density(z: Float[Array, "N d"], prior: GivenPrior) -> Float[Array, " N"]:
    """log p(z) of the latent that the decoder receives, without checks."""
    u = prior.unsquash(z)
    return (prior.log_prob(u) - prior.log_slope(u)).sum(axis=-1)


def jacobian_matrices(function: Function, z: Float[Array, "N d"]) -> Float[Array, "N D d"]:
    """dx/dz with the axes of x flattened."""
    return jacobian(function, z).reshape(len(z), -1, z.shape[1])
