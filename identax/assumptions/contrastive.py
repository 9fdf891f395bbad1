"""Contrastive identifiability: which theorem applies to a world and a loss, and what it predicts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identax.assumptions.collapse import collapse_thresholds, collapsed_loss, moment_shares
from identax.assumptions.oracle import optimal_precision
from identax.assumptions.premises import identified_blocks, premises_of
from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import equal_blocks, expected_rotation_mcc
from identax.checks import check_choice, check_nonnegative, check_positive, check_shape

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
    `precisions` [K][dim]: positives from K such conditionals, each with a loss of its own over one encoder.
    Exactly one of the three. `exact`: the conditional is the theorem's, not projected or otherwise approximate.
    `negative_precision` [dim]: given negatives scatter around their anchor with this precision instead of being
    uniform (hard negatives).
    """

    space: str
    dim: int
    marginal: str = "uniform"
    precision: tuple[float | int, ...] | None = None
    p: float | int | None = None
    exact: bool = True
    mixing_is_invertible: bool | None = True
    precisions: tuple[tuple[float | int, ...], ...] | None = None
    negative_precision: tuple[float | int, ...] | None = None

    def __post_init__(self):
        check_choice("ContrastiveWorld", "space", self.space, SPACES)
        if [self.precision, self.p, self.precisions].count(None) != 2:
            raise ValueError(
                f"ContrastiveWorld: found precision={self.precision}, p={self.p}, precisions={self.precisions}, "
                "wanted exactly one of them"
            )
        for row in (*self.conditionals, *([] if self.negative_precision is None else [self.negative_precision])):
            if len(row) != self.dim:
                raise ValueError(f"ContrastiveWorld: found {len(row)} precisions, wanted dim={self.dim}")
        if self.precisions == ():
            raise ValueError("ContrastiveWorld: found precisions=(), wanted at least one conditional")
        if self.p is not None and not self.p > 0:
            raise ValueError(f"ContrastiveWorld: found p={self.p}, wanted p > 0")
        if self.negative_precision is not None and self.precision is None:
            raise ValueError("ContrastiveWorld: found negative_precision without precision, wanted both")

    @property
    def conditionals(self) -> tuple[tuple[float | int, ...], ...]:
        """Precisions of the positives' conditionals, one row each; none where they are of Lp form."""
        if self.precisions is not None:
            return self.precisions
        return () if self.precision is None else (self.precision,)


@dataclasses.dataclass(frozen=True)
class ContrastiveObjective:
    """What is minimised: `loss` with its temperature or p, a batch of `num_pairs`, embeddings in `output`.

    `num_negatives`: given ones per anchor, None for those of the batch. `signed`: the learned precision may have any
    sign (otherwise it is positive, a softplus). `reweighting`: beta of `infonce`.
    """

    loss: str
    output: str
    num_pairs: int
    temperature: float | int = 1.0
    p: float | int | None = None
    scheme: str = "two_view"
    num_negatives: int | None = None
    signed: bool = False
    reweighting: float | int = 0.0

    def __post_init__(self):
        check_choice("ContrastiveObjective", "loss", self.loss, LOSSES)
        check_choice("ContrastiveObjective", "output", self.output, SPACES)
        if (self.loss == "lp_infonce") != (self.p is not None):
            raise ValueError(f"ContrastiveObjective: found loss={self.loss!r} with p={self.p}, wanted p for lp_infonce")
        check_positive("ContrastiveObjective", "temperature", self.temperature, ())
        check_nonnegative("ContrastiveObjective", "reweighting", self.reweighting, ())


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
    premises = premises_of(world, objective)
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
    if objective.loss == "aninfonce" and predictions and predictions[0].value != _CLASSES["none"]:
        predictions += _optima(world, objective)
    if objective.loss == "aninfonce" and oracle is not None:
        text = ", ".join(f"{value:.3g}" for value in np.sort(np.asarray(oracle))[::-1])
        predictions.append(Prediction("oracle precision", text, "optimum of the loss with a perfect encoder"))
    value = collapsed_loss(objective.num_pairs, objective.scheme, num_negatives=objective.num_negatives)
    predictions.append(Prediction("collapsed loss", value, "log of the number of terms; about the loss at step 1"))
    return Report(tuple(premises), tuple(predictions))


def symmetry_class(world: ContrastiveWorld, objective: ContrastiveObjective) -> tuple[str, tuple[int, ...]]:
    """Returns what the optimum leaves undetermined if all premises hold, and the sizes of its blocks.

    `"permutation"` (signed), `"block_orthogonal"` or `"orthogonal"`. What counts is the exponent at the optimum: with
    hard negatives the difference of the precisions, in an ensemble all of its precisions together.
    """
    if objective.loss == "aninfonce" and world.conditionals:
        sizes = tuple(len(block) for block in identified_blocks(world))
    elif objective.loss == "lp_infonce" and (objective.p != 2 or objective.output == world.space == "box"):
        # No rotation other than a signed permutation is an isometry of Lp for p != 2, or maps a box to itself.
        sizes = (1,) * world.dim
    else:
        sizes = (world.dim,)
    if max(sizes) == 1:
        return "permutation", sizes
    return ("orthogonal" if len(sizes) == 1 else "block_orthogonal"), sizes


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
    if name == "orthogonal" and objective.loss == "lp_infonce":
        why = "p = 2 and an output without walls: every rotation of the embedding costs the same"
    if name == "block_orthogonal":
        found += f", blocks of {', '.join(map(str, sizes))}"
    return [
        Prediction("symmetry", found, why),
        Prediction("linear R2", 1.0, "the map from latents to embeddings is linear and invertible"),
        Prediction("MCC", mean, why_mcc),
    ]


def _optima(world, objective):
    """What the learned precisions are predicted to be."""
    why = "log of the positives' over the negatives' density"
    if world.negative_precision is not None and objective.num_negatives is not None:
        why += "; that of hard negatives is taken off"
    if objective.reweighting > 0:
        why += "; divided by 1 + beta, as reweighted negatives are drawn towards the anchor by the loss itself"
    found = []
    for number, row in enumerate(world.conditionals, 1):
        negative = world.negative_precision if objective.num_negatives is not None else None
        optimum = optimal_precision(row, negative, reweighting=objective.reweighting, signed=True)
        text = ", ".join(f"{value:.3g}" for value in np.sort(optimum)[::-1])
        name = "optimal precision" if world.precisions is None else f"optimal precision {number}"
        found.append(Prediction(name, text, why))
    return found


def _collapse(world, objective, rho):
    kappa = 1.0 / objective.temperature
    rho = jnp.asarray(rho)
    check_shape("contrastive_report", "rho", rho, (world.dim,))
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
