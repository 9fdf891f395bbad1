"""`KeptArrays`: names, dtypes, whole arrays and rows, on disk and in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.run import arrays
from identax.run.arrays import KeptArrays


@pytest.fixture(params=["disk", "memory"])
def kept(request, tmp_path):
    return KeptArrays(tmp_path / "arrays" if request.param == "disk" else None)


def bits(dtype, shape=(4, 3)):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.int64, np.uint16, np.float16, np.float32, np.float64, np.complex64, np.complex128]
)
def test_numbers_come_back_bit_for_bit(kept, dtype):
    values = bits(dtype) if np.dtype(dtype).kind != "c" else (bits(float) + 1j * bits(float)).astype(dtype)
    kept.write(0, {"x": values})
    kept.write_rows(5, 4, 0, {"x": values[:3]})
    kept.write_rows(5, 4, 3, {"x": values[3:]})
    kept.flush()
    found = kept.load()["x"]
    assert list(found) == [0, 5]
    for array in found.values():
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, values)


def test_small_types_are_kept_as_the_next_that_files_have(kept):
    kept.write(1, {"half": jnp.array([0.5, jnp.nan], jnp.bfloat16), "tiny": jnp.array([-3, 2], jnp.int4)})
    found = kept.load()
    assert found["half"][1].dtype == np.float32 and found["tiny"][1].dtype == np.int32
    np.testing.assert_array_equal(found["half"][1], [0.5, np.nan])
    assert found["tiny"][1].tolist() == [-3, 2]


@pytest.mark.parametrize("name", ["R2", "a b/c", "../up", ".", "x@7", "50 %", "größe", "v=(1, +2)", "A\x00\n"])
def test_any_name_is_a_file_of_its_own(tmp_path, name):
    kept = KeptArrays(tmp_path / "arrays")
    kept.write(12, {name: np.arange(2)})
    kept.write_rows(13, 2, 0, {name: np.arange(2)})
    assert {key: sorted(value) for key, value in kept.load().items()} == {name: [12, 13]}
    assert len(list((tmp_path / "arrays").iterdir())) == 2 and len(list(tmp_path.iterdir())) == 1


def test_names_of_readable_characters_stay_readable(tmp_path):
    KeptArrays(tmp_path).write(3, {"d 20, lr=(1e-3)+x": np.zeros(1)})
    assert [path.name for path in tmp_path.iterdir()] == ["d 20, lr=(1e-3)+x@3.npy"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"": np.zeros(2)}, "the name ''"),
        ({"x" * 241: np.zeros(2)}, "1 to 240 characters"),
        ({7: np.zeros(2)}, "the name 7"),
        ({"who": np.array([object()])}, "kept array 'who': found dtype object"),
        ({"text": np.array(["a"])}, "kept array 'text': found dtype <U1"),
        ({"key": jax.random.split(jax.random.key(0))}, "kept array 'key': found key<fry>"),
        ({"ragged": [[1.0], [1.0, 2.0]]}, "kept array 'ragged': found no array"),
        ({"one": np.float32(1)}, "kept array 'one': found a single number"),
    ],
)
def test_what_no_file_can_hold_is_refused_by_name_before_anything_is_written(tmp_path, given, message):
    kept = KeptArrays(tmp_path / "arrays")
    for write in (lambda given: kept.write(0, given), lambda given: kept.write_rows(0, 2, 0, given)):
        with pytest.raises(ValueError, match=message):
            write({"good": np.zeros(2), **given})
    assert not (tmp_path / "arrays").exists()


def test_rows_of_another_kind_are_refused(kept):
    kept.write_rows(0, 4, 0, {"x": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"'x'.*found float64 \(4, 2\), wanted float64 \(4, 3\) as before"):
        kept.write_rows(0, 4, 2, {"x": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=r"'x'.*found int64 \(4, 3\), wanted float64"):
        kept.write_rows(0, 4, 2, {"x": np.zeros((2, 3), int)})
    with pytest.raises(ValueError, match=r"'x'.*found float64 \(5, 3\), wanted float64 \(4, 3\)"):
        kept.write_rows(0, 5, 2, {"x": np.zeros((2, 3))})


def test_trials_before_the_first_rows_are_not_a_number(kept):
    kept.write_rows(0, 4, 2, {"x": np.ones((1, 2)), "count": np.ones(1, int)})
    found = {name: of_name[0] for name, of_name in kept.load().items()}
    np.testing.assert_array_equal(found["x"], [[np.nan] * 2, [np.nan] * 2, [1, 1], [0, 0]])
    assert found["count"].tolist() == [0, 0, 1, 0]


def test_another_process_goes_on_with_the_rows_of_the_one_before(tmp_path):
    first = KeptArrays(tmp_path)
    first.write_rows(0, 3, 0, {"x": np.ones((2, 2))})
    first.flush()
    later = KeptArrays(tmp_path)
    later.write_rows(0, 3, 2, {"x": np.full((1, 2), 7.0)})
    later.flush()
    np.testing.assert_array_equal(KeptArrays(tmp_path).load()["x"][0], [[1, 1], [1, 1], [7, 7]])
    with pytest.raises(ValueError, match="as before"):
        KeptArrays(tmp_path).write_rows(0, 4, 3, {"x": np.ones((1, 2))})


def test_what_memory_keeps_is_no_view_of_what_was_given():
    kept, values = KeptArrays(None), np.zeros(2)
    kept.write(0, {"x": values})
    values[:] = 5
    assert kept.load()["x"][0].tolist() == [0, 0]


def test_later_steps_are_discarded(kept):
    for step in (0, 5, 10):
        kept.write(step, {"x": np.full(2, step)})
    kept.write_rows(20, 2, 0, {"only later": np.ones(1)})
    kept.discard_after(5)
    assert {name: sorted(steps) for name, steps in kept.load().items()} == {"x": [0, 5]}
    kept.write_rows(20, 3, 0, {"only later": np.ones(1)})  # made anew, with another number of trials
    assert kept.load()["only later"][20].shape == (3,)
    kept.discard_after(-1)
    assert kept.load() == {}


@pytest.mark.parametrize("shape", [(2, 0), (2, 3, 0, 1)])
def test_empty_arrays(kept, shape):
    kept.write(0, {"x": np.zeros(shape)})
    kept.write_rows(1, 2, 0, {"x": np.zeros(shape)})
    kept.flush()
    assert [array.shape for array in kept.load()["x"].values()] == [shape, shape]


def test_a_whole_array_is_replaced_at_once(tmp_path, monkeypatch):
    kept = KeptArrays(tmp_path)
    kept.write(0, {"x": np.zeros(3)})

    def full_disk(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(arrays.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        kept.write(0, {"x": np.ones(3)})
    assert KeptArrays(tmp_path).load()["x"][0].tolist() == [0, 0, 0]


def test_a_damaged_file_is_named_and_others_are_left_alone(tmp_path):
    kept = KeptArrays(tmp_path)
    (tmp_path / "notes@home.npy").write_text("mine")
    (tmp_path / "x@3.npy.tmp").write_text("half")
    kept.write(0, {"x": np.zeros(300)})
    assert list(kept.load()) == ["x"]
    whole = (tmp_path / "x@0.npy").read_bytes()
    for cut in (0, 50, 1000):
        (tmp_path / "x@0.npy").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"x@0\.npy is no NumPy array"):
            KeptArrays(tmp_path).load()


def test_of_several_processes_the_first_alone_writes(tmp_path, monkeypatch):
    writer, reader = KeptArrays(tmp_path), KeptArrays(tmp_path)
    writer.write(0, {"x": np.zeros(2)})
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    reader.write(0, {"x": np.ones(2)})
    reader.write_rows(1, 2, 0, {"x": np.ones(2)})
    reader.discard_after(-1)
    reader.flush()
    assert {step: array.tolist() for step, array in reader.load()["x"].items()} == {0: [0, 0]}


def test_files_are_mapped_read_only(tmp_path):
    kept = KeptArrays(tmp_path)
    kept.write(0, {"x": np.zeros(2)})
    found = kept.load()["x"][0]
    assert isinstance(found, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1
