"""Real data: small packaged sets, tensorflow-datasets sources, and batches out of them."""

from identax.data.batches import epoch_indices, take
from identax.data.digits import Digits, load_digits

__all__ = ["Digits", "epoch_indices", "load_digits", "take"]
