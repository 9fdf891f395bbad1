"""Real data: small packaged sets, tensorflow-datasets sources, and batches out of them."""

from identax.data.batches import epoch_indices, take
from identax.data.digits import Digits, load_digits
from identax.data.pipeline import epoch_batches
from identax.data.sources import ImageSource, image_source

__all__ = ["Digits", "ImageSource", "epoch_batches", "epoch_indices", "image_source", "load_digits", "take"]
