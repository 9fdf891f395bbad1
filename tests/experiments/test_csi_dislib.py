"""The image experiment of the cross-entropy paper, a few steps of it: what it reads, and how it is scored."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.csi import dislib, dislib_data
from experiments.csi.dislib_data import parts, source_of, table_of
from identax.conduct import Options, run_experiment
from identax.data import DislibSource, dislib_table, random_splits
from identax.metrics import pearson_readout
from identax.run import make_mesh

SMOKE = dataclasses.replace(dislib.PRESETS["smoke"], sets=("upright_sprites",), models=("mlp",))


def options(folder=None):
    return Options(workdir=folder, mesh=make_mesh(devices=jax.devices()[:1]), progress=False)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return run_experiment(dislib, "csi/dislib", "smoke", config=SMOKE, options=options(folder))


@pytest.mark.slow
def test_every_factor_is_scored_beside_the_pixels_and_the_untrained_network(outcome):
    name = "upright_sprites mlp"
    for factor in ("shape", "scale", "posX", "posY"):
        values = outcome.measured[f"{name}: {factor} r"]
        assert values.shape == (SMOKE.num_seeds,) and (np.abs(values) <= 1).all()
        for label in ("", ", published solver"):
            pixels = outcome.measured[f"upright_sprites pixels{label}: {factor} r"]
            gap = outcome.measured[f"{name}: {factor} r above pixels{label}"]
            np.testing.assert_allclose(gap, values - pixels)
        first = outcome.results[name].evaluation[f"{factor} r"][:, 0]
        np.testing.assert_array_equal(outcome.measured[f"{name}, untrained: {factor} r"], first)
    judged = {row.quantity for row in outcome.comparisons}
    assert "upright_sprites mlp: posX r" in judged and "upright_sprites mlp, untrained: posX r" in judged
    assert outcome.report.exists()


@pytest.mark.slow
def test_a_resnet_trains():
    config = dataclasses.replace(SMOKE, models=("resnet18",))
    found = run_experiment(dislib, "csi/dislib", "smoke", config=config, options=options())
    assert np.isfinite(found.measured["upright_sprites resnet18: posX r"]).all()


def test_the_readout_is_the_published_one_inside_a_program(x64):
    table = dislib_table("dsprites")
    draw = np.random.RandomState(0)
    codes = np.stack([draw.randint(0, size, 300) for size in table.grid.factor_sizes], axis=1)
    features = draw.randn(300, 7) + codes[:, 4:5] + 3.0  # neither centred nor standardised
    found = jax.jit(lambda x, y: dislib.readouts(x[:200], y[:200], x[200:], y[200:], table))(features, codes)
    columns = [table.grid.position(name) for name in ("shape", "scale", "posX", "posY")]
    wanted = pearson_readout(features[:200], codes[:200, columns], features[200:], codes[200:, columns])
    np.testing.assert_allclose([found[f"{n} r"] for n in ("shape", "scale", "posX", "posY")], wanted, rtol=1e-8)
    assert wanted[2] > 0.8 > 0.4 > abs(wanted[1])


@pytest.mark.slow
def test_rendered_sets_are_split_as_published_ones_are():
    train, fit, score = parts("scenes", 16, "round", "unit", 42, 40, 20, 10)
    source = source_of("scenes", 16)
    splits = random_splits(len(source), 42)
    assert len(source) == 480_000 and source.table.num_classes == 4
    for part, indices in ((train, splits.train[:40]), (fit, splits.train[:20]), (score, splits.val[:10])):
        np.testing.assert_array_equal(part.codes, source.table.grid.codes(indices))
        again = source.read_batch(indices)["image"]
        np.testing.assert_array_equal(part.image, np.round(255 * again).astype(np.uint8))
    assert train.image.dtype == np.uint8 and train.image.shape == (40, 16, 16, 3)
    other = parts("scenes", 16, "round", "unit", 43, 0, 20, 10)
    assert not np.array_equal(other[1].codes, fit.codes)


def test_upright_sprites_are_not_turned():
    table = table_of("upright_sprites")
    assert table.num_examples == 3 * 6 * 32 * 32 and table.grid["orientation"].size == 1
    assert table_of("sprites").num_examples == 737_280


@pytest.mark.slow
def test_a_published_set_is_fed_by_a_loader(monkeypatch):
    cars = dataclasses.replace(dislib_table("cars3d"), image_shape=(16, 16, 3))  # 64x64 is slow to read out

    def read(indices):
        codes = np.asarray(cars.grid.codes(np.asarray(indices)))
        bright = (codes[:, :1, None, None] * 60 + 20).astype(np.uint8)
        return np.broadcast_to(bright, (len(codes), *cars.image_shape)), codes

    opened = DislibSource(cars, cars.num_examples, read)
    monkeypatch.setattr(dislib_data, "dislib_source", lambda name, **how: opened)
    monkeypatch.setattr(dislib_data, "dislib_table", lambda name: cars)
    source_of.cache_clear()
    parts.cache_clear()
    config = dataclasses.replace(SMOKE, sets=("cars3d",), models=("mlp",), num_train=0, num_epochs=1, batch_size=1000)
    arm, *pixels = dislib.arms(config)
    assert [one.name for one in pixels] == ["cars3d pixels", "cars3d pixels, published solver"]
    assert arm.config.num_steps == 14  # 14,056 training images
    found = run_experiment(dislib, "csi/dislib", "smoke", config=config, options=options())
    parts.cache_clear()
    source_of.cache_clear()
    assert np.isfinite(found.measured["cars3d mlp: elevation r"]).all()
    assert found.measured["cars3d pixels: elevation r"][0] > 0.99  # brightness is the elevation


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sets": ("letters",)}, "found set='letters'"),
        ({"models": ("vit",)}, "found model='vit'"),
        ({"sets": ("cars3d",), "num_train": 0}, "cars3d: found nothing prepared"),
        ({"num_fit": 65}, "found num_fit=65, wanted a multiple of chunk=32"),
        ({"num_score": 3200}, "found 3200 images of upright_sprites to score, wanted 2 to 1843"),
        ({"models": ("resnet18",), "width": 12}, "found width=12"),
    ],
)
def test_bad_configs_are_refused_before_anything_runs(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        run_experiment(dislib, "csi/dislib", "smoke", config=dataclasses.replace(SMOKE, **change), options=options())
