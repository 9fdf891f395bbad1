"""Exchangeable mechanisms: priors, layers, and their samplers against exact joints and moments."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from identax.dgp import (
    CausalMechanism,
    ExchangeableMechanisms,
    SourceMechanism,
    bernoulli_prior,
    beta_prior,
    binary_graph,
    binary_pair,
    binary_world,
    constant_prior,
    given_prior,
    identity,
    intervened_world,
    laplace_pair,
    linear_world,
    pair_world,
    random_dag,
    shipped_pair,
    switched_prior,
    topological_order,
    uniform_prior,
)
from identax.dgp.exchangeable_binary import share_covering
from tests.eager import compiled_by_second_call

MANY = 40_000
CHAIN = ((), (0,), (1,))
# Two samples of one environment of a varying Bern(theta), theta ~ Beta(1, 3), and of a constant one.
VARYING = {(1, 1): 0.1, (1, 0): 0.15, (0, 1): 0.15, (0, 0): 0.6}
CONSTANT = {(i, j): (0.25 if i else 0.75) * (0.25 if j else 0.75) for i, j in VARYING}


def exact_joint(adjacency, varies):
    """P of two samples [2, d] by enumeration of the noises; the variables are numbered in topological order."""
    d, joint = len(adjacency), {}
    for noise in itertools.product(VARYING, repeat=d):
        probability = np.prod([(VARYING if on else CONSTANT)[pair] for on, pair in zip(varies, noise, strict=True)])
        values = np.zeros((2, d), int)
        for j in range(d):
            parents = np.flatnonzero(adjacency[:, j])
            values[:, j] = np.array(noise[j]) ^ (values[:, parents].all(axis=1) if len(parents) else 0)
        key = tuple(values.ravel())
        joint[key] = joint.get(key, 0.0) + probability
    return joint


def agrees(observations, joint, level=1e-6):
    """Chi-squared test of E pairs of samples [E, 2, d] against exact probabilities."""
    rows = np.asarray(observations).reshape(len(observations), -1)
    codes = rows @ (2 ** np.arange(rows.shape[1]))
    cells = [sum(value << k for k, value in enumerate(key)) for key in joint]
    expected = np.array(list(joint.values())) * len(rows)
    counts = np.array([(codes == cell).sum() for cell in cells])
    assert counts.sum() == len(rows)
    return scipy.stats.chisquare(counts, expected).pvalue > level


def _varies(cause, mechanism):
    return "both" if cause and mechanism else "cause" if cause else "mechanism" if mechanism else "none"


PAIR = jax.jit(lambda key, varies, structure: binary_pair(key, MANY, variability=varies, structure=structure))


@pytest.mark.parametrize("cause, mechanism", list(itertools.product((True, False), repeat=2)))
def test_binary_pairs_have_the_exact_joint(cause, mechanism, getkey):
    on = (cause, mechanism)
    for structure in range(3):
        found = PAIR(getkey(), jnp.array(on), structure).observations
        assert found.dtype == jnp.int32
        adjacency = np.array([[0, structure != 2], [0, 0]])
        in_order = found[..., ::-1] if structure == 1 else found
        assert agrees(in_order, exact_joint(adjacency, on))
        # each switch of a prior is another law
        assert not agrees(in_order, exact_joint(adjacency, (not cause, mechanism)))
        assert not agrees(in_order, exact_joint(adjacency, (cause, not mechanism)))
    named = binary_pair(jax.random.key(5), 50, variability=_varies(*on), structure=0)
    np.testing.assert_array_equal(
        named.observations, binary_pair(jax.random.key(5), 50, variability=on, structure=0).observations
    )


def conditional_information(joint, a, b, given):
    """I(a; b | given) in nats, of nodes of the flattened pair of samples."""

    def entropy(nodes):
        sums = {}
        for key, p in joint.items():
            part = tuple(key[node] for node in nodes)
            sums[part] = sums.get(part, 0.0) + p
        return -sum(p * np.log(p) for p in sums.values() if p > 0)

    return entropy([a, given]) + entropy([b, given]) - entropy([given]) - entropy([a, b, given])


def test_the_exact_joint_has_the_stated_information():
    edge = np.array([[0, 1], [0, 0]])
    for on, wanted in (((1, 1), 3.08e-3), ((1, 0), 3.15e-3), ((0, 1), 3.15e-3), ((0, 0), 0.0)):
        joint = exact_joint(edge, on)
        assert abs(conditional_information(joint, 1, 2, 3) - wanted) < 6e-6
        assert abs(conditional_information(joint, 0, 3, 2)) < 1e-12


GRAPH = jax.jit(lambda key, adjacency, varies: binary_graph(key, MANY, adjacency=adjacency, varies=varies))


def test_binary_graphs_have_the_exact_joint(getkey):
    rng = np.random.default_rng(0)
    for adjacency in ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]):
        ordered, varies = np.array(adjacency, bool), np.array([True, False, True])
        joint = exact_joint(ordered, varies)
        labels = rng.permutation([2, 0, 1])
        given = ordered[labels][:, labels]
        drawn = GRAPH(getkey(), given, varies[labels])
        np.testing.assert_array_equal(drawn.adjacency, given)
        found = np.asarray(drawn.observations)[..., np.argsort(labels)]
        assert agrees(found, joint)
        assert not agrees(found, exact_joint(ordered, [True, True, True]))
        assert not agrees(found[..., ::-1], joint)


@pytest.mark.parametrize(("d", "probability"), [(2, 0.3), (3, 0.5), (4, 0.02)])
def test_the_share_of_graphs_that_leave_nobody_alone(d, probability):
    pairs = list(itertools.combinations(range(d), 2))
    share = 0.0
    for edges in itertools.product((False, True), repeat=len(pairs)):
        touched = {node for pair, edge in zip(pairs, edges, strict=True) if edge for node in pair}
        share += probability ** sum(edges) * (1 - probability) ** (len(pairs) - sum(edges)) * (len(touched) == d)
    np.testing.assert_allclose(share_covering(d, probability), share, rtol=1e-9)
    assert abs(share_covering(41, 0.2) - share_covering(40, 0.2)) < 2e-3  # the bound joins on


@pytest.mark.slow
def test_random_graphs_are_uniform_over_their_class_and_leak_no_order():
    keys = jax.random.split(jax.random.key(0), 4000)
    graphs_of = jax.jit(lambda leak: jax.vmap(lambda key: random_dag(key, 3, ordered=leak))(keys), static_argnums=0)
    draw = {leak: np.asarray(graphs_of(leak)) for leak in (True, False)}
    powers = 2 ** np.arange(9)
    _, counts = np.unique(draw[True].reshape(-1, 9) @ powers, return_counts=True)
    assert len(counts) == 4 and scipy.stats.chisquare(counts).pvalue > 1e-6
    assert not np.tril(draw[True]).any()
    for graphs in draw.values():
        assert (graphs.any(axis=1) | graphs.any(axis=2)).all()
        assert not np.linalg.matrix_power(graphs.astype(int), 3).any()
    # every labelled graph: 6 forks or colliders and chains of 3 each, 6 complete; forward pairs are half of them
    forward = np.triu(draw[False]).sum() / draw[False].sum()
    assert abs(forward - 0.5) < 6 * 0.5 / np.sqrt(draw[False].sum())
    assert len(np.unique(draw[False].reshape(-1, 9) @ powers)) == 18


@pytest.mark.slow
def test_the_leak_is_behind_its_flag():
    draw = jax.jit(lambda key, leak: binary_graph(key, 3, d=4, leak_order=leak).adjacency, static_argnums=1)
    keys = jax.random.split(jax.random.key(1), 30)
    assert not any(np.tril(draw(key, True)).any() for key in keys)
    assert any(np.tril(draw(key, False)).any() for key in keys)


def _moments(noise):
    """Variance, covariance of two samples of one environment, kurtosis of [S, E, 2]."""
    flat = noise.ravel()
    return (
        flat.var(),
        np.cov(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1],
        scipy.stats.kurtosis(flat, fisher=False),
    )


@pytest.mark.parametrize(
    "variability, without",
    [
        pytest.param("both", None, marks=pytest.mark.slow),
        ("cause", 1),
        pytest.param("mechanism", 0, marks=pytest.mark.slow),
    ],
)
def test_the_shipped_pairs_have_the_stated_moments(variability, without):
    draw = jax.jit(
        lambda key, structure: shipped_pair(key, MANY, variability=variability, parity=True, structure=structure)
    )
    for structure in (2, 1):
        found = np.asarray(draw(jax.random.key(3), structure).observations, float)
        # without an edge both are noises; with Y -> X, Y is
        for variable in (0, 1) if structure == 2 else (1,):
            variance, shared, kurtosis = _moments(found[..., variable])
            if variable == without:
                np.testing.assert_allclose((variance, shared, kurtosis), (1 / 3, 1 / 3, 1.8), rtol=0.03)
                np.testing.assert_array_equal(found[:, 0, variable], found[:, 1, variable])
            else:
                np.testing.assert_allclose((variance, shared), (7 / 3, 1 / 3), rtol=0.06)
                np.testing.assert_allclose(kurtosis, 28.2 / (7 / 3) ** 2, rtol=0.2)


@pytest.mark.slow
def test_the_shipped_effect_is_the_stated_function_of_its_noises(x64):
    key = jax.random.key(1)  # b is not 1
    drawn = shipped_pair(key, 401, variability="cause", parity=True, structure=0)
    # without an edge the same key shows the noises themselves
    cause, noise = np.moveaxis(
        np.asarray(shipped_pair(key, 401, variability="cause", parity=True, structure=2).observations), -1, 0
    )
    a, b, c = np.asarray(drawn.coefficients, float)
    x, y = np.moveaxis(np.asarray(drawn.observations), -1, 0)
    assert (a, b, c) == (4, 8, 3)
    assert np.abs(noise).max() <= 1  # a location without Laplace noise
    np.testing.assert_array_equal(x, cause)
    linear = a * cause + b * noise
    curved = linear + c * (a * cause**2 + (b - 1) * noise**2)
    is_curved = np.isclose(y, curved, rtol=1e-12).all(axis=1)
    np.testing.assert_allclose(y[~is_curved], linear[~is_curved], rtol=1e-12)
    assert is_curved.sum() == 200


@pytest.mark.slow
def test_without_parity_variability_is_of_roles_and_noise_stays():
    draw = jax.jit(lambda key, structure: shipped_pair(key, MANY, variability="mechanism", structure=structure))
    for structure, cause in ((0, 0), (1, 1)):
        found = np.asarray(draw(jax.random.key(4), structure).observations, float)[..., cause]
        variance, shared, _ = _moments(found)
        np.testing.assert_allclose(variance, 2, rtol=0.06)
        assert abs(shared) < 6 * 2 / np.sqrt(MANY)


@pytest.mark.parametrize("cause, mechanism", [(4.0, 0.0), (0.0, 4.0), (0.0, 0.0), (6.0, 1.0)])
def test_linear_pairs_have_the_second_moments(cause, mechanism):
    drawn = LAPLACE(jax.random.key(1), jnp.array([cause, mechanism]))
    x, y = np.moveaxis(np.asarray(drawn.observations, float), -1, 0)
    a, b, _ = np.asarray(drawn.coefficients, float)
    own = (y - a * x) / b
    for noise, spread in ((x, cause), (own, mechanism)):
        variance, shared, _ = _moments(noise)
        np.testing.assert_allclose(variance, 2 + spread**2 / 3, rtol=0.05)
        assert abs(shared - spread**2 / 3) < 0.03 * (2 + spread**2 / 3)
    assert abs(np.corrcoef(x.ravel(), own.ravel())[0, 1]) < 0.03


LAPLACE = jax.jit(lambda key, spreads: laplace_pair(key, MANY, spreads=spreads, structure=0))


@pytest.mark.slow
def test_structures_and_coefficients_are_uniform():
    keys = jax.random.split(jax.random.key(2), 3000)
    drawn = jax.jit(jax.vmap(lambda key: laplace_pair(key, 2)))(keys)
    assert drawn.observations.shape == (3000, 2, 2, 2)
    assert scipy.stats.chisquare(np.bincount(drawn.structure, minlength=3)).pvalue > 1e-6
    for column in np.asarray(drawn.coefficients).T:
        assert scipy.stats.chisquare(np.bincount(column, minlength=10)[1:]).pvalue > 1e-6


@pytest.mark.slow
def test_one_lane_is_what_its_key_gives_alone():
    keys = jax.random.split(jax.random.key(7), 3)
    for draw in (lambda k: binary_pair(k, 5), lambda k: laplace_pair(k, 5), lambda k: binary_graph(k, 5)):
        together = jax.jit(jax.vmap(draw))(keys)
        jax.tree.map(
            lambda all_, one: np.testing.assert_allclose(all_[1], one, rtol=1e-5, atol=1e-5), together, draw(keys[1])
        )


def test_samples_of_one_environment_are_exchangeable_and_environments_independent():
    world = linear_world(CHAIN, np.diag([1.0, -2.0], 1), np.ones(3), [1.0, 0.0, 2.0])
    drawn = world.sample(jax.random.key(0), MANY, 3)
    z = np.asarray(drawn.variables)
    assert z.shape == (MANY, 3, 3) and drawn.observations is drawn.variables
    moments = np.cov(z.reshape(MANY, 9).T).reshape(3, 3, 3, 3)  # sample, variable, sample, variable
    for one, other in itertools.permutations(range(3), 2):
        np.testing.assert_allclose(moments[one, :, other, :], moments[0, :, 1, :], atol=0.35)
    shared = np.array([1 / 3, 1 / 3, 4 / 3 + 4 / 3])  # tau^2/3, passed on by 1 and -2
    np.testing.assert_allclose(np.diag(moments[0, :, 1, :]), shared, atol=0.2)
    assert abs(np.corrcoef(z[:-1, 0, 2], z[1:, 0, 2])[0, 1]) < 6 / np.sqrt(MANY)
    assert world.varies == (True, False, True)
    np.testing.assert_array_equal(np.argwhere(world.adjacency), [[0, 1], [1, 2]])


def test_fixed_mechanisms_are_iid():
    world = binary_world(CHAIN)
    assert world.varies == (True, True, True)
    some = world.fixed(jax.random.key(1), variables=(0, 2))
    assert some.varies == (False, True, False)
    theta = some.sample(jax.random.key(2), 50, 2).parameters["variables"]
    assert [len(np.unique(np.asarray(part))) for part in theta] == [1, 50, 1]
    assert world.fixed(jax.random.key(1)).varies == (False,) * 3


@pytest.mark.slow
def test_interventions_cut_the_parents_off():
    targets = np.array([[0, 0], [1, 0], [0, 1]], bool)
    world = intervened_world(((), (0,)), [[0, 3.0], [0, 0]], identity(), (), targets=targets, shift=5.0, scale=0.1)
    drawn = world.sample(jax.random.key(0), 3, 4000)
    s, z = np.asarray(drawn.sources), np.asarray(drawn.variables)
    np.testing.assert_allclose(z[0, :, 1], 3 * z[0, :, 0] + s[0, :, 1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z[1, :, 0], 5 + 0.1 * s[1, :, 0], rtol=1e-5)
    np.testing.assert_allclose(z[1, :, 1], 3 * z[1, :, 0] + s[1, :, 1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z[2, :, 1], 5 + 0.1 * s[2, :, 1], rtol=1e-5)
    np.testing.assert_array_equal(drawn.observations, drawn.variables)
    chance = intervened_world(((), (0,)), np.zeros((2, 2)), identity(), (), probability=0.3)
    flags = chance.sample(jax.random.key(1), MANY, 1).parameters["variables"]
    assert abs(np.mean(flags[0]) - 0.3) < 6 * 0.5 / np.sqrt(MANY) and chance.varies == (True, True)


def test_priors_have_their_moments_and_know_whether_they_vary(assert_mean):
    key = jax.random.key(0)
    for alpha, beta in ((1, 3), (2.0, 5.0)):
        theta = np.asarray(beta_prior(alpha, beta).sample(key, MANY))
        assert scipy.stats.kstest(theta, scipy.stats.beta(alpha, beta).cdf).pvalue > 1e-6
        assert theta.min() >= 0 and theta.max() <= 1
    theta = np.asarray(uniform_prior(-1.0, 3.0).sample(key, MANY))
    assert scipy.stats.kstest(theta, scipy.stats.uniform(-1, 4).cdf).pvalue > 1e-6
    assert uniform_prior(2, 2).varies is False and (uniform_prior(2, 2).sample(key, 3) == 2).all()
    assert [bernoulli_prior(p).varies for p in (0, 0.5, 1)] == [False, True, False]
    assert given_prior(np.arange(2.0)).varies and not given_prior(np.ones(2)).varies
    assert switched_prior(beta_prior(1, 3), False, 0.25).varies is False
    np.testing.assert_array_equal(switched_prior(beta_prior(1, 3), False, 0.25).sample(key, 3), [0.25] * 3)
    found = jax.jit(lambda p: (bernoulli_prior(p).varies is None) & (uniform_prior(p, 1.0).varies is None))(0.5)
    assert found
    assert constant_prior({"a": np.ones(2)}).sample(key, 3)["a"].shape == (3, 2)


@pytest.mark.slow
def test_a_second_draw_compiles_nothing():
    keys = jax.random.key(0), jax.random.key(1)
    for draw in (
        lambda key: binary_pair(key, 6),
        lambda key: laplace_pair(key, 6),
        lambda key: shipped_pair(key, 6, parity=True),
        lambda key: binary_graph(key, 6),
    ):
        assert compiled_by_second_call(draw, keys[:1], keys[1:]) == 0


@pytest.mark.slow
def test_in_float64(x64):
    assert laplace_pair(jax.random.key(0), 3).observations.dtype == jnp.float64
    assert binary_graph(jax.random.key(0), 3).observations.dtype == jnp.int32


def test_a_topological_order():
    graph = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    assert topological_order(graph) == (2, 1, 0)


SOURCE = SourceMechanism(constant_prior(), lambda key, theta, E, N: jnp.zeros((E, N)))


def _world(*parents):
    return ExchangeableMechanisms(
        [SOURCE] * len(parents), [CausalMechanism(constant_prior(), lambda *a: a[3], of) for of in parents]
    )


def _intervened(**options):
    return intervened_world(((), (0,)), np.ones((2, 2)), identity(), (), **options)


KEY = jax.random.key(0)
BAD = {
    "found a cycle among the variables": lambda: _world((1,), (0,)),
    "cycle among the variables \\[0\\]": lambda: _world((0,)),
    "wanted different numbers from 0 to 1": lambda: _world((), (2,)),
    "found parents \\(0, 0\\) of variable 1": lambda: _world((), (0, 0)),
    "found 0 sources": lambda: ExchangeableMechanisms([]),
    "num_samples=1, wanted at least 2": lambda: binary_pair(KEY, 5, num_samples=1),
    "laplace_pair: found num_samples=1": lambda: laplace_pair(KEY, 5, num_samples=1),
    "binary_graph: found num_samples=1": lambda: binary_graph(KEY, 5, num_samples=1),
    "num_environments=0": lambda: shipped_pair(KEY, 0),
    "found variability='causes'": lambda: binary_pair(KEY, 5, variability="causes"),
    "found variability='none'": lambda: shipped_pair(KEY, 5, variability="none", parity=True),
    "found spread=-1": lambda: laplace_pair(KEY, 5, spreads=(-1.0, 0.0)),
    "found quadratic_share=2": lambda: laplace_pair(KEY, 5, quadratic_share=2.0),
    "found structure=3": lambda: laplace_pair(KEY, 5, structure=3),
    "low=2 and high=1, wanted low <= high": lambda: uniform_prior(2, 1),
    "beta_prior: found alpha=0": lambda: beta_prior(0, 1),
    "bernoulli_prior: found probability=1.5": lambda: bernoulli_prior(1.5),
    "found 3 environments, wanted the 2 that are given": lambda: given_prior(np.arange(2.0)).sample(KEY, 3),
    "wanted one number of environments": lambda: given_prior((jnp.ones(2), jnp.ones(3))),
    "random_dag: found d=1": lambda: random_dag(KEY, 1),
    "found edge_probability=0 of 3 variables": lambda: random_dag(KEY, 3, edge_probability=0),
    "found edge_probability=1e-06": lambda: random_dag(KEY, 3, edge_probability=1e-6),
    "found structure=0.5": lambda: binary_pair(KEY, 5, structure=0.5),
    "an entry of variability of shape": lambda: shipped_pair(KEY, 5, variability=[[1.0], [1.0, 0.0]]),
    "1 non-finite entries in scales": lambda: linear_world(((), (0,)), np.ones((2, 2)), [1.0, np.nan], [1.0, 1.0]),
    "linear_world: found parents \\(3,\\) of variable 1": lambda: linear_world(
        ((), (3,)), np.ones((2, 2)), [1, 1], [1, 1]
    ),
    "targets other than 0 and 1": lambda: _intervened(targets=[[0.5, 0.0]]),
    "found scale=-1": lambda: _intervened(scale=-1),
    "found shift=nan": lambda: _intervened(shift=np.nan),
    "found probability=2": lambda: _intervened(probability=2, targets=[[0, 1]]),
    "found coefficients of shape \\(2,\\)": lambda: pair_world((1, 2), (1, 1)),
    "found noises=nan": lambda: pair_world((1, 2, 3), (1, 1), (np.nan, 1)),
    "wanted numbers below 2": lambda: _world((), (0,)).fixed(KEY, variables=[2]),
    "1 non-finite entries in values": lambda: given_prior(np.array([1.0, np.nan])),
    "switched_prior: found on=2": lambda: switched_prior(beta_prior(1, 3), 2, 0.25),
    "found adjacency of shape": lambda: binary_graph(KEY, 3, adjacency=np.zeros((2, 2))),
    "a cycle among the variables \\[0, 1": lambda: binary_graph(KEY, 3, d=2, adjacency=[[0, 1], [1, 0]]),
    "found varies of shape": lambda: binary_graph(KEY, 3, varies=[True]),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_explained(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
