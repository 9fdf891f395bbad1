"""The smallest cross-entropy that a classifier of clusters can reach: a loss is then seen to be converged or not."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Integer, Key

from identax.checks import check_choice, check_count, check_shape
from identax.dgp import (
    Conditional,
    GeneralizedNormal,
    Laplace,
    Normal,
    Sphere,
    VonMisesFisher,
    cluster_of,
    identity,
    label_prior,
    projected_log_prob,
    sphere_clusters,
)
from identax.dgp.clusters import label_noise as noisy
from identax.dgp.clusters import labels_per_cluster, swap_labels, swap_partner
from identax.rng import stream

# Loose on purpose: what does not fit is refused below, with a message that says what is wanted.
Floats = Float[Array | np.ndarray, "..."]
TARGETS = ("instance", "class")
_CHUNK = 1024  # draws judged at once; bounds memory only
_HIGHEST = jax.lax.Precision.HIGHEST


class BayesLoss(NamedTuple):
    """A Monte-Carlo mean in nats with its standard error."""

    mean: Float[Array, ""]
    standard_error: Float[Array, ""]


def bayes_losses(
    latents: Floats,
    labels: Integer[Array | np.ndarray, "..."],
    vectors: Floats,
    conditional: Conditional,
    *,
    num_labels: int | None = None,
    targets: str = "class",
    label_noise: ArrayLike = 0.0,
    label_swaps: ArrayLike = 0.0,
    imbalance: ArrayLike | None = None,
) -> Float[Array, " S"]:
    """-log of the true posterior of every label given its latent, in the world `sphere_clusters`: [S], in nats.

        p(c|z) prop. to prior_c p(z|v_c),    p(i|z) = p(c(i)|z) / n_c(i),    n_c labels in cluster c

    Their mean over the world's own draws is the Bayes loss; on the draws on which a model's loss is measured, the
    difference is the model's excess with most of the sampling error gone.
    Args: `labels` [S], instances 0..N-1 for `targets` "instance", clusters 0..C-1 for "class"; `num_labels` N (default
    C); `label_swaps` s and `label_noise` p, the probabilities with which labels were exchanged with their partners,
    (1 - s) p(i|z) + s p(partner of i|z), and then replaced by uniform ones, (1 - p) p(i|z) + p / number of labels;
    `imbalance` as in the world. Projected laws take an integral for each pair of latent and cluster.
    Raises `ValueError` for unknown targets, shapes that do not fit and N < C.
    """
    check_choice("bayes_losses", "targets", targets, TARGETS)
    latents, labels, vectors = jnp.asarray(latents), jnp.asarray(labels), jnp.asarray(vectors)
    num_clusters = _num_clusters("bayes_losses", vectors)
    num_labels = num_clusters if num_labels is None else num_labels
    fits = latents.ndim == 2 and latents.shape[1] == vectors.shape[1] and labels.shape == latents.shape[:1]
    if not fits or num_labels < num_clusters:
        raise ValueError(
            f"bayes_losses: found latents {latents.shape}, labels {labels.shape}, vectors {vectors.shape}, "
            f"num_labels={num_labels}, wanted [S, d], [S], [C, d] and N >= C"
        )
    prior = label_prior(num_labels, num_clusters, imbalance).astype(latents.dtype)
    joint = jnp.log(prior)[None, :] + _log_densities(conditional, latents, vectors)
    posterior = joint - jax.nn.logsumexp(joint, axis=1, keepdims=True)
    count = num_labels if targets == "instance" else num_clusters

    def of(labels):
        clusters = cluster_of(labels, num_clusters)
        found = jnp.take_along_axis(posterior, clusters[:, None], axis=1)[:, 0]
        return found - jnp.log(jnp.asarray(labels_per_cluster(count, num_clusters), found.dtype))[clusters]

    own = _mixed(of(labels), lambda: of(swap_partner(labels, count, num_clusters)), label_swaps)
    return -_mixed(own, lambda: jnp.full_like(own, -np.log(count).item()), label_noise)


def _mixed(first, second, share):
    """log((1 - share) exp(first) + share exp(second)); no second where the share is known to be 0."""
    if isinstance(share, float | int) and share == 0:
        return first
    share = jnp.asarray(share, first.dtype)
    return jnp.logaddexp(jnp.log1p(-share) + first, jnp.log(share) + second())


def bayes_cross_entropy(
    key: Key[Array, ""],
    vectors: Floats,
    conditional: Conditional,
    *,
    num_labels: int | None = None,
    targets: str = "class",
    label_noise: ArrayLike = 0.0,
    label_swaps: ArrayLike = 0.0,
    imbalance: ArrayLike | None = None,
    num_samples: int = 20_000,
) -> BayesLoss:
    """Bayes cross-entropy of the world `sphere_clusters`, by Monte Carlo: the minimum of the training loss.

        class:     L* = E[ logsumexp_c(kappa <v_c, z>) - kappa <v_c(i), z> ]        (von Mises-Fisher, C divides N)
        instance:  L* + log(N/C)

    and in general, with N that C does not divide, noise or imbalance, the mean of `bayes_losses`. It is attained by
    features z and head rows kappa v_c, beta = 1, wherever a head without bias can (equal priors).
    Args as in `bayes_losses`; at least `num_samples` draws are made. Works under `jit` and `vmap`.
    Raises `ValueError` as `bayes_losses` does, and for fewer than 2 samples.
    Source: Reizinger et al. 2025, theorem 1 and its optimality equation.
    """
    check_count("bayes_cross_entropy", "num_samples", num_samples, 2)
    vectors = jnp.asarray(vectors)
    num_clusters, dim = _num_clusters("bayes_cross_entropy", vectors), vectors.shape[1]
    num_labels = num_clusters if num_labels is None else num_labels
    world = sphere_clusters(dim, num_clusters, conditional, identity(), num_labels=num_labels, imbalance=imbalance)
    truth = {"mixing": (), "vectors": vectors, "conditional": conditional}
    truth |= {} if imbalance is None else {"imbalance": imbalance}
    chunks = -(-num_samples // _CHUNK)
    size = -(-num_samples // chunks)

    def chunk(number):
        here = jax.random.fold_in(key, number)
        drawn: Any = world.sample(truth, here, size)
        labels, count = (drawn.labels, num_labels) if targets == "instance" else (drawn.clusters, num_clusters)
        if num_clusters > 1:
            labels = swap_labels(stream(here, "swaps"), labels, label_swaps, count, num_clusters)
        labels = noisy(stream(here, "noise"), labels, label_noise, count)
        options = {
            "targets": targets,
            "label_noise": label_noise,
            "label_swaps": label_swaps,
            "imbalance": imbalance,
        }
        return bayes_losses(drawn.latents, labels, vectors, conditional, num_labels=num_labels, **options)

    losses = jax.lax.map(chunk, jnp.arange(chunks)).ravel()
    return BayesLoss(losses.mean(), losses.std(ddof=1) / np.sqrt(losses.size).item())


def _num_clusters(where, vectors):
    check_shape(where, "vectors", vectors, ("C", "d"))
    return vectors.shape[0]


def _log_densities(conditional, latents, vectors):
    """log p(z|v_c) of every latent under every cluster, up to a constant that they share: [S, C]."""
    if isinstance(conditional, VonMisesFisher):
        return jnp.asarray(conditional.kappa, latents.dtype) * jnp.matmul(latents, vectors.T, precision=_HIGHEST)
    space = Sphere(vectors.shape[1])

    def of_cluster(vector):
        centers = jnp.broadcast_to(vector, latents.shape)
        if isinstance(conditional, Normal | Laplace | GeneralizedNormal):
            return projected_log_prob(conditional, latents, centers)
        return conditional.log_prob(latents, centers, space)

    return jax.vmap(of_cluster, out_axes=1)(vectors)
