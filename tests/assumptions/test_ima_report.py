"""The report on the limit of the ELBO: each premise once true and once false; predictions as the functions give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.assumptions import collapsed_elbo, elbo_star, gauss_hermite, ima_report
from identax.losses import gaussian_prior, laplace_prior, uniform_prior

Z = np.random.default_rng(0).normal(size=(5, 2))
GAUSSIAN = gaussian_prior()


def shear(z):
    return z @ jnp.array([[1.0, 0.0], [1.0, 1.0]], z.dtype)


def scaled(z):
    return z * jnp.array([[1.0, 3.0]], z.dtype)


def holds(report):
    return {premise.name.split(" (")[0]: premise.holds for premise in report.premises}


@pytest.mark.slow
def test_each_premise_can_fail(x64):
    good = ima_report(scaled, Z, prior=GAUSSIAN, precision=100, smooth=True, optimise=False)
    assert good.covered and set(holds(good).values()) == {True}
    assert holds(ima_report(shear, Z, prior=GAUSSIAN, precision=100, optimise=False)) == {
        **holds(good),
        "orthogonal Jacobian": False,
        "twice differentiable decoder": None,
    }
    assert not holds(ima_report(scaled, Z, prior=GAUSSIAN, precision=2, optimise=False))["near-deterministic decoder"]
    assert not holds(ima_report(scaled, Z, prior=laplace_prior(), precision=100, optimise=False))[
        "smooth and strictly log-concave prior"
    ]
    flat = ima_report(lambda z: z[:, :1] * jnp.ones((1, 2)), Z, prior=GAUSSIAN, precision=100, optimise=False)
    assert not holds(flat)["locally one to one"]
    uniform = ima_report(scaled, jax.nn.sigmoid(Z), prior=uniform_prior(), precision=1e4, smooth=True, optimise=False)
    assert uniform.covered


@pytest.mark.slow
def test_predictions(x64):
    report = ima_report(shear, Z, prior=GAUSSIAN, precision=[1.0, 1e3], nodes=gauss_hermite(2, 3))
    value = {name: report.prediction(name).value for name, *_ in report.prediction_rows()}
    np.testing.assert_allclose(value["C_IMA"], 0.5 * np.log(2))
    log_p = -0.5 * (Z**2).sum(axis=1).mean() - np.log(2 * np.pi)
    np.testing.assert_allclose([value["log-likelihood"], value["L_IMA"]], [log_p, log_p - 0.5 * np.log(2)])
    np.testing.assert_allclose(value["asymptotic variance at gamma^2 = 1"], (1 / 2 + 1 / 3) / 2)
    x = shear(jnp.asarray(Z))
    for precision in (1.0, 1e3):
        at = f" at gamma^2 = {precision:g}"
        best = elbo_star(shear, Z, prior=GAUSSIAN, precision=precision, nodes=gauss_hermite(2, 3)).value.mean()
        collapsed = collapsed_elbo(x, prior=GAUSSIAN, precision=precision, dim=2)
        np.testing.assert_allclose([value["ELBO*" + at], value["collapsed ELBO" + at]], [best, collapsed], rtol=1e-10)
    assert 0.3 < value["end of collapse"] < value["collapse threshold"] < 30
    assert "ELBO* at gamma^2 = 1000" in report.as_text()


def test_bad_input():
    with pytest.raises(ValueError, match="ima_report: found precision down to -1"):
        ima_report(shear, Z, prior=GAUSSIAN, precision=-1.0)
    with pytest.raises(ValueError, match="ima_report: found 0 precisions"):
        ima_report(shear, Z, prior=GAUSSIAN, precision=[])
    with pytest.raises(ValueError, match="ima_report: found z of shape"):
        ima_report(shear, Z[0], prior=GAUSSIAN, precision=1.0)
