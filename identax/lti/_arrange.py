"""Labelled rows of observations as transitions and as trajectories."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from identax.checks import check_finite, check_positive, check_real
from identax.lti.moments import Moments, unequal_moments

_moments = jax.jit(unequal_moments, static_argnums=2)


@dataclasses.dataclass(frozen=True)
class Arranged:
    """Checked input: `pairs` [M, 2, d_y], their `labels` [M], and `runs`: (label, first, last + 1) per trajectory."""

    observations: np.ndarray
    runs: tuple[tuple[int, int, int], ...]
    pairs: np.ndarray
    labels: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @property
    def dim(self) -> int:
        """Number of observed variables."""
        return self.observations.shape[1]

    @property
    def num_transitions(self) -> int:
        """Number of pairs that are used."""
        return self.pairs.shape[0]

    @property
    def correlation_bound(self) -> float:
        """Beyond it a correlation of the residuals at lag one is no accident: six standard errors."""
        return 6 / np.sqrt(len(self.observations))

    def moments(self) -> Moments:
        """Moments of the pairs in every environment."""
        return _moments(jnp.asarray(self.pairs), jnp.asarray(self.labels), len(self.variances))

    def blocks(self, method: str) -> np.ndarray:
        """[E, T, d_y]: one trajectory per environment, all cut to the shortest.

        Raises `ValueError` if an environment has several.
        """
        labels = [label for label, _, _ in self.runs]
        if len(set(labels)) != len(labels):
            raise ValueError(
                f"identify_lti: found {len(labels)} runs of labels for {len(set(labels))} environments, wanted one run "
                f"per environment for method={method!r}"
            )
        length = min(last - first for _, first, last in self.runs)
        ordered = sorted(self.runs)
        return np.stack([self.observations[first : first + length] for _, first, _ in ordered])

    def residual_correlation(self, transition: np.ndarray) -> float:
        """Largest (in size) correlation between neighbouring residuals y_{t+1} - F y_t of one component."""
        pieces = []
        for _, first, last in self.runs:
            y = self.observations[first:last]
            r = y[1:] - y[:-1] @ transition.T
            r = r - r.mean(axis=0)
            scale = np.sqrt((r * r).mean(axis=0))
            r = r / np.where(scale > 0, scale, 1.0)
            pieces.append(r[1:] * r[:-1])
        mean = np.concatenate(pieces).mean(axis=0)
        return float(mean[np.argmax(np.abs(mean))])


def arrange(where: str, observations, environments, variances, means, stride: int) -> Arranged:
    """Checks shapes, labels and values, and cuts the rows into trajectories and pairs.

    Raises `ValueError`, as `identify_lti` says.
    """
    for name, value in (("observations", observations), ("variances", variances), ("means", means)):
        if value is not None:
            check_real(where, name, value)
    y, labels = np.asarray(observations, float), np.asarray(environments)
    variances = np.asarray(variances, float)
    means = np.zeros_like(variances) if means is None else np.asarray(means, float)
    _check_shapes(where, y, labels, variances, means)
    if stride not in (1, 2):
        raise ValueError(f"{where}: found stride={stride}, wanted 1 (every transition) or 2 (non-overlapping pairs)")
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    runs = tuple((int(labels[first]), first, last) for first, last in itertools.pairwise(edges))
    starts = np.concatenate([np.arange(first, last - 1, stride) for _, first, last in runs])
    counts = np.bincount(labels[starts], minlength=len(variances))
    wanted = 2 * y.shape[1] + 1
    if counts.min() < wanted:
        raise ValueError(
            f"{where}: found {counts.min()} transitions in environment {int(counts.argmin())}, wanted at least "
            f"{wanted} (more than 2 d_y) in each of {len(variances)}"
        )
    pairs = np.stack([y[starts], y[starts + 1]], axis=1)
    return Arranged(y, runs, pairs, labels[starts], means, variances)


def _check_shapes(where, y, labels, variances, means) -> None:
    if y.ndim != 2 or y.shape[1] < 1 or labels.shape != y.shape[:1]:
        raise ValueError(
            f"{where}: found observations {y.shape} and environments {labels.shape}, wanted [N, d_y] and [N]"
        )
    check_finite(where, "observations", y)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: found environments of type {labels.dtype}, wanted integers")
    if variances.ndim != 2 or 0 in variances.shape or means.shape != variances.shape:
        raise ValueError(f"{where}: found variances {variances.shape} and means {means.shape}, wanted both [E, d_u]")
    if variances.shape[1] > y.shape[1]:
        raise ValueError(f"{where}: found d_u={variances.shape[1]} controls for d_y={y.shape[1]}, wanted d_u <= d_y")
    check_positive(where, "variances", variances)
    check_finite(where, "means", means)
    num = len(variances)
    if labels.min() < 0 or labels.max() >= num:
        raise ValueError(f"{where}: found labels {labels.min()}..{labels.max()}, wanted 0..{num - 1} (E={num})")
