"""Small sequence models of every kind, for the tests that walk them."""

import jax
import numpy as np

from identax.models import linear_sequence, lstm_sequence, mamba, transformer, xlstm

VOCABULARY, PAD, EOS = 5, 4, 3
_TRANSFORMER = {"width": 8, "heads": 4, "layers": 2, "hidden": 16, "pad": PAD}
MODELS = {
    "transformer": lambda **options: transformer(VOCABULARY, **_TRANSFORMER, **options),
    "transformer, pre": lambda **options: transformer(
        VOCABULARY, norm="pre", identical=False, **_TRANSFORMER, **options
    ),
    "lstm": lambda **options: lstm_sequence(VOCABULARY, width=4, features=6, layers=2, **options),
    "linear": lambda: linear_sequence(VOCABULARY, positions=12, width=4),
    "mamba": lambda **options: mamba(VOCABULARY, width=4, layers=2, states=3, convolution=4, multiple=1, **options),
    "xlstm": lambda **options: xlstm(VOCABULARY, width=8, blocks=2, heads=2, time_chunk=4, **options),
}
"""widths of convolutions are K = 4"""


def drawn(model, seed=0, size=0.5):
    """Parameters of the model's shapes, none zero or equal by chance; no program is compiled for them."""
    rng, shapes = np.random.default_rng(seed), jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 2), int))
    return jax.tree.map(lambda leaf: size * rng.standard_normal(leaf.shape).astype(leaf.dtype), shapes)


def rows_of_tokens(num, length, seed=0):
    """Random tokens, the first of each row 2; padding among them."""
    tokens = np.random.default_rng(seed).integers(0, VOCABULARY, (num, length))
    tokens[:, 0] = 2
    return tokens.astype(np.int32)
