"""The mesh helper, padding, and how functions are mapped over trials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from regression import contrastive_study

from identax.run import run
from identax.run.mesh import agree, exchange, gather, make_mesh, map_trials, padded_size, trial_sharding
from identax.study import Trials


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({}, (8, 1)),
        ({"data": 2}, (4, 2)),
        ({"data": 8}, (1, 8)),
        ({"trial": 2}, (2, 1)),
        ({"trial": 3, "data": 2}, (3, 2)),
    ],
)
def test_axes_and_sizes(kwargs, shape):
    mesh = make_mesh(**kwargs)
    assert mesh.axis_names == ("trial", "data") and mesh.devices.shape == shape
    assert set(mesh.axis_types) == {AxisType.Auto}
    assert list(mesh.devices.flat) == jax.devices()[: shape[0] * shape[1]]  # neighbours on the data axis


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"data": 3}, "8 devices do not divide into groups of data=3"),
        ({"data": 0}, "data=0"),
        ({"trial": 0}, "trial=0"),
        ({"trial": 5, "data": 2}, r"found 8 devices, wanted trial\*data = 5\*2"),
    ],
)
def test_impossible_meshes_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(**kwargs)


def test_padding_fills_the_trial_axis():
    assert [padded_size(n, make_mesh()) for n in (1, 8, 9)] == [8, 8, 16]
    assert [padded_size(n, make_mesh(data=8)) for n in (1, 8, 9)] == [1, 8, 9]


@pytest.mark.parametrize("how", ["vmap", "map"])
@pytest.mark.parametrize("data", [1, 2])
def test_map_trials_maps_over_the_leading_axis(how, data):
    mesh = make_mesh(data=data)
    x = jax.device_put(jnp.arange(16.0).reshape(8, 2), trial_sharding(mesh))
    shared = jnp.arange(2.0)
    mapped = map_trials(lambda row, other: {"y": row @ other, "n": row.ndim}, mesh, how=how, num_args=2, shared=(1,))
    with jax.set_mesh(mesh):
        out = jax.jit(mapped, out_shardings=trial_sharding(mesh))(x, shared)
    np.testing.assert_array_equal(out["y"], np.arange(16.0).reshape(8, 2) @ np.arange(2.0))
    assert out["n"].tolist() == [1] * 8
    assert {shard.data.shape for shard in out["y"].addressable_shards} == {(data,)}


def test_an_unknown_way_of_mapping_is_refused():
    with pytest.raises(ValueError, match="trial_map='pmap'"):
        run(contrastive_study(), Trials.grid(1, learning_rate=0.1), trial_map="pmap")  # pyright: ignore


def test_gather_brings_sharded_arrays_to_numpy():
    x = jax.device_put(jnp.arange(8.0), trial_sharding(make_mesh()))
    (found,) = gather([x])
    assert isinstance(found, np.ndarray) and found.tolist() == list(range(8))


def test_one_process_agrees_with_itself():
    assert exchange("text") == ["text"] and agree(lambda: 3) == 3
    with pytest.raises(ValueError, match="no"):
        agree(lambda: int("no"))
