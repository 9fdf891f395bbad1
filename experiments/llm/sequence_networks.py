"""The five architectures of the follow-up at three sizes: the published one, a small one, and one of seconds."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from identax.checks import check_choice
from identax.dgp.languages import Alphabet
from identax.models import SequenceModel, linear_sequence, lstm_sequence, mamba, transformer, xlstm


class Architecture(NamedTuple):
    """Who makes it, and of what sizes: published ones have 102,000 to 185,000 parameters, the linear model apart."""

    make: Callable[..., SequenceModel]
    sizes: Mapping[str, Mapping[str, Any]]


NETWORKS: Mapping[str, Architecture] = {
    "transformer": Architecture(
        transformer,
        {
            "published": {"width": 10, "heads": 5, "layers": 7, "hidden": 1024, "dropout": 0.1},
            "small": {"width": 8, "heads": 4, "layers": 3, "hidden": 64, "dropout": 0.1},
            "least": {"width": 8, "heads": 2, "layers": 2, "hidden": 32, "dropout": 0.0},
        },
    ),
    "LSTM": Architecture(
        lstm_sequence,
        {
            "published": {"width": 10, "features": 64, "layers": 5, "dropout": 0.4},
            "small": {"width": 10, "features": 32, "layers": 2, "dropout": 0.1},
            "least": {"width": 8, "features": 24, "layers": 1, "dropout": 0.0},
        },
    ),
    "Mamba": Architecture(
        mamba,
        {
            "published": {"width": 32, "layers": 10, "states": 16, "convolution": 8},
            "small": {"width": 16, "layers": 2, "states": 4, "convolution": 4},
            "least": {"width": 8, "layers": 2, "states": 4, "convolution": 4},
        },
    ),
    "xLSTM": Architecture(
        xlstm,
        {
            "published": {"width": 64, "blocks": 6, "heads": 4},
            "small": {"width": 16, "blocks": 2, "heads": 4},
            "least": {"width": 8, "blocks": 2, "heads": 2},
        },
    ),
    "linear": Architecture(linear_sequence, {size: {"width": 10} for size in ("published", "small", "least")}),
}
"""by name; heads, layers and rates of the published code"""
ARCHITECTURES = tuple(NETWORKS)


def sequence_network(
    architecture: str,
    size: str,
    alphabet: Alphabet,
    *,
    positions: int,
    chunk: int | None = None,
    sees_future: bool = False,
) -> SequenceModel:
    """The network of that name and size for tokens of an alphabet.

    `positions` and `sees_future`, the published mask, are of the linear model alone; `chunk` is of all others.
    Raises `ValueError` for an unknown architecture or size.
    """
    check_choice("sequence_network", "architecture", architecture, ARCHITECTURES)
    check_choice("sequence_network", "size", size, tuple(NETWORKS[architecture].sizes))
    options = dict(NETWORKS[architecture].sizes[size])
    if architecture == "linear":
        options |= {"positions": positions, "mask": "future" if sees_future else "past"}
    else:
        options |= {"chunk": chunk}
    if architecture == "transformer":
        options |= {"pad": alphabet.pad}
    return NETWORKS[architecture].make(alphabet.size, **options)
