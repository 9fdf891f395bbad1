"""The true spaces and laws of the matrix: `contrastive_pairs` by the names of a cell, its numbers traced."""

import math
from collections.abc import Mapping
from typing import Any

from identax.checks import check_choice
from identax.dgp import (
    DGP,
    Box,
    Euclidean,
    GeneralizedNormal,
    Laplace,
    Mixing,
    Normal,
    Sphere,
    Uniform,
    VonMisesFisher,
    contrastive_anchors,
    contrastive_pairs,
)

TRACED = ("marginal_scale", "conditional_scale", "conditional_p")
SPACES = {"sphere": Sphere, "box": Box, "unbounded": Euclidean}
MARGINALS = ("uniform", "normal", "laplace", "vmf")
CONDITIONALS = ("vmf", "normal", "laplace", "generalized_normal")


def law(kind: str, scale: Any, p: Any = 1.0) -> Any:
    """A law by its name: `scale` is the standard deviation, b of Laplace, alpha of the generalised normal or kappa."""
    return {
        "uniform": lambda: Uniform(),
        "normal": lambda: Normal(scale),
        "laplace": lambda: Laplace(scale),
        "generalized_normal": lambda: GeneralizedNormal(p, scale),
        "vmf": lambda: VonMisesFisher(scale),
    }[kind]()


def laws(cell: Any, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Marginal and conditional of a cell with these numbers, as the truth of its world holds them."""
    return {
        "marginal": law(cell.marginal, numbers["marginal_scale"]),
        "conditional": law(cell.conditional, numbers["conditional_scale"], numbers["conditional_p"]),
    }


def worlds(cell: Any, mixing: Mixing) -> tuple[DGP, DGP]:
    """Pairs, and anchors alone, of a cell: marginals lie around e_1 on a sphere and around 0 elsewhere."""
    space, kinds = SPACES[cell.space](cell.dim), laws(cell, dict.fromkeys(TRACED, 1.0))
    pairs = contrastive_pairs(space, kinds["marginal"], kinds["conditional"], mixing)
    return pairs, contrastive_anchors(space, kinds["marginal"], mixing)


def check(cell: Any) -> None:
    """Raises `ValueError` for an unknown space or law, one that does not exist on the space, or numbers out of range.

    Numbers that are not known yet (NaN) pass, and so does kappa = 0 of the marginal, which is uniform.
    """
    check_choice("contrastive_ica", "space", cell.space, tuple(SPACES))
    check_choice("contrastive_ica", "marginal", cell.marginal, MARGINALS)
    check_choice("contrastive_ica", "conditional", cell.conditional, CONDITIONALS)
    numbers = {name: getattr(cell, name) for name in TRACED}
    numbers = {name: 1.0 if math.isnan(value) else value for name, value in numbers.items()}
    if cell.marginal == "vmf" and numbers["marginal_scale"] == 0:
        numbers["marginal_scale"] = 1.0
    for one in laws(cell, numbers).values():
        one.check(SPACES[cell.space](cell.dim))


def power_law(cell: Any) -> tuple[float, float]:
    """Exponent p and scale of the conditional as exp(-sum_j |(z+_j - z_j) / scale|^p): Normal(std) has sqrt(2) std.

    Raises `ValueError` for von Mises-Fisher, which is no such law.
    """
    if cell.conditional == "vmf":
        raise ValueError("contrastive_ica: found a von Mises-Fisher conditional, wanted a generalised normal one")
    return {
        "laplace": (1.0, cell.conditional_scale),
        "normal": (2.0, 2**0.5 * cell.conditional_scale),
        "generalized_normal": (cell.conditional_p, cell.conditional_scale),
    }[cell.conditional]


def fitted_temperature(conditional_p: float, scale: float, loss_p: float) -> float:
    """Temperature of an Lp loss that fits a generalised normal conditional best: tau = p E|z+_j - z_j|^p.

        tau = p scale^p Gamma((p+1)/q) / Gamma(1/q),    p of the loss, q and scale of the conditional

    It maximises the likelihood of exp(-|.|^p / tau); for p = q it is scale^p, e.g. 2 std^2 for Normal(std).
    """
    q = conditional_p
    return loss_p * scale**loss_p * math.gamma((loss_p + 1) / q) / math.gamma(1 / q)
