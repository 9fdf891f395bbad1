"""The true spaces and laws of the matrix, all in one sampler whose choices are traced numbers.

* a box [low, high]^n: laws truncated per coordinate; the whole space: bounds that are never met (`FAR`)
* `on_sphere` > 0: no bounds, and draws projected to the unit sphere
* marginal: around `marginal_center` * e_1 (0 or 1); a scale of `FLAT` is uniform on a box to float precision, and on a
  sphere a normal law around 0 is uniform; or von Mises-Fisher around e_1 with kappa = `marginal_scale`, 0 uniform
"""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from identax.checks import check_choice
from identax.dgp import Sphere, VonMisesFisher
from identax.dgp.truncated import truncated_generalized_normal
from identax.models import normalize

TRACED = (
    "on_sphere",
    "low",
    "high",
    "marginal_center",
    "marginal_p",
    "marginal_scale",
    "conditional_p",
    "conditional_scale",
)
FAR = 1e6
FLAT = 1e6
SPACES = {"sphere": (1.0, -FAR, FAR), "box": (0.0, 0.0, 1.0), "unbounded": (0.0, -FAR, FAR)}
"""space -> (on_sphere, low, high)"""


def check(cell: Any) -> None:
    """Raises `ValueError` for an unknown space or a law that does not exist on it."""
    check_choice("contrastive_ica", "space", cell.space, tuple(SPACES))
    check_choice("contrastive_ica", "conditional", cell.conditional, ("power", "vmf"))
    check_choice("contrastive_ica", "marginal", cell.marginal, ("power", "vmf"))
    for part in ("conditional", "marginal"):
        if getattr(cell, part) == "vmf" and cell.space != "sphere":
            raise ValueError(f"contrastive_ica: found von Mises-Fisher {part} in {cell.space!r}, wanted a sphere")
    if cell.space == "unbounded" and cell.marginal_scale >= FLAT:
        raise ValueError("contrastive_ica: found a uniform marginal on the unbounded space, wanted one that exists")
    if min(cell.marginal_p, cell.conditional_p) < 1:
        raise ValueError(
            f"contrastive_ica: found exponents {cell.marginal_p} and {cell.conditional_p}, wanted at least 1"
        )
    uniform = cell.marginal == "vmf" and cell.marginal_scale == 0
    if min(cell.marginal_scale + uniform, cell.conditional_scale) <= 0:
        raise ValueError(
            f"contrastive_ica: found scales {cell.marginal_scale} and {cell.conditional_scale}, wanted > 0"
        )


def anchors(numbers: Any, key: Key[Array, ""], num: int, dim: int, marginal: str = "power") -> Float[Array, "num dim"]:
    """Draws `num` anchors z: "vmf" around e_1 with kappa = `marginal_scale`, or the power law of the numbers."""
    if marginal == "vmf":
        pole = jnp.zeros((num, dim)).at[:, 0].set(1.0)
        return VonMisesFisher(numbers["marginal_scale"]).sample(key, pole, Sphere(dim))
    center = jnp.zeros((num, dim)).at[:, 0].set(numbers["marginal_center"])
    return _draw(numbers, key, center, numbers["marginal_p"], numbers["marginal_scale"])


def positives(numbers: Any, key: Key[Array, ""], z: Float[Array, "N n"], conditional: str) -> Float[Array, "N n"]:
    """Draws z+ around every row of z: "vmf" with kappa = `conditional_scale`, or the power law of the numbers."""
    if conditional == "vmf":
        return VonMisesFisher(numbers["conditional_scale"]).sample(key, z, Sphere(z.shape[1]))
    return _draw(numbers, key, z, numbers["conditional_p"], numbers["conditional_scale"])


def fitted_temperature(conditional_p: float, scale: float, loss_p: float) -> float:
    """Temperature of an Lp loss that fits a generalised normal conditional best: tau = p E|z+_j - z_j|^p.

        tau = p scale^p Gamma((p+1)/q) / Gamma(1/q),    p of the loss, q and scale of the conditional

    It maximises the likelihood of exp(-|.|^p / tau); for p = q it is scale^p, e.g. 2 std^2 for Normal(std).
    """
    q = conditional_p
    return loss_p * scale**loss_p * math.gamma((loss_p + 1) / q) / math.gamma(1 / q)


def _draw(numbers, key, center, p, scale):
    """center + scale * noise, noise with density prop. to exp(-|.|^p), truncated to the bounds, then projected."""
    flat = center.T.reshape(-1)  # the long axis innermost: random numbers are then several times faster
    noise = truncated_generalized_normal(key, (numbers["low"] - flat) / scale, (numbers["high"] - flat) / scale, p)
    drawn = jnp.clip(flat + scale * noise, numbers["low"], numbers["high"])
    drawn = drawn.reshape(center.shape[::-1]).T
    return jnp.where(numbers["on_sphere"] > 0, normalize(drawn), drawn)
