"""Sequence models: a whole sequence against prefill and steps, padding, sizes, switches and refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.models import linear_sequence, lstm_sequence, mamba, transformer, xlstm
from tests.eager import compiled_by_second_call
from tests.models.sequence_cases import MODELS, PAD, VOCABULARY, drawn, rows_of_tokens

N, T, K = 5, 9, 4
LENGTHS = np.array([0, 1, K - 1, K, T - 1], np.int32)


@functools.cache
def made(name, **options):
    """One instance for all tests, which then share its programs."""
    return MODELS[name](**options)


def started(name, **options):
    model = made(name, **options)
    return model, drawn(model), rows_of_tokens(N, T)


def by_default(*names, but=""):
    """All models as cases; those not named are slow: what the frame does for all, one may show."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != but]


def stepped(model, variables, tokens, lengths, junk):
    """Logits [N, T, V] by one prefill of `lengths` and as many steps as every row has left; NaN where none were made.

    Rows of unequal lengths step side by side, each with its own next token, so that the shortest ends last.
    """
    num, width = tokens.shape
    prompt = np.where(np.arange(width)[None] < lengths[:, None], tokens, junk)
    first, state = model.prefill(variables, prompt, lengths, size=2 * width)
    shapes = jax.tree.map(jnp.shape, state)
    found = np.full((num, width, first.shape[-1]), np.nan)
    for row in np.flatnonzero(lengths > 0):
        found[row, lengths[row] - 1] = first[row]
    for taken in range(width - lengths.min()):
        place = lengths + taken
        token = np.where(place < width, tokens[np.arange(num), np.minimum(place, width - 1)], 0)
        logits, state = model.step(variables, state, token)
        for row in np.flatnonzero(place < width):
            found[row, place[row]] = logits[row]
    assert jax.tree.map(jnp.shape, state) == shapes
    return found, first


@pytest.mark.parametrize("name", by_default("transformer", "lstm", "linear"))
def test_a_whole_sequence_is_a_prompt_and_steps(name, x64):
    """Prompts of 0, 1, K - 1, K and T - 1 tokens side by side; what stands behind them is other tokens, or none."""
    model, variables, tokens = started(name)
    wanted, state = model.apply(variables, tokens)
    assert wanted.dtype == jnp.float64 and state == {} and wanted.shape[:2] == (N, T)
    if name == "linear":  # as long as its positions
        model = linear_sequence(VOCABULARY, positions=2 * T, width=4)
        variables = drawn(model)
        wanted, _ = model.apply(variables, tokens)
    for junk in (1, -7):
        found, first = stepped(model, variables, tokens, LENGTHS, junk)
        for row, length in enumerate(LENGTHS):
            seen = slice(max(length - 1, 0), None)
            np.testing.assert_allclose(found[row, seen], wanted[row, seen], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(first[0], 0)
    # Red if later tokens were seen by the whole pass: causality by changing the last token.
    other = tokens.copy()
    other[:, -1] = (other[:, -1] + 1) % PAD
    np.testing.assert_array_equal(model.apply(variables, other)[0][:, :-1], wanted[:, :-1])
    assert np.abs(model.apply(variables, other)[0][:, -1] - wanted[:, -1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_prompts_and_steps_of_many_trials_in_one_program(name):
    model, variables, tokens = started(name)
    trials = jax.tree.map(lambda a, b: jnp.stack([a, b]), variables, drawn(model, seed=1))

    @jax.jit
    @jax.vmap
    def last_two(variables):
        _, state = model.prefill(variables, tokens, LENGTHS, size=T + 2)
        logits, state = model.step(variables, state, tokens[:, 0])
        return logits, model.step(variables, state, tokens[:, 1])[0]

    found = last_two(trials)
    for trial in range(2):
        one = jax.tree.map(lambda leaf, trial=trial: leaf[trial], trials)
        whole = np.full((N, T + 2), PAD, np.int32)
        for row, length in enumerate(LENGTHS):
            whole[row, : length + 2] = [*tokens[row, :length], *tokens[row, :2]]
        wanted = np.asarray(model.apply(one, whole)[0])
        for number in range(2):
            at = wanted[np.arange(N), LENGTHS + number]
            np.testing.assert_allclose(found[number][trial], at, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", by_default(but="linear"))
def test_rows_in_chunks_have_the_same_numbers(name, x64):
    """N = 5 rows, two at a time: value and gradient."""
    dense, variables, tokens = started(name)
    chunked, _, _ = started(name, chunk=2)

    def value(model):
        return lambda variables: jnp.square(model.apply(variables, tokens)[0]).sum()

    wanted, found = (jax.jit(jax.value_and_grad(value(model)))(variables) for model in (dense, chunked))
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found[1], wanted[1])


def test_numbers_of_parameters():
    """Those of the published models at five tokens."""

    def count(model):
        shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 2), int))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    assert count(transformer(5)) == 110_075
    assert count(xlstm(5)) == 185_000
    assert count(mamba(5)) == 102_368
    assert count(lstm_sequence(5)) == 5 * 10 + 4 * 64 * (10 + 64 + 2) + 4 * 4 * 64 * (64 + 64 + 2) + 65 * 5
    assert count(linear_sequence(5, positions=33)) == 5 * 10 + 33 * 10 * 33 * 5 + 33 * 5


