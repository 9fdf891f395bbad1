"""csi/imagenetx: the synthetic table and files of features end to end, scores as scikit-learn's, stars, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from experiments.csi import imagenetx
from experiments.csi import imagenetx_claims as claims
from experiments.csi.proxy_table import synthetic_features, synthetic_proxies
from identax.conduct import Options, run_experiment
from identax.data import PROXIES
from identax.metrics import balanced_split
from identax.rng import stream
from identax.run import make_mesh
from tests.data import miniature_imagenet_x as miniature

SMOKE = imagenetx.PRESETS["smoke"]
# one size, so that one program fits all proxies
SMALL = dataclasses.replace(
    SMOKE, num_images=640, counts=(40,) * 17, planted=PROXIES[:9], hidden=("background",), num_dims=16, signal=6.0
)


def _run(config, folder=None, only=()):
    options = Options(workdir=folder, mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=only)
    said = []
    return run_experiment(imagenetx, "csi/imagenetx", "smoke", config=config, options=options, say=said.append), said


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return _run(SMALL, tmp_path_factory.mktemp("imagenetx") / "run")


@pytest.mark.slow
def test_every_arm_runs_and_is_reported(smoke):
    outcome, said = smoke
    assert list(outcome.results) == ["published", "corrected", claims.EXCLUSIVE]
    for name, result in outcome.results.items():
        assert not result.failed_at.any(), name
        accuracies = result.final("accuracy")
        assert accuracies.shape == (SMALL.num_seeds, 17) and (accuracies > 0.2).all() and (accuracies <= 1).all()
        assert (result.final("training accuracy").mean() - accuracies.mean()) > 0.02
    assert outcome.report.exists() and len(list(outcome.report.parent.glob("figures/*.png"))) == 3
    assert "steps of 1/24 for the rarest proxy" in "\n".join(said)
    assert {row.quantity for row in outcome.comparisons} == {
        reference.quantity for reference in claims.REFERENCES if "resnet50" not in reference.quantity
    }


def test_planted_proxies_are_found_and_absent_ones_are_not(smoke):
    accuracies = smoke[0].results["corrected"].final("accuracy").mean(axis=0)
    assert accuracies[:9].min() > 0.85
    assert accuracies[9:].max() < 0.75 and abs(accuracies[9:].mean() - 0.5) < 0.08


def test_what_lies_in_columns_of_negative_mean_is_lost_as_published(smoke):
    quantity = "hidden proxies' accuracy"
    assert smoke[0].measured[f"corrected: {quantity}"].mean() > 0.85
    assert smoke[0].measured[f"published: {quantity}"].mean() < 0.7


def test_where_one_factor_excludes_another_absent_ones_are_read_from_the_planted():
    """Half of the images without the absent factor have the planted one, which is as good as 3/4 correct."""
    counts = (300, 270, *(2,) * 14, 270)
    config = dataclasses.replace(
        SMALL, num_images=600, counts=counts, planted=("multiple_objects",), hidden=(), exclusive=True
    )
    proxies, features = imagenetx._table(imagenetx._of_table(dataclasses.replace(config, reading="corrected")))
    assert proxies[:, 1:].sum(axis=1).max() == 1
    for exclusive in (True, False):
        if not exclusive:
            made = imagenetx._table(imagenetx._of_table(dataclasses.replace(config, exclusive=False)))
            proxies, features = made[0], np.asarray(made[1])
        split = balanced_split(jax.random.key(0), proxies[:, 16])
        model = LogisticRegression().fit(features[split.train], proxies[split.train, 16])
        score = model.score(features[split.test], proxies[split.test, 16])
        assert (score > 0.75) == exclusive, score


@pytest.mark.parametrize("reading", ["published", "corrected"])
def test_scores_are_those_of_scikit_learn_on_the_same_rows(smoke, reading):
    config = dataclasses.replace(SMALL, reading=reading)
    proxies, features = imagenetx._table(imagenetx._of_table(config))
    assert features.shape == (640, 8 if reading == "published" else 16)
    result = smoke[0].results[reading]
    for trial in range(2):
        for number in (0, 12):
            split = balanced_split(stream(result.trials.keys[trial], f"split of {PROXIES[number]}"), proxies[:, number])
            train, test = (np.asarray(rows) for rows in split)
            scaler = StandardScaler().fit(features if reading == "published" else features[train])
            model = LogisticRegression(tol=1e-8, max_iter=1000)
            model.fit(scaler.transform(features[train]), proxies[train, number])
            wanted = model.score(scaler.transform(features[test]), proxies[test, number])
            np.testing.assert_allclose(result.final("accuracy")[trial, number], wanted, atol=1e-6)


def test_stars_follow_the_reading():
    """A proxy well above chance, one at chance, one well below, one above in splits that agree too little."""
    noise = np.random.default_rng(0).normal(size=(10, 4))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
    accuracies = np.array([0.9, 0.5, 0.2, 0.6]) + noise * [0.03, 0.03, 0.03, 0.066]
    published, corrected = (dataclasses.replace(SMOKE, reading=r) for r in ("published", "corrected"))
    p_value = ttest_1samp(accuracies, 0.5).pvalue
    assert p_value[3] * 17 < 0.05 < p_value[3] * 17 * 5
    assert claims.stars(published, accuracies).tolist() == [True, False, True, True]
    assert claims.stars(corrected, accuracies).tolist() == [True, False, False, False]
    five = dataclasses.replace(published, features=("a", "b", "c", "d", "e"))
    assert claims.stars(five, accuracies).tolist() == [True, False, True, False]
    np.testing.assert_allclose(claims.errors(published, accuracies), accuracies.std(axis=0) / np.sqrt(10), rtol=1e-5)
    wanted = accuracies.std(axis=0, ddof=1) * np.sqrt(0.1 + 3 / 7)
    np.testing.assert_allclose(claims.errors(corrected, accuracies), wanted, rtol=1e-5)


# ---- features from files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Annotations of 170 images, and a network whose first column tells `pose`."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    factors = np.stack([rng.permutation(170) < 40 for _ in range(16)], axis=1)
    content = miniature.rows(170, factors)
    for rank, number in enumerate(np.argsort([row["class"] for row in content])):
        content[number]["class"] = 0 if rank < 130 else 999  # 40 above the mean
    miniature.write(folder, content)
    names = np.array([row["file_name"] for row in content])
    features = rng.normal(size=(170, 5)) + 3.0
    features[:, 0] += 6.0 * np.array([row["pose"] for row in content])
    order = rng.permutation(170)
    np.savez(folder / "tiny.npz", file_names=names[order], features=features[order].astype(np.float32))
    return folder


def _of_files(files, **changes):
    return dataclasses.replace(SMOKE, features=(str(files / "tiny.npz"),), annotations=str(files), **changes)


@pytest.mark.slow
def test_features_from_a_file_are_read_out(files, tmp_path):
    outcome, said = _run(_of_files(files), tmp_path / "run", only=("tiny, corrected",))
    assert [arm.name for arm in imagenetx.arms(_of_files(files))] == ["tiny, published", "tiny, corrected"]
    accuracies = outcome.results["tiny, corrected"].final("accuracy").mean(axis=0)
    assert PROXIES[int(np.argmax(accuracies))] == "pose" and accuracies.max() > 0.95
    assert np.delete(accuracies, PROXIES.index("pose")).max() < 0.8
    assert -1 <= outcome.measured["tiny, corrected: rank correlation with Fig. 3"].item() <= 1
    assert "FAILS    one factor does not exclude another" in "\n".join(said)


def test_what_is_missing_is_named_before_anything_runs(files, tmp_path):
    with pytest.raises(ValueError, match=r"found no file .*none\.npz"):
        _run(dataclasses.replace(_of_files(files), features=("none.npz",)), tmp_path / "run")
    with pytest.raises(ValueError, match=r"multi_factor\.jsonl.*run: pip install"):
        _run(_of_files(files, selection="multi"), tmp_path / "run")
    assert not (tmp_path / "run" / "published").exists()
    with np.load(files / "tiny.npz") as table:
        np.savez(tmp_path / "few.npz", file_names=table["file_names"][:-1], features=table["features"][:-1])
        np.savez(tmp_path / "dead.npz", file_names=table["file_names"], features=-np.abs(table["features"]))
    with pytest.raises(ValueError, match="1 of 170 images missing"):
        _run(dataclasses.replace(_of_files(files), features=(str(tmp_path / "few.npz"),)))
    with pytest.raises(ValueError, match="no column of positive mean"):
        _run(dataclasses.replace(_of_files(files), features=(str(tmp_path / "dead.npz"),)))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"num_seeds": 1}, "num_seeds=1, wanted 2 or more"),
        ({"planted": ("pos",)}, "did you mean 'pose'"),
        ({"counts": (40,) * 16}, "found 16 counts"),
        ({"counts": (640,) * 17}, "wanted 1 ... 639"),
        ({"hidden": ("pose",), "planted": ("style",)}, "hidden ones among the planted"),
        ({"train_share": 1.0}, "train_share=1.0"),
    ],
)
def test_bad_configs_are_refused(change, wanted):
    with pytest.raises(ValueError, match=wanted):
        imagenetx.build(dataclasses.replace(SMALL, **change))


# ---- the synthetic table


def test_proxies_have_their_counts_and_are_independent(getkey):
    counts = (1500, 30, *(100,) * 15)
    proxies = synthetic_proxies(getkey(), 3000, counts)
    assert proxies.sum(axis=0).tolist() == list(counts)
    together = np.asarray(proxies[:, 2:].astype(float).T @ proxies[:, 2:].astype(float))[~np.eye(15, dtype=bool)]
    assert abs(together.mean() - 100 * 100 / 3000) < 6 * np.sqrt(3.3 / 105) and together.max() > 4
    alone = synthetic_proxies(getkey(), 3000, counts, exclusive=True)
    assert alone.sum(axis=0).tolist() == list(counts) and alone[:, 1:].sum(axis=1).max() == 1
    assert 10 < (alone[:, 0] & alone[:, 1]).sum() + 5 < 30


@pytest.mark.slow
def test_features_hold_the_planted_proxies_and_nothing_of_the_others(getkey):
    proxies = synthetic_proxies(getkey(), 4000, (2000, 1000, 1000, 1000))
    x = synthetic_features(getkey(), proxies, 10, planted=(0, 2), hidden=(2,), signal=4.0)
    assert np.sign(x.mean(axis=0)).tolist() == [1, -1] * 5
    distances = [x[proxies[:, k]].mean(axis=0) - x[~proxies[:, k]].mean(axis=0) for k in range(4)]
    size = np.linalg.norm(np.stack(distances), axis=1)
    error = np.sqrt(4 / 4000 * (10 + 4 * 9 + 4))  # variances of noise, nuisances and the other planted proxy
    assert abs(size[0] - 4) < 6 * error and abs(size[2] - 4) < 6 * error
    assert size[1] < 3 * error and size[3] < 3 * error
    assert np.abs(distances[2][::2]).max() < 0.5 < np.abs(distances[2][1::2]).max()
    assert jnp.linalg.norm(x.var(axis=0)) > 5
