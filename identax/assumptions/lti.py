"""Linear systems under designed controls: which premises hold, and what is identifiable under which."""

import dataclasses

import jax
import numpy as np

from identax.assumptions.report import Prediction, Premise, Report
from identax.assumptions.symmetry import expected_rotation_mcc
from identax.checks import check_choice, check_count, check_finite
from identax.dgp.lti_system import Environments, LinearSystem, check_environments

_OBJECTIVE_FOUND = {
    "conditional": "log-determinant kept",
    "closed_form": "regression and joint diagonalisation, no such objective",
    "published": "log-determinant left out",
}
OBJECTIVES = tuple(_OBJECTIVE_FOUND)


@dataclasses.dataclass(frozen=True)
class Excitation:
    """What the control variances of the environments can tell apart.

    `rank`, `condition`: of the variability matrix Delta [E - 1, d_u] (rank 0, infinite condition for E = 1).
    `smallest_angle`: between two columns of the variance matrix, in degrees; 0 is proportional (90 for one control).
    `smallest_gap`: over pairs of columns, the range over environments of log(sigma^2_{e,i} / sigma^2_{e,j}); what
    separates generalised eigenvalues, so small values mean large errors (infinite for one control).
    `blocks`: controls with proportional columns, which second moments leave mixed by a rotation.
    `free`: for each block the directions that known means do not fix either.
    `expected_mcc`, `expected_mcc_sd`: of controls within environments when every block is rotated at random.
    """

    num_environments: int
    num_controls: int
    rank: int
    condition: float
    smallest_angle: float
    smallest_gap: float
    blocks: tuple[tuple[int, ...], ...]
    free: tuple[int, ...]
    expected_mcc: float
    expected_mcc_sd: float

    @property
    def separates(self) -> bool:
        """Whether no two columns of the variance matrix are proportional: second moments identify every control."""
        return len(self.blocks) == self.num_controls


def excitation_report(environments: Environments, *, rtol: float | int = 1e-6) -> Excitation:
    """What the environments identify from second moments, before anything is run; in NumPy, on concrete values.

        R_e = CB Sigma_e (CB)^T for all e determines the column CB_i up to scale and order
        <=> no other control j has sigma^2_{e,j} = c sigma^2_{e,i} for all e

    Weaker than the published condition rank Delta = d_u: two environments of distinct variance ratios are enough.
    Within a block of proportional columns CB -> CB S O S^-1, with S^2 = diag sigma^2_0 and any orthogonal O, changes
    no R_e, so standardised controls stay rotated. `rtol`: ratios equal to this relative tolerance are equal.
    Raises `ValueError` for means and variances that are not both [E, d_u], or non-positive variances.
    Source: Rajendran et al. 2024, section 3; the weaker condition is that of joint diagonalisation.
    """
    E, d_u = check_environments("excitation_report", environments)
    if not 0 <= rtol < 1:
        raise ValueError(f"excitation_report: found rtol={rtol}, wanted it in [0, 1)")
    variances = np.asarray(environments.variances, np.float64)
    standardised = np.asarray(environments.means, np.float64) / np.sqrt(variances[:1])
    logs = np.log(variances)
    ratios = logs[:, :, None] - logs[:, None, :]
    gaps = ratios.max(axis=0) - ratios.min(axis=0)  # [d_u, d_u]
    blocks: list[list[int]] = []
    for i in range(d_u):
        home = next((block for block in blocks if gaps[block[0], i] <= rtol), None)
        blocks.append([i]) if home is None else home.append(i)
    off = ~np.eye(d_u, dtype=bool)
    rank, condition = _rank_and_condition(environments.variances)
    mcc, sd = map(float, expected_rotation_mcc(jax.random.key(0), tuple(len(block) for block in blocks)))
    return Excitation(
        num_environments=E,
        num_controls=d_u,
        rank=rank,
        condition=condition,
        smallest_angle=float(_angles(variances)[off].min()) if d_u > 1 else 90.0,
        smallest_gap=float(gaps[off].min()) if d_u > 1 else float("inf"),
        blocks=tuple(map(tuple, blocks)),
        # One direction that means leave free in a block of one is a sign only.
        free=tuple(len(b) - int(np.linalg.matrix_rank(standardised[:, b])) if len(b) > 1 else 0 for b in blocks),
        expected_mcc=mcc,
        expected_mcc_sd=sd,
    )


