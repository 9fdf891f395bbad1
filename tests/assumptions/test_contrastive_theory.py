"""The theory of contrastive learning against closed forms, numerical optimisation and published values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    collapse_thresholds,
    collapsed_loss,
    contrastive_report,
    equal_blocks,
    expected_rotation_mcc,
    moment_shares,
    oracle_precision,
    pair_correlations,
    symmetry_class,
)
from identax.dgp import ShellProjectedNormal, Sphere
from identax.losses import SCHEMES, aninfonce

BIMODAL = (25.0, 25.0, 25.0, 5.0, 5.0, 5.0)
LINEAR = tuple(np.linspace(5, 25, 6))


def _shell_pairs(precision, threshold=0.1):
    """A reference sampler of the published world: uniform anchors, shell-rejected projected normal positives."""

    def sample(key, num):
        anchor_key, key = jax.random.split(key)
        z = jax.random.normal(anchor_key, (num, len(precision)))
        z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        std = 1 / jnp.sqrt(jnp.asarray(precision, z.dtype))

        def draw(carry):
            key, m, missing = carry
            key, noise_key = jax.random.split(key)
            fresh = z + std[None, :] * jax.random.normal(noise_key, z.shape)
            m = jnp.where(missing[:, None], fresh, m)
            return key, m, jnp.abs(jnp.linalg.norm(m, axis=1) - 1) >= threshold

        _, m, _ = jax.lax.while_loop(lambda c: c[2].any(), draw, (key, z, jnp.ones(num, bool)))
        return z, m / jnp.linalg.norm(m, axis=1, keepdims=True)

    return sample


@pytest.mark.slow
def test_oracle_precision_lies_in_the_measured_band():
    # Without an encoder the optimum is biased by the sampler only: up by 1.5-2.5 % at 25, by 3-5 % at 5.
    true = np.repeat([25.0, 5.0], 5)
    space, law = Sphere(10), ShellProjectedNormal(true)

    def sample(key, num):
        z = space.uniform(jax.random.fold_in(key, 0), num)
        return z, law.sample(jax.random.fold_in(key, 1), z, space)

    found = np.asarray(oracle_precision(jax.random.key(0), sample, 10))
    excess = (found / true).reshape(2, 5).mean(axis=1) - 1
    assert 0.015 < excess[0] < 0.025, excess
    assert 0.03 < excess[1] < 0.05, excess
    np.testing.assert_allclose(found, true * np.repeat(1 + excess, 5), rtol=0.03)


def test_collapsed_loss_is_the_loss_of_a_constant_encoder():
    z = jnp.full((8, 3), 0.5)
    function = jax.jit(aninfonce, static_argnames="scheme")
    for scheme in SCHEMES:
        np.testing.assert_allclose(
            collapsed_loss(8, scheme), function(z, z, jnp.ones(3), scheme=scheme).mean(), rtol=1e-6
        )
    got = function(z, z, jnp.ones(3), negatives=jnp.full((8, 5, 3), 0.5)).mean()
    np.testing.assert_allclose(collapsed_loss(8, num_negatives=5), got, rtol=1e-6)
    assert abs(collapsed_loss(1000) - 7.6004) < 1e-4


@pytest.mark.parametrize("kappa", [0.3, 1.0, 3.0])
def test_moment_shares_solve_the_constrained_problem(x64, kappa):
    rho = np.array([0.9, 0.8, 0.5, 0.47, 0.1])
    want = minimize(
        lambda c: -kappa * rho @ c + kappa**2 / 2 * c @ c,
        np.full(5, 0.2),
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda c: c.sum() - 1},
        options={"ftol": 1e-14},
    ).x
    got = moment_shares(jnp.asarray(rho), kappa)
    np.testing.assert_allclose(got.sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_threshold_is_where_a_share_first_appears_and_has_its_two_block_form(x64):
    rho = jnp.array([0.8, 0.8, 0.8, 0.46, 0.46, 0.46])
    threshold = collapse_thresholds(rho)
    np.testing.assert_allclose(threshold, [0, 0, 0] + [(0.8 - 0.46) * 3] * 3, atol=1e-12)
    assert moment_shares(rho, threshold[-1] - 1e-6)[-1] == 0.0
    assert moment_shares(rho, threshold[-1] + 1e-6)[-1] > 0.0
    mixed = jnp.array([0.9, 0.7, 0.2])
    np.testing.assert_allclose(collapse_thresholds(mixed), [0.0, 0.2, 1.2], atol=1e-12)


@pytest.mark.parametrize("precision, published", [(BIMODAL, 0.82), ((50.0,) * 3 + (2.0,) * 3, 1.72)])
def test_measured_threshold_of_the_published_worlds(precision, published):
    z, z_pos = jax.jit(_shell_pairs(precision), static_argnums=1)(jax.random.key(0), 20000)
    rho = pair_correlations(z, z_pos)
    assert abs(collapse_thresholds(rho.reshape(2, 3).mean(1).repeat(3)).max() - published) < 0.05


@pytest.mark.parametrize(
    "sizes, mean, sd",
    [((2,), 0.90, 0.09), ((5, 5), 0.73, 0.04), ((2, 5, 1), (2 * 0.90 + 5 * 0.73 + 1) / 8, 0.044), ((10,), 0.59, 0.03)],
)
def test_mcc_of_random_rotations(sizes, mean, sd):
    found = expected_rotation_mcc(jax.random.key(0), sizes)
    np.testing.assert_allclose(found, [mean, sd], atol=0.012)


def test_equal_blocks_are_the_eigenspaces():
    assert equal_blocks([5.0, 25.0, 5.0, 7.0]) == [(1,), (3,), (0, 2)]
    with pytest.raises(ValueError, match="positive finite"):
        equal_blocks([1.0, 0.0])


def _sphere(precision, **kwargs):
    return ContrastiveWorld("sphere", len(precision), precision=precision, **kwargs)


def _on_sphere(loss, **kwargs):
    return ContrastiveObjective(loss, "sphere", 128, **kwargs)


@pytest.mark.parametrize(
    "world, objective, symmetry, failing",
    [
        (_sphere(LINEAR), _on_sphere("aninfonce"), "signed permutation", set()),
        (_sphere(BIMODAL), _on_sphere("aninfonce"), "block-orthogonal, blocks of 3, 3", set()),
        (_sphere((10.0,) * 4), _on_sphere("aninfonce"), "orthogonal", set()),
        (_sphere((10.0,) * 4), _on_sphere("infonce"), "orthogonal", set()),
        (_sphere(BIMODAL), _on_sphere("infonce"), "no theorem applies", {"isotropic positives"}),
        (_sphere(BIMODAL, marginal="normal"), _on_sphere("aninfonce"), "no theorem applies", {"uniform marginal"}),
        (_sphere((5.0, -1.0)), _on_sphere("aninfonce"), "no theorem applies", {"positive precision"}),
        (
            ContrastiveWorld("box", 4, p=1),
            ContrastiveObjective("lp_infonce", "box", 128, p=1),
            "signed permutation",
            set(),
        ),
        (
            ContrastiveWorld("box", 4, p=1),
            ContrastiveObjective("lp_infonce", "box", 128, p=3),
            "no theorem applies",
            {"matched p"},
        ),
        (
            ContrastiveWorld("box", 4, p=2),
            ContrastiveObjective("lp_infonce", "euclidean", 128, p=2),
            "orthogonal",
            set(),
        ),
        (
            ContrastiveWorld("box", 4, precision=(400.0,) * 4),
            ContrastiveObjective("lp_infonce", "euclidean", 128, p=2),
            "orthogonal",
            set(),
        ),
        (
            ContrastiveWorld("box", 4, p=2),
            ContrastiveObjective("lp_infonce", "box", 128, p=2),
            "signed permutation",
            set(),
        ),
    ],
)
def test_report_names_the_symmetry_and_the_failing_premises(world, objective, symmetry, failing):
    report = contrastive_report(world, objective)
    assert report.prediction("symmetry").value == symmetry
    assert {p.name for p in report.premises if p.holds is False} == failing
    assert report.covered == (not failing)
    text = report.as_text()
    assert all(name in text for name in failing) and symmetry in text
    assert len(report.premise_rows()) == len(report.premises)


def test_report_predicts_which_latents_infonce_drops():
    rho = jnp.array([0.8, 0.82, 0.81, 0.1, 0.12, 0.11])
    report = contrastive_report(_sphere(BIMODAL), _on_sphere("infonce"), rho=rho)
    np.testing.assert_allclose(report.prediction("collapse threshold").value, 2.1, rtol=1e-5)
    assert report.prediction("dropped latents").value == 3
    hot = contrastive_report(_sphere(BIMODAL), _on_sphere("infonce", temperature=0.3), rho=rho)
    assert hot.prediction("dropped latents").value == 0
    np.testing.assert_allclose(report.prediction("collapsed loss").value, np.log(255))


def test_report_shows_the_oracle_and_an_approximate_conditional_as_unknown():
    report = contrastive_report(
        _sphere(LINEAR, exact=False), _on_sphere("aninfonce"), oracle=jnp.asarray(LINEAR) * 1.03
    )
    assert report.premise("matched conditional").holds is None and report.covered
    assert "25.8, 21.6" in report.prediction("oracle precision").value
    assert symmetry_class(_sphere(LINEAR), _on_sphere("aninfonce")) == ("permutation", (1,) * 6)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: ContrastiveWorld("spere", 3, p=1), "did you mean 'sphere'"),
        (lambda: ContrastiveWorld("box", 3), "exactly one"),
        (lambda: ContrastiveWorld("sphere", 3, precision=(1.0,)), "wanted dim=3"),
        (lambda: ContrastiveWorld("box", 3, p=0.0), "p > 0"),
        (lambda: _on_sphere("infonc"), "did you mean 'infonce'"),
        (lambda: _on_sphere("lp_infonce"), "wanted p for lp_infonce"),
        (lambda: _on_sphere("infonce", temperature=0.0), "temperature=0.0"),
        (lambda: collapsed_loss(4, "none"), "scheme='none'"),
        (lambda: expected_rotation_mcc(jax.random.key(0), ()), r"block_sizes=\(\)"),
        (lambda: oracle_precision(jax.random.key(0), _shell_pairs(BIMODAL), 6, num_steps=1), "num_steps=1"),
        (lambda: contrastive_report(_sphere(BIMODAL), _on_sphere("infonce"), rho=jnp.ones(2)), r"wanted \[6\]"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
