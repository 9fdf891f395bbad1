"""Models as `Model(init, apply)`; the only package that imports flax."""

from identax.models.agent_encoders import conv_block, flat_encoder, small_image_encoder
from identax.models.autoencoder import (
    Autoencoded,
    Autoencoder,
    Reconstruction,
    autoencode,
    decoder_function,
    init_autoencoder,
    mlp_autoencoder,
    posterior,
    reconstruct,
    reconstruct_mean,
)
from identax.models.base import Model, from_flax, from_linen
from identax.models.batch_norm import BatchNorm
from identax.models.cached_gradient import cached_gradient, micro_batched, micro_batched_model
from identax.models.canonical import Canonical, canonical_coordinates, fit_linear_layer
from identax.models.chunked import by_chunk
from identax.models.conv_autoencoder import conv_autoencoder
from identax.models.convnet import block_heads, convnet
from identax.models.convnet_decoder import convnet_decoder
from identax.models.decoding import Decoded, decode
from identax.models.linear_sequence import linear_sequence
from identax.models.lstm_sequence import lstm_sequence
from identax.models.mamba import mamba, selective_scan
from identax.models.maxout import maxout
from identax.models.mlp import HEADS, mlp, normalize, uniform_fan_in
from identax.models.mlstm import mlstm
from identax.models.plain_convnets import colour_convnet, digit_convnet
from identax.models.prior_net import prior_net, raw_parameters
from identax.models.projector import projector
from identax.models.recurrent import Recurrent, gru, lstm, scan_over_time
from identax.models.resnet import resnet18, resnet50
from identax.models.sequence import SequenceModel
from identax.models.slstm import SLSTM_GATES, slstm
from identax.models.small_convnet import small_convnet
from identax.models.softmax_gate import softmax_gate
from identax.models.torch_lstm import GATES, lstm_network, torch_lstm
from identax.models.transformer import transformer
from identax.models.volume_preserving import volume_preserving
from identax.models.xlstm import xlstm

__all__ = [
    "GATES",
    "HEADS",
    "SLSTM_GATES",
    "Autoencoded",
    "Autoencoder",
    "BatchNorm",
    "Canonical",
    "Decoded",
    "Model",
    "Reconstruction",
    "Recurrent",
    "SequenceModel",
    "autoencode",
    "block_heads",
    "by_chunk",
    "cached_gradient",
    "canonical_coordinates",
    "colour_convnet",
    "conv_autoencoder",
    "conv_block",
    "convnet",
    "convnet_decoder",
    "decode",
    "decoder_function",
    "digit_convnet",
    "fit_linear_layer",
    "flat_encoder",
    "from_flax",
    "from_linen",
    "gru",
    "init_autoencoder",
    "linear_sequence",
    "lstm",
    "lstm_network",
    "lstm_sequence",
    "mamba",
    "maxout",
    "micro_batched",
    "micro_batched_model",
    "mlp",
    "mlp_autoencoder",
    "mlstm",
    "normalize",
    "posterior",
    "prior_net",
    "projector",
    "raw_parameters",
    "reconstruct",
    "reconstruct_mean",
    "resnet18",
    "resnet50",
    "scan_over_time",
    "selective_scan",
    "slstm",
    "small_convnet",
    "small_image_encoder",
    "softmax_gate",
    "torch_lstm",
    "transformer",
    "uniform_fan_in",
    "volume_preserving",
    "xlstm",
]
