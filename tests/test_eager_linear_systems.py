"""Outside `jit` a second call of one shape compiles nothing: all public functions of lti and causal, worlds of lti."""

import warnings

import jax
import numpy as np
import pytest

from identax import causal, lti
from identax.dgp import (
    dc_motor,
    make_pairs,
    random_system,
    sample_controls,
    sample_trajectories,
    simulate,
    spectral_radius,
    spring_mass_damper,
)
from tests.eager import compiled_by_second_call

E, T, D = 3, 12, 2
VARIANCES = np.array([[1.0, 1.0], [4.0, 1.0], [1.0, 5.0]])
ENVIRONMENTS = lti.Environments(np.zeros((E, D)), VARIANCES)
LABELS = np.repeat(np.arange(E), T)


def _rng(seed):
    return np.random.default_rng(seed)


def _columns(seed, *batch):
    return _rng(seed).normal(size=(3, *batch, 24))


def _codes(seed):
    return _rng(seed).integers(0, 2, size=(3, 40))


def _system(seed):
    rng = _rng(seed)
    return 0.3 * rng.normal(size=(D, D)), rng.normal(size=(D, D)), rng.normal(size=(D, D))


def _trajectories(seed):
    A, B, C = _system(seed)
    controls = np.sqrt(VARIANCES)[:, None] * _rng(seed + 10).normal(size=(E, T, D))
    states = np.zeros((E, T, D))
    for t in range(T - 1):
        states[:, t + 1] = states[:, t] @ A.T + controls[:, t] @ B.T
    return states @ C.T


def _pairs(seed):
    y = _trajectories(seed)
    return np.stack([y[:, :-1], y[:, 1:]], axis=2)


def _moments(seed):
    return lti.pair_moments(_pairs(seed).astype(np.float32))


def _unmixing(seed):
    return _rng(seed).normal(size=(D, 2 * D)).astype(np.float32)


def _flat(seed):
    return _pairs(seed).reshape(-1, 2, D), np.zeros((E * (T - 1), D)), np.repeat(VARIANCES, T - 1, axis=0)


LAW = {"control_mean": np.zeros(D), "control_variance": np.ones(D), "observation_covariance": np.eye(D) * 0.1}
DESIGN = ENVIRONMENTS.means.astype(np.float32), VARIANCES.astype(np.float32)
KEY = jax.random.key(0)


