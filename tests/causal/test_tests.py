"""What the independence tests do beside their formulas: constants, ties, few samples, batches, levels and power."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from identax.causal import (
    g_test,
    hsic_test,
    independence_test,
    independence_tests,
    kci_test,
    partial_correlation,
    rcit_test,
)
from identax.causal.residuals import pivoted_columns
from tests.causal.data_sets import chains

KEY = jax.random.key(5)
METHODS = {"kci": {}, "fisher_z": {}, "rcit": {"key": KEY, "num_features_z": 16}}


FAST = [pytest.param(name, marks=[pytest.mark.slow] * (name == "rcit")) for name in METHODS]


@pytest.mark.parametrize("method", FAST)
def test_a_constant_z_conditions_on_nothing(method):
    x, y, z = (column[0] for column in chains(0, 1, 40, strength=0.3))
    plain = independence_test(x, y, method=method, **METHODS[method])
    for constant in (np.full(40, 3.3), np.zeros((40, 2))):
        found = independence_test(x, y, constant, method=method, **METHODS[method])
        np.testing.assert_allclose(found, plain, rtol=1e-5)
    # Nor does a constant column beside another one; the other does.
    both = independence_test(x, y, np.stack([z, np.ones(40)], axis=1), method=method, **METHODS[method])
    given = independence_test(x, y, z, method=method, **METHODS[method])
    assert abs(both.p_value - plain.p_value) > 1e-3
    if method != "rcit":
        np.testing.assert_allclose(both, given, rtol=1e-3)


@pytest.mark.parametrize("method", [*FAST, "hsic"])
def test_what_is_constant_is_independent(method):
    x, y, z = (column[0] for column in chains(1, 1, 40))
    given = {} if method == "hsic" else {"z": z}
    for pair in ((np.full(40, 0.1), y), (x, np.full(40, 1e9))):
        assert independence_test(*pair, method=method, **given, **METHODS.get(method, {})).p_value == 1
    assert g_test(np.zeros(40), y > 0).p_value == 1


@pytest.mark.parametrize("method", [*FAST, "hsic"])
def test_shift_scale_and_order_of_samples_change_nothing(x64, method):
    x, y, z = (column[0] for column in chains(2, 1, 40))
    order = np.random.default_rng(0).permutation(40)
    given = (lambda v: {}) if method == "hsic" else (lambda v: {"z": v})
    options = METHODS.get(method, {})
    wanted = independence_test(x, y, method=method, **given(z), **options)
    moved = independence_test(1e3 + 7 * x, 2 - 1e-6 * y, method=method, **given(3 * z), **options)
    assert np.isfinite(wanted.p_value)
    sign = -1 if method == "fisher_z" else 1
    if method != "rcit":  # there -y has other features
        np.testing.assert_allclose([moved.statistic * sign, moved.p_value], wanted[:2], rtol=1e-6)
    shuffled = independence_test(x[order], y[order], method=method, **given(z[order]), **options)
    np.testing.assert_allclose(shuffled.p_value, wanted.p_value, rtol=1e-6)


def test_ties_and_few_samples(x64):
    x = np.repeat([0.0, 1.0], 15)
    assert kci_test(x, x).p_value < 1e-4 and hsic_test(x, x).p_value < 1e-4
    assert np.isfinite(kci_test(x, np.tile([0.0, 1, 2], 10), x[::-1])).all()
    assert hsic_test(x, x[np.arange(30) // 15 * 0]).p_value == 1
    with pytest.warns(UserWarning, match="kci_test: found 6 samples; the gamma law"):
        assert 0 <= kci_test(np.arange(6.0), np.arange(6.0) ** 2, np.arange(6) % 2).p_value <= 1
    with pytest.raises(ValueError, match="n >= 6"):
        kci_test(np.arange(5.0), np.arange(5.0))


@pytest.mark.slow
def test_both_solvers_agree_and_the_branch_is_taken(x64):
    x, y, z = chains(3, 1, 160)
    z = z[0][:, None]
    exact = kci_test(x[0], y[0], z, solver="cholesky")
    np.testing.assert_allclose(kci_test(x[0], y[0], z), exact, rtol=1e-8)
    standard = (z - z.mean()) / z.std(ddof=1)
    columns, left = jax.jit(pivoted_columns, static_argnums=2)(standard, 1 / 1.44, 72)
    kernel = np.exp(-0.5 / 1.44 * (standard - standard.T) ** 2)
    np.testing.assert_allclose(columns.T @ columns, kernel, atol=1e-13)
    assert left < 1e-14 < jax.jit(pivoted_columns, static_argnums=2)(standard, 1 / 1.44, 5)[1]
    # Four columns of z: not within 72, so the full factorisation.
    wide = np.random.default_rng(0).normal(size=(160, 4))
    assert jax.jit(pivoted_columns, static_argnums=2)(wide, 0.2, 72)[1] > 1e-6
    found = kci_test(x[0], y[0], wide), kci_test(x[0], y[0], wide, solver="cholesky")
    np.testing.assert_allclose(*found, rtol=1e-10)


@pytest.mark.slow
def test_many_data_sets_in_chunks(x64):
    x, y, z = chains(4, 5, 30)
    for method, options in ({"kci": {}, "fisher_z": {}}).items():
        wanted = [independence_test(*each, method=method, **options) for each in zip(x, y, z, strict=True)]
        for size in (1, 2, 8):
            found = independence_tests(x, y, z, method=method, chunk_size=size, **options)
            np.testing.assert_allclose(np.stack(found, axis=1), np.stack(wanted), rtol=1e-7)
    codes = [np.asarray(v > 0, int) for v in (x, y, z)]
    found = independence_tests(*codes, method="g", chunk_size=3)
    np.testing.assert_allclose(found.p_value, [g_test(*each).p_value for each in zip(*codes, strict=True)])
    mapped = jax.jit(jax.vmap(lambda a, b, c, width: kci_test(a, b, c, bandwidth=width).p_value))
    widths = jnp.linspace(0.5, 1.5, 5)
    found = mapped(x, y, z, widths)
    np.testing.assert_allclose(found[2], kci_test(x[2], y[2], z[2], bandwidth=widths[2]).p_value, rtol=1e-8)


def test_chunks_are_filled_up_and_cut():
    x, y, z = chains(4, 5, 30)
    wanted = independence_tests(x, y, z, method="fisher_z").p_value
    for size in (2, 8):
        found = independence_tests(x, y, z, method="fisher_z", chunk_size=size).p_value
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert len(set(np.asarray(wanted).tolist())) == 5


@pytest.mark.slow
def test_memory_is_that_of_a_chunk():
    x, y, z = chains(5, 12, 100)
    sizes = []
    for size in (2, 12):
        program = jax.jit(lambda *a, size=size: independence_tests(*a, chunk_size=size)).lower(x, y, z).compile()
        memory = program.memory_analysis()
        assert memory is not None
        sizes.append(memory.temp_size_in_bytes)
    assert sizes[0] < sizes[1] / 3


@pytest.mark.slow
def test_differentiates(x64):
    x, y, z = (column[0] for column in chains(6, 1, 25))
    for call in (lambda w: kci_test(x, y, z, bandwidth=w).p_value, lambda w: hsic_test(x, y, bandwidth=w).p_value):
        slope = jax.grad(call)(0.9)
        np.testing.assert_allclose(slope, (call(0.9 + 1e-5) - call(0.9 - 1e-5)) / 2e-5, rtol=1e-4)


def test_levels_and_degrees(x64):
    rng = np.random.default_rng(7)
    x, y, z = rng.integers(0, 3, size=(3, 200))
    table = np.array([np.histogram2d(x[z == k], y[z == k], bins=(3, 3))[0] for k in range(3)])
    wanted = np.sum([np.asarray(stats.chi2_contingency(t, lambda_="log-likelihood")[0]) for t in table])
    found = g_test(x, y, z, levels=3)
    np.testing.assert_allclose(found, [wanted, stats.chi2.sf(wanted, 12), 12, 24], rtol=1e-9)
    np.testing.assert_allclose(found, g_test(10 * x - 5, y, z), rtol=1e-9)
    np.testing.assert_array_equal(found, g_test(x, y, z, levels=np.int64(3)))
    assert g_test(x, y, z, levels=(3, 4, 6)).null_mean == 2 * 3 * 6
    assert g_test(x, y, z, levels=(3, 4, 6), degrees="observed").null_mean == 12
    many = g_test(x, y, np.stack([z, x // 2, y // 2, rng.integers(0, 2, 200)], axis=1))  # counted one at a time
    assert many.null_mean == 4 * 24 and np.isfinite(many.p_value)
    np.testing.assert_allclose(jax.jit(lambda *a: g_test(*a, levels=3))(x, y, z), found, rtol=1e-12)


def test_refusals():
    x, y, codes = np.arange(9.0), np.arange(9.0) ** 2, np.arange(9) % 3
    for call, match in (
        (lambda: independence_test(x, y, method="kcit"), "did you mean 'kci'"),
        (lambda: independence_test(x, y, method="kci", levels=2), "found the option 'levels' with method='kci'"),
        (lambda: independence_test(x, y, x, method="hsic"), "found z with method='hsic'"),
        (lambda: independence_test(np.stack([x, y], 1), y, method="fisher_z"), "wanted one each"),
        (lambda: independence_test(x[:5], y[:5], np.ones((5, 2)), method="fisher_z"), "at least 4 samples more"),
        (lambda: independence_tests(x, y), r"\[B, n\]"),
        (lambda: independence_tests(x[None], y[None], chunk_size=0), "chunk_size=0"),
        (lambda: kci_test(x, y[:8]), "found x, y of shapes"),
        (lambda: kci_test(x, np.where(x > 3, np.nan, y)), "non-finite entries in y"),
        (lambda: kci_test(x, y, bandwidth="median_heuristic"), "bandwidth='median_heuristic'"),
        (lambda: kci_test(x, y, bandwidth=[1.0, -1, 1]), "bandwidth"),
        (lambda: kci_test(x, y, ridge=0), "ridge"),
        (lambda: hsic_test(x, y, bandwidth=[1.0, 1, 1]), "one each for x, y"),
        (lambda: independence_test(x, y, method="rcit"), "wanted one key"),
        (lambda: rcit_test(x, y, key=jax.random.split(KEY, 2)[0], num_features=0), "num_features=0"),
        (lambda: g_test(x + 0.5, codes), "not whole numbers"),
        (lambda: g_test(codes, codes, levels=2), "wanted codes 0"),
        (lambda: g_test(codes, codes, levels=(3, 3, 3)), "found 3 levels"),
        (lambda: g_test(codes, codes, levels=2.5), "levels=2.5 for x of 1 columns, wanted one count >= 1 each"),
        (lambda: g_test(codes, codes, levels=(3, True)), "levels=.*True"),
        (lambda: jax.jit(g_test)(codes, codes), "traced x without levels"),
    ):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=match):
            warnings.simplefilter("ignore")
            call()


@pytest.mark.parametrize("method", ["kci", "fisher_z", "g"])
def test_p_values_are_uniform_under_independence_and_small_without(method):
    """Kolmogorov-Smirnov over 100 chains x <- z -> y; without z they are dependent."""
    _calibrated(method, 100, 60, {"fisher_z": 0.5, "kci": 0.3, "g": 0.12}[method])


def _calibrated(method, num, n, power, levels=()):
    """p-values are uniform, or at `levels` alone: as many are below one as 3 standard errors allow."""
    x, y, z = chains(8, num, n)
    if method == "g":
        draw = np.random.default_rng(8).uniform(size=(3, num, n))
        z = (draw[0] < 0.5).astype(int)
        x, y = (draw[1] < 0.3 + 0.4 * z).astype(int), (draw[2] < 0.7 - 0.4 * z).astype(int)
    options = {"levels": 2} if method == "g" else METHODS.get(method, {})
    found = independence_tests(x, y, z, method=method, chunk_size=1 if method == "kci" else 50, **options)
    p = np.asarray(found.p_value)
    for level in levels:
        assert abs((p < level).mean() - level) < 3 * (level * (1 - level) / num) ** 0.5
    assert levels or stats.kstest(p, "uniform").pvalue > 1e-3
    assert (np.asarray(independence_tests(x, y, method=method, **options).p_value) < 0.05).mean() > power


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kci", "fisher_z", "g", "rcit"])
def test_calibration_and_power_of_many(method):
    # Gamma laws fit the upper tail of the statistic alone: of KCI's p-values .04 are above .9.
    levels = {"rcit": (0.05,), "kci": (0.01, 0.05, 0.1, 0.2, 0.5)}.get(method, ())
    _calibrated(method, 200 if method == "kci" else 500, 200, 0.5 if method == "g" else 0.9, levels)


def test_in_compiled_programs_nan_is_no_independence():
    """Outside it is refused; inside, what diverged is neither constant nor a condition without effect."""
    rows = jnp.arange(24.0)
    columns = jnp.stack([jnp.sin(rows), jnp.cos(3 * rows), rows % 5])

    def p_values(columns):
        x, y, z = columns
        given = [independence_test(x, y, z, method=method).p_value for method in ("fisher_z", "kci")]
        given += [rcit_test(x, y, z, key=KEY, num_features_z=3).p_value]
        given += [g_test(*(jnp.where(each == each, each > 0.5, jnp.nan) for each in (x, y, z)), levels=2).p_value]
        given += [jnp.abs(partial_correlation(x, y, z))]
        return jnp.array(given), jnp.array([independence_test(x, y, method=name).p_value for name in ("hsic", "kci")])

    broken = jnp.stack([columns, *(columns.at[number, 4].set(jnp.nan) for number in range(3))])
    given, alone = jax.jit(lambda sets: jax.lax.map(p_values, sets))(broken)
    assert np.isfinite(given[0]).all() and np.isnan(given[1:]).all()
    assert np.isfinite(alone[np.array([0, 3])]).all() and np.isnan(alone[1:3]).all()
