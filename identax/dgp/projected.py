"""Density on the sphere of a point that was moved by noise and projected back."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.dgp.conditionals import Conditional, GeneralizedNormal, Laplace, Normal
from identax.dgp.spaces import Euclidean

_NODES, _REACH = 81, 5.0  # sinh(5) is 74 scales to either side; steps of 1/8 scale in the middle


def projected_log_prob(law: Conditional, value: Float[Array, "N n"], mean: Float[Array, "N n"]) -> Float[Array, " N"]:
    """log density on the unit sphere of z+ = m/|m|, m = z + noise: `law` is a Normal, Laplace or GeneralizedNormal.

        p(u|z) = int_0^inf r^(n-1) q(r u - z) dr,    q the density of the noise in R^n

    by the trapezoid rule in t, r = scale softplus(max(<u, z>, 0) / scale + sinh(t)): normalised, to about 1e-3 where q
    has kinks (Laplace) and 1e-6 where it is smooth. Args: `value` u and `mean` z [N, n], unit rows for u.
    Raises `ValueError` for another law and shapes that do not fit.
    """
    if not isinstance(law, Normal | Laplace | GeneralizedNormal):
        raise ValueError(
            f"projected_log_prob: found {law}, wanted a Normal, Laplace or GeneralizedNormal (no closed form)"
        )
    if value.ndim != 2 or value.shape != mean.shape:
        raise ValueError(f"projected_log_prob: found shapes {value.shape} and {mean.shape}, wanted two of [N, n]")
    return _integrated(law, value, mean)


@jax.jit
def _integrated(law, value, mean):
    dim = value.shape[1]
    scale = jnp.max(jnp.asarray(law.std if isinstance(law, Normal) else law.scale, value.dtype))
    start = jnp.maximum(jnp.sum(value * mean, axis=1), 0.0) / scale
    step = 2 * _REACH / (_NODES - 1)

    def node(total, t):
        place = start + jnp.sinh(t)
        # log softplus(y) is y for y -> -inf, where softplus itself leaves the range of float32
        log_radius = jnp.where(place < -20, place, jnp.log(jax.nn.softplus(jnp.maximum(place, -20.0))))
        density = law.log_prob((scale * jnp.exp(log_radius))[:, None] * value, mean, Euclidean(dim))
        log_step = jax.nn.log_sigmoid(place) + jnp.log(jnp.cosh(t) * step)
        return jnp.logaddexp(total, (dim - 1) * log_radius + density + log_step), None

    nodes = jnp.asarray(np.linspace(-_REACH, _REACH, _NODES), value.dtype)
    total = jax.lax.scan(node, jnp.full(start.shape, -jnp.inf, value.dtype), nodes)[0]
    return total + dim * jnp.log(scale)
