"""One optimiser per part of the parameters."""

from collections.abc import Mapping
from typing import Any

import optax


def per_group(transforms: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """Updates params[name] by transforms[name], for parameters that are a dict; e.g. a rate for each of its entries.

    A transform whose entry the parameters lack is left out. Raises `ValueError`, when used, for parameters without one.
    """

    def labels(params: Any):
        if not isinstance(params, Mapping) or not params.keys() <= transforms.keys():
            found = sorted(params) if isinstance(params, Mapping) else type(params).__name__
            raise ValueError(f"per_group: found parameters {found}, wanted a dict of {sorted(transforms)}")
        return {name: name for name in params}

    groups: dict[Any, Any] = dict(transforms)
    return optax.multi_transform(groups, labels)
