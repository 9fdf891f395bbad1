"""The three estimators that the tables compare, and how far from the truth each of them is."""

import jax.numpy as jnp

from experiments.lti.worlds import World, true_transition, true_unmixing
from identax.lti.closed_form import closed_form_unmixing
from identax.lti.mle import fit_conditional
from identax.lti.moments import conditional_value, pair_moments
from identax.lti.published import decay_limit, wls_of_moments
from identax.lti.realisation import transfer_function
from identax.metrics import (
    amari_distance,
    batch_mcc,
    epoch_mcc,
    mcc,
    relative_error,
    transfer_function_error,
    within_mcc,
)
from identax.metrics.linear_systems import frequency_grid
from identax.rng import stream

ESTIMATORS = ("published", "closed form", "conditional")


def compare(key, world: World, zero_means, *, batch_size: int, num_batches: int) -> dict:
    """All scores of all estimators as flat metrics, and how the conditional maximum compares with the truth.

    For zero means the published objective has its optimum at W = 0; there the direction is taken that gradient descent
    shrinks last.
    """
    moments = pair_moments(world.pairs)
    means, variances = world.environments.means, world.environments.variances
    published = jnp.where(zero_means > 0, decay_limit(moments, variances), wls_of_moments(moments, means, variances))
    closed = closed_form_unmixing(moments, means, variances)
    fit = fit_conditional(moments, means, variances, closed)
    found = {}
    for name, unmixing in zip(ESTIMATORS, (published, closed, fit.unmixing), strict=True):
        for quantity, value in scores(key, world, unmixing, batch_size, num_batches).items():
            found[f"{name}: {quantity}"] = value
    dim = published.shape[0]
    controls = world.controls.reshape(-1, dim), world.pairs.reshape(-1, 2 * dim) @ published.T
    found["published: train MCC"] = batch_mcc(stream(key, "batches of 64"), *controls, 64, num_batches=num_batches)
    found["published: val MCC"] = epoch_mcc(*controls, 64)
    truth = conditional_value(true_unmixing(world.system), moments, means, variances)
    found["log-likelihood above truth"] = fit.loglik - truth
    found["sweeps"] = fit.iterations.astype(fit.loglik.dtype)
    return found


def scores(key, world: World, unmixing, batch_size: int, num_batches: int) -> dict:
    """MCC of the controls over everything, inside environments and in mini-batches; errors of the system itself."""
    dim = unmixing.shape[0]
    z = world.pairs.reshape(*world.pairs.shape[:2], -1)
    found = z @ unmixing.T
    controls, flat = world.controls.reshape(-1, dim), found.reshape(-1, dim)
    gain = jnp.linalg.inv(unmixing[:, dim:])
    transition, true = -gain @ unmixing[:, :dim], true_transition(world.system)
    grid, eye = frequency_grid(16), jnp.eye(dim)
    responses = [
        transfer_function(A, B, eye, grid) for A, B in ((transition, gain), (true, world.system.C @ world.system.B))
    ]
    return {
        "MCC": mcc(controls, flat),
        "within MCC": within_mcc(world.controls, found),
        "batch MCC": batch_mcc(stream(key, "batches"), controls, flat, batch_size, num_batches=num_batches),
        "Amari distance": amari_distance(unmixing[:, dim:] @ world.system.C @ world.system.B),
        "error of F": relative_error(transition, true),
        "error of H": transfer_function_error(*responses),
    }
