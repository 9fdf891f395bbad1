"""Does a decoder's limit theorem apply to a world, and what should a VAE's ELBO, variances and collapse be there?"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from identax.assumptions.ima import Function, decoded_shape, jacobian_matrices, latents, log_density, variance_of
from identax.assumptions.ima_collapse import collapse_instability, collapse_threshold, collapsed_elbo
from identax.assumptions.ima_elbo import Nodes, elbo_star
from identax.assumptions.report import Prediction, Premise, Report
from identax.checks import check_positive
from identax.inputs import numbers
from identax.losses.priors import GivenPrior
from identax.numerics import column_shares

_IN_CLASS = 1e-4  # nats of contrast, largest over samples
_DETERMINISTIC = 10.0  # likelihood's over prior's curvature, for 95 % of latents


def ima_report(
    function: Function,
    z: Any,
    *,
    prior: GivenPrior,
    precision: float | int | Sequence[float | int],
    smooth: bool | None = None,
    optimise: bool = True,
    nodes: Nodes | None = None,
) -> Report:
    """Checks the premises of "the ELBO of the best encoder tends to L_IMA" and says what to expect before training.

    `function`: the true map of latents as the decoder receives them, at samples z [N, d] of the prior; `precision`: one
    gamma^2 or several, each with predictions of its own. `smooth`: whether the map is twice differentiable, where it is
    known. Predicted are the log-likelihood, C_IMA and L_IMA, per gamma^2 the asymptotic variance and the collapsed ELBO
    and, with `optimise`, ELBO* of the true decoder (`elbo_star` with `nodes`) and the threshold of collapse.
    Premises of recovery (the map's contrast is 0) stand beside those of the limit.
    Values must be known: not under `jit`. Compiles once for each `function` and `prior` (the objects) and shape.
    Raises `ValueError` as `elbo_star` and `collapsed_elbo`, and without a precision.
    Source: Reizinger et al. 2022; thresholds of "near-deterministic" and of contrast 0: own.
    """
    z = latents("ima_report", z, prior)
    decoded_shape("ima_report", function, z)
    precisions = [float(value) for value in np.ravel(numbers("ima_report", "precision", precision))]
    check_positive("ima_report", "precision", precisions)
    if not precisions:
        raise ValueError("ima_report: found 0 precisions, wanted at least one")
    of = jax.tree.map(np.asarray, _of_samples(function, prior, z, jnp.asarray(precisions, z.dtype)))
    premises = (
        Premise("factorised prior", True, f"{prior.name}, {z.shape[1]} independent latents", "a product of densities"),
        _log_concave(prior, of.curvature),
        Premise(
            "twice differentiable decoder",
            smooth,
            {True: "smooth", False: "with kinks", None: "not said"}[smooth],
            "a leaky ReLU has a Jacobian almost everywhere, and no second derivative at its kinks",
        ),
        Premise(
            "locally one to one",
            bool(np.min(of.shares) > 0 and np.min(of.norms) > 0),
            f"smallest share of a column that the others leave: {float(np.min(of.shares)):.3g}",
            "a Jacobian of full rank; that no two distant latents share an x is not checked",
        ),
        *(_near_deterministic(value, of.sharpness, of.curvature) for value in precisions),
        Premise(
            "orthogonal Jacobian (IMA class)",
            bool(np.max(of.contrast) < _IN_CLASS),
            f"largest contrast {float(np.max(of.contrast)):.3g} nats",
            "the limit holds without; that its maximiser is the truth, and latents are recovered, needs it",
        ),
    )
    limit, mean_contrast = float(of.limit.mean()), float(of.contrast.mean())
    predictions = [
        Prediction("log-likelihood", limit + mean_contrast, "of the noise-free map, by change of variables"),
        Prediction("C_IMA", mean_contrast, "mean contrast of the true map"),
        Prediction("L_IMA", limit, "log-likelihood - C_IMA: where ELBO* tends to"),
        Prediction("end of collapse", collapse_instability(of.x), "gamma^2 = 1 / largest eigenvalue of cov(x)"),
    ]
    for value, variance in zip(precisions, of.variances, strict=True):
        at = f" at gamma^2 = {value:g}"
        collapsed = float(collapsed_elbo(of.x, prior=prior, precision=value, dim=z.shape[1]))
        predictions += [
            Prediction("asymptotic variance" + at, float(variance), "mean over samples and latents, before squashing"),
            Prediction("collapsed ELBO" + at, collapsed, "decoder of the mean, encoder without information"),
        ]
        if optimise:
            best = float(elbo_star(function, z, prior=prior, precision=value, nodes=nodes).value.mean())
            winner = "the collapsed model is better" if best < collapsed else "better than the collapsed model"
            predictions.append(Prediction("ELBO*" + at, best, f"true decoder, best encoder; {winner}"))
    if optimise:
        threshold = collapse_threshold(function, z, prior=prior, nodes=nodes)
        predictions.append(Prediction("collapse threshold", threshold, "gamma^2 at which the true decoder overtakes"))
    return Report(premises, tuple(predictions))


class _Samples(NamedTuple):
    """Of samples z: x, norms and shares of the columns of dx/dz, the prior's curvature and the likelihood's at a
    precision of 1; per sample the contrast and L_IMA; mean asymptotic variances [P], one per precision."""

    x: Any
    norms: Any
    shares: Any
    curvature: Any
    sharpness: Any
    contrast: Any
    limit: Any
    variances: Any


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_samples(function, prior, z, precisions):
    norms, shares = column_shares(jacobian_matrices(function, z))
    u = prior.unsquash(z)
    curvature = prior.curvature(u)
    return _Samples(
        x=function(z),
        norms=norms,
        shares=shares,
        curvature=curvature,
        sharpness=1 / variance_of(norms, u, prior, 1.0) - curvature,
        contrast=-jnp.log(shares).sum(axis=-1),
        limit=log_density(z, prior) - jnp.log(norms).sum(axis=-1),
        variances=jax.vmap(lambda precision: variance_of(norms, u, prior, precision).mean())(precisions),
    )


def _log_concave(prior, curvature):
    least = float(curvature.min())
    return Premise(
        "smooth and strictly log-concave prior",
        least > 0 and prior.name != "laplace",
        f"least curvature {least:.3g}",
        "of the unsquashed latent, as encoders see it: the uniform prior is logistic there",
    )


def _near_deterministic(value, sharpness, curvature):
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = value * sharpness / curvature  # inf for a Laplace prior
    typical = float(np.sort(ratio, axis=None)[ratio.size // 20])  # no mean of two, which may be infinite
    return Premise(
        f"near-deterministic decoder (gamma^2 = {value:g})",
        typical >= _DETERMINISTIC,
        f"gamma^2 ||J_k||^2 over the prior's curvature: {typical:.3g} or more for 95 % of latents",
        f"wanted {_DETERMINISTIC:g}: errors of the limit fall as its inverse",
    )
