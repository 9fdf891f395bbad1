"""What environments identify in a linear system, against linear algebra and Monte Carlo."""

import dataclasses
from itertools import pairwise

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from scipy.optimize import linear_sum_assignment

from identax.assumptions import excitation_report, lti_report, stability, system_premises
from identax.dgp import (
    dc_motor,
    make_pairs,
    maximal_environments,
    random_environments,
    random_system,
    sample_trajectories,
    spring_mass_damper,
)
from identax.dgp.lti_system import Environments, LinearSystem

SYSTEM = LinearSystem(np.array([[0.5, 0.1], [0.0, -0.3]]), np.array([[1.0, 0.5], [0.0, 2.0]]), np.eye(2))
PROFILES = np.array([[1.0, 3.0, 0.5], [0.2, 0.6, 0.7], [2.0, 6.0, 0.1], [0.5, 1.5, 0.9]])  # column 1 = 3 x column 0


def _environments(variances, means=None):
    variances = np.asarray(variances, float)
    return Environments(np.zeros_like(variances) if means is None else np.asarray(means, float), variances)


def test_the_maximal_design_excites_every_control():
    found = excitation_report(maximal_environments(jax.random.key(0), 3))
    assert (found.num_environments, found.num_controls, found.rank) == (4, 3, 3)
    np.testing.assert_allclose(found.condition, 1.0, rtol=1e-6)
    cosine = (2e-4 + 2e-8) / (1 + 3e-8)
    np.testing.assert_allclose(found.smallest_angle, np.degrees(np.arccos(cosine)), rtol=1e-6)
    np.testing.assert_allclose(found.smallest_gap, 2 * np.log(1e4), rtol=1e-6)
    assert found.separates and found.blocks == ((0,), (1,), (2,)) and found.free == (0, 0, 0)
    assert found.expected_mcc == pytest.approx(1.0)


def test_rank_and_condition_are_those_of_the_precision_differences():
    variances = np.random.default_rng(1).uniform(0.1, 1, size=(6, 4))
    delta = 1 / variances[1:] - 1 / variances[0]
    found = excitation_report(_environments(variances))
    assert found.rank == 4
    np.testing.assert_allclose(found.condition, np.linalg.cond(delta), rtol=1e-10)
    angles = [np.degrees(scipy.linalg.subspace_angles(a[:, None], b[:, None])[0]) for a, b in _column_pairs(variances)]
    np.testing.assert_allclose(found.smallest_angle, min(angles), rtol=1e-8)


def _column_pairs(matrix):
    return [(matrix[:, i], matrix[:, j]) for i in range(matrix.shape[1]) for j in range(i)]


def test_two_environments_identify_three_controls_though_delta_is_rank_deficient():
    variances = np.array([[1.0, 1.0, 1.0], [2.0, 0.5, 5.0]])
    found = excitation_report(_environments(variances))
    assert found.rank == 1 and found.condition == np.inf and found.separates
    gain = np.random.default_rng(0).normal(size=(3, 3))
    first, second = (gain @ np.diag(row) @ gain.T for row in variances)
    ratios, vectors = scipy.linalg.eigh(second, first)
    np.testing.assert_allclose(ratios, [0.5, 2.0, 5.0], rtol=1e-8)
    unmixed = np.abs(vectors.T @ gain)
    assert (unmixed > 1e-6).sum() == 3  # one control per row
    report = lti_report(None, _environments(variances), objective="closed_form")
    assert not report.premise("Delta has full column rank").holds
    assert report.premise("controls can be told apart").holds
    assert report.prediction("MCC").value == 1.0


def test_proportional_controls_stay_mixed_by_a_rotation():
    found = excitation_report(_environments(PROFILES))
    assert found.rank == 2 and found.condition == np.inf
    assert found.blocks == ((0, 1), (2,)) and found.free == (2, 0) and not found.separates
    assert found.smallest_angle == pytest.approx(0.0, abs=1e-6) and found.smallest_gap < 1e-12
    # The predicted symmetry leaves every residual covariance as it is; one outside the block does not.
    gain = np.random.default_rng(3).normal(size=(3, 3))
    S = np.diag(np.sqrt(PROFILES[0]))
    for block, same in (((0, 1), True), ((0, 2), False)):
        O = np.eye(3)
        O[np.ix_(block, block)] = scipy.stats.ortho_group.rvs(2, random_state=5)
        other = gain @ S @ O @ np.linalg.inv(S)
        equal = [np.allclose(gain @ np.diag(v) @ gain.T, other @ np.diag(v) @ other.T, rtol=1e-10) for v in PROFILES]
        assert all(equal) == same


