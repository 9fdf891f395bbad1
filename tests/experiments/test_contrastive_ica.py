"""The contrastive-ICA tables: one cell of each runs a few steps, all others are checked without training."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.contrastive_ica import table1, table2
from identax.conduct import Options, run_experiment
from identax.run import make_mesh


@pytest.mark.parametrize(
    "module, arm",
    [(table1, "sphere, vMF 10"), pytest.param(table2, "Laplace, box L1", marks=pytest.mark.slow)],
)
def test_smoke(module, arm, tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=(arm,))
    name = f"contrastive_ica/{module.__name__.rsplit('.', 1)[-1]}"
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists()
    assert f"{arm}: MCC" in outcome.measured and f"{arm}: identity R2" in outcome.measured
    assert all(np.isfinite(values).all() for values in outcome.measured.values())


@pytest.mark.parametrize("module", [table1, table2])
@pytest.mark.parametrize("preset", ["quick", "medium", "paper"])
def test_cells_of_one_shape_share_their_programs(module, preset):
    """What differs between cells of one shape are traced numbers, so that `build` sees few distinct configs."""
    arms = module.arms(module.PRESETS[preset])
    static = {repr(dataclasses.replace(arm.config, **dict.fromkeys(module.TRACED, 0.0))) for arm in arms}
    assert len({arm.name for arm in arms}) == len(arms) >= 10
    assert len(static) < len(arms)


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
