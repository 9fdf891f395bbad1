"""Nonlinear ICA with an auxiliary variable: which segment, whose label, how likely given a class.

Each loss sees features h(x) [N, n] of an encoder and the auxiliary variable u of every example as a label.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from identax.checks import shape_of
from identax.losses._checks import Embeddings, Labels, as_floats, as_labels
from identax.losses.discrimination import softmax_cross_entropy


def time_contrastive(features: Embeddings, head: Embeddings, bias: Embeddings, labels: Labels) -> Float[Array, " N"]:
    """Cross-entropy of the segment under a softmax of affine functions of the features, per example, in nats.

        L_i = log sum_u exp(w_u . h_i + b_u) - (w_{u_i} . h_i + b_{u_i})

    At the optimum w_u . h(x) + b_u = log p_u(x) + c(x). Where log p(s_i | u) = lambda_i(u) q(s_i) + const and the
    lambda(u) - lambda(u_1) span R^n, h is then affine in q(s). The published objective adds a decay,
    `time_contrastive(...).mean() + 1e-4 * half_squared_weights(params)`.
    Args: `features` [N, n], `head` w [K, n], `bias` b [K], `labels` u [N] in 0..K-1.
    Raises `ValueError` for shapes that do not fit, complex entries, and labels that are not whole numbers in range.
    Source: Hyvarinen and Morioka 2016, eqs. 3 and 5.
    """
    features, head, bias = _head("time_contrastive", features, head, bias)
    # The bias as weight of one more feature, which is 1.
    extended = jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=1)
    labels = as_labels("time_contrastive", "labels", labels, len(head))
    return softmax_cross_entropy(extended, jnp.concatenate([head, bias[:, None]], axis=1), labels)


def half_squared_weights(params: Any) -> Float[Array, ""]:
    """1/2 sum ||W||^2 over the weight matrices of a tree of parameters: leaves of two and more axes, biases are free.

    Raises `ValueError` for matrices that are not of real numbers or are empty. Source: weight decay of the TCL code.
    """
    matrices = [leaf for leaf in jax.tree.leaves(params) if len(shape_of(leaf)) >= 2]
    leaves = [as_floats("half_squared_weights", params=matrix)[0] for matrix in matrices]
    return jnp.asarray(0.5 * sum(jnp.sum(leaf * leaf) for leaf in leaves), None if leaves else float)


def label_scores(features: Embeddings, head: Embeddings, bias: Embeddings, labels: Labels) -> Float[Array, " N"]:
    """r(x, u) = w_u . h(x) + b_u of every example and its label: the regression function of GCL that TCL knows.

    Args and refusals as `time_contrastive`. Source: Hyvarinen et al. 2019, eq. 9 with one function a component.
    """
    features, head, bias = _head("label_scores", features, head, bias)
    labels = as_labels("label_scores", "labels", labels, len(head))
    _check_labels("label_scores", labels, features)
    return jnp.sum(features * head[labels], axis=1) + bias[labels]


def generalized_contrastive(scores: Embeddings, permuted_scores: Embeddings) -> Float[Array, " N"]:
    """Logistic loss of telling pairs (x, u) from (x, u*) with permuted u*, per example, in nats.

        L_i = softplus(-r(x_i, u_i)) + softplus(r(x_i, u*_i))

    At the optimum r(x, u) = log p(x | u) - log p(x). `scores`, `permuted_scores` [N]: r at the examples' own u and at
    u* = `jax.random.permutation(key, u)`, drawn afresh every step.
    Raises `ValueError` for shapes that are not one [N] and complex entries.
    Source: Hyvarinen, Sasaki and Turner 2019, eq. 7.
    """
    shapes = shape_of(scores), shape_of(permuted_scores)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise ValueError(
            f"generalized_contrastive: found scores {shapes[0]} and permuted_scores {shapes[1]}, wanted one shape [N]"
        )
    scores, permuted_scores = as_floats("generalized_contrastive", scores=scores, permuted_scores=permuted_scores)
    return jax.nn.softplus(-scores) + jax.nn.softplus(permuted_scores)


def class_gaussian_nll(
    features: Embeddings, means: Embeddings, log_scales: Embeddings, labels: Labels, *, constant: bool = False
) -> Float[Array, " N"]:
    """Minus the log density of a normal law of each class, per example, in nats.

        L_k = sum_i [ (g_i(x_k) - mu_i(u_k))^2 / (2 sigma_i(u_k)^2) + log sigma_i(u_k) ]   (+ n/2 log 2 pi: `constant`)

    Of g(x) from a network that keeps volumes (`volume_preserving`) this is -log p(x | u), as its Jacobian has
    determinant 1. Args: `features` g(x) [N, n]; `means` mu and `log_scales` log sigma [K, n]; `labels` u [N].
    Raises `ValueError` for shapes that do not fit, complex entries, and labels that are not whole numbers in range.
    Source: Sorrenson, Rother and Koethe 2020 (GIN).
    """
    where = "class_gaussian_nll"
    shapes = [shape_of(array) for array in (features, means, log_scales)]
    if any(len(shape) != 2 for shape in shapes) or shapes[1] != shapes[2] or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"{where}: found features {shapes[0]}, means {shapes[1]} and log_scales {shapes[2]}, "
            "wanted [N, n], [K, n] and [K, n]"
        )
    features, means, log_scales = as_floats(where, features=features, means=means, log_scales=log_scales)
    labels = as_labels(where, "labels", labels, len(means))
    _check_labels(where, labels, features)
    log_scales = log_scales[labels]
    standard = (features - means[labels]) * jnp.exp(-log_scales)
    values = jnp.sum(0.5 * standard * standard + log_scales, axis=1)
    return values + 0.5 * features.shape[1] * math.log(2 * math.pi) if constant else values


def _head(where, features, head, bias):
    shapes = [shape_of(array) for array in (features, head, bias)]
    fits = len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][1] == shapes[1][1] and shapes[2] == shapes[1][:1]
    if not fits or 0 in (*shapes[0], *shapes[1]):
        raise ValueError(
            f"{where}: found features {shapes[0]}, head {shapes[1]} and bias {shapes[2]}, "
            "wanted [N, n], [K, n] and [K], none of them empty"
        )
    return as_floats(where, features=features, head=head, bias=bias)


def _check_labels(where, labels, features):
    if labels.shape != features.shape[:1]:
        raise ValueError(f"{where}: found labels of shape {labels.shape}, wanted one for each of {len(features)} rows")
