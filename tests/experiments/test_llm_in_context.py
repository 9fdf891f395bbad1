"""In-context learning: present under p, absent under a q within epsilon; a smoke run ends in a report."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.llm import in_context, in_context_claims
from identax.assumptions import examples_needed
from identax.conduct import Options, run_experiment
from identax.run import make_mesh
from identax.study import Trials


@pytest.mark.slow
def test_smoke_runs_to_a_report(tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False)
    outcome = run_experiment(in_context, "llm/in_context", "smoke", options=options)
    assert outcome.report.exists() and not outcome.lost
    assert outcome.measured["held out: accuracy of p, n = 2"].shape == (2,)


@pytest.mark.slow
def test_q_errs_from_n0_on_and_with_a_weight_that_decides_alone():
    config = dataclasses.replace(in_context.PRESETS["quick"], examples=(0, 4, 8), num_prompts=100, first=8)
    trials = Trials.grid(2, smoothing=1e-3)
    found = jax.jit(jax.vmap(in_context.build(config)))(trials.keys, trials.hparams)
    of = {
        (weight, n): np.asarray(found[in_context_claims.accuracy(weight, n)])
        for weight in config.weights
        for n in (0, 4, 8)
    }
    for n in (0, 4):
        np.testing.assert_array_equal(of[0.9, n], of[0.0, n])
    assert (of[0.9, 8] == 0).all() and (of[0.0, 8] > 0.5).all()
    assert (of[0.9, 8] < of[0.4, 8]).all() and (of[0.4, 8] < of[0.0, 8]).all()
    bounds = [np.asarray(found[in_context_claims.bound(weight)]) for weight in config.weights]
    assert (bounds[0] == 0).all() and (0 < bounds[1]).all() and (bounds[1] < bounds[2]).all()
    assert (bounds[2] < config.epsilon).all()


def test_n0_is_that_of_each_world(x64):
    """As `examples_needed` counts on the host, and no more than the longest prompt has; q errs from there on."""
    tiny = dataclasses.replace(in_context.PRESETS["smoke"], examples=(0, 2, 6), num_prompts=2)
    rng, counted = np.random.default_rng(0), []
    for slope in (0.01, 0.1, 0.4, 0.95):
        mass = 0.3 * slope ** np.arange(9) * rng.uniform(0.9, 1.1, 9)
        found = int(in_context.first_of(tiny, mass))
        counted.append(examples_needed(mass, 0.9, tiny.epsilon))
        assert found == min(counted[-1] or 6, 6)
    assert counted == [3, 4, 9, None]
    assert int(in_context.first_of(dataclasses.replace(tiny, first=2), mass)) == 2


BAD = [
    ({"examples": ()}, "wanted one of each at least"),
    ({"examples": (0,)}, "found the longest of examples=0"),
    ({"examples": (-1, 4)}, "found examples=-1"),
    ({"weights": ()}, "wanted one of each at least"),
    ({"weights": (0.0, 1.0)}, "the KL is infinite there"),
    ({"weights": (-0.1,)}, "found weights from -0.1"),
    ({"epsilon": 0.0}, "found epsilon=0.0"),
    ({"first": 17}, "found first=17"),
    ({"horizon": 15}, "found horizon=15"),
    ({"first": 0}, "found first=0"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_settings_that_no_world_has(fields, message):
    config = dataclasses.replace(in_context.PRESETS["quick"], **fields)
    for function in (in_context.build, in_context.premises):
        with pytest.raises(ValueError, match=message):
            function(config)


def test_every_judged_row_is_measured_by_its_preset():
    claims = in_context_claims
    for preset in ("quick", "medium"):
        config = in_context.PRESETS[preset]
        metrics = {of(weight) for weight in config.weights for of in (claims.bound, claims.most)} | {claims.RISE}
        for n in config.examples:
            metrics |= {claims.accuracy(weight, n) for weight in config.weights} | {
                claims.with_examples("impossible prompts", n)
            }
        cells = {f"{arm}: {name}" for arm in claims.ARMS for name in metrics}
        judged = {row.quantity for row in in_context.REFERENCES if preset in row.bands}
        assert judged <= cells and len(judged) >= 9
    assert in_context.Config().epsilon == claims.EPSILON
