"""What metrics take and refuse: lists and tables, masks, few samples, empty batches, digits of the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax import metrics
from identax.indices import index_list
from identax.metrics._samples import warn_of_few
from tests.metrics.calls import samples

S = samples(0)


def test_the_cases_that_float32_got_wrong():
    noise = np.random.default_rng(0).normal(size=(400, 5))
    right = metrics.linear_r2(noise[:, :3], noise[:, 3:])
    np.testing.assert_allclose(metrics.linear_r2(noise[:, :3], 1e8 + noise[:, 3:]), right, atol=1e-5)
    assert right < 0.02
    counts = np.arange(300)[:, None]
    for t in (10**9 + counts, jnp.asarray(10**9 + counts, jnp.int32)):
        np.testing.assert_allclose(metrics.mcc(t, counts.astype(float)), 1.0, atol=1e-6)
    seconds = 1.7e9 + 3600 * np.random.default_rng(1).uniform(size=(400, 1))
    np.testing.assert_allclose(metrics.linear_r2(seconds, seconds, split="half"), 1.0, atol=1e-5)
    # Ranks that only float64 tells apart, next to a value that takes all of float32's digits.
    close = np.concatenate([1 + 1e-12 * np.arange(50), [1e9]])[:, None]
    np.testing.assert_allclose(metrics.mcc(close, np.arange(51.0)[:, None], method="spearman"), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: metrics.mcc(S.z + 1j, S.x), "mcc: found latents of type complex128"),
        (lambda: metrics.linear_r2(S.x, [["a"], ["b"]]), "linear_r2: found targets of type"),
        (lambda: metrics.mcc(S.z, S.x[:0]), "mcc: found .*estimates of shape"),
        (lambda: metrics.linear_r2(S.x[:0], S.z[:0]), r"found inputs of shape \(0, 3\)"),
        (lambda: metrics.within_mcc(np.ones((0, 4, 2)), np.ones((0, 4, 2))), r"latents of shape \(0, 4, 2\)"),
        (lambda: metrics.epoch_mcc(S.z[:0], S.x[:0], 2), r"latents of shape \(0, 2\)"),
        (lambda: metrics.head_r2(S.x[:0], S.z), r"head of shape \(0, 3\)"),
        (lambda: metrics.relative_error(np.ones((0, 2)), np.ones((0, 2))), "with entries"),
        (lambda: metrics.transfer_function_error(np.ones((0, 2, 2)), np.ones((0, 2, 2))), "wanted equal"),
        (lambda: metrics.bonferroni([]), "p_values of shape"),
        (lambda: metrics.standard_error(np.ones((0, 3))), r"values of shape \(0, 3\)"),
        (lambda: metrics.precision_recovery([], []), "no true precisions"),
        (lambda: metrics.linear_readout_accuracy(S.x, S.labels * 1.0, 2), "training labels of type float64"),
        (lambda: metrics.logistic_regression(S.x, S.labels * 1.0), "labels of type float64"),
        (lambda: metrics.precision_recovery(S.precision, S.precision, assignment=[0, 1, 3]), "between 0 and 2"),
        (lambda: metrics.precision_recovery(S.precision, S.precision, assignment=[0.0, 1.0, 2.0]), "wanted integers"),
        (lambda: metrics.precision_recovery([1, 2], [1, 2], assignment=[True, False]), "of type bool, wanted integers"),
        (lambda: metrics.block_r2(S.x, S.z, [[0.7, 1.2]]), r"block_r2: found block \[0.7, 1.2\], wanted integers"),
        (lambda: metrics.block_r2(S.x, S.z, [[True, False, True]]), r"mask block of shape \(3,\), wanted \[2\]"),
        (lambda: metrics.block_r2(S.x, S.z, [[True, 1]]), "wanted integers"),
        (lambda: metrics.block_r2(S.x, S.z, [[False, False]]), "wanted indices"),
    ],
)
def test_refusals_name_the_argument(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_the_range_of_float32_is_no_limit_where_scale_does_not_matter(scale):
    near = metrics.amari_distance(S.square), metrics.relative_error(S.square, S.square[::-1])
    far = metrics.amari_distance(scale * S.square), metrics.relative_error(scale * S.square, scale * S.square[::-1])
    np.testing.assert_allclose(far, near, rtol=1e-5)
    wanted = metrics.transfer_function_error(S.response, S.response[::-1])
    got = metrics.transfer_function_error(scale * S.response, S.response[::-1])
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    scores = [metrics.dci_scores(S.probabilities * size)["completeness"] for size in (1.0, scale)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)
    np.testing.assert_allclose(metrics.linear_r2(scale * S.x, S.z), metrics.linear_r2(S.x, S.z), rtol=1e-5)


def test_masks_are_masks():
    scores = metrics.linear_r2(S.x, S.z, per_dim=True)
    for mask in ([False, True], np.array([False, True]), jnp.array([False, True]), [1], np.array([1], np.uint8)):
        np.testing.assert_allclose(metrics.block_r2(S.x, S.z, [mask])[0], scores[1], rtol=1e-6)
    np.testing.assert_array_equal(index_list("f", "chosen", [True, False, True], 3), [0, 2])


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda x: metrics.linear_r2(x, x), r"linear_r2: found inputs of shape \(4, 5\).*R\^2 = 1 says nothing"),
        (lambda x: metrics.block_r2(x[:, :3], x[:, :1], [[0]]), r"block_r2.*4 samples of up to 3 dims.*says nothing"),
        (lambda x: metrics.mcc(x, x), r"mcc: found latents of shape \(4, 5\).*\[dims, samples\]\?"),
        (lambda x: metrics.padded_mcc(jax.random.key(0), x[:, :1], x), "padded_mcc.*high by chance"),
        (lambda x: metrics.sap(x, x), "sap: found factors of shape"),
        (lambda x: metrics.linear_readout_accuracy(x, np.array([0, 1, 0, 1]), 2), "linear_readout_accuracy"),
        (lambda x: metrics.mcc(S.z, S.x), "mcc: found 2 latents and 3 estimates: the mean is over 2 pairs"),
        (lambda x: metrics.epoch_mcc(S.x, S.z, 30), "epoch_mcc: found 3 latents and 2 estimates.*never scored"),
    ],
)
def test_few_samples_or_unequal_numbers_of_dims_are_a_warning(call, wanted):
    with pytest.raises(UserWarning, match=wanted):  # warnings are errors here, so that nothing is compiled
        call(np.random.default_rng(0).normal(size=(4, 5)))


def test_no_warning_inside_compiled_programs_or_with_enough_samples():
    jax.eval_shape(lambda x: (metrics.linear_r2(x, x), metrics.mcc(x, x[:, :2])), jnp.ones((4, 5)))
    warn_of_few("f", fits=4, x=np.ones((5, 4)))
