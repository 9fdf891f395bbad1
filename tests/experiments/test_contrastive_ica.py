"""The contrastive-ICA tables: one cell of each runs a few steps, all others are checked without training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.contrastive_ica import cells, matrix, table1, table2, worlds
from identax.conduct import Options, run_experiment
from identax.run import make_mesh


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, arm",
    [(table1, "sphere, vMF 10"), (table2, "Laplace, box L1")],
)
def test_smoke(module, arm, tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=(arm,))
    name = f"contrastive_ica/{module.__name__.rsplit('.', 1)[-1]}"
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists()
    assert f"{arm}: MCC" in outcome.measured and f"{arm}: identity R2" in outcome.measured
    assert all(np.isfinite(values).all() for values in outcome.measured.values())


def test_cells_share_the_parts_that_do_not_depend_on_what_tells_them_apart():
    """A start depends on sizes alone, an evaluation not on the loss or the positives; numbers split nothing."""
    arms = [arm for module in (table1, table2) for arm in module.arms(module.PRESETS["quick"])]
    studies = {arm.name: matrix.build(arm.config) for arm in arms}
    assert len(studies) == len(arms) == 28
    assert len(set(studies.values())) == 25
    assert len({study.evaluate for study in studies.values()}) == 9
    assert len({study.init for study in studies.values()}) == 3  # dims 4, 5 and 6
    cell = dataclasses.replace(arms[0].config, temperature=0.3, conditional_scale=7.0, num_steps=9)
    assert matrix.build(cell) == studies[arms[0].name]


@pytest.mark.parametrize(
    "name, moment", [("Normal", 0.05**2), ("Normal 1", 1.0), ("Laplace", 0.05), ("GenNorm3", 0.05**3 / 3)]
)
def test_named_positives_have_the_papers_scale(name, moment, getkey):
    """E|noise|^p of one coordinate; `power_law` says the same in terms of exp(-|noise / scale|^p)."""
    cell = dataclasses.replace(matrix.Cell(space="unbounded", dim=1), **cells.POSITIVES[name])
    p, scale = worlds.power_law(cell)
    law = worlds.laws(cell, vars(cell))["conditional"]
    draws = law.sample(getkey(), jnp.zeros((4000, 1)), worlds.SPACES[cell.space](1))
    noise = np.abs(np.asarray(draws, float)) ** p
    assert noise.mean() == pytest.approx(moment, abs=6 * noise.std() / len(noise) ** 0.5)
    assert scale**p / p == pytest.approx(moment)
    assert worlds.fitted_temperature(p, scale, p) == pytest.approx(scale**p)


@pytest.mark.slow
def test_the_head_is_the_cells(getkey):
    """From one start and one batch: a learnable box begins as the box, and both are not the whole space."""
    key, losses = getkey(), {}
    for head in ("none", "box", "learnable_box"):
        cell = matrix.Cell(dim=2, pool_size=4, hidden=(3,), batch_size=8, objective="supervised", head=head)
        study = matrix.build(cell)
        hparams = {name: jnp.asarray(getattr(cell, name)) for name in matrix.TRACED}
        losses[head] = float(jax.jit(study.step)(study.init(key, hparams), None)[1]["loss"])
    assert losses["box"] == pytest.approx(losses["learnable_box"])
    assert abs(losses["none"] - losses["box"]) > 1e-3


@pytest.mark.parametrize("module", [table1, table2])
def test_recollected_numbers_have_no_band(module):
    for reference in module.REFERENCES:
        assert not (reference.recollected and reference.bands)
    quantities = {reference.quantity.rsplit(": ", 1)[0] for reference in module.REFERENCES}
    assert quantities <= {arm.name for arm in module.arms(module.PRESETS["quick"])}


def test_premises_tell_matched_cells_from_others():
    reports = table2.premises(table2.PRESETS["paper"])
    assert reports["Laplace, box L1"].covered
    assert not reports["GenNorm3, box L1"].covered
