"""Real data: your own arrays, small packaged sets, tensorflow-datasets sources, and batches out of them."""

from identax.data.array_source import ArraySource, arrays
from identax.data.batches import epoch_indices, take
from identax.data.cause_effect import CauseEffectPair, SachsCells, cause_effect_pairs, sachs_cells
from identax.data.chorales import Chorales, load_chorales, split_chorales
from identax.data.digits import Digits, load_digits
from identax.data.dislib import DISLIB_SETS, DislibTable, Splits, dislib_table, random_splits
from identax.data.dislib_prepare import dislib_command, prepare_dislib
from identax.data.dislib_source import DislibSource, dislib_source
from identax.data.feature_table import load_features
from identax.data.imagenet_x import PROXIES, ImageNetX, imagenet_x_proxies, load_imagenet_x
from identax.data.kitti_masks import KittiMasks, KittiPairs, load_kitti_masks
from identax.data.pipeline import epoch_batches
from identax.data.sine_series import sine_forecasts, sine_mixings, sine_series
from identax.data.sources import ImageSource, image_source
from identax.data.three_d_ident import ThreeDIdent, ThreeDIdentPairs, hyperspherical_angles
from identax.data.windows import Windows, validation_windows, windows

__all__ = [
    "DISLIB_SETS",
    "PROXIES",
    "ArraySource",
    "CauseEffectPair",
    "Chorales",
    "Digits",
    "DislibSource",
    "DislibTable",
    "ImageNetX",
    "ImageSource",
    "KittiMasks",
    "KittiPairs",
    "SachsCells",
    "Splits",
    "ThreeDIdent",
    "ThreeDIdentPairs",
    "Windows",
    "arrays",
    "cause_effect_pairs",
    "dislib_command",
    "dislib_source",
    "dislib_table",
    "epoch_batches",
    "epoch_indices",
    "hyperspherical_angles",
    "image_source",
    "imagenet_x_proxies",
    "load_chorales",
    "load_digits",
    "load_features",
    "load_imagenet_x",
    "load_kitti_masks",
    "prepare_dislib",
    "random_splits",
    "sachs_cells",
    "sine_forecasts",
    "sine_mixings",
    "sine_series",
    "split_chorales",
    "take",
    "validation_windows",
    "windows",
]
