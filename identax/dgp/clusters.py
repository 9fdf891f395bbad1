"""Clusters on the sphere: labels, the clusters they belong to, latents around the clusters' vectors."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from identax.checks import check_between, check_count, check_nonnegative, check_positive, concrete, is_integer
from identax.dgp.base import DGP, Sample, pytree_params
from identax.dgp.conditionals import Conditional, Uniform
from identax.dgp.mixings import Mixing
from identax.dgp.spaces import Sphere
from identax.dgp.truncated import laplace_log_mass, truncated_laplace
from identax.inputs import numbers
from identax.rng import stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LabelledSample(Sample):
    """One draw with `labels` [n], numbers of instances, and `clusters` [n] = labels mod C, numbers of classes."""

    labels: Any
    clusters: Any


@pytree_params
@dataclasses.dataclass(frozen=True)
class TruncatedLaplace(Conditional):
    """p(z+|z) prop. to exp(-|z+ - z|_1 / scale) on the box [-bound, bound]^n, z on the unit sphere, z+ off it.

    The box is absolute, not around z, and draws are not projected back (Reizinger et al. 2025, code). `scale`, `bound`:
    scalars, may be traced. `log_prob` is normalised. Raises `ValueError` unless both are finite and > 0, and for a
    centre outside the box where it is known.
    """

    scale: ArrayLike
    bound: ArrayLike = 2.0

    spaces = (Sphere,)
    default_space = Sphere

    def __post_init__(self):
        check_positive("TruncatedLaplace", "scale", self.scale)
        check_positive("TruncatedLaplace", "bound", self.bound)

    def check_centers(self, mean: Float[Array, "N n"]) -> None:
        """Raises `ValueError` where a centre is known to lie outside the box."""
        known, bound = concrete(mean), concrete(self.bound)
        if known is not None and bound is not None and (np.abs(known) > bound).any():
            raise ValueError(
                f"TruncatedLaplace: found a centre with an entry of size {np.abs(known).max():.3g}, "
                f"wanted at most bound={bound:g}"
            )

    def _edges(self, mean):
        self.check_centers(mean)
        scale, bound = jnp.asarray(self.scale, mean.dtype), jnp.asarray(self.bound, mean.dtype)
        return scale, bound, (-bound - mean) / scale, (bound - mean) / scale

    def _sample(self, key, mean, space):
        scale, bound, low, high = self._edges(mean.T)  # the long axis last: faster random numbers
        return jnp.clip(mean.T + scale * truncated_laplace(key, low, high), -bound, bound).T

    def _log_prob(self, value, mean, space):
        scale, bound, low, high = self._edges(mean)
        density = -jnp.abs(value - mean) / scale - jnp.log(2 * scale) - laplace_log_mass(low, high)
        return jnp.where((jnp.abs(value) <= bound).all(axis=-1), density.sum(axis=-1), -jnp.inf)


def sphere_clusters(
    dim: int,
    num_clusters: int,
    conditional: Conditional,
    mixing: Mixing,
    *,
    num_labels: int | None = None,
    marginal: Conditional = Uniform(),
    imbalance: ArrayLike | None = None,
) -> DGP:
    """Labels i with clusters c(i) = i mod C, latents around the unit vector of their cluster.

        v_c ~ `marginal` around e_1, once;    i ~ Uniform{0..N-1};    z ~ p(.|v_c(i)), `conditional`;    x = g(z)

    Every draw of a label is a fresh z, so N = `num_labels` (default C) only sets how many labels there are; clusters
    are equally likely if and only if C divides N. A projected Laplace, Normal or generalised normal is that law, here
    on a `Sphere(dim)`; `TruncatedLaplace` leaves the sphere. `imbalance` s instead of a uniform law draws labels with
    probability prop. to (1 + c(i))^-s, which the theorem on class labels does not cover.

    `init(key, conditional=None, marginal=None, imbalance=None) -> {"mixing", "vectors": [C, d], "conditional"[,
    "imbalance"]}`: parameters of the laws are leaves of the truth, so traced ones of the same kind can be handed to it
    (an imbalance only where the world has one). `sample(truth, key, num) -> LabelledSample`.

    Raises `ValueError` for dim < 2, C < 1, N < C, a law that does not exist on the sphere, a negative imbalance, a
    truncated Laplace whose box misses a centre. Source: Reizinger et al. 2025, theorem 1 and code.
    """
    num_labels = num_clusters if num_labels is None else num_labels
    for name, count in (("dim", dim), ("num_clusters", num_clusters), ("num_labels", num_labels)):
        if not is_integer(count):
            raise ValueError(f"sphere_clusters: found {name}={count!r}, wanted an integer")
    if dim < 2 or num_clusters < 1 or num_labels < num_clusters:
        raise ValueError(
            f"sphere_clusters: found dim={dim}, num_clusters={num_clusters}, num_labels={num_labels}, "
            "wanted dim >= 2, num_clusters >= 1 and num_labels >= num_clusters"
        )
    space = Sphere(dim)
    laws = {"conditional": conditional, "marginal": marginal}
    for law in laws.values():
        law.check(space)
    _check_imbalance(imbalance)

    def init(
        key: Key[Array, ""],
        conditional: Conditional | None = None,
        marginal: Conditional | None = None,
        imbalance: ArrayLike | None = imbalance,
    ) -> dict[str, Any]:
        around = _given("marginal", laws["marginal"], marginal, space)
        vectors = around.marginal(stream(key, "vectors"), num_clusters, space)
        law = _given("conditional", laws["conditional"], conditional, space)
        law = jax.tree.map(lambda x: jnp.asarray(x, float), law)
        if isinstance(law, TruncatedLaplace):
            law.check_centers(vectors)
        _check_imbalance(imbalance)
        extra = {} if imbalance is None else {"imbalance": jnp.asarray(imbalance, float)}
        return {"mixing": mixing.init(stream(key, "world")), "vectors": vectors, "conditional": law, **extra}

    def sample(truth: Any, key: Key[Array, ""], num: int) -> LabelledSample:
        check_count("sphere_clusters", "num", num)
        labels = _labels(stream(key, "labels"), num, num_labels, num_clusters, truth.get("imbalance"))
        chosen = cluster_of(labels, num_clusters)
        z = truth["conditional"].sample(stream(key, "latents"), truth["vectors"][chosen], space)
        return LabelledSample(z, mixing.apply(truth["mixing"], z), labels, chosen)

    return DGP(init, sample)


def cluster_of(labels: Any, num_clusters: int) -> Int[Array, "..."]:
    """Returns the cluster of every label [...]: i mod C, as int32 or wider. Raises `ValueError` as `label_noise`."""
    check_count("cluster_of", "num_clusters", num_clusters)
    return _wide("cluster_of", labels) % num_clusters


def labels_per_cluster(num_labels: int, num_clusters: int) -> Int[np.ndarray, " C"]:
    """Returns how many of N labels belong to each of the C clusters: N/C for all where C divides N."""
    check_count("labels_per_cluster", "num_clusters", num_clusters)
    check_count("labels_per_cluster", "num_labels", num_labels)
    return np.bincount(np.arange(num_labels) % num_clusters, minlength=num_clusters)


def label_prior(num_labels: int, num_clusters: int, imbalance: ArrayLike | None = None) -> Float[Array, " C"]:
    """Returns the probability of every cluster in the world `sphere_clusters`: [C], sums to 1."""
    weights = jnp.asarray(labels_per_cluster(num_labels, num_clusters), float)
    if imbalance is not None:
        weights = weights * (1 + jnp.arange(num_clusters)) ** -jnp.asarray(imbalance, float)
    return weights / weights.sum()


def label_noise(key: Key[Array, ""], labels: Any, probability: ArrayLike, num_labels: int) -> Int[Array, " n"]:
    """Replaces every label [n], with `probability`, by one drawn uniformly from all `num_labels` (itself included).

    Labels of narrow types become int32, which holds all `num_labels`. Raises `ValueError` for a probability known to
    be outside [0, 1], num_labels < 1, and labels that are no integers.
    Source: Reizinger et al. 2025, figure 6.
    """
    check_between("label_noise", "probability", probability, 0, 1)
    check_count("label_noise", "num_labels", num_labels)
    labels = _wide("label_noise", labels)
    drawn = jax.random.randint(stream(key, "replacement"), labels.shape, 0, num_labels, labels.dtype)
    return jnp.where(_chosen(key, labels, probability), drawn, labels)


def swap_labels(
    key: Key[Array, ""], labels: Any, probability: ArrayLike, num_labels: int, num_clusters: int
) -> Int[Array, " n"]:
    """Exchanges labels between clusters 2k and 2k + 1: with `probability` a label i becomes its partner i +- 1.

    A control that must fail: at 1/2 the two clusters of a pair cannot be told apart, and what shares a label is no
    longer one cluster; at 1 it is a mere renaming and nothing is lost. A label without a partner (odd C, the last
    label of all) stays. Raises `ValueError` as `label_noise` does, and for N < C or C < 2.
    """
    check_between("swap_labels", "probability", probability, 0, 1)
    check_count("swap_labels", "num_clusters", num_clusters)
    check_count("swap_labels", "num_labels", num_labels)
    labels = _wide("swap_labels", labels)
    if not 2 <= num_clusters <= num_labels:
        raise ValueError(
            f"swap_labels: found num_clusters={num_clusters}, num_labels={num_labels}, wanted 2 <= clusters <= labels"
        )
    partner = swap_partner(labels, num_labels, num_clusters)
    return jnp.where(_chosen(key, labels, probability), partner, labels)


def swap_partner(labels: Any, num_labels: int, num_clusters: int) -> Int[Array, " n"]:
    """Returns the label that `swap_labels` exchanges every label with; itself where there is none."""
    labels = _wide("swap_partner", labels)
    cluster = cluster_of(labels, num_clusters)
    step = jnp.where(cluster % 2 == 0, 1, -1).astype(labels.dtype)
    has_one = (cluster + step < num_clusters) & (labels + step < num_labels)
    return jnp.where(has_one, labels + step, labels)


def _wide(where, labels):
    """Labels as int32 or wider: in a narrower type their remainders and sums would wrap."""
    labels = numbers(where, "labels", labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"{where}: found labels of type {labels.dtype}, wanted integers")
    return jnp.asarray(labels, jnp.promote_types(jax.dtypes.canonicalize_dtype(labels.dtype), jnp.int32))


def _chosen(key, labels, probability):
    level = jax.random.uniform(stream(key, "chosen"), labels.shape, jnp.result_type(float))
    return level < jnp.asarray(probability, level.dtype)


def _labels(key, num, num_labels, num_clusters, imbalance):
    if imbalance is None:
        return jax.random.randint(key, (num,), 0, num_labels)
    edges = jnp.cumsum(label_prior(num_labels, num_clusters, imbalance))
    level = jax.random.uniform(stream(key, "cluster"), (num,), edges.dtype)
    chosen = jnp.minimum(jnp.searchsorted(edges, level, side="right"), num_clusters - 1)
    counts = jnp.asarray(labels_per_cluster(num_labels, num_clusters))[chosen]
    return chosen + num_clusters * jax.random.randint(stream(key, "member"), (num,), 0, counts)


def _given(name, default, law, space):
    law = default if law is None else law
    if type(law) is not type(default):
        raise ValueError(f"sphere_clusters: found the {name} {law}, wanted a {type(default).__name__}")
    law.check(space)
    return law


def _check_imbalance(imbalance):
    if imbalance is not None:
        check_nonnegative("sphere_clusters", "imbalance", imbalance, ())