def test_published_codes_are_those_of_the_row():
    """Batch index: equal rows differ, and the order of symbols before a token is not seen but by the mask."""
    tokens = np.array([[2, 0, 1, 1], [2, 0, 1, 1], [2, 1, 0, 1]], np.int32)
    found = {}
    for encoding in ("position", "batch_index", "none"):
        model = transformer(5, width=8, heads=2, layers=1, hidden=8, encoding=encoding)
        found[encoding] = np.asarray(model.apply(drawn(model), tokens)[0])
    for encoding, same in {"position": True, "none": True, "batch_index": False}.items():
        assert (np.abs(found[encoding][0] - found[encoding][1]).max() < 1e-6) == same
    for encoding, seen in {"position": True, "none": False}.items():
        assert (np.abs(found[encoding][0, 3] - found[encoding][2, 3]).max() > 1e-4) == seen


@pytest.mark.slow
@pytest.mark.parametrize("identical", [True, False])
def test_layers_start_alike_if_asked_for(identical):
    model = transformer(5, width=4, heads=2, layers=3, hidden=8, identical=identical)
    params = model.init(jax.random.key(0), np.zeros((1, 2), int))["params"]
    kernel = np.asarray(params["blocks_0"]["linear1"]["kernel"])
    assert kernel.shape == (3, 4, 8)
    assert (np.abs(kernel[0] - kernel[2]).max() == 0) == identical
    assert np.abs(kernel).max() <= 1 / 4**0.5 and np.abs(kernel).max() > 0.4
    packed = np.asarray(params["blocks_0"]["attention"]["in_proj"]["kernel"])
    assert 0.8 * (6 / 16) ** 0.5 < np.abs(packed).max() <= (6 / 16) ** 0.5


