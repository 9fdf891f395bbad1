"""`records.jsonl`: what is written, what survives a killed writer, and the arrays made of it."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from identax.run.records import Records, history, make_row, read_rows, write_json


def _rows(count):
    return [make_row("train", step, {"loss": np.array([step, 0.1])}) for step in range(1, count + 1)]


def _written(path, count=3):
    records = Records(path)
    for row in _rows(count):
        records.append(row)
    records.close()
    return path


def test_rows_come_back_as_they_went(tmp_path):
    assert read_rows(_written(tmp_path / "r.jsonl")) == _rows(3)


def test_a_row_is_on_file_at_once(tmp_path):
    records = Records(tmp_path / "r.jsonl")
    records.append(_rows(1)[0])
    assert read_rows(tmp_path / "r.jsonl") == _rows(1)
    records.close()
    records.close()  # twice does no harm


def test_floats_survive_bit_for_bit(tmp_path, getkey):
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    records = Records(tmp_path / "r.jsonl")
    records.append(make_row("eval", 1, {"x": values}))
    records.close()
    _, arrays = history(read_rows(tmp_path / "r.jsonl"), "eval")
    np.testing.assert_array_equal(arrays["x"][:, 0].astype(np.float32), values)


def test_what_json_lacks_becomes_null_and_nan_again():
    row = make_row("train", 5, {"loss": np.array([1.0, np.nan, np.inf, -np.inf]), "matrix": np.full((4, 2), np.nan)})
    assert row["metrics"]["loss"] == [1.0, None, None, None]
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    steps, arrays = history([row], "train")
    assert steps.tolist() == [5] and arrays["matrix"].shape == (4, 1, 2)
    np.testing.assert_array_equal(np.isnan(arrays["loss"][:, 0]), [False, True, True, True])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32, jnp.bool_, jnp.float16])
def test_every_kind_of_number_is_recorded(dtype):
    row = make_row("train", 1, {"m": np.asarray(jnp.array([0, 1], dtype))})
    assert json.loads(json.dumps(row))["metrics"]["m"] == [0, 1]


def test_an_imaginary_part_is_refused():
    with pytest.raises(ValueError, match="metric 'spectrum': found complex128, wanted real values"):
        make_row("eval", 1, {"spectrum": np.array([1 + 2j])})


def test_an_unfinished_last_line_is_left_out(tmp_path):
    path = _written(tmp_path / "r.jsonl")
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_bytes(whole[: -1 - cut])
        assert read_rows(path) == _rows(2)
    path.write_bytes(whole[:-1])  # only the newline is missing
    assert read_rows(path) == _rows(3)


def test_a_broken_line_elsewhere_is_refused(tmp_path):
    path = _written(tmp_path / "r.jsonl")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:10], lines[2], ""]))
    with pytest.raises(ValueError, match=r"r\.jsonl line 2: found"):
        read_rows(path)


def test_a_resumed_writer_cuts_later_rows_and_goes_on(tmp_path):
    path = _written(tmp_path / "r.jsonl", 5)
    with path.open("ab") as file:
        file.write(b'{"kind": "tr')
    records = Records(path, last_step=2)
    assert records.rows == _rows(2) and read_rows(path) == _rows(2)
    records.append(_rows(3)[-1])
    records.close()
    assert read_rows(path) == _rows(3)


def test_a_new_run_starts_empty_and_readers_write_nothing(tmp_path):
    path = _written(tmp_path / "r.jsonl")
    reader = Records(path, last_step=3, write=False)
    reader.append(_rows(4)[-1])
    reader.close()
    assert len(reader.rows) == 4 and len(read_rows(path)) == 3
    Records(path).close()
    assert read_rows(path) == [] and read_rows(tmp_path / "absent.jsonl") == []
    in_memory = Records(None)
    in_memory.append(_rows(1)[0])
    in_memory.sync()
    assert in_memory.rows == _rows(1)


def test_history_keeps_kinds_and_trials_apart():
    rows = [*_rows(3), make_row("eval", 3, {"mcc": np.arange(2)})]
    steps, train = history(rows, "train")
    assert steps.tolist() == [1, 2, 3] and train["loss"].tolist() == [[1, 2, 3], [0.1] * 3]
    steps, evaluation = history(rows, "eval")
    assert steps.tolist() == [3] and evaluation["mcc"].tolist() == [[0], [1]]
    assert history([], "eval")[1] == {}


def test_json_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
