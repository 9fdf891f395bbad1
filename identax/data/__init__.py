"""Real data: small packaged sets, tensorflow-datasets sources, and batches out of them."""

from identax.data.batches import epoch_indices, take
from identax.data.digits import Digits, load_digits
from identax.data.kitti_masks import KittiMasks, KittiPairs, load_kitti_masks
from identax.data.pipeline import epoch_batches
from identax.data.sources import ImageSource, image_source
from identax.data.three_d_ident import ThreeDIdent, ThreeDIdentPairs, hyperspherical_angles

__all__ = [
    "Digits",
    "ImageSource",
    "KittiMasks",
    "KittiPairs",
    "ThreeDIdent",
    "ThreeDIdentPairs",
    "epoch_batches",
    "epoch_indices",
    "hyperspherical_angles",
    "image_source",
    "load_digits",
    "load_kitti_masks",
    "take",
]
