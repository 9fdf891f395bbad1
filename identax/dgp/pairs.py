"""Worlds of positive pairs: anchors, points near them, and both seen through one mixing."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_count, check_positive
from identax.dgp.anisotropic import ShellProjectedNormal, anisotropic_law
from identax.dgp.base import DGP, Sample, positive_parameter
from identax.dgp.conditionals import Conditional
from identax.dgp.mixings import Mixing
from identax.dgp.spaces import Space, Sphere
from identax.rng import stream


def anisotropic_pairs(
    n: int,
    *,
    mixing: Mixing,
    precision: ArrayLike | None = None,
    threshold: ArrayLike = 0.1,
    exact: bool = False,
) -> DGP:
    """Pairs on the unit sphere whose latents move by different amounts (Rusak et al. 2025).

        z uniform on S^{n-1},    z+ ~ p(.|z) with `precision`,    x = g(z), x+ = g(z+)

    p is `ShellProjectedNormal(precision, threshold)`, with `exact` the theorem's `FisherBingham(precision)`.

    `init(key, precision=None) -> {"mixing": weights, "precision": [n]}`. The precision is a leaf of the truth
    and `sample` reads it there, so it can be traced: hand it to `init` (a sweep), or here as the default.
    `sample(truth, key, num) -> Sample(latents=(z, z_pos), observations=(x, x_pos))`.

    Raises `ValueError` for n < 2, 0 < threshold < 1 violated, a precision that is not [n], finite and > 0, or
    given neither here nor to `init`.
    """
    space = Sphere(n)
    check_count("anisotropic_pairs", "n", n, 2)
    default = precision
    if default is not None:
        positive_parameter("anisotropic_pairs", "precision", default, (n,))
    ShellProjectedNormal(1.0, threshold)  # refuses a bad threshold now, not inside the compiled step

    def init(key: Key[Array, ""], precision: ArrayLike | None = None) -> dict[str, Any]:
        given = default if precision is None else precision
        values = positive_parameter("anisotropic_pairs", "precision", given, (n,))
        return {"mixing": mixing.init(stream(key, "world")), "precision": values}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_count("anisotropic_pairs", "num", num)
        law = anisotropic_law(truth["precision"], threshold, exact=exact)
        z = space.uniform(stream(key, "anchor"), num)
        z_pos = law.sample(stream(key, "positive"), z, space)
        return _observe(mixing, truth["mixing"], z, z_pos)

    return DGP(init, sample)


def contrastive_pairs(
    space: Space,
    marginal: Conditional,
    conditional: Conditional,
    mixing: Mixing,
    *,
    center: Float[Array, " n"] | None = None,
) -> DGP:
    """Pairs on any space (Zimmermann et al. 2021).

        z ~ `marginal` around `center`,    z+ ~ `conditional` around z,    x = g(z), x+ = g(z+)

    `init(key, marginal=None, conditional=None) -> {"mixing", "marginal", "conditional"}`: the laws are leaves
    of the truth, so their concentrations can be swept by handing traced ones of the same kind to `init`.
    `sample(truth, key, num) -> Sample(latents=(z, z_pos), observations=(x, x_pos))`. `center` defaults to
    `space.center()`: the first axis on a sphere, 0 elsewhere.

    Raises `ValueError` for a law that does not exist on the space (uniform on R^n, von Mises-Fisher off the
    sphere, ...) or a centre of another size.
    """
    _check_laws("contrastive_pairs", space, center, marginal, conditional)
    defaults = {"marginal": marginal, "conditional": conditional}

    def init(
        key: Key[Array, ""], marginal: Conditional | None = None, conditional: Conditional | None = None
    ) -> dict[str, Any]:
        given = {"marginal": marginal, "conditional": conditional}
        return {"mixing": mixing.init(stream(key, "world")), **_given_laws("contrastive_pairs", space, defaults, given)}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_count("contrastive_pairs", "num", num)
        z = truth["marginal"].marginal(stream(key, "anchor"), num, space, center)
        z_pos = truth["conditional"].sample(stream(key, "positive"), z, space)
        return _observe(mixing, truth["mixing"], z, z_pos)

    return DGP(init, sample)


def contrastive_anchors(
    space: Space, marginal: Conditional, mixing: Mixing, *, center: Float[Array, " n"] | None = None
) -> DGP:
    """The anchors of `contrastive_pairs` alone: z ~ `marginal` around `center`, x = g(z).

    `init(key, marginal=None) -> {"mixing", "marginal"}`, `sample(truth, key, num) -> Sample(latents=z,
    observations=x)`: from the truth of either world and the same key the anchors are the same, without the cost of
    positives. Raises `ValueError` as `contrastive_pairs`.
    """
    _check_laws("contrastive_anchors", space, center, marginal)
    defaults = {"marginal": marginal}

    def init(key: Key[Array, ""], marginal: Conditional | None = None) -> dict[str, Any]:
        laws = _given_laws("contrastive_anchors", space, defaults, {"marginal": marginal})
        return {"mixing": mixing.init(stream(key, "world")), **laws}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_num("contrastive_anchors", num)
        z = truth["marginal"].marginal(stream(key, "anchor"), num, space, center)
        return Sample(latents=z, observations=mixing.apply(truth["mixing"], z))

    return DGP(init, sample)


def bimodal_precision(n: int, high: ArrayLike = 25.0, low: ArrayLike = 5.0) -> Float[Array, " n"]:
    """Returns the first n//2 entries `high` (content), the others `low` (style).

    Raises `ValueError` for n < 2 or entries that are not > 0. Source: Rusak et al. 2025, code and logs.
    """
    check_positive("bimodal_precision", "high", high)
    check_positive("bimodal_precision", "low", low)
    check_count("bimodal_precision", "n", n, 2)
    return jnp.full(n, low, float).at[: n // 2].set(high)


def linear_precision(n: int, low: ArrayLike = 5.0, high: ArrayLike = 25.0) -> Float[Array, " n"]:
    """Returns n equally spaced entries from `low` to `high`.

    Raises `ValueError` for n < 2 or entries that are not > 0. Source: Rusak et al. 2025, code and logs.
    """
    check_positive("linear_precision", "low", low)
    check_positive("linear_precision", "high", high)
    check_count("linear_precision", "n", n, 2)
    return jnp.linspace(low, high, n)


def _check_laws(owner: str, space: Space, center: Any, *laws: Conditional) -> None:
    for law in laws:
        law.check(space)
    if center is not None and center.shape != (space.n,):
        raise ValueError(f"{owner}: found a centre of shape {center.shape}, wanted ({space.n},)")


def _given_laws(owner: str, space: Space, defaults: Mapping[str, Conditional], given: Mapping[str, Any]):
    """The laws handed to `init`, each of the kind of its default, which stands in for None; leaves are arrays."""
    laws = {}
    for name, default in defaults.items():
        law = default if given[name] is None else given[name]
        if type(law) is not type(default):
            raise ValueError(f"{owner}: found the {name} {law}, wanted a {type(default).__name__}")
        law.check(space)
        laws[name] = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), law)
    return laws


def _observe(mixing, weights, z, z_pos) -> Sample:
    x, x_pos = jnp.split(mixing.apply(weights, jnp.concatenate([z, z_pos])), 2)  # one pass: small products cost a call
    return Sample(latents=(z, z_pos), observations=(x, x_pos))
