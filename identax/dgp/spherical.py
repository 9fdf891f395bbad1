"""The von Mises-Fisher law."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from identax.checks import check_positive
from identax.dgp.base import pytree_params
from identax.dgp.conditionals import Conditional
from identax.dgp.rejection import first_accepted
from identax.dgp.spaces import Sphere


@pytree_params
@dataclasses.dataclass(frozen=True)
class VonMisesFisher(Conditional):
    """p(z+|z) prop. to exp(kappa u^T v), u and v the directions of z and z+, on a sphere of any radius.

    `kappa` is the concentration itself, scalar and > 0 (not 1/std^2; Zimmermann et al. 2021, code). Wood's
    (1994) rejection for the cosine, in terms of 1 - cosine: that stays exact for kappa -> 0 and -> inf.
    Draws carry no gradient. `log_prob` is kappa u^T v, the log density up to a constant of kappa and n.
    Raises `ValueError` unless kappa is finite and > 0 and n >= 2.
    """

    kappa: ArrayLike

    by_rejection = True
    spaces = (Sphere,)
    default_space = Sphere

    def __post_init__(self):
        check_positive("VonMisesFisher", "kappa", self.kappa)

    def check(self, space):
        """Raises `ValueError` unless `space` is a sphere with n >= 2."""
        super().check(space)
        if space.n < 2:
            raise ValueError(f"VonMisesFisher: found {space}, wanted n of at least 2")

    def _sample(self, key, mean, space):
        mean, kappa = jax.lax.stop_gradient((mean, jnp.asarray(self.kappa, mean.dtype)))
        d = space.n - 1
        b = d / (jnp.sqrt(4 * kappa**2 + d**2) + 2 * kappa)

        def propose(key, anchor, num):
            count = anchor.shape[-1]
            g = jax.random.normal(key, (d + 1, num * count), anchor.dtype).reshape(-1, num, count)
            level = jax.random.uniform(jax.random.fold_in(key, 1), (num * count,), anchor.dtype)
            # (1 + cosine)/2 of a uniform direction is Wood's Beta(d/2, d/2), and the rest of that direction
            # is an independent uniform tangent: one Gaussian vector gives both.
            along = (anchor[:, None] * g).sum(axis=0)
            tangent = g - along[None] * anchor[:, None]
            size = jnp.sqrt(jnp.square(tangent).sum(axis=0))
            cosine = along / jnp.hypot(along, size)
            t = 0.5 * (1 + cosine) / (0.5 * (1 - cosine) + b * 0.5 * (1 + cosine))
            gap = 2 * b * t  # 1 - w, w the proposed cosine to the anchor
            log_ratio = 2 * b * kappa * (1 / (1 + b) - t) + d * jnp.log(0.5 * (1 + (1 - b) * t) * (1 + b))
            drawn = (1 - gap)[None] * anchor[:, None]
            drawn = drawn + tangent * (jnp.sqrt(jnp.maximum(gap * (2 - gap), 0)) / size)[None]
            return drawn, (jnp.log(level.reshape(num, count)) <= log_ratio) | ~jnp.isfinite(log_ratio)

        drawn = first_accepted(propose, key, (mean / space.radius).T, num_proposals=6)
        return space.project(drawn.T)

    def _log_prob(self, value, mean, space):
        return jnp.asarray(self.kappa, mean.dtype) * (value * mean).sum(axis=-1) / space.radius**2
