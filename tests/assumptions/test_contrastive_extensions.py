"""Hard negatives, reweighting, ensembles and mismatches: what the checks say, and the optimum they predict."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    common_blocks,
    contrastive_report,
    equal_blocks,
    optimal_precision,
    oracle_precision,
    symmetry_class,
)
from identax.dgp import ShellProjectedNormal, Sphere

PRECISION = (12.0, 16.0, 20.0, 24.0, 30.0)
UNEQUAL = (8.0, 2.0, 8.0, 2.0, 10.0)


def _pairs(precision, negative=None, num_negatives=48):
    space, law = Sphere(len(precision)), ShellProjectedNormal(np.asarray(precision))
    hard = None if negative is None else ShellProjectedNormal(np.asarray(negative))

    def sample(key, num):
        first, second, third = jax.random.split(key, 3)
        z = space.uniform(first, num)
        z_pos = law.sample(second, z, space)
        if hard is None:
            return z, z_pos
        z_neg = hard.sample(third, jnp.repeat(z, num_negatives, axis=0), space)
        return z, z_pos, z_neg.reshape(num, num_negatives, -1)

    return sample


@pytest.mark.slow
@pytest.mark.parametrize("negative", [(6.0,) * 5, UNEQUAL])
@pytest.mark.parametrize("signed", [False, True])
def test_hard_negative_oracle_is_the_difference_within_two_per_cent(negative, signed):
    # one key is within 1 to 2 % (sd) of the optimum, the mean of four within half of that
    pairs, keys = _pairs(PRECISION, negative, num_negatives=12), jax.random.split(jax.random.key(0), 4)
    found = [oracle_precision(key, pairs, 5, num_pairs=256, signed=signed) for key in keys]
    np.testing.assert_allclose(np.mean(found, axis=0), optimal_precision(PRECISION, negative), rtol=0.02)


@pytest.mark.slow
def test_hard_negative_oracle_from_the_optimum_stays_there():
    want = optimal_precision(PRECISION, UNEQUAL)
    sample = _pairs(PRECISION, UNEQUAL, num_negatives=16)
    found = oracle_precision(jax.random.key(1), sample, 5, num_pairs=96, num_steps=150, init=want, signed=True)
    np.testing.assert_allclose(found, want, rtol=0.05)
    assert (np.abs(found - np.asarray(PRECISION)) > 1.5).all()  # uniform negatives would have led there


@pytest.mark.slow
def test_signed_oracle_goes_below_zero():
    precision, negative = (6.0, 9.0, 12.0), (12.0, 4.0, 4.0)
    want = optimal_precision(precision, negative, signed=True)
    sample = _pairs(precision, negative, num_negatives=16)
    found = oracle_precision(jax.random.key(2), sample, 3, num_pairs=96, num_steps=400, init=3.0, signed=True)
    np.testing.assert_allclose(found, want, atol=0.5)


@pytest.mark.slow
def test_reweighting_divides_the_optimum_by_one_plus_beta():
    precision = (4.0, 6.0, 8.0)
    found = oracle_precision(
        jax.random.key(0), _pairs(precision), 3, num_pairs=256, num_steps=300, init=4.0, reweighting=1.0
    )
    np.testing.assert_allclose(found, optimal_precision(precision, reweighting=1.0), rtol=0.06)


def test_optimal_precision_of_numbers_and_vectors():
    np.testing.assert_allclose(optimal_precision(PRECISION), PRECISION)
    np.testing.assert_allclose(optimal_precision(PRECISION, 6.0), [6, 10, 14, 18, 24])
    np.testing.assert_allclose(optimal_precision((4.0, 2.0), (1.0, 5.0), reweighting=2.0, signed=True), [1.0, -1.0])


def test_common_blocks_are_the_common_refinement():
    first, second = [25.0, 25, 5, 5], [25.0, 5, 25, 5]
    assert common_blocks([first]) == [(0, 1), (2, 3)]
    assert common_blocks([first, second]) == [(0,), (1,), (2,), (3,)]
    assert common_blocks([first, [9.0, 9, 9, 1]]) == [(0, 1), (2,), (3,)]
    assert equal_blocks([-1.0, 3.0, -1.0, 0.0], signed=True) == [(1,), (3,), (0, 2)]


def _sphere(precision=None, **kwargs):
    dim = len(precision if precision is not None else kwargs["precisions"][0])
    return ContrastiveWorld("sphere", dim, precision=precision, **kwargs)


def _objective(loss="aninfonce", **kwargs):
    return ContrastiveObjective(loss, "sphere", 96, **{"num_negatives": 48} | kwargs)


HARD = _sphere(PRECISION, negative_precision=(6.0,) * 5)
HARDER = _sphere(PRECISION, negative_precision=(6.0, 6.0, 6.0, 30.0, 6.0))
BLOCKS = _sphere((10.0, 12.0, 20.0), negative_precision=(4.0, 6.0, 4.0))
ENSEMBLE = _sphere(precisions=((25.0, 25, 5, 5), (25.0, 5, 25, 5)))


@pytest.mark.parametrize(
    "world, objective, symmetry, failing",
    [
        (HARD, _objective(), "signed permutation", set()),
        (HARD, _objective(num_negatives=None), "no theorem applies", {"negatives from the conditional"}),
        (HARDER, _objective(), "no theorem applies", {"Lambda - Lambda- > 0"}),
        (HARDER, _objective(signed=True), "signed permutation", set()),
        (BLOCKS, _objective(), "block-orthogonal, blocks of 1, 2", set()),
        (_sphere((8.0, 8.0), negative_precision=(8.0, 2.0)), _objective(signed=True), None, {"Lambda - Lambda- not 0"}),
        (ENSEMBLE, _objective(num_negatives=None), "signed permutation", set()),
        (_sphere(precisions=((25.0, 25, 5, 5),) * 2), _objective(), "block-orthogonal, blocks of 2, 2", set()),
        (ENSEMBLE, _objective("infonce", num_negatives=None), "no theorem applies", {"isotropic positives"}),
        (
            ContrastiveWorld("sphere", 3, p=1),
            _objective("infonce", num_negatives=None),
            "no theorem applies",
            {"matched conditional"},
        ),
        (
            ContrastiveWorld("box", 2, precision=(400.0, 100.0)),
            ContrastiveObjective("lp_infonce", "box", 96, p=2),
            "no theorem applies",
            {"matched p"},
        ),
        (
            ContrastiveWorld("euclidean", 2, p=1),
            ContrastiveObjective("lp_infonce", "euclidean", 96, p=1),
            "no theorem applies",
            {"convex body"},
        ),
    ],
)
def test_report_on_extensions_and_mismatches(world, objective, symmetry, failing):
    report = contrastive_report(world, objective)
    assert report.prediction("symmetry").value == (symmetry or "no theorem applies")
    assert {p.name for p in report.premises if p.holds is False} == failing


def test_report_states_the_optimal_precisions():
    assert contrastive_report(HARD, _objective()).prediction("optimal precision").value == "24, 18, 14, 10, 6"
    report = contrastive_report(_sphere((8.0, 4.0)), _objective(reweighting=1.0, num_negatives=None))
    assert report.prediction("optimal precision").value == "4, 2"
    assert report.premise("many negatives for reweighting").holds is None and report.covered
    assert contrastive_report(ENSEMBLE, _objective()).prediction("optimal precision 2").value == "25, 25, 5, 5"


def test_squares_without_walls_leave_a_rotation_that_matching_sees():
    world = ContrastiveWorld("box", 10, p=2)
    open_ended = contrastive_report(world, ContrastiveObjective("lp_infonce", "euclidean", 96, p=2))
    assert open_ended.prediction("symmetry").value == "orthogonal"
    assert "every rotation" in open_ended.prediction("symmetry").why
    assert abs(open_ended.prediction("MCC").value - 0.59) < 0.02  # pyright: ignore
    walled = ContrastiveObjective("lp_infonce", "box", 96, p=2)
    assert symmetry_class(world, walled) == ("permutation", (1,) * 10)
    sharp = contrastive_report(
        ContrastiveWorld("box", 10, p=1), ContrastiveObjective("lp_infonce", "euclidean", 96, p=1)
    )
    assert sharp.prediction("MCC").value == 1.0


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: optimal_precision(PRECISION, 12.0), "wanted Lambda - Lambda- > 0 in every entry"),
        (lambda: optimal_precision(PRECISION, (1.0, 2.0)), r"\[n\] both"),
        (lambda: optimal_precision(PRECISION, reweighting=-1.0), "reweighting=-1.0"),
        (lambda: common_blocks([]), "K >= 1"),
        (lambda: common_blocks([[1.0], [1.0, 2.0]]), "one length"),
        (lambda: _sphere((1.0, 2.0), negative_precision=(1.0,)), "wanted dim=2"),
        (lambda: _sphere((1.0, 2.0), precisions=((1.0, 2.0),)), "exactly one"),
        (lambda: ContrastiveWorld("sphere", 2, precisions=()), "at least one conditional"),
        (lambda: ContrastiveWorld("box", 2, p=1, negative_precision=(1.0, 1.0)), "wanted both"),
        (lambda: _objective(reweighting=-1.0), "reweighting=-1.0"),
    ],
)
def test_bad_input_is_refused(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()
