"""Laws of a point around a centre: conditionals p(z+|z) (centre = anchor) and marginals (fixed centre)."""

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_positive, concrete
from identax.dgp import truncated
from identax.dgp.base import compiled, pytree_params
from identax.dgp.spaces import Box, Euclidean, Space, Sphere
from identax.inputs import numbers


class Conditional(abc.ABC):
    """A law of z+ given z on a space.

    Parameters are pytree leaves and may be traced, so `vmap` over precisions or concentrations works; the
    space is static. `space=None` stands for `default_space`.
    """

    spaces: ClassVar[tuple[type, ...]]
    default_space: ClassVar[type]
    by_rejection: ClassVar[bool] = False  # draws in a loop, which outside jit is to be compiled once per shape

    def sample(self, key: Key[Array, ""], mean: Any, space: Space | None = None) -> Float[Array, "N n"]:
        """Draws one point around every row of `mean`.

        Integers are points like any other. Raises `ValueError` for a space without this law, points of another size
        and what is no real number.
        """
        mean = self._points("mean", mean)
        space = self._resolve(mean, space)
        if self.by_rejection and _hashable(space):
            return _drawn(self, key, mean, space)
        return self._sample(key, mean, space)

    def log_prob(self, value: Any, mean: Any, space: Space | None = None) -> Float[Array, " N"]:
        """Returns log p(value | mean), up to a constant where the law's docstring says so.

        Raises `ValueError` as `sample` does, and where the law has no closed-form density.
        """
        value, mean = self._points("value", value), self._points("mean", mean)
        space = self._resolve(mean, space)
        if value.shape != mean.shape:
            raise ValueError(
                f"{type(self).__name__}.log_prob: found values {value.shape}, wanted {mean.shape} like mean"
            )
        return self._log_prob(value, mean, space)

    @abc.abstractmethod
    def _sample(self, key, mean, space: Any) -> Array: ...

    @abc.abstractmethod
    def _log_prob(self, value, mean, space: Any) -> Array: ...

    def marginal(
        self, key: Key[Array, ""], num: int, space: Space, center: Float[Array, " n"] | None = None
    ) -> Float[Array, "num n"]:
        """Draws `num` points around one centre, by default `space.center()`."""
        center = space.center() if center is None else center
        return self.sample(key, jnp.broadcast_to(center, (num, space.n)), space)

    def check(self, space: Space) -> None:
        """Raises `ValueError` unless this law exists on `space`."""
        if not isinstance(space, self.spaces):
            wanted = " or ".join(kind.__name__ for kind in self.spaces)
            raise ValueError(f"{type(self).__name__}: found the space {space}, wanted a {wanted}")

    def _points(self, name, value) -> Array:
        """As floats: a law's parameters take the type of its points, and an integer scale would be another one."""
        value = numbers(type(self).__name__, name, value)
        return jnp.asarray(value, None if jnp.issubdtype(value.dtype, jnp.floating) else float)

    def _resolve(self, mean, space) -> Any:
        if mean.ndim != 2:
            raise ValueError(f"{type(self).__name__}: found points of shape {mean.shape}, wanted [N, n]")
        space = self.default_space(mean.shape[-1]) if space is None else space
        self.check(space)
        if mean.shape[-1] != space.n:
            raise ValueError(f"{type(self).__name__}: found points of shape {mean.shape}, wanted [N, n] for {space}")
        return space


def _hashable(space: Any) -> bool:
    try:
        hash(space)
    except TypeError:  # a radius that is an array
        return False
    return True


def _sampled(law: Any, key: Any, mean: Any, space: Any) -> Array:
    return law._sample(key, mean, space)


_drawn = compiled(_sampled, static=(3,))


@pytree_params
@dataclasses.dataclass(frozen=True)
class Uniform(Conditional):
    """The uniform law of a sphere or box; the centre is ignored.

    `log_prob` is normalised: -log volume, -inf outside a box (on a sphere values are taken to be on it).
    """

    spaces = (Sphere, Box)
    default_space = Sphere

    def _sample(self, key, mean, space):
        return space.uniform(key, mean.shape[0]).astype(mean.dtype)

    def _log_prob(self, value, mean, space):
        inside = space.contains(value, 0.0) if isinstance(space, Box) else jnp.ones(value.shape[0], bool)
        return jnp.where(inside, jnp.asarray(-space.log_volume(), value.dtype), -jnp.inf)