def test_the_predicted_mcc_is_that_of_rotated_controls():
    report = lti_report(None, _environments(PROFILES), objective="closed_form")
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        u = rng.normal(size=(4, 400, 3)) * np.sqrt(PROFILES)[:, None]
        O = scipy.linalg.block_diag(scipy.stats.ortho_group.rvs(2, random_state=rng), np.eye(1))
        S = np.sqrt(PROFILES[0])
        estimates = u / S @ O.T * S
        scores = np.abs(np.corrcoef(u.reshape(-1, 3).T, estimates.reshape(-1, 3).T)[:3, 3:])
        draws.append(scores[linear_sum_assignment(-scores)].mean())
    spread = np.std(draws) / np.sqrt(300) + np.std(draws) / np.sqrt(512)
    assert abs(report.prediction("MCC").value - np.mean(draws)) < 6 * spread
    assert abs(excitation_report(_environments(PROFILES)).expected_mcc - np.mean(draws)) < 6 * spread


def test_one_environment_leaves_a_rotation_of_everything():
    for dim, level in ((2, 0.90), (3, 0.83)):
        report = lti_report(None, random_environments(jax.random.key(0), dim, 1, zero_means=True))
        assert report.prediction("MCC").value == pytest.approx(level, abs=0.02)
        assert not report.covered and not report.premise("controls can be told apart").holds
        assert "rotation within {0, 1" in report.prediction("Markov parameters").value
    single = excitation_report(_environments([[1.0]]))
    assert single.separates and single.rank == 0 and single.smallest_angle == 90.0


def test_known_means_tell_apart_what_variances_do_not():
    means = np.zeros((4, 3))
    means[:2, :2] = [[1.0, 0.0], [0.5, 2.0]]
    both, one = _environments(PROFILES, means), _environments(PROFILES, means * [[1.0, 0.0, 0.0]])
    assert excitation_report(both).free == (0, 0) and excitation_report(one).free == (1, 0)
    assert lti_report(None, both).prediction("MCC").value == 1.0
    assert lti_report(None, both, objective="closed_form").prediction("MCC").value < 0.95
    mixed = lti_report(None, one).prediction("MCC")
    assert mixed.value < 0.95 and "means fix some directions" in mixed.why
    # With one mean direction the reflection along the other leaves means and covariances: it mixes what is seen.
    S = np.sqrt(PROFILES[0, :2])
    along = np.array([2.0, 1.0]) / np.sqrt(5)
    reflection = 2 * np.outer(along, along) - np.eye(2)
    line = _environments(PROFILES[:, :2], np.array([[1.0], [0.5], [-2.0], [0.0]]) * (along * S))
    assert excitation_report(line).free == (1,)
    change = np.diag(S) @ reflection @ np.diag(1 / S)
    np.testing.assert_allclose(change @ line.means.T, line.means.T, atol=1e-12)
    for row in line.variances:
        np.testing.assert_allclose(change @ np.diag(row) @ change.T, np.diag(row), atol=1e-12)
    assert np.abs(reflection).min() > 0.1


def test_proportional_in_float32_is_recognised():
    first = np.random.default_rng(0).uniform(0.1, 1, size=(4, 1)).astype(np.float32)
    variances = np.concatenate([first, np.float32(3) * first, np.float32(0.7) * first], axis=1)
    found = excitation_report(Environments(np.zeros((4, 3), np.float32), variances))
    assert found.blocks == ((0, 1, 2),) and found.rank == 1 and found.condition == np.inf
    near = excitation_report(_environments(np.hstack([first, first * [[1.0], [1.0], [1.0], [1.001]]])))
    assert near.separates and near.smallest_gap == pytest.approx(np.log(1.001), rel=1e-6)


def test_premises_of_systems():
    names = [premise.name for premise in system_premises(SYSTEM)]
    assert all(premise.holds for premise in system_premises(SYSTEM))
    assert all(premise.holds is None for premise in system_premises(None))
    no_reach = dataclasses.replace(SYSTEM, A=np.diag([0.5, -0.3]), B=np.array([[1.0], [0.0]]))
    hidden = dataclasses.replace(SYSTEM, A=np.diag([0.5, -0.3]), C=np.array([[1.0, 0.0]]))
    cases = {
        "stable": dataclasses.replace(SYSTEM, A=np.diag([1.0, 0.3])),
        "controllable": no_reach,
        "observable": hidden,
        "one observation determines the state": spring_mass_damper(),
        "every control moves the next observation": dataclasses.replace(SYSTEM, B=np.ones((2, 2))),
    }
    assert names == list(cases)
    for name, system in cases.items():
        holds = {premise.name: premise.holds for premise in system_premises(system)}
        assert not holds[name], name
    assert not stability(cases["stable"]).holds and "1" in stability(cases["stable"]).found
    assert {p.name: p.holds for p in system_premises(spring_mass_damper())}["observable"]
    assert {p.name: p.holds for p in system_premises(no_reach)}["observable"]


