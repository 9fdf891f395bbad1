"""Cross-entropy identifiability: does the theorem cover these clusters and this head, and what does it predict?"""

import dataclasses

import numpy as np
from jaxtyping import Array, Float

from identax.assumptions.bayes import TARGETS, BayesLoss
from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_choice, check_positive, check_shape

Vectors = Float[Array | np.ndarray, "..."]


@dataclasses.dataclass(frozen=True)
class ClusterWorld:
    """What is true: `num_labels` N labels in `num_clusters` C clusters of latents in `dim` d dims.

    `kappa`: concentration of a von Mises-Fisher conditional, None for another one, named in `conditional`. The ranks,
    from `affine_generator_rank` and `diversity_rank` of the cluster vectors, default to what vectors in general
    position have. `imbalance`, `label_noise`, `label_swaps` as in `identax.dgp.clusters`.
    """

    dim: int
    num_clusters: int
    num_labels: int
    kappa: float | int | None = None
    conditional: str = "vMF"
    affine_rank: int | None = None
    diversity_rank: int | None = None
    imbalance: float | int = 0.0
    label_noise: float | int = 0.0
    label_swaps: float | int = 0.0
    mixing_is_invertible: bool | None = True

    def __post_init__(self):
        if not (self.dim >= 2 and 1 <= self.num_clusters <= self.num_labels):
            raise ValueError(
                f"ClusterWorld: found dim={self.dim}, num_clusters={self.num_clusters}, num_labels={self.num_labels}, "
                "wanted dim >= 2 and 1 <= num_clusters <= num_labels"
            )
        if self.kappa is not None:
            check_positive("ClusterWorld", "kappa", self.kappa, ())

    @property
    def ranks(self) -> tuple[int, int]:
        """The two ranks, those of vectors in general position where they were not given."""
        affine = min(self.dim, self.num_clusters - 1) if self.affine_rank is None else self.affine_rank
        diverse = min(2 * self.dim, self.num_clusters) if self.diversity_rank is None else self.diversity_rank
        return affine, diverse


@dataclasses.dataclass(frozen=True)
class CrossEntropyObjective:
    """What is minimised: softmax cross-entropy over `targets` ("instance": DIET, or "class": supervised).

    `unit_features`, `unit_rows`: whether features, and rows of the head, have norm 1. `beta`: the inverse temperature,
    None where it is learned.
    """

    targets: str
    unit_features: bool = False
    unit_rows: bool = False
    beta: float | int | None = 1.0

    def __post_init__(self):
        check_choice("CrossEntropyObjective", "targets", self.targets, TARGETS)
        if self.beta is not None:
            check_positive("CrossEntropyObjective", "beta", self.beta, ())


@dataclasses.dataclass(frozen=True)
class Regime:
    """One of the theorem's four cases: features f(g(z)) = scale O z, rows w_i = scale O v_c(i) (+ an offset).

    `relation` is "orthogonal", or "linear" where only invertibility of the map is known. A scale is None where nothing
    fixes it. With `head_offset` all rows may share a further constant vector.
    """

    name: str
    relation: str
    feature_scale: float | None
    head_scale: float | None
    head_offset: bool


def predicted_relation(
    kappa: float | int, *, unit_features: bool = False, unit_rows: bool = False, beta: float | int | None = 1.0
) -> Regime:
    """Returns what a global minimum looks like under von Mises-Fisher clusters of concentration `kappa`.

    C1 (both of norm 1, beta = kappa): f(g(z)) = O z, w_i = O v_c(i). C2 (features): f(g(z)) = O z, w_i = (kappa/beta)
    O v_c(i) + psi. C3 (rows): f(g(z)) = (kappa/beta) O z, w_i = O v_c(i). C4 (neither): f(g(z)) = A^-T z,
    (beta/kappa) w_i = A v_c(i) + psi. With a learned beta (None) the factor kappa/beta is not known before.
    Raises `ValueError` unless kappa and beta are finite and > 0. Source: Reizinger et al. 2025, theorem (full form).
    """
    check_positive("predicted_relation", "kappa", kappa, ())
    if beta is not None:
        check_positive("predicted_relation", "beta", beta, ())
    ratio = None if beta is None else kappa / beta
    if unit_features and unit_rows:
        return Regime("C1", "orthogonal", 1.0, 1.0, False)
    if unit_features:
        return Regime("C2", "orthogonal", 1.0, ratio, True)
    if unit_rows:
        return Regime("C3", "orthogonal", ratio, 1.0, False)
    return Regime("C4", "linear", None, None, True)


def affine_generator_rank(vectors: Vectors) -> int:
    """Dimension of the affine hull of the cluster vectors [C, d]: d if and only if they affinely generate R^d.

    It takes at least d + 1 vectors in general position. NumPy, for known values. Raises `ValueError` unless [C, d].
    Source: Reizinger et al. 2025, assumption on the cluster vectors.
    """
    known = _known("affine_generator_rank", vectors)
    return 0 if len(known) == 1 else int(np.linalg.matrix_rank(known[1:] - known[:1]))


def diversity_rank(vectors: Vectors) -> int:
    """Rank of the [C, 2d] matrix with rows [v_c * v_c, v_c]: 2d if and only if the data are diverse.

    Almost surely so for C >= 2d. NumPy, for known values. Raises `ValueError` unless [C, d].
    Source: Reizinger et al. 2025, condition of case C3.
    """
    known = _known("diversity_rank", vectors)
    return int(np.linalg.matrix_rank(np.concatenate([known * known, known], axis=1)))


