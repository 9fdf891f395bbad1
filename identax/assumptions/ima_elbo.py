"""The ELBO of the best encoder for a fixed decoder: every sample's own normal posterior, optimised exactly."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.assumptions._newton import newton
from identax.assumptions.ima import Function, decoded_shape, jacobian_matrices, latents, variance_of
from identax.checks import check_count, check_finite, check_positive
from identax.inputs import float_type, kept, numbers
from identax.losses.priors import GivenPrior, check_prior
from identax.metrics import column_norms

_LOG_2PI = math.log(2 * math.pi)
_KL_NODES = 64  # of a quadrature in one dimension
_BYTES = 2**26  # of what the nodes of one chunk of samples are decoded to
_HIGHEST = jax.lax.Precision.HIGHEST


class Nodes(NamedTuple):
    """Points of a standard normal vector and their weights, which sum to 1: E g(eps) ~ sum_q weights_q g(points_q)."""

    points: Any  # [Q, d]
    weights: Any  # [Q]


class EncoderOptimum(NamedTuple):
    """ELBO* and its posterior N(mean, exp(log_variance)) of u, per sample.

    `slope`: norm of the gradient before the last step, by (mean / sigma, log sigma); before it the value was about
    slope^2 / 2 too low.
    """

    value: Any  # [N], nats
    mean: Any  # [N, d]
    log_variance: Any  # [N, d]
    slope: Any  # [N]


def gauss_hermite(dim: int, num: int = 24) -> Nodes:
    """The tensor product of Gauss-Hermite rules, num^dim nodes: exact for polynomials of degree 2 num - 1 per dim.

    Raises `ValueError` for counts that are no positive integers and more than a million nodes.
    """
    check_count("gauss_hermite", "dim", dim)
    check_count("gauss_hermite", "num", num)
    dim, num = int(dim), int(num)  # of NumPy too, whose arrays would multiply a list and not repeat it
    if num**dim > 10**6:
        raise ValueError(f"gauss_hermite: found {num}^{dim} nodes, wanted at most 10^6; see matched_normals")
    points, weights = np.polynomial.hermite_e.hermegauss(num)
    grid = np.stack(np.meshgrid(*[points] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    product = functools.reduce(np.multiply.outer, [weights / weights.sum()] * dim).ravel()
    return Nodes(jnp.asarray(grid, float), jnp.asarray(product, float))


def matched_normals(key: Key[Array, ""], dim: int, num: int = 1024) -> Nodes:
    """`num` normal draws of equal weight in pairs +-eps, whose covariance is exactly I: fixed noise for any dim.

    Exact for quadratic and odd functions of eps, so that the error falls with the posterior's width and not with `num`
    alone; for a linear decoder and a Gaussian prior there is none.
    Raises `ValueError` for num that is odd or below 2 dim.
    """
    check_count("matched_normals", "dim", dim)
    check_count("matched_normals", "num", num, 2 * dim)
    dim, num = int(dim), int(num)
    if num % 2:
        raise ValueError(f"matched_normals: found num={num}, wanted an even number: draws come in pairs")
    half = jax.random.normal(key, (num // 2, dim), float)
    factor = jnp.linalg.cholesky(half.T @ half / len(half))
    half = jax.scipy.linalg.solve_triangular(factor, half.T, lower=True).T
    return Nodes(jnp.concatenate([half, -half]), jnp.full((num,), 1 / num))


def elbo_star(
    function: Function,
    z: Any,
    *,
    prior: GivenPrior,
    precision: Any,
    nodes: Nodes | None = None,
    num_steps: int = 60,
    annealing: Sequence[float | int] = (),
) -> EncoderOptimum:
    """Maximum over encoders of the ELBO of the decoder `function`, at x = function(z) without observation noise.

        ELBO*(x) = max over (mu, sigma) of E log N(x; f(squash(mu + sigma eps)), I / gamma^2) - KL(N(mu, sigma^2) || p)

    z [N, d], `precision` = gamma^2 > 0, which may be traced. The expectation is a sum over `nodes`, by default
    Gauss-Hermite with 24^d for d <= 2 and 12^3 for d = 3; the divergence is in closed form or by quadrature. Newton's
    method from the asymptotic optimum (u, `asymptotic_variance`), in units of its standard deviation. `annealing`
    factors of the precision, such as (1e-3, 1e-2, .1): a second start follows the optimum from these to 1; the better
    one is kept. Of several optima the result is a good one, not proved to be the best.
    In float64 for differences below 1e-4. Compiles once for each `function` and `prior` (the objects) and shape.
    Raises `ValueError` for z outside the prior's support, a known precision or factor <= 0, nodes of another dim, and
    d > 3 without nodes.
    Source: Reizinger et al. 2022, figure 3 (there an encoder network); optimiser and quadrature: own.
    """
    check_positive("elbo_star", "precision", precision, ())
    check_count("elbo_star", "num_steps", num_steps)
    factors = tuple(float(factor) for factor in annealing)
    check_positive("elbo_star", "annealing", [1.0, *factors])
    z = latents("elbo_star", z, prior)
    decoded_shape("elbo_star", function, z)
    nodes = _nodes("elbo_star", nodes, z)
    return _optimum(function, prior, int(num_steps), factors, z, nodes, jnp.asarray(precision, z.dtype))


def encoder_elbo(
    function: Function,
    x: Any,
    mean: Any,
    log_variance: Any,
    *,
    prior: GivenPrior,
    precision: Any,
    nodes: Nodes | None = None,
) -> Float[Array, " N"]:
    """The ELBO of given posteriors N(mean, exp(log_variance)) of u [N, d] at x [N, ...], without sampling noise.

    What `elbo_star` is the maximum of; its value for an encoder network is comparable with it to many digits.
    Raises `ValueError` for shapes that do not match, those of x and of what `function` decodes to among them, a known
    precision <= 0, what is no `Prior` and as `elbo_star` for nodes.
    """
    where = "encoder_elbo"
    check_positive(where, "precision", precision, ())
    check_prior(where, prior)
    arrays = {"x": x, "mean": mean, "log_variance": log_variance}
    arrays = {name: numbers(where, name, array) for name, array in arrays.items()}
    dtype = float_type(*arrays.values())
    x, mean, log_variance = (jnp.asarray(kept(where, name, array, dtype)) for name, array in arrays.items())
    if mean.ndim != 2 or mean.shape != log_variance.shape or x.ndim < 2 or len(x) != len(mean) or 0 in mean.shape:
        raise ValueError(
            f"{where}: found x {x.shape}, mean {mean.shape} and log_variance {log_variance.shape}, wanted [N, ...], "
            "[N, d] and [N, d]"
        )
    decoded = decoded_shape(where, function, mean)
    if x.shape != decoded:  # an axis of 1 would be repeated without a word
        raise ValueError(f"{where}: found x {x.shape} and a function that decodes to {decoded}, wanted one shape")
    nodes = _nodes(where, nodes, mean)
    return _values(function, prior, x.reshape(len(x), -1), mean, log_variance, nodes, jnp.asarray(precision, dtype))


def expected_kl(mean: Array, log_variance: Array, prior: GivenPrior) -> Array:
    """KL(N(mean, exp(log_variance)) || prior) per coordinate, [..., d]: in closed form or by 64-point quadrature."""
    if prior.kl is not None:
        return prior.kl(mean, log_variance)
    points, weights = (jnp.asarray(array, mean.dtype) for array in _one_dim())
    u = mean[None] + jnp.exp(0.5 * log_variance)[None] * points.reshape((-1,) + (1,) * mean.ndim)
    expected = jnp.tensordot(weights, prior.log_prob(u), axes=1, precision=_HIGHEST)
    return -0.5 * (_LOG_2PI + 1 + log_variance) - expected


@functools.cache
def _one_dim():
    points, weights = np.polynomial.hermite_e.hermegauss(_KL_NODES)
    return points, weights / weights.sum()


def _nodes(where, nodes, z):
    dim = z.shape[1]
    if nodes is None:
        if dim > 3:
            raise ValueError(f"{where}: found {dim} latents without nodes, wanted nodes=matched_normals(key, {dim})")
        nodes = gauss_hermite(dim, 24 if dim < 3 else 12)
    points, weights = (jnp.asarray(array, z.dtype) for array in nodes)
    if points.ndim != 2 or points.shape[1] != dim or weights.shape != points.shape[:1]:
        raise ValueError(f"{where}: found nodes {points.shape} with weights {weights.shape}, wanted [Q, {dim}] and [Q]")
    check_finite(where, "nodes", points)
    return Nodes(points, weights)


def _value(function, prior, x, mean, log_variance, nodes, precision):
    """ELBO of one sample: x [D], mean and log_variance [d]."""
    u = mean[None] + jnp.exp(0.5 * log_variance)[None] * nodes.points
    decoded = function(prior.squash(u)).reshape(len(u), -1)
    error = jnp.dot(nodes.weights, jnp.square(x[None] - decoded).sum(axis=1), precision=_HIGHEST)
    constant = 0.5 * x.size * (jnp.log(precision) - _LOG_2PI)
    return constant - 0.5 * precision * error - expected_kl(mean, log_variance, prior).sum()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _values(function, prior, x, mean, log_variance, nodes, precision):
    def one(args):
        x, mean, log_variance = args
        return _value(function, prior, x, mean, log_variance, nodes, precision)

    return jax.lax.map(one, (x, mean, log_variance), batch_size=_chunk(x, nodes))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _optimum(function, prior, num_steps, factors, z, nodes, precision):
    x = function(z).reshape(len(z), -1)
    u, norms = prior.unsquash(z), column_norms(jacobian_matrices(function, z))

    def one(args):
        x, u, norms = args

        def maximise(before, phase):
            """From the posterior before, or the asymptotic one, in units of the latter's standard deviation."""
            factor, anew = phase
            gamma2 = factor * precision
            log_scale = 0.5 * jnp.log(variance_of(norms, u, prior, gamma2))

            def posterior(parameters):
                shift, stretch = jnp.split(parameters, 2)
                return u + jnp.exp(log_scale) * shift, 2 * (log_scale + stretch)

            def value(parameters):
                mean, log_variance = posterior(parameters)
                return _value(function, prior, x, mean, log_variance, nodes, gamma2)

            mean, log_variance = before
            start = jnp.concatenate([(mean - u) / jnp.exp(log_scale), 0.5 * log_variance - log_scale])
            found = newton(value, jnp.where(anew, 0.0, start), num_steps)
            return posterior(found.at), EncoderOptimum(found.value, *posterior(found.at), found.slope)

        # The path through the factors, then a start of its own.
        phases = jnp.array([*factors, *([1.0] if factors else []), 1.0], u.dtype)
        anew = np.isin(np.arange(len(phases)), [0, len(phases) - 1])
        _, found = jax.lax.scan(maximise, (u, jnp.zeros_like(u)), (phases, anew))
        path, own = max(len(phases) - 2, 0), len(phases) - 1
        best = jnp.where(found.value[path] > found.value[own], path, own)
        return jax.tree.map(lambda leaf: leaf[best], found)

    return jax.lax.map(one, (x, u, norms), batch_size=_chunk(x, nodes))


def _chunk(x, nodes):
    return max(1, _BYTES // (len(nodes.weights) * (x.shape[1] + nodes.points.shape[1]) * x.dtype.itemsize * 16))