def test_padding_is_hidden_as_a_key_also_when_generated():
    tokens = np.array([[2, 0, 1, 1, 0]] * 2, np.int32)
    padded = np.array([[2, 0, PAD, 1, 1]] * 2, np.int32)
    for pad, hidden in {PAD: True, None: False}.items():
        model = transformer(5, width=8, heads=2, layers=1, hidden=8, encoding="none", pad=pad)
        variables = drawn(model)
        wanted = model.apply(variables, tokens)[0][0, 3]
        logits, state = model.prefill(variables, padded[:, :2], [2, 2], size=5)
        for token in padded.T[2:]:
            logits, state = model.step(variables, state, token)
        assert np.isfinite(logits).all()
        for found in (model.apply(variables, padded)[0][0, 4], logits[0]):
            assert (np.abs(found - wanted).max() < 1e-5) == hidden
        if pad == PAD:  # a row that starts with padding sees nothing at first: it reads zeros, not the future
            found = np.asarray(model.apply(variables, np.array([[PAD, 0, 1, 1, 1], [PAD, 1, 0, 0, 0]]))[0])
            assert np.isfinite(found).all() and np.abs(found[0, 1] - found[1, 1]).max() > 1e-3
            np.testing.assert_array_equal(found[0, 0], found[1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_dropout_is_that_of_training(name):
    model, variables, tokens = started(name)
    calm = model.apply(variables, tokens)[0]
    drawn = [model.apply(variables, tokens, train=True, key=jax.random.key(k))[0] for k in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3 and np.abs(drawn[0] - calm).max() > 1e-3
    with pytest.raises(ValueError, match=f"{name}.*without a key"):
        model.apply(variables, tokens, train=True)


@pytest.mark.slow
def test_the_published_linear_model_sees_the_future():
    tokens = rows_of_tokens(2, 6)
    for mask, ahead in {"past": False, "future": True}.items():
        model = linear_sequence(VOCABULARY, positions=6, width=3, mask=mask)
        variables = drawn(model)
        reaches = []
        for column in (0, 5):
            other = tokens.copy()
            other[:, column] = (other[:, column] + 1) % VOCABULARY
            change = np.abs(model.apply(variables, other)[0] - model.apply(variables, tokens)[0]).max(axis=(0, 2))
            reaches.append((change > 1e-4).tolist())
        assert reaches == [[True] + 5 * [ahead is False], 5 * [ahead] + [True]]
        # Token by token there is no future yet: as forward passes over prefixes, the last column of each.
        first, state = model.prefill(variables, tokens, [2, 3])
        np.testing.assert_allclose(first[0], model.apply(variables, tokens[:1, :2])[0][0, -1], atol=1e-5)
        logits, _ = model.prefill(variables, tokens[:, :3], [3, 3], size=4)
        _, state = model.prefill(variables, tokens[:, :3], [3, 3], size=4)
        logits, _ = model.step(variables, state, tokens[:, 3])
        np.testing.assert_allclose(logits, model.apply(variables, tokens[:, :4])[0][:, -1], atol=1e-5)


@pytest.mark.parametrize("name", by_default("transformer"))
def test_a_second_call_compiles_nothing_and_a_full_state_is_refused(name):
    model, variables, tokens = started(name)

    def run(variables, tokens):
        _, state = model.prefill(variables, tokens, LENGTHS, size=T + 1)
        return model.apply(variables, tokens)[0], *model.step(variables, state, tokens[:, 0])

    assert compiled_by_second_call(run, (variables, tokens), (drawn(model, 1), tokens[::-1].copy())) == 0
    state = run(variables, tokens)[-1]
    with pytest.raises(ValueError, match="found a state of size 10 that is full"):
        model.step(variables, state, tokens[:, 0])
    if name in ("transformer", "linear"):  # nor is a full state overwritten where it is not known
        assert np.isnan(jax.jit(model.step)(variables, state, tokens[:, 0])[0]).all()


@pytest.mark.parametrize("name", by_default("lstm", "linear"))
def test_a_token_that_does_not_exist_is_nan_while_tracing(name):
    """Beyond the last one and below 0: those would be counted from the end."""
    model, variables, tokens = started(name)
    for wrong in (-1, -VOCABULARY, VOCABULARY, 2**31 - 1):
        other = tokens.copy()
        other[0, 3] = wrong
        found = jax.jit(lambda tokens: model.apply(variables, tokens)[0])(other)
        assert np.isnan(found[0, 3]).all() and np.isfinite(found[1:]).all()


def _model():
    return transformer(5, width=4, heads=2, layers=1, hidden=4)


BAD = [
    (lambda: transformer(5, width=10, heads=4), "transformer: found heads=4 and width=10"),
    (lambda: transformer(0), "found vocabulary=0"),
    (lambda: transformer(5, layers=0), "found layers=0"),
    (lambda: transformer(5, layers=10**9), "equal blocks=1000000000, wanted a number from 0 to 4096"),
    (lambda: transformer(5, dropout=1.5), "found dropout=1.5"),
    (lambda: transformer(5, encoding="postion"), "did you mean 'position'"),
    (lambda: transformer(5, norm="none"), "found norm='none'"),
    (lambda: transformer(5, epsilon=0), "found epsilon=0"),
    (lambda: transformer(5, pad=5), "found pad=5"),
    (lambda: transformer(5, chunk=0), "found chunk=0"),
    (lambda: lstm_sequence(5, features=True), "found features=True"),
    (lambda: linear_sequence(5, positions=0), "found positions=0"),
    (lambda: linear_sequence(5, positions=3, mask="wrong"), "found mask='wrong'"),
    (lambda: linear_sequence(5, positions=3).init(jax.random.key(0), np.zeros((1, 4), int)), "wanted at most 3"),
    (lambda: linear_sequence(5, positions=3).prefill({}, np.zeros((1, 2), int), [1], size=4), "size=4.*at most 3"),
    (lambda: mamba(5, states=0), "found states=0"),
    (lambda: mamba(5, hold="zoh"), "found hold='zoh'"),
    (lambda: xlstm(5, scalar_at=(6,)), r"found scalar_at=\(6,\), wanted indices from 0 to 5"),
    (lambda: xlstm(5, scalar_at=6), "found scalar_at=6, wanted indices from 0 to 5"),
    (lambda: xlstm(5, width=10, heads=4), "found heads=4 and width=10"),
    (lambda: _model().init(jax.random.key(0), [[0, 5]]), "found the unknown token 5 in tokens, wanted 0 to 4"),
    (lambda: _model().apply({}, [[0, -1]]), "found the unknown token -1"),
    (lambda: _model().apply({}, [[0.0, 1.0]]), "found float64 tokens"),
    (lambda: _model().apply({}, [0, 1]), r"shape \(2,\), wanted integers \[N, T\]"),
    (lambda: _model().apply({}, np.zeros((2, 0), int)), r"shape \(2, 0\)"),
    (lambda: _model().apply({}, np.zeros((2, 2), bool)), "found bool tokens"),
    (lambda: _model().apply({}, [[0], [1, 2]]), "found tokens that is no array"),
    (lambda: _model().prefill({}, [[0, 1]], [3]), "found lengths from 3 to 3, wanted 0 to 2"),
    (lambda: _model().prefill({}, [[0, 1]], [1.0]), "found float64 lengths"),
    (lambda: _model().prefill({}, [[0, 1]], [1, 1]), r"lengths of shape \(2,\), wanted integers \[1\]"),
    (lambda: _model().prefill({}, [[0, 1]], [1], size=1), "found size=1, wanted at least the 2 columns"),
    (lambda: _model().prefill({}, [[0, 7]], [2]), "found the unknown token 7"),
    (lambda: _model().step({}, {"lengths": np.zeros(1), "room": 3, "slot": 1}, [0, 1]), r"wanted \[1\], the rows"),
    (lambda: _model().step({}, {"lengths": np.zeros(1), "room": 3, "slot": 1}, [9]), "found the unknown token 9"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_of_sequence_models(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_traced_token_that_does_not_exist_gives_nan():
    model, variables, tokens = started("transformer")
    found = jax.jit(lambda tokens: model.apply(variables, tokens)[0])(np.where(tokens == 0, 99, tokens))
    assert np.isnan(found).any()


SIZES = [
    (transformer, {"width": 8, "heads": 4, "layers": 2, "hidden": 8}),
    (lstm_sequence, {"width": 4, "features": 4, "layers": 2}),
    (linear_sequence, {"positions": 4, "width": 4}),
    (mamba, {"width": 4, "layers": 2, "states": 2, "convolution": 2, "expand": 2, "multiple": 2}),
    (xlstm, {"width": 8, "blocks": 2, "heads": 2, "convolution": 2, "time_chunk": 2}),
]


@pytest.mark.parametrize(("make", "sizes"), SIZES)
@pytest.mark.parametrize("kind", [jnp.int32, np.array])
@pytest.mark.usefixtures("untyped")
def test_sizes_may_be_integers_of_jax_and_numpy(make, sizes, kind):
    """As from `jnp.max(tokens) + 1`: the same model as by Python's."""
    tokens = np.zeros((1, 3), int)

    def shapes(vocabulary, sizes):
        model = make(vocabulary, **sizes)
        variables = jax.eval_shape(model.init, jax.random.key(0), tokens)
        return jax.tree.map(jnp.shape, (variables, jax.eval_shape(model.apply, variables, tokens)))

    given = {name: kind(size) for name, size in sizes.items()}
    assert shapes(kind(5), given) == shapes(5, sizes)
