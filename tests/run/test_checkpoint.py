"""Checkpoints: what comes back, how many stay, and that damage is seen and named."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression import same_trees

from identax.run import make_mesh
from identax.run.checkpoint import Checkpoints, disk_space_needed, free_disk_space
from identax.run.mesh import trial_sharding


def _tree(mesh, scale=1.0):
    tree = {
        "key": jax.random.split(jax.random.key(0), 8),
        "step": jnp.arange(8),
        "w": scale * jax.random.normal(jax.random.key(1), (8, 64, 3)),
        "half": jnp.arange(8, dtype=jnp.bfloat16),
        "alive": jnp.arange(8) % 2 == 0,
        "nothing": None,
    }
    return jax.device_put(tree, trial_sharding(mesh))


def _abstract(tree, mesh):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=trial_sharding(mesh)), tree)


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints = Checkpoints(folder, keep=2)
    for step in (10, 20, 30):
        checkpoints.save(step, _tree(make_mesh(), step), {"failed_at": [0, step]})
    return folder


@pytest.fixture
def saved(saved_once, tmp_path):
    """A private copy with the checkpoints 20 and 30, to be damaged."""
    import shutil

    return shutil.copytree(saved_once, tmp_path / "checkpoints")


@pytest.mark.parametrize("devices", [8, 4, 1])
def test_the_same_bits_come_back_on_any_number_of_devices(saved_once, devices):
    mesh = make_mesh(trial=devices)
    wanted = _tree(mesh, 30)
    found = Checkpoints(saved_once).restore(30, _abstract(wanted, mesh))
    same_trees(found, wanted)
    assert {leaf.sharding for leaf in jax.tree.leaves(found)} == {trial_sharding(mesh)}


def test_the_last_ones_are_kept(saved_once):
    checkpoints = Checkpoints(saved_once, keep=2)
    assert checkpoints.steps() == [30, 20]
    assert checkpoints.latest() == (30, {"failed_at": [0, 30]})
    assert Checkpoints(saved_once / "absent").latest() is None
    with pytest.raises(ValueError, match="keep=0"):
        Checkpoints(saved_once, keep=0)


def _largest(folder):
    return max(
        (p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"), key=lambda p: p.stat().st_size
    )


def _truncate(folder):
    data = _largest(folder).read_bytes()
    _largest(folder).write_bytes(data[: len(data) // 2])


def _flip_a_bit(folder):
    path = _largest(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _lose_a_file(folder):
    _largest(folder).unlink()


def _lose_the_manifest(folder):
    (folder / "manifest.json").unlink()


def _truncate_the_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-40])


def _nest_the_manifest(folder):
    (folder / "manifest.json").write_text("[" * 100_000)


def _alter_the_manifest(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["extra"]["failed_at"] = [0, 31]
    path.write_text(json.dumps(manifest))


def _replace_by_another(folder):
    path = folder / "manifest.json"
    path.write_text((folder.parent / "20" / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_truncate, "is missing or damaged"),
        (_flip_a_bit, "is missing or damaged"),
        (_lose_a_file, "is missing or damaged"),
        (_lose_the_manifest, "not saved to the end"),
        (_truncate_the_manifest, "manifest.json is damaged"),
        (_nest_the_manifest, "manifest.json is damaged"),
        (_alter_the_manifest, "manifest.json is damaged"),
        (_replace_by_another, "manifest.json is damaged"),
    ],
)
def test_damage_is_named_and_the_one_before_is_used(saved, damage, what):
    damage(saved / "30")
    with pytest.warns(RuntimeWarning, match=f"checkpoint 30 is unusable: .*{what}; trying checkpoint 20"):
        assert Checkpoints(saved).latest() == (20, {"failed_at": [0, 20]})


def test_no_usable_checkpoint_is_none(saved):
    _truncate(saved / "30")
    _lose_the_manifest(saved / "20")
    with pytest.warns(RuntimeWarning) as warned:
        assert Checkpoints(saved).latest() is None
    assert "checkpoint 30" in str(warned[0].message) and "starting from the beginning" in str(warned[1].message)


def test_the_caller_may_refuse_one(saved):
    with pytest.warns(RuntimeWarning, match="checkpoint 30 is unusable: too new; trying checkpoint 20"):
        found = Checkpoints(saved).latest(lambda step, extra: "too new" if step > 20 else None)
    assert found is not None and found[0] == 20


def test_later_ones_are_discarded_and_leftovers_replaced(saved):
    checkpoints = Checkpoints(saved, keep=2)
    _lose_the_manifest(saved / "30")  # as a killed save leaves it
    checkpoints.discard_after(20)
    assert checkpoints.steps() == [20]
    (saved / "30" / "tree").mkdir(parents=True)
    (saved / "30" / "tree" / "rubbish").write_text("x")
    checkpoints.save(30, _tree(make_mesh()), {})
    assert checkpoints.latest() == (30, {}) and not (saved / "30" / "tree" / "rubbish").exists()


def test_space_on_disk(tmp_path):
    tree = {"w": jax.ShapeDtypeStruct((10, 3), np.float32)}
    assert disk_space_needed(tree, keep=2) == 3 * 120
    assert free_disk_space(tmp_path) > 0
