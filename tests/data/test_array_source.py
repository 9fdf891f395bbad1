"""A user's own arrays: what is accepted and refused, splits, host and device."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.data import arrays, epoch_batches
from identax.dgp.base import Sample

NUM = 30
X = np.random.default_rng(0).normal(size=(NUM, 3)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], [18, 9, 3])


def numbers(num=NUM):
    return arrays(i=np.arange(num), double=2 * np.arange(num)[:, None])


def ids(source):
    return source.all()["i"].tolist()


GIVEN = {
    "keywords": (lambda: arrays(x=X, y=LABELS), {"x": X, "y": LABELS}),
    "dict": (lambda: arrays({"x": X, "y": LABELS}), {"x": X, "y": LABELS}),
    "tuple": (lambda: arrays((X, LABELS)), (X, LABELS)),
    "positions": (lambda: arrays(X, LABELS), (X, LABELS)),
    "one array": (lambda: arrays(X), X),
    "lists": (lambda: arrays(x=X.tolist(), y=LABELS.tolist()), {"x": X.astype(float), "y": LABELS}),
    "jax": (lambda: arrays(x=jnp.asarray(X), y=LABELS), {"x": X, "y": LABELS}),
    "sample": (lambda: arrays(Sample((X, X + 1), (X, X))), Sample((X, X + 1), (X, X))),
    "again": (lambda: arrays(arrays(X)), X),
}


@pytest.mark.parametrize("given", GIVEN)
def test_arrays_in_any_form_are_examples(given):
    make, tree = GIVEN[given]
    source, chosen = make(), np.array([7, 0, 7])
    assert len(source) == NUM and "30 examples" in repr(source)
    wanted = jax.tree.map(lambda leaf: leaf[chosen], tree)
    jax.tree.map(np.testing.assert_array_equal, source.read_batch(chosen), wanted)
    jax.tree.map(np.testing.assert_array_equal, source[7], jax.tree.map(lambda leaf: leaf[7], tree))
    jax.tree.map(np.testing.assert_array_equal, source.all(), tree)
    for index in (-1, NUM):
        with pytest.raises(IndexError, match=f"found index {index}, wanted 0 to 29"):
            source[index]


def test_tables_and_columns_of_pandas_are_arrays():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]}, index=np.arange(NUM)[::-1])
    source = arrays(x=table, y=pd.Series(LABELS, index=table.index))
    np.testing.assert_array_equal(source.read_batch(np.array([2]))["x"], X[[2], :2])
    np.testing.assert_array_equal(next(epoch_batches(table, batch_size=3, seed=0, shuffle=False)), X[:3, :2])
    with pytest.raises(ValueError, match="found x of dtype"):
        arrays(x=pd.DataFrame({"a": X[:, 0], "b": ["text"] * NUM}))


def test_mapped_files_stay_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    train, validation = arrays(x=mapped).split(validation=10)
    assert train.tree["x"].base is not None and np.shares_memory(train.tree["x"], mapped)
    batch = next(epoch_batches(train, batch_size=20, seed=0, shuffle=False))
    mapped[:] = 0
    np.testing.assert_array_equal(batch["x"], np.delete(X, validation.rows, axis=0))  # was copied


NAN = np.where(np.arange(NUM)[:, None] == 4, np.nan, X)
MASKED = np.ma.masked_array(X, X > 1)
REFUSED = {
    "nothing": (dict, "found no arrays"),
    "empty tuple": (lambda: {"": ()}, "found no arrays"),
    "lengths": (lambda: {"x": X, "x_pos": X[1:]}, "found 30 examples in x and 29 in x_pos"),
    "empty": (lambda: {"x": X[:0]}, r"found x of shape \(0, 3\)"),
    "no columns": (lambda: {"x": X[:, :0]}, r"found x of shape \(30, 0\)"),
    "a number": (lambda: {"x": X, "y": 3}, r"found y of shape \(\)"),
    "None": (lambda: {"x": X, "y": None}, "found y of dtype object"),
    "objects": (lambda: {"x": X.astype(object)}, "found x of dtype object"),
    "texts": (lambda: {"x": ["a"] * NUM}, "found x of dtype <U1"),
    "dates": (lambda: {"x": np.zeros(NUM, "M8[s]")}, "found x of dtype datetime64"),
    "ragged": (lambda: {"x": [[1.0], [1.0, 2.0]]}, "found x of which NumPy makes no array"),
    "NaN": (lambda: {"x": X, "x_pos": NAN}, "found x_pos not finite in 1 of 30 examples, the first 4"),
    "NaN of JAX": (lambda: {"x": jnp.asarray(NAN)}, "found x not finite in 1 of 30 examples, the first 4"),
    "infinity": (lambda: {"": (X, np.full(NUM, np.inf))}, "found 1 not finite in 30 of 30"),
    "masked": (lambda: {"x": MASKED}, r"found \d+ masked entries in x"),
    "big endian": (lambda: {"x": X.astype(">f4")}, "found x of dtype >f4"),
    "wide integers": (lambda: {"x": np.array([0, 2**31])}, "found x from 0 to 2147483648, wanted integers that int32"),
    "wide floats": (lambda: {"x": np.array([0, 1e300])}, r"found x up to 1e\+300, wanted floats that float32 holds"),
    "an offset": (
        lambda: {"x": X.astype(float) * 3600 + [0, 1.7e9, 0]},
        r"found x column 1 with offset 1.7e\+09 and spread [\d.e+]+, of which float32 leaves \d+ steps",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_by_name(case):
    make, message = REFUSED[case]
    given = make()
    with pytest.raises(ValueError, match="^arrays: " + message):
        arrays(given[""]) if "" in given else arrays(**given)


def test_names_for_some_arrays_only_are_refused():
    with pytest.raises(ValueError, match=r"^arrays: found arrays with and without names, wanted arrays\(x=..., x_pos"):
        arrays(X, x_pos=X)


def test_offsets_that_float32_holds_and_double_precision_pass():
    arrays(x=np.array([1e8, 1e8]), y=np.array([0.1, 0.1]), z=100 + np.linspace(0, 1, 2))
    with jax.enable_x64(True):
        arrays(x=X.astype(float) * 3600 + 1.7e9, y=np.full(NUM, 2**40))


def test_batches_of_a_bare_tuple_count_examples():
    first = epoch_batches((X, X + 1), batch_size=8, seed=0)
    batch = next(first)
    assert [leaf.shape for leaf in batch] == [(8, 3), (8, 3)]
    np.testing.assert_array_equal(batch[1], batch[0] + 1)
    again = next(epoch_batches(arrays(X, X + 1), batch_size=8, seed=0))
    np.testing.assert_array_equal(again[0], batch[0])
    assert next(epoch_batches({"x": X}, batch_size=8, seed=0))["x"].shape == (8, 3)
    assert next(epoch_batches(jnp.asarray(X), batch_size=8, seed=0)).shape == (8, 3)
    assert first.get_state()["num_examples"] == NUM


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((X, X[1:]), "arrays: found 30 examples in 0 and 29 in 1"),
        (tuple((row, row) for row in X), "found a tuple of 30 entries, 3 rows in each, wanted a list of examples"),
        ([X, X], r"found batch_size=4, wanted 1 to 2, .*make a source: arrays\(...\)"),
        (3, "found int, wanted arrays"),
        (iter([]), "found list_iterator, wanted arrays"),
    ],
    ids=["lengths", "examples", "list", "number", "iterator"],
)
def test_what_is_no_source_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        epoch_batches(source, batch_size=4, seed=0)


# ---- splits


@pytest.mark.parametrize("sizes", [{"validation": 0.2}, {"validation": 6, "test": 0.1}, {"validation": np.int64(29)}])
@pytest.mark.parametrize("stratify", [None, LABELS, "label"], ids=["plain", "array", "name"])
def test_parts_are_disjoint_and_together_everything(sizes, stratify):
    if stratify is not None and sizes["validation"] == 29:
        sizes = {"validation": 15}
    source = arrays(i=np.arange(NUM), label=LABELS)
    parts = source.split(**sizes, seed=1, stratify=stratify)
    wanted = [round(size * NUM) if size < 1 else size for size in sizes.values()]
    assert [len(part) for part in parts] == [NUM - sum(wanted), *wanted]
    assert sorted(itertools.chain(*map(ids, parts))) == list(range(NUM))
    again, other = (source.split(**sizes, seed=seed, stratify=stratify) for seed in (1, 2))
    assert list(map(ids, again)) == list(map(ids, parts)) != list(map(ids, other))
    if stratify is None:
        return
    for part in parts:
        shares = np.bincount(part.all()["label"], minlength=3) - len(part) * np.array([18, 9, 3]) / NUM
        assert np.abs(shares).max() < 1


def test_splits_are_pinned():
    # A validation part of another machine or year must be the same.
    train, validation = numbers(10).split(validation=3, seed=0)
    assert ids(validation) == sorted(np.random.RandomState(0).permutation(10)[:3].tolist()) == [2, 4, 8]
    assert ids(train) == [0, 1, 3, 5, 6, 7, 9]
    assert ids(validation.split(validation=1)[1]) == [8]  # of a part: of its own examples
    np.testing.assert_array_equal(validation[2]["double"], [16])


def test_without_stratifying_a_rare_class_can_be_left_out():
    rare = [arrays(y=LABELS).split(validation=0.2, seed=seed)[1].all()["y"].max() for seed in range(20)]
    assert min(rare) < 2
    strict = [arrays(y=LABELS).split(validation=0.2, seed=seed, stratify="y")[1].all()["y"] for seed in range(20)]
    assert {tuple(np.bincount(labels).tolist()) for labels in strict} == {(3, 2, 1)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0}, "found validation=0, wanted an integer from 1 to 29 or a proportion"),
        ({"validation": 30}, "found validation=30"),
        ({"validation": 1.0}, "found validation=1.0"),
        ({"validation": 2.5}, "found validation=2.5"),
        ({"validation": -0.2}, "found validation=-0.2"),
        ({"validation": True}, "found validation=True"),
        ({"validation": float("nan")}, "found validation=nan"),
        ({"validation": 0.01}, "found validation of none of 30 examples"),
        ({"validation": LABELS > 1}, "found validation=array"),
        ({"validation": 0.5, "test": 0.5}, r"found parts of \[15, 15\] of 30 examples"),
        ({"validation": 1, "seed": -1}, "found seed=-1"),
        ({"validation": 1, "seed": 2**32}, "found seed=4294967296"),
        ({"validation": 1, "stratify": "z"}, r"found stratify='z', wanted one of \['double', 'i'\]"),
        ({"validation": 1, "stratify": "double"}, r"found stratify of int64 \(30, 1\)"),
        ({"validation": 1, "stratify": X[:, 0]}, "found stratify of float32"),
        ({"validation": 1, "stratify": "i"}, "found 1 examples of class 0, wanted at least one for each of 2 parts"),
    ],
)
def test_bad_splits_are_refused(options, message):
    with pytest.raises(ValueError, match="^ArraySource.split: " + message):
        numbers().split(**options)


def test_parts_by_indices_and_by_mask():
    assert ids(numbers().part([5, 2])) == [5, 2]
    assert ids(numbers().part(np.arange(NUM) % 10 == 3).part([True, False, True])) == [3, 23]
    for rows, message in {
        "float": ([1.0], r"found rows of float64 \(1,\), wanted integers \[M\] or a boolean mask \(30,\)"),
        "short": ([True, False], r"found rows of bool \(2,\)"),
        "high": ([30], "found rows from 30 to 30, wanted 0 to 29"),
        "low": ([-1], "found rows from -1 to -1"),
        "twice": ([1, 1], "found 1 rows twice"),
        "none": (np.zeros(NUM, bool), "found no rows"),
    }.values():
        with pytest.raises(ValueError, match="^ArraySource.part: " + message):
            numbers().part(rows)


# ---- on the device


def test_on_the_device_batches_are_epochs_of_the_part_and_its_own_copy(getkey):
    given = np.arange(12, dtype=np.int32)
    _, held = arrays(i=given).split(validation=9)
    source = held.on_device()
    assert isinstance(source.all()["i"], jax.Array) and len(source) == 9
    wanted = ids(held)
    given[:] = -1
    steps = jnp.arange(6)
    draw = jax.jit(jax.vmap(lambda key, step: source.batch(key, step, batch_size=3), in_axes=(None, 0)))
    epochs = np.asarray(draw(getkey(), steps)["i"]).reshape(2, 9)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), [wanted, wanted])
    assert (epochs[0] != epochs[1]).any()
    assert ids(source.part([3, 0])) == [wanted[3], wanted[0]]
    assert next(epoch_batches(source, batch_size=9, seed=0, shuffle=False))["i"].tolist() == wanted


def test_host_arrays_are_not_put_into_a_program(getkey):
    with pytest.raises(ValueError, match=r"found arrays on the host, wanted them on the device: call on_device\(\)"):
        numbers().batch(getkey(), 0, batch_size=3)
