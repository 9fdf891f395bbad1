"""Which of two linearly related variables is the cause, by what is not Gaussian in them."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from identax.causal._samples import Data
from identax.checks import check_finite
from identax.inputs import centred, float_type, numbers

_K1, _K2, _GAMMA = 79.047, 7.4129, 0.37457
"""of the maximum-entropy approximation; gamma = E log cosh of a standard normal"""


class LingamDecision(NamedTuple):
    """`structure`: 0 for X -> Y, 1 for Y -> X, 2 for no edge (`dgp.STRUCTURES`); `likelihood_ratio`: how much higher
    the log-likelihood of X -> Y is, per sample; `t_squared` of the slope, which says whether there is an edge."""

    structure: Int[Array, "*sets"]
    likelihood_ratio: Float[Array, "*sets"]
    t_squared: Float[Array, "*sets"]


def pairwise_lingam(x: Data, y: Data) -> LingamDecision:
    """The direction of a linear non-Gaussian pair by its likelihood ratio, and no edge where BIC wants no slope.

        R = H(y) + H(x - r y) - H(x) - H(y - r x),   all standardised, r the correlation;   R >= 0: X -> Y
        H(u) ~ (1 + log 2 pi)/2 - k1 (E log cosh u - gamma)^2 - k2 (E u exp(-u^2/2))^2
        an edge where t^2 = (n - 2) r^2 / (1 - r^2) > log n

    For two variables that is DirectLiNGAM with its adaptive lasso, whose path has one knot. Samples count as i.i.d.:
    environments are not used. Without noise in the relation R = 0, and no edge where x or y is constant. In compiled
    programs entries that are not finite give NaN, and no edge.
    Args: `x`, `y` [n], or [B, n] for B data sets. Returns scalars or [B].
    Raises `ValueError` for other shapes, n < 4 and non-finite entries.
    Source: Hyvarinen and Smith 2013 (the ratio); Hyvarinen 1998 (k1, k2, gamma); Shimizu et al. 2011 (DirectLiNGAM).
    """
    where = "pairwise_lingam"
    values = {name: numbers(where, name, value) for name, value in (("x", x), ("y", y))}
    shapes = [value.shape for value in values.values()]
    if shapes[0] != shapes[1] or len(shapes[0]) not in (1, 2) or 0 in shapes[0] or shapes[0][-1] < 4:
        found = " and ".join(map(str, shapes))
        raise ValueError(f"{where}: found x and y of shapes {found}, wanted both [n] or [B, n] with n >= 4")
    for name, value in values.items():
        check_finite(where, name, value)
    dtype = float_type(*values.values())
    moved = [centred(where, axis=-1, scaled=True, dtype=dtype, **{name: value})[0] for name, value in values.items()]
    return _decided(*(jnp.asarray(value, dtype) for value in moved))


@partial(jax.jit, inline=True)
def _decided(x, y) -> LingamDecision:
    num = x.shape[-1]
    (x, x_varies), (y, y_varies) = _standardised(x, x), _standardised(y, y)
    r = jnp.clip((x * y).mean(axis=-1), -1.0, 1.0)
    of_x, of_y = (_standardised(one - r[..., None] * other, one)[0] for one, other in ((x, y), (y, x)))
    ratio = _entropy(y) + _entropy(of_x) - _entropy(x) - _entropy(of_y)
    rest = 1 - r * r
    exact = rest <= 0
    t_squared = jnp.where(exact, jnp.inf, (num - 2) * r * r / jnp.where(exact, 1.0, rest))
    t_squared = jnp.where(x_varies & y_varies, t_squared, 0.0)
    structure = jnp.where(t_squared > math.log(num), jnp.where(ratio >= 0, 0, 1), 2).astype(jnp.int32)
    return LingamDecision(structure, ratio, t_squared)


def _standardised(values, of):
    """Mean 0 and variance 1 (divisor n) along the last axis, 0 where that is rounding of `of`; and where it is not."""
    moved = values - values.mean(axis=-1, keepdims=True)
    squares = (moved * moved).mean(axis=-1)
    varies = ~(squares <= (16 * float(jnp.finfo(values.dtype).eps)) ** 2 * (of * of).mean(axis=-1))
    scale = jnp.sqrt(jnp.where(varies, squares, 1.0))
    return jnp.where(varies[..., None], moved / scale[..., None], 0.0), varies


def _entropy(u):
    log_cosh = jnp.logaddexp(u, -u) - math.log(2)
    even, odd = log_cosh.mean(axis=-1) - _GAMMA, (u * jnp.exp(-u * u / 2)).mean(axis=-1)
    return (1 + math.log(2 * math.pi)) / 2 - _K1 * even**2 - _K2 * odd**2
