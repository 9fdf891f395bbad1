"""Contrastive identifiability: which theorem applies to a world and a loss, and what it predicts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax._choices import check_choice
from identax.assumptions.collapse import collapse_thresholds, collapsed_loss, moment_shares
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import equal_blocks, expected_rotation_mcc

SPACES = ("sphere", "box", "euclidean")
LOSSES = ("infonce", "lp_infonce", "aninfonce")
_CLASSES = {
    "permutation": "signed permutation",
    "block_orthogonal": "block-orthogonal",
    "orthogonal": "orthogonal",
    "none": "no theorem applies",
}


@dataclasses.dataclass(frozen=True)
class ContrastiveWorld:
    """What is true: latents in `space` of `dim` dims, and how positives scatter around anchors.

    `precision` [dim]: the positives' exponent is -1/2 sum_j precision_j (z+_j - z_j)^2 (equal entries: isotropic;
    von Mises-Fisher with kappa has precision kappa). `p`: the exponent is a multiple of -sum_j |z+_j - z_j|^p.
    Exactly one of the two. `exact`: the conditional is the theorem's, not projected or otherwise approximate.
    """

    space: str
    dim: int
    marginal: str = "uniform"
    precision: tuple[float | int, ...] | None = None
    p: float | int | None = None
    exact: bool = True
    mixing_is_invertible: bool | None = True

    def __post_init__(self):
        check_choice("ContrastiveWorld", "space", self.space, SPACES)
        if (self.precision is None) == (self.p is None):
            raise ValueError(
                f"ContrastiveWorld: found precision={self.precision}, p={self.p}, wanted exactly one of them"
            )
        if self.precision is not None and len(self.precision) != self.dim:
            raise ValueError(f"ContrastiveWorld: found {len(self.precision)} precisions, wanted dim={self.dim}")
        if self.p is not None and not self.p > 0:
            raise ValueError(f"ContrastiveWorld: found p={self.p}, wanted p > 0")


@dataclasses.dataclass(frozen=True)
class ContrastiveObjective:
    """What is minimised: `loss` with its temperature or p, a batch of `num_pairs`, embeddings in `output`."""

    loss: str
    output: str
    num_pairs: int
    temperature: float | int = 1.0
    p: float | int | None = None
    scheme: str = "two_view"
    num_negatives: int | None = None

    def __post_init__(self):
        check_choice("ContrastiveObjective", "loss", self.loss, LOSSES)
        check_choice("ContrastiveObjective", "output", self.output, SPACES)
        if (self.loss == "lp_infonce") != (self.p is not None):
            raise ValueError(f"ContrastiveObjective: found loss={self.loss!r} with p={self.p}, wanted p for lp_infonce")
        if not self.temperature > 0:
            raise ValueError(f"ContrastiveObjective: found temperature={self.temperature}, wanted > 0")


def contrastive_report(
    world: ContrastiveWorld,
    objective: ContrastiveObjective,
    *,
    rho: Float[Array, " n"] | None = None,
    oracle: Float[Array, " n"] | None = None,
) -> Report:
    """Checks the premises of the theorem behind `objective` against `world` and says what to expect.

    `rho` [dim], from `pair_correlations` on latents of the world, adds which latents InfoNCE is predicted to drop;
    `oracle` [dim], from `oracle_precision`, the precision to compare a learned one with.
    Source: Rusak et al. 2025 (AnInfoNCE), Zimmermann et al. 2021 (InfoNCE on the sphere, Lp on convex bodies).
    """
    premises = [*_common_premises(world, objective), *_loss_premises(world, objective)]
    predictions = []
    if all(premise.holds is not False for premise in premises):
        predictions += _recovery(world, objective)
    else:
        failed = ", ".join(premise.name for premise in premises if premise.holds is False)
        predictions.append(Prediction("symmetry", _CLASSES["none"], f"not satisfied: {failed}"))
    if objective.loss == "infonce" and rho is not None:
        premise, collapse = _collapse(world, objective, rho)
        premises.append(premise)
        predictions += collapse
    if objective.loss == "aninfonce" and oracle is not None:
        text = ", ".join(f"{value:.3g}" for value in np.sort(np.asarray(oracle))[::-1])
        predictions.append(Prediction("oracle precision", text, "optimum of the loss with a perfect encoder"))
    value = collapsed_loss(objective.num_pairs, objective.scheme, num_negatives=objective.num_negatives)
    predictions.append(Prediction("collapsed loss", value, "log of the number of terms; about the loss at step 1"))
    return Report(tuple(premises), tuple(predictions))


def symmetry_class(world: ContrastiveWorld, objective: ContrastiveObjective) -> tuple[str, tuple[int, ...]]:
    """Returns what the optimum leaves undetermined if all premises hold, and the sizes of its blocks.

    `"permutation"` (signed), `"block_orthogonal"` or `"orthogonal"`.
    """
    if objective.loss == "aninfonce" and world.precision is not None:
        sizes = tuple(len(block) for block in equal_blocks(world.precision))
    elif objective.loss == "lp_infonce" and (objective.p != 2 or objective.output == world.space == "box"):
        # No rotation other than a signed permutation is an isometry of Lp for p != 2, or maps a box to itself.
        sizes = (1,) * world.dim
    else:
        sizes = (world.dim,)
    if max(sizes) == 1:
        return "permutation", sizes
    return ("orthogonal" if len(sizes) == 1 else "block_orthogonal"), sizes


def _common_premises(world, objective):
    return [
        Premise(
            "uniform marginal",
            world.marginal == "uniform",
            f"{world.marginal} on the {world.space}",
            "negatives must carry no information about the latents",
        ),
        Premise(
            "invertible mixing",
            world.mixing_is_invertible,
            {True: "invertible", False: "not invertible", None: "not checked"}[world.mixing_is_invertible],
            "different latents must give different observations",
        ),
    ]


def _loss_premises(world, objective):
    if objective.loss == "lp_infonce":
        return _lp_premises(world, objective)
    on_sphere = Premise(
        "latents and embeddings on a sphere",
        world.space == objective.output == "sphere",
        f"latents: {world.space}, embeddings: {objective.output}",
        "the similarity is the conditional's exponent there, up to a constant",
    )
    if world.precision is None:
        matches = Premise("matched conditional", False, f"Lp with p={world.p}", "the loss assumes a quadratic exponent")
        return [on_sphere, matches]
    blocks = equal_blocks(world.precision) if min(world.precision) > 0 else []
    entries = ", ".join(f"{len(block)} x {world.precision[block[0]]:g}" for block in blocks) or str(world.precision)
    if objective.loss == "infonce":
        isotropic = Premise(
            "isotropic positives", len(blocks) == 1, f"precision {entries}", "one temperature serves all latents"
        )
        return [on_sphere, isotropic]
    shape = "the theorem's" if world.exact else "approximate: the learned precision is biased by a few per cent"
    return [
        on_sphere,
        Premise(
            "positive precision", bool(blocks), f"precision {entries}", "every latent must move, and by a finite amount"
        ),
        Premise(
            "matched conditional",
            True if world.exact else None,
            shape,
            "the loss's family must contain the log density",
        ),
    ]


def _lp_premises(world, objective):
    p = 2.0 if world.precision is not None and len(set(world.precision)) == 1 else world.p
    return [
        Premise(
            "matched p",
            p == objective.p,
            f"conditional p={p}, loss p={objective.p}",
            "the similarity must be the conditional's exponent",
        ),
        Premise("p >= 1", objective.p >= 1, f"p={objective.p}", "distances must come from a norm"),
        Premise(
            "convex body",
            world.space == "box",
            f"latents: {world.space}, embeddings: {objective.output}",
            "latents fill a convex body, so that an isometry of it is affine",
        ),
    ]


def _recovery(world, objective):
    name, sizes = symmetry_class(world, objective)
    why = {
        "permutation": "all latents can be told apart",
        "block_orthogonal": "latents of equal precision can be told apart only as a block",
        "orthogonal": "the loss is invariant to rotations of all latents",
    }[name]
    found, why_mcc = _CLASSES[name], "the best matching finds it"
    mean = 1.0
    if name != "permutation":
        mean, sd = map(float, expected_rotation_mcc(jax.random.key(0), sizes))
        why_mcc = f"best matching under a random rotation, sd {sd:.2g} over rotations"
    if name == "block_orthogonal":
        found += f", blocks of {', '.join(map(str, sizes))}"
    return [
        Prediction("symmetry", found, why),
        Prediction("linear R2", 1.0, "the map from latents to embeddings is linear and invertible"),
        Prediction("MCC", mean, why_mcc),
    ]


def _collapse(world, objective, rho):
    kappa = 1.0 / objective.temperature
    rho = jnp.asarray(rho)
    if np.shape(rho) != (world.dim,):
        raise ValueError(f"contrastive_report: found rho of shape {np.shape(rho)}, wanted ({world.dim},)")
    if world.precision is not None and min(world.precision) > 0:
        blocks = equal_blocks(world.precision)
    else:
        blocks = [(index,) for index in range(world.dim)]
    # Latents of one block have one rho; averaging over them removes most of the sampling error.
    for block in blocks:
        index = np.array(block)
        rho = rho.at[index].set(jnp.mean(rho[index]))
    threshold = float(jnp.max(collapse_thresholds(rho)))
    shares = np.asarray(moment_shares(rho, kappa))
    dropped = int((shares <= 0).sum())
    premise = Premise(
        "inverse temperature above the collapse threshold",
        kappa > threshold,
        f"1/temperature = {kappa:.3g}, threshold = {threshold:.3g}",
        "below it the latents that move most get no share of the embedding; a guide for 1/temperature up to 2",
    )
    return premise, [
        Prediction("dropped latents", float(dropped), f"water-filling over rho = {_listed(rho, blocks)}"),
        Prediction("smallest share of second moment", float(shares.min()), f"shares {_listed(shares, blocks)}"),
        Prediction("collapse threshold", threshold, "sum over latents of their rho in excess of the smallest rho"),
    ]


def _listed(values, blocks):
    return ", ".join(f"{len(block)} x {float(values[block[0]]):.3g}" for block in blocks)