def _identify(method):
    def call(seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return lti.identify_lti(_trajectories(seed).reshape(-1, D), LABELS, VARIANCES, method=method)

    return call


def _epoch(seed):
    pairs, means, variances = _flat(seed)
    return lti.published_epoch(
        KEY, _unmixing(seed), pairs.reshape(-1, 2 * D), means, variances, batch_size=8, learning_rate=1e-3
    )


def _fit_kalman(seed):
    A, B, C = _system(seed)
    start = C @ A @ np.linalg.inv(C), C @ B, 0.1
    return lti.fit_kalman(_trajectories(seed), ENVIRONMENTS, start=start, max_iterations=1)


def _starts(seed):
    starts = np.stack([_unmixing(seed), _unmixing(seed + 5)])
    return lti.fit_from_starts(_moments(seed), *DESIGN, starts, max_iterations=3)


CALLS = {
    "closed_form_unmixing": lambda seed: lti.closed_form_unmixing(_moments(seed), *DESIGN),
    "conditional_loglik": lambda seed: lti.conditional_loglik(_unmixing(seed), *_flat(seed)),
    "controllability": lambda seed: lti.controllability(*_system(seed)[:2]),
    "decay_limit": lambda seed: lti.decay_limit(_moments(seed), DESIGN[1]),
    "fit_conditional": lambda seed: lti.fit_conditional(_moments(seed), *DESIGN, _unmixing(seed), max_iterations=3),
    "fit_from_starts": _starts,
    "fit_kalman": _fit_kalman,
    "ho_kalman": lambda seed: lti.ho_kalman(lti.markov_parameters(*_system(seed), 8), 1),
    "identify_lti": _identify("conditional"),
    "identify_lti, closed_form": _identify("closed_form"),
    "identify_lti, instrumental": _identify("instrumental"),
    "identify_lti, published": _identify("published"),
    "innovation_regression": lambda seed: lti.innovation_regression(_moments(seed)),
    "instrumental_regression": lambda seed: lti.instrumental_regression(_trajectories(seed), lags=2),
    "joint_diagonalise": lambda seed: lti.joint_diagonalise(_moments(seed).covariance[:, :D, :D], DESIGN[1]),
    "joint_loglik": lambda seed: lti.joint_loglik(*_trajectories(seed)[:2], *_system(seed)[::2], 1.0, 1.0),
    "kalman_loglik": lambda seed: lti.kalman_loglik(_trajectories(seed)[0], *_system(seed), **LAW),
    "kalman_smoother": lambda seed: lti.kalman_smoother(_trajectories(seed)[0], *_system(seed), **LAW),
    "markov_parameters": lambda seed: lti.markov_parameters(*_system(seed), 5),
    "match_rows": lambda seed: lti.match_rows(DESIGN[1] * (1 + seed), DESIGN[1]),
    "observability": lambda seed: lti.observability(*_system(seed)[::2]),
    "pair_moments": lambda seed: lti.pair_moments(_pairs(seed)),
    "published_epoch": _epoch,
    "published_loglik": lambda seed: lti.published_loglik(_unmixing(seed), *_flat(seed)),
    "random_starts": lambda seed: lti.random_starts(jax.random.key(seed), _moments(seed), D, 2),
    "transfer_function": lambda seed: lti.transfer_function(*_system(seed), np.exp(1j * np.arange(1, 4))),
    "variability_matrix": lambda seed: lti.variability_matrix(VARIANCES + seed),
    "wls_of_moments": lambda seed: lti.wls_of_moments(_moments(seed), *DESIGN),
    "wls_unmixing": lambda seed: lti.wls_unmixing(*_flat(seed)),
    "zero_order_hold": lambda seed: lti.zero_order_hold(*_system(seed)[:2], 0.1),
    "causal_de_finetti": lambda seed: causal.causal_de_finetti(
        _rng(seed).integers(0, 2, size=(25, 2, 2)), method="g", levels=2
    ),
    "causal_de_finetti_pair": lambda seed: causal.causal_de_finetti_pair(_rng(seed).normal(size=(25, 2, 2))),
    "decide_graph": lambda seed: causal.decide_graph(*_rng(seed).uniform(size=(2, 2, 2, 4))),
    "decide_pair": lambda seed: causal.decide_pair(_rng(seed).uniform(size=(4, 3))),
    "fisher_z_test": lambda seed: causal.fisher_z_test(_rng(seed).uniform(-1, 1, size=4), 20),
    "g_test": lambda seed: causal.g_test(*_codes(seed), levels=2),
    "hsic_test": lambda seed: causal.hsic_test(*_columns(seed)[:2]),
    "independence_test": lambda seed: causal.independence_test(*_columns(seed), method="fisher_z"),
    "independence_tests": lambda seed: causal.independence_tests(*_columns(seed, 3), chunk_size=2),
    "kci_test": lambda seed: causal.kci_test(*_columns(seed)),
    "notears": lambda seed: causal.notears(_columns(seed).T),
    "pairwise_lingam": lambda seed: causal.pairwise_lingam(*_columns(seed)[:2]),
    "partial_correlation": lambda seed: causal.partial_correlation(*_trajectories(seed)),
    "rcit_test": lambda seed: causal.rcit_test(*_columns(seed), key=jax.random.key(seed), num_features_z=8),
}
WORLDS = {
    "dc_motor": lambda seed: dc_motor(0.01 + seed),
    "make_pairs": lambda seed: make_pairs(_trajectories(seed), _trajectories(seed)),
    "random_system": lambda seed: random_system(jax.random.key(seed), D),
    "sample_controls": lambda seed: sample_controls(jax.random.key(seed), ENVIRONMENTS, T),
    "sample_trajectories": lambda seed: sample_trajectories(
        jax.random.key(seed), random_system(KEY, D), ENVIRONMENTS, T, observation_noise_variance=0.1
    ),
    "simulate": lambda seed: simulate(lti.LinearSystem(*_system(seed)), _trajectories(seed)[0]),
    "spectral_radius": lambda seed: spectral_radius(_system(seed)[0]),
    "spring_mass_damper": lambda seed: spring_mass_damper(0.01 + seed),
}
LONG = {"identify_lti", "identify_lti, instrumental", "identify_lti, published", "fit_kalman", "fit_from_starts"}
SLOW = [(), pytest.mark.slow]
TYPES = {"ConditionalFit", "Environments", "Identification", "KalmanFit", "LinearSystem", "Moments", "Smoothed"}
TYPES |= {"GraphDecision", "IndependenceTest", "LingamDecision", "Notears", "PairDecision"}


def test_every_public_function_is_called():
    assert {name.split(",")[0] for name in CALLS} == {*lti.__all__, *causal.__all__} - TYPES


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW[name in LONG]) for name in CALLS | WORLDS])
def test_second_call_compiles_nothing(name):
    assert compiled_by_second_call((CALLS | WORLDS)[name], (0,), (1,)) == 0
