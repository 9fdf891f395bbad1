"""Factors of variation of an image set: their names, their grid, and the order in which the grid is stored."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from identax.checks import check_choice, check_count, concrete
from identax.rng import stream

_SLACK = 1e-6  # of a factor's range: a float32 copy of 2 pi lies above 2 pi


@dataclasses.dataclass(frozen=True)
class Factor:
    """One factor of variation: its `values` on the grid, increasing, and the `bounds` (low, high) it may lie in.

    A factor without bounds is categorical: it has the values on its grid and no others. `periodic` says that the two
    bounds mean the same. Raises `ValueError` for no values, values out of order or out of the bounds.
    """

    name: str
    values: tuple[float | int, ...]
    bounds: tuple[float | int, float | int] | None = None
    periodic: bool = False

    def __post_init__(self):
        if not self.values or any(a >= b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise ValueError(f"Factor {self.name}: found values={self.values}, wanted at least one, increasing")
        if self.bounds is not None and not self.bounds[0] <= self.values[0] <= self.values[-1] <= self.bounds[1]:
            raise ValueError(f"Factor {self.name}: found values {self.values} outside the bounds {self.bounds}")

    @property
    def continuous(self) -> bool:
        """Whether values between those of the grid exist."""
        return self.bounds is not None

    @property
    def size(self) -> int:
        """The number of values on the grid."""
        return len(self.values)

    def check(self, value: ArrayLike) -> None:
        """Raises `ValueError` where a concrete value is NaN, out of bounds, or not of a categorical factor's grid."""
        known = concrete(value)
        if known is None:
            return
        known = np.asarray(known, float)
        if self.bounds is None:
            good, wanted = np.isin(known, self.values), f"one of {list(self.values)}"
        else:
            low, high = self.bounds
            slack = _SLACK * (high - low)
            good = (known >= low - slack) & (known <= high + slack)  # False for NaN
            wanted = f"{low} to {high}"
        if not good.all():
            raise ValueError(f"factor {self.name}: found {known[~good].ravel()[0]}, wanted {wanted}")


