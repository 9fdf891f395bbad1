"""The type of every augmentation, and the checks of images they share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

Image = Float[Array, "H W C"]
AnyImage = Shaped[Array | np.ndarray, "..."]  # loose on purpose: the checks below say what is wanted
Number = float | int
Parameters = dict[str, Float[Array, ""] | Bool[Array, ""]]


class Augmentation(NamedTuple):
    """One random change of an image, split into the draw and what the drawn parameters do.

    * `draw(key, image) -> parameters`: a dict of scalars, bool for what happens or does not, else of the image's float
      type; of the image only shape and dtype count
    * `apply(image [H, W, C], parameters) -> image`: deterministic, differentiable in the image

    `name` is the random stream it draws from in a `pipeline`. Parameters are the ones in effect: a change that was not
    made has its neutral values.
    """

    name: str
    draw: Callable[[Any, Any], Parameters]
    apply: Callable[[Any, Parameters], Any]


def check_image(where: str, image: Any, channels: Sequence[int] = (1, 3)) -> None:
    """Raises `ValueError` unless `image` is a float array [H, W, C] with one of the numbers of `channels`."""
    shape = np.shape(image)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"{where}: found an image of shape {shape}, wanted [H, W, C]")
    if shape[2] not in channels:
        raise ValueError(
            f"{where}: found {shape[2]} channels (shape {shape}), "
            f"wanted {' or '.join(map(str, channels))}, channels last"
        )
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(f"{where}: found {image.dtype} pixels, wanted floats in [0, 1]: divide by 255 first")


def check_range(where: str, name: str, value: Sequence[Number], low: Number, high: Number = float("inf")) -> None:
    """Raises `ValueError` unless `value` is (a, b) with low <= a <= b <= high."""
    if len(value) != 2 or not low <= value[0] <= value[1] <= high or not np.isfinite(value).all():
        raise ValueError(f"{where}: found {name}={tuple(value)}, wanted (a, b) with {low} <= a <= b <= {high}")


def parameter_dtype(image: Any) -> Any:
    """Float type of drawn parameters: the image's, at least float32."""
    return jnp.promote_types(image.dtype, jnp.float32)


def uniform(key: Any, image: Any, bounds: Sequence[Number]) -> Float[Array, ""]:
    """Draws U(bounds) in the parameters' float type."""
    return jax.random.uniform(key, (), parameter_dtype(image), bounds[0], bounds[1])