class _Additive(Conditional):
    """z+ = z + scale * noise with i.i.d. coordinates, then constrained to the space.

    Euclidean: as it is. Box: every coordinate truncated to [low, high], exactly. Sphere: radius * m/|m|.
    `log_prob` is normalised on Euclidean and Box (-inf outside). On a sphere there is no closed form: it raises.
    """

    spaces = (Sphere, Box, Euclidean)
    default_space = Euclidean

    def _parameters(self, dtype) -> tuple[Any, ...]:
        """Returns (scale, further shape parameters ...)."""
        raise NotImplementedError

    def _sample(self, key, mean, space):
        scale, *shape = self._parameters(mean.dtype)
        flat = mean.T.reshape(-1)  # the long axis innermost: random numbers are then several times faster
        scale = jnp.broadcast_to(scale, mean.shape).T.reshape(-1)
        if isinstance(space, Box):
            low, high = (space.low - flat) / scale, (space.high - flat) / scale
            drawn = jnp.clip(flat + scale * self._truncated(key, low, high, *shape), space.low, space.high)
        else:
            drawn = flat + scale * self._noise(key, flat.shape, mean.dtype, *shape)
        drawn = drawn.reshape(mean.shape[::-1]).T
        return space.project(drawn) if isinstance(space, Sphere) else drawn

    def _log_prob(self, value, mean, space):
        if isinstance(space, Sphere):
            raise ValueError(f"{type(self).__name__}.log_prob: found {space}, wanted Euclidean or Box (no closed form)")
        scale, *shape = self._parameters(mean.dtype)
        scale = jnp.broadcast_to(scale, mean.shape)
        density = self._log_density((value - mean) / scale, *shape) - jnp.log(scale)
        if isinstance(space, Box):
            low, high = (space.low - mean) / scale, (space.high - mean) / scale
            density = density - self._log_mass(low, high, *shape)
            return jnp.where(space.contains(value, 0.0), density.sum(axis=-1), -jnp.inf)
        return density.sum(axis=-1)

    _noise: Any
    _truncated: Any
    _log_density: Any
    _log_mass: Any


@pytree_params
@dataclasses.dataclass(frozen=True)
class Normal(_Additive):
    """p(z+|z) prop. to exp(-|z+ - z|^2 / (2 std^2)) before the constraint (Zimmermann et al. 2021).

    `std`: a scalar or one entry per coordinate, in latent units. Raises `ValueError` unless finite and > 0.
    """

    std: ArrayLike

    def __post_init__(self):
        check_positive("Normal", "std", self.std)

    def _parameters(self, dtype):
        return (jnp.asarray(self.std, dtype),)

    _noise = staticmethod(jax.random.normal)
    _truncated = staticmethod(truncated.truncated_normal)
    _log_mass = staticmethod(truncated.normal_log_mass)

    @staticmethod
    def _log_density(x):
        return -0.5 * jnp.square(x) - 0.5 * np.log(2 * np.pi).item()


@pytree_params
@dataclasses.dataclass(frozen=True)
class Laplace(_Additive):
    """p(z+|z) prop. to exp(-|z+ - z|_1 / scale) before the constraint (Zimmermann et al. 2021).

    `scale`: a scalar or one entry per coordinate; the standard deviation is sqrt(2) scale. Raises
    `ValueError` unless finite and > 0.
    """

    scale: ArrayLike

    def __post_init__(self):
        check_positive("Laplace", "scale", self.scale)

    def _parameters(self, dtype):
        return (jnp.asarray(self.scale, dtype),)

    _noise = staticmethod(jax.random.laplace)
    _truncated = staticmethod(truncated.truncated_laplace)
    _log_mass = staticmethod(truncated.laplace_log_mass)

    @staticmethod
    def _log_density(x):
        return -jnp.abs(x) - np.log(2).item()


@pytree_params
@dataclasses.dataclass(frozen=True)
class GeneralizedNormal(_Additive):
    """p(z+|z) prop. to exp(-sum_i |(z+ - z)_i / scale|^p) before the constraint (Zimmermann et al. 2021).

    Beware: p=2 has variance scale^2/2, so it is not `Normal(scale)`. `p`: a scalar > 0, and >= 1 on a box;
    `scale`: a scalar or one entry per coordinate. On a box the draw is by rejection and carries no gradient.
    Raises `ValueError` for parameters outside these ranges.
    """

    p: ArrayLike
    scale: ArrayLike = 1.0

    by_rejection = True  # on a box

    def __post_init__(self):
        check_positive("GeneralizedNormal", "p", self.p)
        check_positive("GeneralizedNormal", "scale", self.scale)

    def check(self, space):
        """Raises `ValueError` for p < 1 on a box (where p is known)."""
        super().check(space)
        p = concrete(self.p)
        if isinstance(space, Box) and p is not None and (p < 1).any():
            raise ValueError(f"GeneralizedNormal: found p={self.p} on {space}, wanted p >= 1 on a box")

    def _parameters(self, dtype):
        return jnp.asarray(self.scale, dtype), jnp.asarray(self.p, dtype)

    @staticmethod
    def _noise(key, shape, dtype, p):
        sign, size = jax.random.split(key)
        magnitude = jax.random.gamma(size, 1 / p, shape, dtype) ** (1 / p)
        return magnitude * jax.random.rademacher(sign, shape, dtype)

    _truncated = staticmethod(truncated.truncated_generalized_normal)
    _log_mass = staticmethod(truncated.generalized_normal_log_mass)

    @staticmethod
    def _log_density(x, p):
        return -(jnp.abs(x) ** p) - jax.scipy.special.gammaln(1 + 1 / p) - np.log(2).item()