@dataclasses.dataclass(frozen=True)
class FactorGrid:
    """The product of factor grids in row-major order: the last factor runs fastest.

        index = sum_k code_k prod_{l > k} size_l,    code_k = (index // prod_{l > k} size_l) mod size_k

    A code counts the values of a factor, from 0. Raises `ValueError` for no factors or a name that comes twice.
    Source: Locatello et al. 2019 (disentanglement_lib), whose order the published files have.
    """

    factors: tuple[Factor, ...]

    def __post_init__(self):
        if not self.factors or len(set(self.factor_names)) < len(self.factors):
            raise ValueError(f"FactorGrid: found factors {self.factor_names}, wanted at least one, of different names")

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names, in storage order."""
        return tuple(factor.name for factor in self.factors)

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Numbers of values, in storage order."""
        return tuple(factor.size for factor in self.factors)

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """Names of the factors that have values between those of the grid, in storage order."""
        return tuple(factor.name for factor in self.factors if factor.continuous)

    def __len__(self) -> int:
        return math.prod(self.factor_sizes)

    def __getitem__(self, name: str) -> Factor:
        return self.factors[self.position(name)]

    def position(self, name: str) -> int:
        """The place of a factor among the factors. Raises `ValueError` for a name that there is not."""
        check_choice("factors", "name", name, self.factor_names)
        return self.factor_names.index(name)

    def index(self, codes: ArrayLike | Sequence[Any]) -> Int[Array | np.ndarray, "..."]:
        """Indices [...] of codes [..., K]; NumPy in, NumPy out. Raises `ValueError` for codes outside their sizes."""
        array = _integers("codes", codes)
        if array.ndim < 1 or array.shape[-1] != len(self.factors):
            raise ValueError(f"index: found codes of shape {array.shape}, wanted [..., {len(self.factors)}]")
        known = concrete(array)
        if known is not None:
            bad = ((known < 0) | (known >= np.asarray(self.factor_sizes))).any(axis=-1)
            if bad.any():
                raise ValueError(f"index: found codes {known[bad][0].tolist()}, wanted 0 to sizes {self.factor_sizes}")
        index = sum(array[..., k] * stride for k, stride in enumerate(self._strides()))
        return index if isinstance(index, jax.Array) else np.asarray(index)

    def codes(self, index: ArrayLike | Sequence[Any]) -> Int[Array | np.ndarray, "... K"]:
        """Codes [..., K] of indices [...]; NumPy in, NumPy out. Raises `ValueError` for indices outside the grid."""
        array = _integers("index", index)
        known = concrete(array)
        if known is not None and ((known < 0) | (known >= len(self))).any():
            bad = known[(known < 0) | (known >= len(self))].ravel()[0]
            raise ValueError(f"codes: found index {bad}, wanted 0 to {len(self) - 1}")
        columns = [array // stride % size for stride, size in zip(self._strides(), self.factor_sizes, strict=True)]
        return jnp.stack(columns, axis=-1) if isinstance(array, jax.Array) else np.stack(columns, axis=-1)

    def values(self, codes: ArrayLike | Sequence[Any]) -> Float[Array, "... K"]:
        """Values [..., K] on the grid of codes [..., K]."""
        array = jnp.asarray(codes)
        columns = [jnp.asarray(factor.values, float)[array[..., k]] for k, factor in enumerate(self.factors)]
        return jnp.stack(columns, axis=-1)

    def vector(self, values: Mapping[str, ArrayLike]) -> Float[Array, "... K"]:
        """Named values, all of one shape [...], as one array [..., K] in storage order.

        A factor that has one value only may be left out. Raises `ValueError` for unknown names and missing factors.
        """
        for name in values:
            self.position(name)
        missing = [factor.name for factor in self.factors if factor.size > 1 and factor.name not in values]
        if missing:
            raise ValueError(f"factors: found no {missing}, wanted values of {list(self.factor_names)}")
        shape = jnp.broadcast_shapes(*(jnp.shape(value) for value in values.values())) if values else ()
        full = {factor.name: factor.values[0] for factor in self.factors} | dict(values)
        return jnp.stack([jnp.broadcast_to(jnp.asarray(full[n], float), shape) for n in self.factor_names], axis=-1)

    def check(self, factors: ArrayLike | Sequence[Any]) -> None:
        """Raises `ValueError` unless `factors` is [..., K] and every concrete value is one its factor may have."""
        array = factors if isinstance(factors, jax.Array) else np.asarray(factors)
        if array.ndim < 1 or array.shape[-1] != len(self.factors):
            wanted = f"[..., {len(self.factors)}] ({', '.join(self.factor_names)})"
            raise ValueError(f"factors: found an array of shape {array.shape}, wanted {wanted}")
        known = concrete(array)
        if known is not None:
            for k, factor in enumerate(self.factors):
                factor.check(known[..., k])

    def sample_codes(self, key: Key[Array, ""], num: int) -> Int[Array, "num K"]:
        """Draws codes uniformly on the grid, factors independent. Raises `ValueError` for num < 1."""
        check_count("sample_codes", "num", num)
        return jnp.stack(
            [jax.random.randint(stream(key, factor.name), (num,), 0, factor.size) for factor in self.factors], axis=-1
        )

    def sample(
        self,
        key: Key[Array, ""],
        num: int,
        *,
        continuous: bool = True,
        fixed: Mapping[str, ArrayLike] | None = None,
    ) -> Float[Array, "num K"]:
        """Draws values uniformly, factors independent: on the grid, or where `continuous`, from its bounds.

        Categorical factors are drawn from their grid in any case; a factor of a single value keeps it. `fixed` factors
        keep the value given. Raises `ValueError` for num < 1, unknown names and values a factor may not have.
        """
        fixed = {} if fixed is None else fixed
        for name, value in fixed.items():
            self[name].check(value)
        drawn = self.values(self.sample_codes(key, num))
        columns = []
        for k, factor in enumerate(self.factors):
            column = drawn[:, k]
            if factor.name in fixed:
                column = jnp.broadcast_to(jnp.asarray(fixed[factor.name], drawn.dtype), (num,))
            elif continuous and factor.bounds is not None and factor.size > 1:
                within = stream(stream(key, factor.name), "continuous")
                column = jax.random.uniform(within, (num,), drawn.dtype, *factor.bounds)
            columns.append(column)
        return jnp.stack(columns, axis=-1)

    def _strides(self) -> tuple[int, ...]:
        return tuple(math.prod(self.factor_sizes[k + 1 :]) for k in range(len(self.factors)))


def grid_values(low: float | int, high: float | int, num: int) -> tuple[float, ...]:
    """`num` values from `low` to `high`, both included, equally far apart."""
    return tuple(np.linspace(low, high, num).tolist())


def _integers(name: str, values: Any) -> Any:
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.integer):
        raise ValueError(f"{name}: found {values.dtype}, wanted integers")
    return values
