"""The random systems and environments behind the published tables, drawn again from the published seeds.

The five seeds are the authors'. That their code draws A, B, C (those that are not I), then the variances, then the
means from NumPy's global generator was found out from three facts that are known of their draws: the range over cells
and seeds of cond(Delta) at d = 2, 3 and 5 (1-185, 2-158, 13-1185), all of which it gives.
"""

import functools

import numpy as np

SEEDS = (42, 64, 982, 5748, 23567)
_ATTEMPTS = 100


def drawn(seed: int, dim: int, *, use_B: bool, use_C: bool, maximal: bool = False) -> dict[str, np.ndarray]:
    """A, B, C [d, d], variances and means [d + 1, d] of one seed in one column of Table 1.

    Matrices that are not used are I and cost no random numbers. Means are those of the columns that have means.
    Raises `ValueError` where 100 attempts give no controllable, observable or sufficiently excited system.
    """
    # NumPy's frozen legacy generator: its numbers are the same in every version.
    normal = np.random.RandomState(seed).randn
    for _ in range(_ATTEMPTS):
        A = normal(dim, dim)
        A = 0.9 * A / np.abs(np.linalg.eigvals(A)).max()
        B = normal(dim, dim) if use_B else np.eye(dim)
        if _reaches(A, B):
            break
    else:
        raise ValueError(f"drawn: found no controllable system for seed {seed} in {_ATTEMPTS} attempts")
    for _ in range(_ATTEMPTS):
        C = normal(dim, dim) if use_C else np.eye(dim)
        if _reaches(A.T, C.T):
            break
    else:
        raise ValueError(f"drawn: found no observable system for seed {seed} in {_ATTEMPTS} attempts")
    for _ in range(_ATTEMPTS):
        variances = np.abs(normal(dim + 1, dim)) / 2
        means = normal(dim + 1, dim)
        if maximal:
            variances = np.full((dim + 1, dim), 1e-4)
            variances[np.arange(1, dim + 1), np.arange(dim)] = 1.0
        if np.linalg.matrix_rank(1 / variances[1:] - 1 / variances[0]) >= dim:
            return {"A": A, "B": B, "C": C, "variances": variances, "means": means}
    raise ValueError(f"drawn: found no Delta of full rank for seed {seed} in {_ATTEMPTS} attempts")


@functools.cache
def motor() -> dict[str, np.ndarray]:
    """Variances and means [5 seeds, 3, 1] of the DC motor's voltage: the motor itself costs no random numbers."""
    made = []
    for seed in SEEDS:
        normal = np.random.RandomState(seed).randn
        made.append((np.abs(normal(3, 1)) / 2, normal(3, 1)))
    return {
        name: np.array(values) for name, values in zip(("variances", "means"), zip(*made, strict=True), strict=True)
    }


@functools.cache
def table(dim: int, maximal: bool) -> dict[str, np.ndarray]:
    """All of `drawn`, stacked: [5 seeds, use_B, use_C, ...]."""
    cells = [
        [[drawn(seed, dim, use_B=bool(b), use_C=bool(c), maximal=maximal) for c in range(2)] for b in range(2)]
        for seed in SEEDS
    ]
    return {
        name: np.array([[[cell[name] for cell in row] for row in block] for block in cells]) for name in cells[0][0][0]
    }


def _reaches(A: np.ndarray, B: np.ndarray) -> bool:
    """Whether [B, A B, ..., A^(d-1) B] has full rank."""
    blocks = [B]
    for _ in range(len(A) - 1):
        blocks.append(A @ blocks[-1])
    return np.linalg.matrix_rank(np.concatenate(blocks, axis=1)) == len(A)
