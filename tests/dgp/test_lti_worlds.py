"""Linear systems, their environments and trajectories against NumPy, SciPy and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from identax.dgp import (
    Pairs,
    amplitudes,
    bounded_environments,
    check_stable,
    dc_motor,
    designed_environments,
    make_pairs,
    maximal_environments,
    random_environments,
    random_system,
    sample_controls,
    sample_trajectories,
    simulate,
    spectral_radius,
    spring_mass_damper,
    state_bound,
)
from identax.dgp.lti_system import Environments, LinearSystem, variability_matrix

RADII = jax.jit(jax.vmap(spectral_radius))


def _dlsim(system, controls, x0):
    A, B, C = (np.asarray(m) for m in (system.A, system.B, system.C))
    D = np.zeros((C.shape[0], B.shape[1]))
    _, y, x = scipy.signal.dlsim((A, B, C, D, 1.0), np.asarray(controls), x0=x0)
    return y, x


def _close(found, wanted, atol):
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("dim", [1, 2, 5, 10])
def test_the_spectral_radius_is_the_largest_eigenvalue(x64, dim):
    matrices = np.random.default_rng(dim).normal(size=(200, dim, dim))
    wanted = np.abs(np.linalg.eigvals(matrices)).max(axis=1)
    np.testing.assert_allclose(np.asarray(RADII(matrices)), wanted, rtol=1e-12)


def test_the_spectral_radius_of_matrices_with_special_structure(x64):
    rotation = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    jordan = np.array([[0.7, 1.0], [0.0, 0.7]])
    nilpotent = np.array([[0.0, 5.0], [0.0, 0.0]])
    opposite = np.diag([0.5, -0.5])
    found = RADII(np.stack([0.8 * rotation, jordan, nilpotent, opposite, 1e-200 * rotation, 1e200 * rotation]))
    np.testing.assert_allclose(np.asarray(found), [0.8, 0.7, 0.0, 0.5, 1e-200, 1e200], rtol=1e-12)


def test_the_spectral_radius_in_float32():
    matrices = np.random.default_rng(0).normal(size=(200, 5, 5)).astype(np.float32)
    wanted = np.abs(np.linalg.eigvals(matrices.astype(float))).max(axis=1)
    np.testing.assert_allclose(np.asarray(RADII(matrices)), wanted, rtol=2e-5)


def test_random_systems_are_stable_controllable_and_observable(x64, getkey):
    systems = jax.jit(jax.vmap(lambda key: random_system(key, 3)))(jax.random.split(getkey(), 100))
    radii = np.abs(np.linalg.eigvals(np.asarray(systems.A))).max(axis=1)
    np.testing.assert_allclose(radii, 0.9, rtol=1e-12)
    check_stable(systems)
    for A, B, C in zip(*map(np.asarray, (systems.A, systems.B, systems.C)), strict=True):
        assert np.linalg.matrix_rank(np.hstack([B, A @ B, A @ A @ B])) == 3
        assert np.linalg.matrix_rank(np.vstack([C, C @ A, C @ A @ A])) == 3
    entries = np.asarray(systems.B).ravel()
    assert abs(entries.mean()) < 6 / np.sqrt(entries.size)
    assert abs(entries.var() - 1) < 6 * np.sqrt(2 / entries.size)
    correlations = np.corrcoef([np.asarray(matrix).ravel() for matrix in (systems.A, systems.B, systems.C)])
    assert np.abs(correlations - np.eye(3)).max() < 6 / np.sqrt(entries.size)


def test_options_of_random_systems(x64, getkey):
    key = getkey()
    plain = random_system(key, 3, use_B=False, use_C=False, spectral_radius=0.5)
    np.testing.assert_array_equal(plain.B, np.eye(3))
    np.testing.assert_array_equal(plain.C, np.eye(3))
    np.testing.assert_allclose(np.asarray(plain.A) / 0.5, np.asarray(random_system(key, 3).A) / 0.9, rtol=1e-12)
    lower = np.asarray(random_system(key, 3, triangular=True).A)
    np.testing.assert_array_equal(lower, np.tril(lower))
    np.testing.assert_allclose(np.abs(np.diag(lower)).max(), 0.9, rtol=1e-14)
    np.testing.assert_array_equal(random_system(key, 3, use_C=False).B, random_system(key, 3).B)


RUN = jax.jit(simulate, static_argnames="method")


@pytest.mark.parametrize("n", [1, 2, 12, 24, 28])
@pytest.mark.parametrize("method", ["scan", "associative"])
def test_simulation_equals_scipy(x64, getkey, n, method):
    system = LinearSystem(random_system(getkey(), 3).A, *(jax.random.normal(getkey(), s) for s in ((3, 2), (4, 3))))
    controls, x0 = jax.random.normal(getkey(), (n, 2)), np.array([1.0, -2.0, 3.0])
    y, x = _dlsim(system, controls, x0)
    observations, states = RUN(system, controls, initial_state=x0, method=method)
    _close(observations, y, 1e-12)
    _close(states, x, 1e-12)
    _close(RUN(system, controls, initial_state=0 * x0, method=method)[0], _dlsim(system, controls, None)[0], 1e-12)


def test_noise_is_added_where_the_equations_say(x64, getkey):
    system, n = random_system(getkey(), 2), 9
    u, w, v = (np.asarray(jax.random.normal(getkey(), (n, 2))) for _ in range(3))
    A, B, C = map(np.asarray, (system.A, system.B, system.C))
    x, states = np.zeros(2), []
    for t in range(n):
        states.append(x)
        x = A @ x + B @ u[t] + w[t]
    for method in ("scan", "associative"):
        observations, found = RUN(system, u, process_noise=w, observation_noise=v, method=method)
        _close(found, np.stack(states), 1e-13)
        _close(observations, np.stack(states) @ C.T + v, 1e-13)


def test_a_hundred_systems_at_once_and_gradients(x64, getkey):
    systems = jax.vmap(lambda key: random_system(key, 3))(jax.random.split(getkey(), 100))
    controls = jax.random.normal(getkey(), (100, 16, 3))
    observations, _ = jax.jit(jax.vmap(simulate))(systems, controls)
    for i in (0, 57, 99):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], systems)
        _close(observations[i], _dlsim(one, controls[i], None)[0], 1e-12)
    one = jax.tree.map(lambda leaf: leaf[0], systems)

    def energy(step, method):
        moved = dataclasses.replace(one, A=one.A + step)
        return jnp.sum(simulate(moved, controls[0], method=method)[0] ** 2)

    h = 1e-6
    value = jax.jit(energy, static_argnums=1)
    for method in ("scan", "associative"):
        slope = jax.jit(jax.grad(energy), static_argnums=1)(0.0, method)
        np.testing.assert_allclose(slope, (value(h, "scan") - value(-h, "scan")) / (2 * h), rtol=1e-6)


def test_controls_have_the_designed_moments(getkey):
    environments = Environments(np.array([[0.0, 2.0], [-1.0, 0.5]]), np.array([[0.25, 4.0], [1.0, 1e-4]]))
    n = 20_000
    controls = np.asarray(sample_controls(getkey(), environments, n), float)
    assert controls.shape == (2, n, 2)
    sd = np.sqrt(environments.variances)
    assert np.all(np.abs(controls.mean(axis=1) - environments.means) < 6 * sd / np.sqrt(n))
    assert np.all(np.abs(controls.var(axis=1) / environments.variances - 1) < 6 * np.sqrt(2 / n))
    white = (controls - controls.mean(axis=1, keepdims=True)) / sd[:, None]
    limit = 6 / np.sqrt(n)
    assert np.abs((white[:, 1:] * white[:, :-1]).mean(axis=1)).max() < limit
    assert np.abs((white[..., 0] * white[..., 1]).mean(axis=1)).max() < limit
    assert np.abs((white[0] * white[1]).mean(axis=0)).max() < limit


def test_trajectories_follow_the_system(x64, getkey):
    system, environments = random_system(getkey(), 3), random_environments(getkey(), 3)
    key = getkey()
    run = jax.jit(sample_trajectories, static_argnums=3, static_argnames="method")
    found = run(key, system, environments, 20)
    assert found.observations.shape == found.states.shape == found.controls.shape == (4, 20, 3)
    np.testing.assert_array_equal(found.observations[:, 0], np.zeros((4, 3)))
    starts = np.arange(12.0).reshape(4, 3)
    moved = run(key, system, environments, 20, initial_state=starts, method="associative")
    np.testing.assert_array_equal(moved.controls, found.controls)
    for e in range(4):
        _close(found.observations[e], _dlsim(system, found.controls[e], None)[0], 1e-12)
        _close(moved.observations[e], _dlsim(system, found.controls[e], starts[e])[0], 1e-12)
    shared = sample_trajectories(key, system, environments, 1, initial_state=starts[0])
    _close(shared.states[:, 0], np.tile(starts[0], (4, 1)), 0)


@pytest.mark.parametrize(("convention", "variance"), [("variance", 0.01), ("published", 0.1)])
def test_noise_variances_in_both_conventions(getkey, convention, variance):
    n = 10_000
    still = LinearSystem(np.zeros((2, 2)), np.zeros((2, 1)), np.eye(2))
    environments = Environments(np.zeros((2, 1)), np.ones((2, 1)))
    found = sample_trajectories(
        getkey(),
        still,
        environments,
        n,
        process_noise_variance=0.01,
        observation_noise_variance=0.01,
        noise_convention=convention,
    )
    process = np.asarray(found.states)[:, 1:].ravel()
    observation = np.asarray(found.observations - found.states).ravel()
    for noise in (process, observation):
        assert abs(noise.var() / variance - 1) < 6 * np.sqrt(2 / noise.size)
        assert abs(noise.mean()) < 6 * np.sqrt(variance / noise.size)
    assert abs(np.corrcoef(process, np.asarray(found.observations - found.states)[:, 1:].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("n", [2, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_pairs_are_transitions(n, stride):
    y = np.arange(2 * n * 2, dtype=float).reshape(2, n, 2)
    u = -np.arange(2.0 * n).reshape(2, n, 1)
    pairs = make_pairs(y, u, stride=stride)
    times = [t for t in range(n - 1) if t % stride == 0]
    np.testing.assert_array_equal(pairs.observations, np.stack([[row[[t, t + 1]] for t in times] for row in y]))
    np.testing.assert_array_equal(pairs.controls, u[:, times])
    assert isinstance(pairs, Pairs)


def test_pairs_obey_the_transition_law(x64, getkey):
    system = random_system(getkey(), 2)
    trajectories = sample_trajectories(getkey(), system, random_environments(getkey(), 2), 11)
    A, B, C = map(np.asarray, (system.A, system.B, system.C))
    for stride in (1, 2):
        pairs = make_pairs(trajectories, stride=stride)
        first, second = np.moveaxis(np.asarray(pairs.observations), 2, 0)
        _close(second, first @ (C @ A @ np.linalg.inv(C)).T + np.asarray(pairs.controls) @ (C @ B).T, 1e-10)


def test_plants_equal_scipy(x64):
    motor, spring = dc_motor(), spring_mass_damper(0.2)
    for found, A, B, C, dt in (
        (motor, [[-2, 0.02], [-1, -10]], [[2], [0]], np.eye(2), 0.01),
        (spring, [[0, 1], [-0.1, -0.2]], [[0], [0.05]], [[1, 0]], 0.2),
    ):
        D = np.zeros((len(C), 1))
        wanted = scipy.signal.cont2discrete((np.array(A, float), np.array(B, float), np.array(C), D), dt)
        for name, value in zip("ABC", wanted, strict=False):
            _close(getattr(found, name), value, 1e-14)
        check_stable(found)
    slope = jax.grad(lambda J: dc_motor(J=J).A[1, 0])(0.01)
    h = 1e-7
    rise = dc_motor(J=0.01 + h).A[1, 0] - dc_motor(J=0.01 - h).A[1, 0]
    np.testing.assert_allclose(slope, rise / (2 * h), rtol=1e-5)


def test_random_environments(getkey):
    draws = jax.vmap(lambda key: random_environments(key, 3))(jax.random.split(getkey(), 2000))
    variances, means = np.asarray(draws.variances, float).ravel(), np.asarray(draws.means, float).ravel()
    assert draws.variances.shape == draws.means.shape == (2000, 4, 3)
    count = variances.size
    assert abs(variances.mean() - 1 / np.sqrt(2 * np.pi)) < 6 * 0.301 / np.sqrt(count)
    assert abs((variances**2).mean() - 0.25) < 6 * np.sqrt(2 / 16 / count)
    assert abs(means.mean()) < 6 / np.sqrt(count) and abs(means.var() - 1) < 6 * np.sqrt(2 / count)
    centred = random_environments(getkey(), 2, 5, zero_means=True)
    assert centred.variances.shape == (5, 2)
    np.testing.assert_array_equal(centred.means, np.zeros((5, 2)))


def test_maximal_environments(x64, getkey):
    environments = maximal_environments(getkey(), 3)
    np.testing.assert_array_equal(environments.variances, 1e-4 + 0.9999 * np.eye(4, 3, -1))
    np.testing.assert_allclose(variability_matrix(environments.variances), -9999 * np.eye(3), rtol=1e-12)
    motor = maximal_environments(getkey(), 1, num_environments=3, zero_means=True)
    np.testing.assert_array_equal(motor.variances, [[1e-4], [1.0], [1.0]])
    np.testing.assert_array_equal(motor.means, np.zeros((3, 1)))


@pytest.mark.parametrize("dim", [2, 7])
def test_designed_environments_have_the_condition_number(x64, getkey, dim):
    key = getkey()
    conditions = np.array([1.0, 1.5, 10.0, 300.0, 1e4])
    found = jax.jit(jax.vmap(lambda c: designed_environments(key, dim, c, low=0.01, high=2.0)))(conditions)
    variances = np.asarray(found.variances)
    assert variances.shape == (5, dim + 1, dim)
    np.testing.assert_allclose([np.linalg.cond(variability_matrix(v)) for v in variances], conditions, rtol=1e-6)
    np.testing.assert_allclose(variances.min(axis=(1, 2)), 0.01, rtol=1e-9)
    np.testing.assert_allclose(variances.max(axis=(1, 2)), 2.0, rtol=1e-9)
    other = designed_environments(getkey(), dim, 10.0, low=0.01, high=2.0)
    assert np.abs(np.asarray(other.variances) - variances[2]).max() > 1e-3


def test_the_designed_continuum_begins_at_the_maximal_design(x64, getkey):
    key = getkey()
    start, maximal = designed_environments(key, 3, 1.0), maximal_environments(key, 3)
    np.testing.assert_allclose(start.variances, maximal.variances, rtol=1e-12)
    np.testing.assert_array_equal(start.means, maximal.means)
    single = designed_environments(key, 1, 1.0, zero_means=True)
    np.testing.assert_allclose(single.variances, [[1e-4], [1.0]], rtol=1e-12)


def test_bounded_environments_keep_the_condition_number(x64, getkey):
    system, environments = random_system(getkey(), 3), random_environments(getkey(), 3)
    limit = np.array([0.5, 1.0, 2.0])
    found = bounded_environments(environments, limit, system=system, num_steps=40)
    sizes = np.asarray(amplitudes(found.environments))
    assert (sizes <= limit * (1 + 1e-12)).all()
    np.testing.assert_allclose((sizes / limit).max(), 1.0, rtol=1e-12)
    before, after = (np.linalg.cond(variability_matrix(e.variances)) for e in (environments, found.environments))
    np.testing.assert_allclose(before, after, rtol=1e-9)
    loose = bounded_environments(environments, 1e3)
    assert loose.state_bound is None and loose.scale == 1.0
    np.testing.assert_array_equal(loose.environments.variances, environments.variances)
    # The bound is met by the controls that push every state the same way.
    A, B = np.asarray(system.A), np.asarray(system.B)
    gains = np.stack([np.linalg.matrix_power(A, k) @ B for k in range(39)])
    worst = np.concatenate([np.sign(gains[::-1, 0]), np.zeros((1, 3))]) * limit
    np.testing.assert_allclose(simulate(system, worst)[1][-1, 0], found.state_bound[0], rtol=1e-10)
    np.testing.assert_array_equal(state_bound(system, limit, num_steps=1), np.zeros(3))


def _bad():
    key = jax.random.key(0)
    system = LinearSystem(np.diag([0.5, 0.2]), np.eye(2), np.eye(2))
    environments = Environments(np.zeros((3, 2)), np.ones((3, 2)))
    unstable = dataclasses.replace(system, A=np.diag([1.1, 0.0]))
    negative = dataclasses.replace(environments, variances=-environments.variances)
    three = Environments(np.zeros((3, 3)), np.ones((3, 3)))
    y, u = np.zeros((2, 6, 2)), np.zeros((2, 6, 1))
    return {
        "dim=0": lambda: random_system(key, 0),
        "spectral_radius=1.0": lambda: random_system(key, 2, spectral_radius=1.0),
        "d, d": lambda: spectral_radius(np.zeros((2, 3))),
        "spectral radius 1.1 of A": lambda: sample_trajectories(key, unstable, environments, 5),
        "non-finite": lambda: check_stable(dataclasses.replace(system, A=np.full((2, 2), np.nan))),
        r"\[n, 2\] with n >= 1": lambda: simulate(system, np.zeros((0, 2))),
        r"controls of shape \(5, 3\)": lambda: simulate(system, np.zeros((5, 3))),
        r"initial_state of shape \(3,\)": lambda: simulate(system, np.zeros((5, 2)), initial_state=np.zeros(3)),
        r"process_noise of shape \(4, 2\)": lambda: simulate(system, np.zeros((5, 2)), process_noise=np.zeros((4, 2))),
        "did you mean 'scan'": lambda: simulate(system, np.zeros((5, 2)), method="scann"),
        "one system": lambda: simulate(LinearSystem(np.eye(2), np.eye(3), np.eye(2)), np.zeros((5, 3))),
        "variances down to": lambda: sample_controls(key, negative, 5),
        r"both \[E, d_u\]": lambda: sample_controls(key, dataclasses.replace(environments, means=np.zeros(2)), 5),
        "n=0": lambda: sample_controls(key, environments, 0),
        "wanted d_u=2": lambda: sample_trajectories(key, system, three, 5),
        "observation_noise_variance=-1.0": lambda: sample_trajectories(
            key, system, environments, 5, observation_noise_variance=-1.0
        ),
        "did you mean 'published'": lambda: sample_trajectories(
            key, system, environments, 5, noise_convention="publish"
        ),
        r"initial_state of shape \(2, 2\)": lambda: sample_trajectories(
            key, system, environments, 5, initial_state=np.zeros((2, 2))
        ),
        "stride=3": lambda: make_pairs(y, u, stride=3),
        "together with controls": lambda: make_pairs(y),
        "n >= 2": lambda: make_pairs(y[:, :1], u[:, :1]),
        "dt=0.0": lambda: dc_motor(0.0),
        "mass=": lambda: spring_mass_damper(mass=-1.0),
        "num_environments=0": lambda: random_environments(key, 2, 0),
        "at least dim": lambda: maximal_environments(key, 2, num_environments=2),
        "two different": lambda: maximal_environments(key, 2, base=1.0),
        "condition=0.5": lambda: designed_environments(key, 2, 0.5),
        "= 1 for dim = 1": lambda: designed_environments(key, 1, 2.0),
        "low < high": lambda: designed_environments(key, 2, 2.0, low=1.0, high=0.5),
        "wanted a number or": lambda: bounded_environments(environments, np.ones(3)),
        "limit=": lambda: bounded_environments(environments, 0.0),
        "at least one step": lambda: state_bound(system, np.ones(2), num_steps=0),
        "E >= 2": lambda: variability_matrix(np.ones((1, 3))),
        "wanted positive": lambda: variability_matrix(np.zeros((2, 3))),
    }


BAD = _bad()


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_an_unstable_system_runs_if_asked(getkey):
    unstable = LinearSystem(np.diag([1.1, 0.0]), np.eye(2), np.eye(2))
    found = sample_trajectories(getkey(), unstable, random_environments(getkey(), 2), 5, allow_unstable=True)
    assert np.isfinite(np.asarray(found.states)).all()