def lti_report(
    system: LinearSystem | None,
    environments: Environments,
    *,
    num_samples: int | None = None,
    objective: str = "conditional",
) -> Report:
    """Checks the premises of identification from environments, and says what is identifiable, before any run.

    `system`: the truth, where it is known (a simulation); None leaves its premises unknown. `num_samples` per
    environment. `objective`: "conditional" (log-likelihood with its log-determinant, means known), "closed_form"
    (regression and joint diagonalisation: second moments only) or "published" (without the log-determinant, so that
    its optimum is not the true inverse). Concrete values, on the host.
    Raises `ValueError` for stacked systems, a d_u that differs, bad environments and an unknown objective.
    Source: Rajendran et al. 2024, section 3 (theorem 7, corollary 10, lemma 12).
    """
    check_choice("lti_report", "objective", objective, OBJECTIVES)
    excitation = excitation_report(environments)
    premises = system_premises(system, excitation.num_controls)
    premises += _excitation_premises(excitation, objective)
    if num_samples is not None:
        premises.append(_samples(system, excitation, num_samples))
    premises.append(
        Premise(
            "the optimum of the objective is the true inverse",
            objective != "published",
            _OBJECTIVE_FOUND[objective],
            "without log|det W_1| shrinking W is never paid for; only with it is the objective a log-likelihood",
        )
    )
    zero_means = not np.any(np.asarray(environments.means))
    predictions = _objective_predictions(objective, zero_means)
    predictions += _identifiable(premises, excitation, objective, zero_means)
    return Report(tuple(premises), tuple(predictions))


def system_premises(system: LinearSystem | None, num_controls: int | None = None) -> list[Premise]:
    """Stability, controllability, observability, and what pairs ask of C and CB; unknown without a system.

    Raises `ValueError` for a stack of systems, matrices that do not fit, non-finite ones or another d_u.
    """
    found = dict.fromkeys(_WHY, "system not given")
    holds: dict[str, bool | None] = dict.fromkeys(_WHY)
    if system is not None:
        A, B, C = _matrices(system, num_controls)
        d_x, d_u, d_y = len(A), B.shape[1], len(C)
        radius = float(np.abs(np.linalg.eigvals(A)).max())
        reach, seen = _krylov_rank(A, B), _krylov_rank(A.T, C.T)
        state, gain = int(np.linalg.matrix_rank(C)), int(np.linalg.matrix_rank(C @ B))
        condition = float(np.linalg.cond(C @ B))
        results = [
            (radius < 1, f"spectral radius {radius:.4g}"),
            (reach == d_x, f"rank {reach} of {d_x}"),
            (seen == d_x, f"rank {seen} of {d_x}"),
            (state == d_x, f"rank of C {state}, states {d_x}, outputs {d_y}"),
            (gain == d_u, f"rank of CB {gain} of {d_u}, condition number {condition:.3g}"),
        ]
        for name, (result, text) in zip(_WHY, results, strict=True):
            holds[name], found[name] = bool(result), text
    return [Premise(name, holds[name], found[name], why) for name, why in _WHY.items()]


def stability(system: LinearSystem) -> Premise:
    """The premise that every eigenvalue of A is inside the unit circle; `check_stable` raises instead."""
    return system_premises(system)[0]


_WHY = {
    "stable": "otherwise the state grows without bound and long trajectories overflow",
    "controllable": "A, B and C are determined only on the states that the controls reach",
    "observable": "A, B and C are determined only on the states that the outputs show",
    "one observation determines the state": "otherwise y_{t+1} depends on more of the past than y_t: pairs do not do",
    "every control moves the next observation": "the control is read off y_{t+1} - F y_t = CB u_t",
}


def _matrices(system, num_controls):
    A, B, C = (np.asarray(matrix, np.float64) for matrix in (system.A, system.B, system.C))
    if not (A.ndim == B.ndim == C.ndim == 2 and len(A) == A.shape[1] == len(B) == C.shape[1]) or 0 in A.shape + B.shape:
        raise ValueError(
            f"lti_report: found A {A.shape}, B {B.shape}, C {C.shape}, "
            "wanted one system [d_x, d_x], [d_x, d_u], [d_y, d_x]"
        )
    for name, matrix in (("A", A), ("B", B), ("C", C)):
        check_finite("lti_report", name, matrix)
    if num_controls is not None and B.shape[1] != num_controls:
        raise ValueError(f"lti_report: found a system of {B.shape[1]} controls, wanted d_u={num_controls}")
    return A, B, C


def _krylov_rank(A, B):
    """Rank of [B, A B, ..., A^{d-1} B]; A is scaled to spectral radius 1, which changes the rank by rounding only."""
    radius = np.abs(np.linalg.eigvals(A)).max()
    scaled = A / radius if radius > 0 else A
    columns = [B]
    for _ in range(len(A) - 1):
        columns.append(scaled @ columns[-1])
    return int(np.linalg.matrix_rank(np.hstack(columns)))


def _rank_and_condition(variances):
    given = np.asarray(variances)
    precisions = 1.0 / given.astype(np.float64)
    delta = precisions[1:] - precisions[:1]
    if len(delta) == 0:
        return 0, float("inf")
    sizes = np.linalg.svd(delta, compute_uv=False)
    # Proportional columns stay so only to the rounding of the variances that were given.
    eps = np.finfo(given.dtype).eps if given.dtype.kind == "f" else np.finfo(np.float64).eps
    rank = int((sizes > 4 * max(delta.shape) * float(eps) * sizes[0]).sum())
    return rank, float(sizes[0] / sizes[-1]) if rank == delta.shape[1] else float("inf")


