"""Where latents live: the sphere, the box and the whole space."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from identax.checks import check_count, check_positive
from identax.rng import normals_and_uniforms


@dataclasses.dataclass(frozen=True)
class Euclidean:
    """R^n. It has no uniform law. Raises `ValueError` for n < 1."""

    n: int

    def __post_init__(self):
        _check_dim(self)

    def uniform(self, key: Key[Array, ""], num: int) -> Float[Array, "num n"]:
        """Raises `ValueError`: no uniform law exists on R^n."""
        raise ValueError(f"Euclidean(n={self.n}): found a uniform marginal, wanted one that exists on R^n")

    def project(self, x: Float[Array, "N n"]) -> Float[Array, "N n"]:
        """Returns x."""
        return x

    def contains(self, x: Float[Array, "N n"], tol: float = 1e-5) -> Bool[Array, " N"]:
        """Says per row whether all entries are finite."""
        return jnp.isfinite(x).all(axis=-1)

    def center(self) -> Float[Array, " n"]:
        """Returns the origin, the centre of non-uniform marginals (Zimmermann et al. 2021, code)."""
        return jnp.zeros(self.n)


@dataclasses.dataclass(frozen=True)
class Sphere:
    """The sphere S^{n-1} of the given radius in R^n. Raises `ValueError` for n < 1 or radius <= 0."""

    n: int
    radius: float | int = 1.0

    def __post_init__(self):
        _check_dim(self)
        check_positive("Sphere", "radius", self.radius)

    def uniform(self, key: Key[Array, ""], num: int) -> Float[Array, "num n"]:
        """Draws `num` points uniformly: radius * g/|g| with g ~ N(0, I_n)."""
        check_count("Sphere.uniform", "num", num)
        normals, _ = normals_and_uniforms(key, self.n, 0, num, jnp.result_type(float))
        return self.project(normals.T)

    def project(self, x: Float[Array, "N n"]) -> Float[Array, "N n"]:
        """Returns radius * x/|x| (the zero vector stays zero, with a finite gradient)."""
        x = jnp.asarray(x, None if jnp.issubdtype(x.dtype, jnp.inexact) else float)
        squared = jnp.square(x).sum(axis=-1, keepdims=True)
        safe = jnp.where(squared > jnp.finfo(x.dtype).tiny, squared, 1)
        return x * (self.radius * jax.lax.rsqrt(safe))

    def contains(self, x: Float[Array, "N n"], tol: float = 1e-5) -> Bool[Array, " N"]:
        """Says per row whether | |x|/radius - 1 | <= tol."""
        return jnp.abs(jnp.linalg.norm(x, axis=-1) / self.radius - 1) <= tol

    def center(self) -> Float[Array, " n"]:
        """Returns radius * e_1, the centre of non-uniform marginals (Zimmermann et al. 2021, code)."""
        return jnp.zeros(self.n).at[0].set(self.radius)

    def log_volume(self) -> float:
        """Returns log of the surface area 2 pi^{n/2} radius^{n-1} / Gamma(n/2)."""
        half = self.n / 2
        unit = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
        return unit + (self.n - 1) * math.log(self.radius)


@dataclasses.dataclass(frozen=True)
class Box:
    """The box [low, high]^n. Raises `ValueError` for n < 1, low >= high or infinite bounds."""

    n: int
    low: float | int = 0.0
    high: float | int = 1.0

    def __post_init__(self):
        _check_dim(self)
        if not (self.low < self.high and math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"Box: found low={self.low}, high={self.high}, wanted finite low < high")

    def uniform(self, key: Key[Array, ""], num: int) -> Float[Array, "num n"]:
        """Draws `num` points uniformly, coordinate by coordinate."""
        check_count("Box.uniform", "num", num)
        return jax.random.uniform(key, (self.n, num), minval=self.low, maxval=self.high).T

    def project(self, x: Float[Array, "N n"]) -> Float[Array, "N n"]:
        """Returns the nearest point of the box."""
        return jnp.clip(x, self.low, self.high)

    def contains(self, x: Float[Array, "N n"], tol: float = 1e-5) -> Bool[Array, " N"]:
        """Says per row whether every entry lies in [low - tol, high + tol]."""
        return ((x >= self.low - tol) & (x <= self.high + tol)).all(axis=-1)

    def center(self) -> Float[Array, " n"]:
        """Returns 0, the centre of non-uniform marginals for any bounds (Zimmermann et al. 2021, code)."""
        return jnp.zeros(self.n)

    def log_volume(self) -> float:
        """Returns n log(high - low)."""
        return self.n * math.log(self.high - self.low)


Space = Sphere | Box | Euclidean


def _check_dim(space) -> None:
    check_count(type(space).__name__, "n", space.n)
