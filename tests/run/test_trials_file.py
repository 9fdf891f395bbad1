"""`trials.npz`: what is written comes back, damage is named, and other trials are told apart."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import same_trees

from identax.run.records import write_json
from identax.run.trials_file import describe_trials, differences, read_trials, write_trials
from identax.study import Trials

TRIALS = Trials.grid(2, learning_rate=[1e-2, 3e-2], size=3, precision=[[1.0, 2.0]], on=[True])


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path, TRIALS)


def written(folder, trials):
    write_trials(folder, trials)
    write_json(folder / "config.json", {"config": {}, "trials": describe_trials(trials)})
    return folder


def test_trials_come_back_as_they_were(folder):
    found = read_trials(folder)
    same_trees(found, TRIALS)
    assert {name: str(values.dtype) for name, values in found.hparams.items()} == {
        "learning_rate": "float32", "size": "int32", "precision": "float32", "on": "bool"
    }  # fmt: skip
    assert len(found) == 4 and jax.random.key_impl(found.keys) == "threefry2x32"
    with np.load(folder / "trials.npz") as file:
        assert {"seeds", "hparams/learning_rate", "hparams/precision"} <= set(file.files)
    assert differences(folder, TRIALS) == []


def test_nested_names_odd_names_and_odd_dtypes(tmp_path):
    hparams = {
        "optimizer": {"rate": jnp.ones(2), "a/b": {"c.d": jnp.arange(2)}},
        "half": jnp.ones(2, jnp.bfloat16),
        "pair": (jnp.zeros(2), jnp.ones(2)),
        "none": None,
    }
    keys = jax.random.split(jax.random.key(0, impl="rbg"))
    trials = Trials(keys, hparams, jnp.arange(2))
    found = read_trials(written(tmp_path, trials))
    assert found.hparams["optimizer"]["a/b"]["c.d"].tolist() == [0, 1]
    assert found.hparams["half"].dtype == np.float32 and found.hparams["pair"]["1"].tolist() == [1, 1]
    assert jax.random.key_impl(found.keys) == "rbg" and differences(tmp_path, trials) == []
    (difference,) = differences(tmp_path, dataclasses.replace(trials, hparams={**hparams, "half": jnp.zeros(2)}))
    assert difference.startswith("hparams.half: 2 of 2 differ")


@pytest.mark.parametrize(
    ("trials", "wanted"),
    [
        (Trials.grid(2, learning_rate=[1e-2, 3e-2], size=3, precision=[[1.0, 2.5]], on=[True]),
         ["hparams.precision: 4 of 4 differ, the first: there [1., 2.], here [1. , 2.5]"]),
        (Trials.grid(2, learning_rate=[1e-2, 3e-2], size=3.0, precision=[[1.0, 2.0]], on=[True]),
         ["hparams.size: there int32, here float32"]),
        (Trials.grid(2, learning_rate=[1e-2, 3e-2], precision=[[1.0, 2.0, 3.0]], on=[True], new=1),
         ["hparams.new: there absent, here int32", "hparams.precision: there float32 (2,), here float32 (3,)",
          "hparams.size: there int32, here absent"]),
        (Trials.grid(3, learning_rate=[1e-2, 3e-2], size=3, precision=[[1.0, 2.0]], on=[True]),
         ["trials: there 4, here 6"]),
        (Trials.grid(2, seed=5, learning_rate=[1e-2, 3e-2], size=3, precision=[[1.0, 2.0]], on=[True]),
         ["keys: 4 of 4 differ"]),
    ],
)  # fmt: skip
def test_other_trials_are_told_apart(folder, trials, wanted):
    found = differences(folder, trials)
    assert [text[: len(start)] for text, start in zip(found, wanted, strict=True)] == wanted


def test_what_is_not_a_number_is_equal_to_itself(tmp_path):
    trials = Trials(TRIALS.keys, {"x": jnp.array([1.0, jnp.nan, 2.0, 3.0])}, TRIALS.seeds)
    assert differences(written(tmp_path, trials), trials) == []
    other = Trials(TRIALS.keys, {"x": jnp.array([1.0, jnp.nan, jnp.nan, 3.0])}, TRIALS.seeds)
    assert differences(tmp_path, other) == ["hparams.x: 1 of 4 differ, the first: there 2., here nan"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "another"])
def test_damage_is_named(folder, damage):
    path = folder / "trials.npz"
    if damage == "missing":
        path.unlink()
        with pytest.raises(ValueError, match="is missing; put it back, or delete it and run with --resume"):
            differences(folder, Trials.grid(4))
    elif damage == "another":
        write_trials(folder, Trials.grid(4))
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(data if damage == "flipped" else data[:-30]))
    looks = [lambda: read_trials(folder)] + [lambda: differences(folder, TRIALS)] * (damage != "missing")
    for look in looks:
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is (missing|damaged|not the file)"):
            look()


def test_lost_trials_are_written_again_if_they_are_the_same(folder):
    (folder / "trials.npz").unlink()
    assert differences(folder, TRIALS) == []
    assert read_trials(folder).seeds.tolist() == TRIALS.seeds.tolist()


def test_runs_of_before_have_them_in_their_config(tmp_path):
    config = {"seeds": [0, 1, 0], "hparams": {"rate": [0.1, 0.1, 0.2], "inner": {"size": [[1, 2]] * 3}}}
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    found = read_trials(tmp_path)
    assert found.seeds.tolist() == [0, 1, 0] and found.hparams["rate"].tolist() == [0.1, 0.1, 0.2]
    assert found.hparams["inner"]["size"].shape == (3, 2) and len(found) == 3
    assert differences(tmp_path, TRIALS) == []
