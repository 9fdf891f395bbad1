"""More than one view per anchor: explicit, possibly hard, negatives, and positives from several conditionals."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from identax.checks import check_choice, check_count
from identax.dgp.anisotropic import ShellProjectedNormal, anisotropic_law
from identax.dgp.base import DGP, Sample, positive_parameter
from identax.dgp.mixings import Mixing
from identax.dgp.spaces import Sphere
from identax.rng import stream

NEGATIVES = ("uniform", "hard")
Values = ArrayLike | Sequence[Any]


def pairs_with_negatives(
    n: int,
    *,
    mixing: Mixing,
    num_negatives: int,
    negatives: str = "hard",
    precision: Values | None = None,
    negative_precision: Values | None = None,
    threshold: ArrayLike = 0.1,
    exact: bool = False,
) -> DGP:
    """Anchors on the sphere, each with one positive and M negatives of its own (Rusak et al. 2025, hard negatives).

        z uniform,    z+ ~ p(.|z) with `precision`,    z-_1 .. z-_M i.i.d. uniform or ~ p(.|z) with `negative_precision`

    and x = g(z) for all of them; p as in `anisotropic_pairs`. "hard" negatives are near the anchor: an optimal
    similarity is then the log ratio of both conditionals, of precision `precision - negative_precision`.

    `init(key, precision=None, negative_precision=None) -> {"mixing", "precision" [n], "negative_precision" [n]}`; the
    last one only for "hard". `sample(truth, key, num) -> Sample(latents=(z, z_pos, z_neg),
    observations=(x, x_pos, x_neg))` with negatives [num, M, ...].

    Raises `ValueError` for n < 2, num_negatives < 1, an unknown kind, and precisions that are not [n] and > 0, or
    missing.
    """
    space = _sphere("pairs_with_negatives", n)
    check_choice("pairs_with_negatives", "negatives", negatives, NEGATIVES)
    check_count("pairs_with_negatives", "num_negatives", num_negatives)

    def law(values):
        return anisotropic_law(values, threshold, exact=exact)

    if not exact:
        ShellProjectedNormal(1.0, threshold)  # refuses a bad threshold now, not inside the compiled step
    defaults = {"precision": precision, "negative_precision": negative_precision}
    needed = ("precision", "negative_precision") if negatives == "hard" else ("precision",)
    for name in needed:
        if defaults[name] is not None:
            positive_parameter("pairs_with_negatives", name, defaults[name], (n,))

    def init(
        key: Key[Array, ""], precision: Values | None = None, negative_precision: Values | None = None
    ) -> dict[str, Any]:
        given = {"precision": precision, "negative_precision": negative_precision}
        values = {name: defaults[name] if given[name] is None else given[name] for name in needed}
        return {
            "mixing": mixing.init(stream(key, "world")),
            **{name: positive_parameter("pairs_with_negatives", name, value, (n,)) for name, value in values.items()},
        }

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_count("pairs_with_negatives", "num", num)
        z = space.uniform(stream(key, "anchor"), num)
        z_pos = law(truth["precision"]).sample(stream(key, "positive"), z, space)
        many = num * num_negatives
        if negatives == "uniform":
            z_neg = space.uniform(stream(key, "negative"), many)
        else:
            anchors = jnp.repeat(z, num_negatives, axis=0)
            z_neg = law(truth["negative_precision"]).sample(stream(key, "negative"), anchors, space)
        latents = (z, z_pos, z_neg)
        x = mixing.apply(truth["mixing"], jnp.concatenate(latents))
        x_neg = x[2 * num :].reshape(num, num_negatives, -1)
        return Sample((z, z_pos, z_neg.reshape(num, num_negatives, n)), (x[:num], x[num : 2 * num], x_neg))

    return DGP(init, sample)


def ensemble_pairs(
    n: int, *, mixing: Mixing, precisions: Values | None = None, threshold: ArrayLike = 0.1, exact: bool = False
) -> DGP:
    """Anchors on the unit sphere with K positives each, one from every conditional (Rusak et al. 2025, ensembles).

        z uniform,    z+_k ~ p(.|z) with `precisions[k]`, k = 1..K,    x = g(z), x+_k = g(z+_k)

    Two latents stay mixed only if their entries are equal in all K precisions.

    `init(key, precisions=None) -> {"mixing", "precisions" [K, n]}`; `sample(truth, key, num) ->
    Sample(latents=(z, z_pos [K, num, n]), observations=(x, x_pos [K, num, d]))`.

    Raises `ValueError` for n < 2 and precisions that are not [K, n] and > 0, or missing.
    """
    space = _sphere("ensemble_pairs", n)
    if not exact:
        ShellProjectedNormal(1.0, threshold)
    default = precisions
    if default is not None:
        positive_parameter("ensemble_pairs", "precisions", default, ("K", n))

    def init(key: Key[Array, ""], precisions: Values | None = None) -> dict[str, Any]:
        given = default if precisions is None else precisions
        values = positive_parameter("ensemble_pairs", "precisions", given, ("K", n))
        return {"mixing": mixing.init(stream(key, "world")), "precisions": values}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> Sample:
        check_count("ensemble_pairs", "num", num)
        z = space.uniform(stream(key, "anchor"), num)
        positives = []
        for k in range(truth["precisions"].shape[0]):
            values = truth["precisions"][k]
            law = anisotropic_law(values, threshold, exact=exact)
            positives.append(law.sample(stream(key, f"positive {k}"), z, space))
        x = mixing.apply(truth["mixing"], jnp.concatenate([z, *positives]))
        return Sample((z, jnp.stack(positives)), (x[:num], x[num:].reshape(len(positives), num, -1)))

    return DGP(init, sample)


def _sphere(owner: str, n: int) -> Sphere:
    check_count(owner, "n", n, 2)
    return Sphere(n)
