"""The random systems and environments behind the published tables, drawn again from the published seeds.

The five seeds are the authors'. That their code draws A, B, C (those that are not I), then the variances, then the
means from NumPy's global generator was found out from three facts that are known of their draws: the range over cells
and seeds of cond(Delta) at d = 2, 3 and 5 (1-185, 2-158, 13-1185), all of which it gives. That a PyTorch layer of the
same seed holds the start of training was found out from the motor's five final values, which hang on nothing else.
"""

import functools

import numpy as np

SEEDS = (42, 64, 982, 5748, 23567)
SWEEP = {"author": tuple(float(number) for number in range(len(SEEDS)))}
"""of the switch `author`: every seed once"""
_ATTEMPTS = 100
# fmt: off
_STARTS = {
    1: (
        (0.19790614, 0.19442056, -0.9477858, -0.15727685),
        (0.10910237, -0.7346764, 0.6623653, -0.098078966),
        (0.5237441, 0.719603, 0.103181794, -0.44409135),
        (0.21848953, -0.004282918, 0.26969972, 0.93781984),
        (-0.7079724, 0.18661013, 0.2982803, 0.6123564),
    ),
    2: (
        (-0.43777764, -0.0726454, 0.8609304, -0.24874134, 0.4321225, 0.2440892, 0.45410603, 0.7399179),
        (0.35433578, -0.05246785, -0.20418422, -0.91104466, 0.6565102, 0.10017887, 0.74300873, 0.08304548),
        (0.11620903, -0.5001598, -0.35082477, 0.7831077, 0.87511176, -0.27275345, -0.14912538, -0.37087244),
        (0.25463605, 0.88543904, 0.049031034, -0.38568625, -0.96523017, 0.25546962, -0.016475791, -0.05286053),
        (0.3276167, 0.67258275, 0.66355073, 0.00030441963, -0.6080867, 0.66406095, -0.3727647, -0.22427681),
    ),
}
# fmt: on
"""PyTorch's numbers, which nothing else draws: its linear layer of 4 inputs and 1 or 2 outputs without bias, made
orthogonal by `torch.nn.init.orthogonal_`, after `torch.manual_seed` of each seed"""


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


def starts(num_controls: int) -> np.ndarray:
    """W of every seed before training, for two observed variables: [5 seeds, num_controls, 4], 1 or 2 controls."""
    if num_controls not in _STARTS:
        raise ValueError(f"starts: found {num_controls} controls, wanted one of {sorted(_STARTS)}: no others are known")
    return np.array(_STARTS[num_controls]).reshape(len(SEEDS), num_controls, 4)


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
