"""What is no array of numbers is refused by us, not by what it meets first; wide floats and objects are numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax import causal, losses, lti, search
from identax.assumptions import mixed_divergence, rescaled
from identax.dgp import hmm_mixture, predict, spectral_radius
from identax.dgp.languages import language, score
from identax.inputs import float_type, numbers
from identax.losses import lp_infonce
from identax.run.refusals import is_refusal
from tests.losses.public_calls import CALLS, arrays_of

RAGGED = [[1.0], [1.0, 2.0]]
NONE = {
    "None": None,
    "complex": np.ones((4, 3)) * 1j,
    "ragged": RAGGED,
    "too large": [[10**400] * 3] * 4,
    "dates": np.full((4, 3), np.datetime64("2020-01-01")),
    "text": [["a"] * 3] * 4,
}
LINE = {"x": search.Uniform(0.0, 1.0)}
PAIRS, DIM = np.arange(20.0).reshape(5, 2, 2) ** 2, np.ones(2)
OTHERS = {
    "published_loglik": lambda odd: lti.published_loglik(np.ones((2, 4)), odd, DIM, DIM),
    "conditional_loglik": lambda odd: lti.conditional_loglik(odd, PAIRS, DIM, DIM),
    "wls_unmixing": lambda odd: lti.wls_unmixing(PAIRS, odd, DIM),
    "match_rows": lambda odd: lti.match_rows(odd, np.ones((3, 2))),
    "joint_loglik": lambda odd: lti.joint_loglik(odd, np.ones((5, 2)), np.eye(2), np.eye(2), 1.0, 1.0),
    "spectral_radius": spectral_radius,
    "causal_de_finetti": causal.causal_de_finetti,
    "decide_graph": lambda odd: causal.decide_graph(odd, np.ones((2, 2, 4))),
    "g_test": lambda odd: causal.g_test(odd, np.ones(4)),
    "hsic_test": lambda odd: causal.hsic_test(np.arange(9.0), odd),
    "independence_test": lambda odd: causal.independence_test(odd, np.arange(9.0), method="fisher_z"),
    "independence_tests": lambda odd: causal.independence_tests(odd, np.ones((2, 9)), np.ones((2, 9))),
    "kci_test": lambda odd: causal.kci_test(np.arange(9.0), np.arange(9.0), [odd] if odd is None else odd),
    "notears": causal.notears,
    "pairwise_lingam": lambda odd: causal.pairwise_lingam(odd, np.arange(4.0)),
    "rcit_test": lambda odd: causal.rcit_test(odd, np.arange(9.0), key=jax.random.key(0)),
    "hmm_mixture": lambda odd: hmm_mixture(np.ones((1, 1)), odd, np.ones((1, 1, 1))),
    "predict": lambda odd: predict(hmm_mixture(np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))), odd),
    "score": lambda odd: score(language("L3", 8), odd, 0),
    "rescaled": lambda odd: rescaled(odd, np.ones(3), np.ones((3, 2)), 1.0),
    "mixed_divergence": lambda odd: mixed_divergence([1.0], odd, [[0.5, 0.5]], 0.5),
    "window_space": lambda odd: search.window_space(["fc"], p=odd),
    "suggest": lambda odd: search.suggest({"x": search.Uniform(0.0, odd)}, []),
    "search": lambda odd: search.search(lambda cells: {"loss": odd}, LINE, objective="loss", num_trials=4, batch=4),
    "best_of": lambda odd: search.best_of([search.Tried({}, odd, {})]),
    "by_choice": lambda odd: search.by_choice(lambda fixed, columns: {"loss": odd}, ["x"], block=1)([{"x": 0.5}]),
    "carried": lambda odd: search.carried(lambda state, cell: (state, {"loss": odd}), None)([{"x": 0.5}]),
    "partial_correlation": lambda odd: causal.partial_correlation(odd, PAIRS[:, 0]),
}


def _refused(call, *arguments):
    with pytest.raises(ValueError) as caught:
        call(*arguments)
    assert is_refusal(caught.value) and "found" in str(caught.value), caught.value


# Not those of the ELBO's terms; trees of parameters may hold nothing, numbers and lists.
@pytest.mark.parametrize("odd", NONE)
@pytest.mark.parametrize(
    "name",
    [name for name in CALLS if name not in ("gaussian_kl", "negative_elbo", "bernoulli_nll", "half_squared_weights")],
)
def test_losses_refuse_what_is_no_array(name, odd):
    arrays = arrays_of(name, 0)
    for number in range(len(arrays)):
        if name in ("infonce, negatives", "forward_error") and number == 2 and odd == "None":
            continue  # no negatives, no attention
        _refused(CALLS[name][0], *arrays[:number], NONE[odd], *arrays[number + 1 :])


@pytest.mark.parametrize("odd", NONE)
@pytest.mark.parametrize("name", OTHERS)
def test_linear_systems_refuse_what_is_no_array(name, odd):
    _refused(OTHERS[name], NONE[odd])


def test_objects_and_wide_floats_are_numbers():
    z = np.arange(6.0).reshape(3, 2)
    wanted = losses.alignment(z, z[::-1])
    for kind in (object, np.longdouble):
        np.testing.assert_array_equal(losses.alignment(z.astype(kind), z[::-1].astype(kind)), wanted)
        found = lti.published_loglik(np.ones((2, 4), kind), PAIRS.astype(kind), DIM.astype(kind), DIM.astype(kind))
        np.testing.assert_array_equal(found, lti.published_loglik(np.ones((2, 4)), PAIRS, DIM, DIM))
    assert float_type(numbers("f", "x", z.astype(np.longdouble))) == jnp.float32
    with pytest.raises(ValueError, match="f: found x of type object, wanted real numbers"):
        numbers("f", "x", [1.0, None])


def test_gaussians_whose_shapes_do_not_fit_are_refused():
    for call in (losses.cross_entropy_to_normal, lambda m, v: losses.cross_entropy_to_laplace(m, v, 1.0)):
        _refused(call, np.ones((4, 3)), np.ones((3, 4)))
        assert call(np.ones((4, 3)), np.ones((1, 3))).shape == (4, 3)


def test_views_of_two_types_travel_together():
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
    z = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    for one in (np.float16, jnp.bfloat16):
        half = jnp.asarray(z, one)
        found = losses.sharded(lp_infonce, mesh)(half, z + 1, p=1)
        np.testing.assert_allclose(found, lp_infonce(half.astype(np.float32), z + 1, p=1), rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e200])
def test_observations_that_nothing_moves_are_refused(size):
    labels, variances = np.repeat(np.arange(3), 9), np.array([[1.0, 1.0], [4.0, 1.0], [1.0, 5.0]])
    with pytest.raises(ValueError, match="identify_lti: found observations from which no finite unmixing follows"):
        lti.identify_lti(np.full((27, 2), size), labels, variances, method="closed_form")
    with pytest.raises(ValueError, match=r"match_rows: found row_variances \(3, 2\) and variances \(2, 3\)"):
        lti.match_rows(variances, variances.T)
