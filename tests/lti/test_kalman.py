"""Kalman likelihood and smoother against the dense joint Gaussian of a whole trajectory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from identax.lti._kalman_steps import StateSpace, loglik_of_settled
from identax.lti.kalman import joint_loglik, kalman_loglik, kalman_smoother

T = 7


def _model(seed=0, d_x=3, d_u=2, d_y=2):
    rng = np.random.default_rng(seed)

    def spread(dim):
        root = rng.standard_normal((dim, dim))
        return root @ root.T / dim

    A = rng.standard_normal((d_x, d_x))
    return dict(
        A=0.9 * A / np.abs(np.linalg.eigvals(A)).max(),
        B=rng.standard_normal((d_x, d_u)),
        C=rng.standard_normal((d_y, d_x)),
        control_mean=rng.standard_normal(d_u),
        control_variance=rng.uniform(0.1, 2.0, d_u),
        observation_covariance=spread(d_y),
        process_covariance=0.3 * spread(d_x),
        initial_mean=rng.standard_normal(d_x),
        initial_covariance=spread(d_x),
    ), rng.standard_normal((T, d_y))


def _dense(A, B, C, control_mean, control_variance, observation_covariance, process_covariance=0.0, initial_mean=None,
           initial_covariance=None):  # fmt: skip
    """Mean and covariance of (y, x, u): all are linear in independent (x_0, u, w, v)."""
    d_x, d_u, d_y = B.shape[0], B.shape[1], C.shape[0]
    noise = np.asarray(observation_covariance) * np.eye(d_y) if np.ndim(observation_covariance) < 2 else (
        observation_covariance
    )  # fmt: skip
    process = process_covariance * np.eye(d_x) if np.ndim(process_covariance) < 2 else process_covariance
    spread = np.zeros((d_x, d_x)) if initial_covariance is None else initial_covariance
    start = np.zeros(d_x) if initial_mean is None else initial_mean
    sizes = [d_x, T * d_u, T * d_x, T * d_y]
    ends = np.cumsum([0, *sizes])
    source = [np.arange(ends[k], ends[k + 1]) for k in range(4)]
    covariance = np.zeros((ends[-1],) * 2)
    blocks = [spread, np.kron(np.eye(T), np.diag(control_variance)), np.kron(np.eye(T), process),
              np.kron(np.eye(T), noise)]  # fmt: skip
    for index, block in zip(source, blocks, strict=True):
        covariance[np.ix_(index, index)] = block
    mean = np.concatenate([start, np.tile(control_mean, T), np.zeros(T * (d_x + d_y))])
    state = np.eye(d_x, ends[-1])
    states, outputs = [], []
    for t in range(T):
        states.append(state)
        unit = np.eye(ends[-1])
        outputs.append(C @ state + unit[source[3].reshape(T, d_y)[t]])
        state = A @ state + B @ unit[source[1].reshape(T, d_u)[t]] + unit[source[2].reshape(T, d_x)[t]]
    maps = np.vstack([*outputs, *states, np.eye(ends[-1])[source[1]]])
    return maps @ mean, maps @ covariance @ maps.T


def _dense_loglik(y, **model):
    mean, covariance = _dense(**model)
    size = y.size
    return scipy.stats.multivariate_normal(mean[:size], covariance[:size, :size]).logpdf(y.ravel())


def _dense_smoothed(y, **model):
    mean, covariance = _dense(**model)
    size, d_x, d_u = y.size, model["A"].shape[0], model["B"].shape[1]
    gain = covariance[size:, :size] @ np.linalg.inv(covariance[:size, :size])
    found = mean[size:] + gain @ (y.ravel() - mean[:size])
    return found[: T * d_x].reshape(T, d_x), found[T * d_x :].reshape(T, d_u)[:-1]


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 1, 2), (2, 3, 1)])
def test_the_likelihood_is_that_of_the_dense_joint_gaussian(x64, shape):
    model, y = _model(1, *shape)
    assert kalman_loglik(y, **model) == pytest.approx(_dense_loglik(y, **model), rel=1e-11)
    plain = dict(model, observation_covariance=0.3)
    del plain["process_covariance"], plain["initial_mean"], plain["initial_covariance"]
    assert kalman_loglik(y, **plain) == pytest.approx(_dense_loglik(y, **plain), rel=1e-11)
    each = dict(plain, observation_covariance=np.linspace(0.1, 0.4, shape[2]))
    assert kalman_loglik(y, **each) == pytest.approx(_dense_loglik(y, **each), rel=1e-11)


def test_no_observation_noise_is_allowed_where_a_density_exists(x64):
    model, y = _model(2)
    exact = dict(model, observation_covariance=0.0)
    assert kalman_loglik(y, **exact) == pytest.approx(_dense_loglik(y, **exact), rel=1e-9)
    # the limit of little noise
    little = dict(model, observation_covariance=1e-9)
    assert kalman_loglik(y, **little) == pytest.approx(float(kalman_loglik(y, **exact)), rel=1e-5)


@pytest.mark.slow
def test_observations_without_a_density_are_refused():
    model, y = _model(2)
    known_start = dict(model, observation_covariance=0.0, initial_covariance=None)
    for method in (kalman_loglik, kalman_smoother):
        with pytest.raises(ValueError, match="covariance is singular"):
            method(y, **known_start)
    assert jnp.isnan(jax.jit(lambda y: kalman_loglik(y, **known_start))(y))
    for seed in range(4):  # one control cannot move two outputs: variances that are zero up to rounding
        fewer, y = _model(seed, d_x=2, d_u=1, d_y=2)
        fewer = dict(fewer, observation_covariance=0.0, process_covariance=None)
        with pytest.raises(ValueError, match="covariance is singular"):
            kalman_loglik(y, **fewer)


@pytest.mark.parametrize("start", [{}, {"initial_mean": None, "initial_covariance": None}])
def test_the_smoother_is_the_conditional_expectation_of_the_dense_joint_gaussian(x64, start):
    model, y = _model(4)
    model = {name: value for name, value in {**model, **start}.items() if value is not None}
    found = kalman_smoother(y, **model)
    states, controls = _dense_smoothed(y, **model)
    assert found.states.shape == (T, 3) and found.controls.shape == (T - 1, 2)
    np.testing.assert_allclose(found.states, states, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.controls, controls, rtol=1e-9, atol=1e-10)


def test_the_joint_density_is_that_of_states_and_observations(x64):
    model, y = _model(11)
    mean, covariance = _dense(**model)
    x = np.random.default_rng(12).standard_normal((T, 3))
    size = y.size + x.size
    wanted = scipy.stats.multivariate_normal(mean[:size], covariance[:size, :size]).logpdf(
        np.concatenate([y.ravel(), x.ravel()])
    )
    B = model["B"]
    transition = B @ np.diag(model["control_variance"]) @ B.T + model["process_covariance"]
    arguments = (y, model["A"], model["C"], transition, model["observation_covariance"])
    offset = {"state_offset": B @ model["control_mean"]}
    start = {name: model[name] for name in ("initial_mean", "initial_covariance")}
    found = joint_loglik(x, *arguments, **offset, **start)
    assert found == pytest.approx(wanted, rel=1e-10)
    given = joint_loglik(x, *arguments, **offset)
    of_start = scipy.stats.multivariate_normal(start["initial_mean"], start["initial_covariance"]).logpdf(x[0])
    assert found - given == pytest.approx(of_start, rel=1e-8)
    # Bayes: p(y) = p(x, y) / p(x | y), here at the smoothed states
    smoothed = kalman_smoother(y, **model).states
    posterior = covariance[y.size : size, y.size : size] - covariance[y.size : size, : y.size] @ np.linalg.solve(
        covariance[: y.size, : y.size], covariance[: y.size, y.size : size]
    )
    peak = scipy.stats.multivariate_normal(np.zeros(x.size), posterior).logpdf(np.zeros(x.size))
    assert joint_loglik(smoothed, *arguments, **offset, **start) - peak == pytest.approx(
        float(kalman_loglik(y, **model)), rel=1e-9
    )
    with pytest.raises(ValueError, match="singular state_covariance"):
        joint_loglik(x, y, model["A"], model["C"], 0.0, 1.0)
    with pytest.raises(ValueError, match="wanted both or neither"):
        joint_loglik(x, *arguments, initial_mean=np.zeros(3))


def test_without_noise_the_smoother_returns_what_was_done(x64):
    model, _ = _model(5, d_x=2, d_u=2, d_y=2)
    A, B = model["A"], model["B"]
    u = np.random.default_rng(6).standard_normal((T, 2))
    x = [np.ones(2)]
    for control in u[:-1]:
        x.append(A @ x[-1] + B @ control)
    exact = dict(A=A, B=B, C=np.eye(2), control_mean=np.zeros(2), control_variance=np.ones(2),
                 observation_covariance=0.0, initial_covariance=np.eye(2))  # fmt: skip
    found = kalman_smoother(np.stack(x), **exact)
    np.testing.assert_allclose(found.states, np.stack(x), atol=1e-10)
    np.testing.assert_allclose(found.controls, u[:-1], atol=1e-8)


def test_nothing_depends_on_the_coordinates_of_the_state(x64):
    model, y = _model(7)
    S = np.random.default_rng(8).standard_normal((3, 3))
    inverse = np.linalg.inv(S)
    other = dict(
        model, A=S @ model["A"] @ inverse, B=S @ model["B"], C=model["C"] @ inverse,
        process_covariance=S @ model["process_covariance"] @ S.T, initial_mean=S @ model["initial_mean"],
        initial_covariance=S @ model["initial_covariance"] @ S.T,
    )  # fmt: skip
    assert kalman_loglik(y, **other) == pytest.approx(float(kalman_loglik(y, **model)), rel=1e-10)
    np.testing.assert_allclose(
        kalman_smoother(y, **other).controls, kalman_smoother(y, **model).controls, rtol=1e-8, atol=1e-9
    )


def test_float32_keeps_its_type_and_stays_near_float64():
    model, _ = _model(9)
    y = np.random.default_rng(1).standard_normal((400, 2))
    with jax.enable_x64(True):
        wanted = float(kalman_loglik(y, **model))
    single = {name: np.asarray(value, np.float32) for name, value in model.items()}
    found = kalman_loglik(y.astype(np.float32), **single)
    assert found.dtype == jnp.float32
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
def test_settled_gains_leave_the_likelihood_as_it_is(x64):
    rng = np.random.default_rng(13)
    model, _ = _model(13)
    y = jnp.asarray(rng.standard_normal((150, 2)))
    space = StateSpace(
        jnp.asarray(model["A"]), jnp.asarray(rng.standard_normal(3)), jnp.asarray(model["process_covariance"]),
        jnp.asarray(model["C"]), jnp.asarray([0.3, 0.5]), jnp.asarray(model["initial_mean"]),
        jnp.asarray(model["initial_covariance"]),
    )  # fmt: skip
    wanted = loglik_of_settled(space, y, 150)
    assert loglik_of_settled(space, y, 100) == pytest.approx(float(wanted), rel=1e-10)
    assert abs(loglik_of_settled(space, y, 1) - wanted) > 1e-3  # not yet settled


@pytest.mark.slow
def test_it_maps_over_trajectories_and_is_differentiable(x64):
    model, y = _model(10)
    several = jnp.stack([y, y[::-1], 2 * y])
    found = jax.jit(jax.vmap(lambda y: kalman_loglik(y, **model)))(several)
    wanted = [_dense_loglik(np.asarray(one), **model) for one in several]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)

    def along(h, loglik):
        return loglik(y, **{**model, "A": model["A"] + h * np.ones((3, 3)), "observation_covariance": 0.2 + h})

    slope = jax.grad(lambda h: along(h, kalman_loglik))(0.0)
    numeric = (along(1e-5, _dense_loglik) - along(-1e-5, _dense_loglik)) / 2e-5
    assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": np.ones(4)}, "wanted one trajectory"),
        ({"A": np.ones((2, 3))}, "found A .2, 3."),
        ({"C": np.ones((3, 3))}, "C .3, 3."),
        ({"control_mean": np.zeros(3)}, "control_mean of shape"),
        ({"control_variance": -np.ones(2)}, "control_variance down to -1"),
        ({"observation_covariance": -0.1}, "observation_covariance down to -0.1"),
        ({"observation_covariance": np.ones(3)}, "observation_covariance of shape"),
        ({"observation_covariance": np.array([[1.0, 2.0], [2.0, 1.0]])}, "not symmetric and positive"),
        ({"process_covariance": np.triu(np.ones((3, 3)))}, "not symmetric and positive"),
        ({"initial_mean": np.full(3, np.nan)}, "non-finite"),
    ],
)
def test_bad_input_is_refused(change, message):
    model, y = _model(0)
    arguments = {"observations": y, **model, **change}
    with pytest.raises(ValueError, match=message):
        kalman_loglik(**arguments)