def _angles(variances):
    """Angles in degrees between all columns; accurate for small ones, unlike the arc cosine."""
    unit = variances / np.linalg.norm(variances, axis=0)
    apart = np.linalg.norm(unit[:, :, None] - unit[:, None, :], axis=0)
    return np.degrees(2 * np.arcsin(np.minimum(apart / 2, 1.0)))


def _excitation_premises(excitation, objective):
    d_u, mixed = excitation.num_controls, _mixed(excitation, objective)
    by_means = not excitation.separates and not mixed
    text = f"smallest angle between columns {excitation.smallest_angle:.3g} degrees"
    if not excitation.separates:
        text = f"proportional: {_named(excitation.blocks)}" + ("; known means tell them apart" if by_means else "")
    return [
        Premise(
            "Delta has full column rank",
            excitation.rank == d_u,
            f"rank {excitation.rank} of {d_u}, condition number {excitation.condition:.4g}",
            "the published condition: sufficient, not necessary",
        ),
        Premise(
            "controls can be told apart",
            not mixed,
            text,
            "no two columns of the variances may be proportional, unless known means separate them in a likelihood",
        ),
    ]


def _mixed(excitation, objective):
    """The blocks that stay mixed under the objective: the closed form sees second moments only."""
    by_means = objective != "closed_form"
    pairs = zip(excitation.blocks, excitation.free, strict=True)
    return [block for block, free in pairs if len(block) > 1 and not (by_means and free == 0)]


def _samples(system, excitation, num_samples):
    check_count("lti_report", "num_samples", num_samples)
    dim = excitation.num_controls if system is None else max(np.shape(system.C)[0], excitation.num_controls)
    return Premise(
        "enough samples in every environment",
        num_samples // 2 > dim + 1,
        f"{num_samples} samples, {num_samples // 2} disjoint pairs",
        f"the covariance of a residual of {dim} dimensions needs more than {dim + 1} pairs",
    )


def _objective_predictions(objective, zero_means):
    if objective == "published":
        if zero_means:
            return [Prediction("optimum", "W = 0", "nothing holds W up: no means to fit and no log-determinant")]
        why = "w_i = H_i^-1 b_i, least squares of the known means on the observations"
        return [Prediction("optimum", "not the true inverse", why)]
    return [Prediction("optimum", "the true inverse, up to what follows", "a consistent estimator")]


def _identifiable(premises, excitation, objective, zero_means):
    failed = {premise.name for premise in premises if premise.holds is False}
    if "one observation determines the state" in failed or "every control moves the next observation" in failed:
        why = "whole trajectories (Kalman likelihood) may identify it"
        return [Prediction("identifiable from pairs", "not covered", why)]
    mixed = _mixed(excitation, objective)
    symmetry = "order, sign and scale of the controls"
    why = "known variances fix order and scale" + ("; signs stay open" if zero_means else ", known means the signs")
    if mixed:
        symmetry = f"a rotation within {_named(mixed)} (standardised), and {symmetry}"
        why = "second moments are the same after an orthogonal mixing of standardised controls within a block"
    whole = not failed & {"controllable", "observable"}
    return [
        Prediction("Markov parameters", f"identified up to {symmetry}", why),
        Prediction("transfer function", f"identified up to {symmetry}", "it is the series of the Markov parameters"),
        Prediction(
            "A, B, C",
            f"identified up to similarity and {symmetry}" if whole else "only their controllable and observable part",
            "Ho-Kalman from the Markov parameters; B alone carries what stays open of the controls",
        ),
        _mcc(excitation, mixed, objective, zero_means),
    ]


def _mcc(excitation, mixed, objective, zero_means):
    if objective == "published":
        found = "undefined" if zero_means else "below 1"
        return Prediction("MCC", found, "that of another optimum; compute it from the weighted least squares solution")
    if not mixed:
        return Prediction("MCC", 1.0, "every control is identified; less with observation noise")
    sizes = tuple(map(len, mixed)) + (1,) * (excitation.num_controls - sum(map(len, mixed)))
    mean, sd = map(float, expected_rotation_mcc(jax.random.key(0), sizes))
    why = f"best matching within environments under a random rotation of {_named(mixed)}, sd {sd:.2g} over rotations"
    partly = any(free < len(b) for b, free in zip(excitation.blocks, excitation.free, strict=True) if b in mixed)
    if objective == "conditional" and partly:
        why += "; known means fix some directions of it, which raises the value"
    return Prediction("MCC", mean, why)


def _named(blocks):
    return ", ".join("{" + ", ".join(map(str, block)) + "}" for block in blocks if len(block) > 1)