def divides(num_labels: int, num_clusters: int) -> bool:
    """Says whether every cluster has equally many labels. Raises `ValueError` unless 1 <= C <= N."""
    if not 1 <= num_clusters <= num_labels:
        raise ValueError(f"divides: found C={num_clusters} clusters of N={num_labels} labels, wanted 1 <= C <= N")
    return num_labels % num_clusters == 0


def cross_entropy_report(
    world: ClusterWorld, objective: CrossEntropyObjective, *, bayes: BayesLoss | None = None
) -> Report:
    """Checks the premises of the theorem against `world` and `objective` and says what to expect.

    Too few clusters are a failed premise, not an error. `bayes`, from `bayes_cross_entropy`, adds the loss at which a
    run has converged: a shortfall in R^2 at a higher loss is optimisation, not identifiability.
    Source: Reizinger et al. 2025, theorem 1.
    """
    premises = _premises(world, objective)
    affine, _ = world.ranks
    failed = ", ".join(premise.name for premise in premises if premise.holds is False)
    if failed:
        predictions = [Prediction("relation", "no theorem applies", f"not satisfied: {failed}")]
        if affine < world.dim:
            why = "the posterior depends on the latents only through differences of cluster vectors"
            predictions.append(Prediction("dims that labels speak about", affine, why))
    else:
        predictions = _recovery(world, objective)
    if bayes is not None:
        error = float(bayes.standard_error)
        predictions.append(Prediction("Bayes loss", float(bayes.mean), f"minimum of the loss, s.e. {error:.2g}"))
    count = world.num_labels if objective.targets == "instance" else world.num_clusters
    predictions.append(Prediction("loss of constant features", float(np.log(count)), "log of the number of labels"))
    return Report(tuple(premises), tuple(predictions))


def _premises(world, objective):
    affine, diverse = world.ranks
    vmf = world.kappa is not None
    clean = world.label_noise == 0 and world.label_swaps == 0
    prior = divides(world.num_labels, world.num_clusters) and world.imbalance == 0
    instance = objective.targets == "instance"
    uniform = world.imbalance == 0 if instance else prior
    found = f"{world.num_labels} labels in {world.num_clusters} clusters"
    found += f", imbalance {world.imbalance:g}" if world.imbalance else ""
    noise = f"noise {world.label_noise:g}, swaps {world.label_swaps:g}"
    words = {True: "invertible", False: "not invertible", None: "not checked"}
    premises = [
        Premise(
            "affine generator system",
            affine == world.dim,
            f"affine rank {affine} of {world.num_clusters} cluster vectors, dim {world.dim}",
            "differences of cluster vectors must reach every direction: at least dim + 1 clusters",
        ),
        Premise("uniform prior", uniform, found, "the head has no bias that could hold the logarithm of a prior"),
        Premise(
            "von Mises-Fisher clusters",
            vmf,
            f"kappa={world.kappa:g}" if vmf else world.conditional,
            "the log-ratio of two labels must be linear in the latents",
        ),
        Premise("labels tell the cluster", clean, "clean" if clean else noise, "one label must be one cluster"),
        Premise(
            "invertible mixing",
            world.mixing_is_invertible,
            words[world.mixing_is_invertible],
            "different latents must give different observations",
        ),
    ]
    if objective.unit_rows and not objective.unit_features:
        premises.append(
            Premise(
                "diverse data",
                diverse == 2 * world.dim,
                f"rank {diverse} of 2 x {world.dim}",
                "only then do rows of norm 1 force an orthogonal map; almost sure for 2 dim clusters",
            )
        )
    if objective.unit_rows and objective.unit_features:
        learned = objective.beta is None
        matches = learned or (vmf and bool(np.isclose(objective.beta, world.kappa, atol=0.0)))
        found = "beta is learned" if learned else f"beta={objective.beta:g}, kappa={world.kappa}"
        premises.append(
            Premise("matched temperature", matches, found, "with both norms fixed only beta can hold the concentration")
        )
    return premises


def _recovery(world, objective):
    regime = predicted_relation(
        world.kappa, unit_features=objective.unit_features, unit_rows=objective.unit_rows, beta=objective.beta
    )
    why = {
        "orthogonal": "a norm is fixed, so the map is a rotation up to one factor",
        "linear": "nothing fixes a norm: the head can undo any linear map of the features",
    }[regime.relation]
    predictions = [
        Prediction("relation", f"{regime.relation} ({regime.name})", why),
        Prediction("linear R2", 1.0, "features are a linear, invertible function of the latents"),
        Prediction("head R2", 1.0, "rows are a linear function of their clusters' vectors"),
    ]
    if regime.relation == "orthogonal":
        unknown = "kappa / learned beta"
        for what, scale in (("features", regime.feature_scale), ("rows", regime.head_scale)):
            value = unknown if scale is None else scale
            predictions.append(Prediction(f"scale of {what}", value, "all singular values of their map from the truth"))
    return predictions


def _known(where, vectors):
    check_shape(where, "vectors", vectors, ("C", "d"))
    return np.asarray(vectors)