def test_random_systems_hold_every_premise(x64):
    systems = jax.vmap(lambda key: random_system(key, 10))(jax.random.split(jax.random.key(4), 20))
    for i in range(20):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], systems)
        assert all(premise.holds for premise in system_premises(one, 10))


def test_the_report_of_a_covered_world():
    environments = random_environments(jax.random.key(1), 2)
    report = lti_report(SYSTEM, environments, num_samples=100)
    assert report.covered and report.prediction("MCC").value == 1.0
    assert "similarity" in report.prediction("A, B, C").value
    assert "identified up to order, sign and scale" in report.prediction("transfer function").value
    assert "holds" in report.as_text()
    few = lti_report(SYSTEM, environments, num_samples=6).premise("enough samples in every environment")
    assert not few.holds and "3 disjoint pairs" in few.found
    motor = lti_report(dc_motor(), maximal_environments(jax.random.key(0), 1, num_environments=3, zero_means=True))
    assert motor.covered and "signs stay open" in motor.prediction("Markov parameters").why
    spring = lti_report(spring_mass_damper(), _environments([[1.0], [2.0]]))
    assert not spring.covered and spring.prediction("identifiable from pairs").value == "not covered"
    blind = dataclasses.replace(SYSTEM, A=np.diag([0.5, -0.3]), B=np.array([[1.0], [0.0]]))
    assert lti_report(blind, _environments([[1.0], [2.0]])).prediction("A, B, C").value.startswith("only")


@pytest.mark.parametrize("zero_means", [True, False])
def test_the_published_optimum_is_not_the_truth(x64, zero_means):
    environments = random_environments(jax.random.key(7), 2, zero_means=zero_means)
    report = lti_report(SYSTEM, environments, objective="published")
    assert not report.premise("the optimum of the objective is the true inverse").holds and not report.covered
    pairs = make_pairs(sample_trajectories(jax.random.key(1), SYSTEM, environments, 2000))
    z = np.asarray(pairs.observations).reshape(3, -1, 4)
    means, variances = np.asarray(environments.means), np.asarray(environments.variances)
    optimum = np.zeros((2, 4))
    for i in range(2):
        H = sum(z[e].T @ z[e] / variances[e, i] for e in range(3))
        optimum[i] = np.linalg.solve(H, sum(z[e].sum(0) * means[e, i] / variances[e, i] for e in range(3)))
    F = SYSTEM.A
    truth = np.linalg.inv(SYSTEM.B) @ np.hstack([-F, np.eye(2)])

    def objective(W):
        return -sum((((z[e] @ W.T - means[e]) ** 2) / variances[e]).sum() for e in range(3))

    assert objective(optimum) > objective(truth)
    if zero_means:
        assert report.prediction("optimum").value == "W = 0" and report.prediction("MCC").value == "undefined"
        np.testing.assert_array_equal(optimum, 0)
    else:
        assert report.prediction("optimum").value == "not the true inverse"
        assert report.prediction("MCC").value == "below 1"
        assert np.abs(optimum - truth).max() > 0.1


def test_angles_shrink_as_profiles_become_proportional():
    bent = [
        excitation_report(_environments(PROFILES * [[1, 1, 1], [1, 1 + b, 1], [1, 1, 1], [1, 1, 1]]))
        for b in (1.0, 0.1, 1e-3)
    ]
    assert all(a.smallest_angle > b.smallest_angle > 0 for a, b in pairwise(bent))
    assert all(a.smallest_gap > b.smallest_gap > 0 for a, b in pairwise(bent))


STACKED = LinearSystem(*(np.stack([m, m]) for m in (SYSTEM.A, SYSTEM.B, SYSTEM.C)))
GOOD = _environments([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
BAD = {
    "wanted one system": lambda: lti_report(STACKED, GOOD),
    "wanted d_u=3": lambda: lti_report(SYSTEM, _environments(PROFILES)),
    "did you mean 'conditional'": lambda: lti_report(SYSTEM, GOOD, objective="conditonal"),
    "num_samples=0": lambda: lti_report(SYSTEM, GOOD, num_samples=0),
    "non-finite entries": lambda: stability(dataclasses.replace(SYSTEM, A=np.full((2, 2), np.nan))),
    "wanted positive": lambda: excitation_report(_environments(-GOOD.variances)),
    r"both \[E, d_u\]": lambda: excitation_report(Environments(np.zeros(2), np.ones((3, 2)))),
    "rtol=-1": lambda: excitation_report(GOOD, rtol=-1),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
