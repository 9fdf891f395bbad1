"""Where tokens become vectors and vectors logits: embedding, position codes, the last norm and the head."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from identax.models.mlp import torch_linear
from identax.models.residual_norm import ResidualNorm
from identax.models.sequence import none_from_the_end

ENCODINGS = ("position", "batch_index", "none")


def sinusoids(positions: Int[Array, "*n"], width: int, dtype: Any = jnp.float32) -> Float[Array, "*n width"]:
    """sin(p w_i) in even columns 2 i and cos(p w_i) in odd ones, w_i = 10000^(-2 i / width), p the position.

    Source: Vaswani et al. 2017, section 3.5.
    """
    pairs = jnp.arange(0, width, 2, dtype=dtype)
    rates = jnp.exp(pairs * (-jnp.log(jnp.asarray(10000.0, dtype)) / width))
    angles = positions[..., None].astype(dtype) * jnp.broadcast_to(rates, (*positions.shape, len(rates)))
    both = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return both.reshape(*positions.shape, -1)[..., :width]


class TokenEnds(nn.Module):
    """Embedding (N(0, 1), as PyTorch's), codes of positions, dropout; then dropout, a norm and a linear head.

    `encoding` "batch_index" gives row b of a batch the code of position b in all of its columns. `scaled`: the
    embedding times sqrt(width). `norm`: "none", "layer", "rms", or "residual" for `ResidualNorm`. `tied`: the head's
    kernel is the embedding, without bias. `features`: width of what reaches the head.
    """

    rows: int
    width: int
    features: int
    encoding: str = "none"
    scaled: bool = False
    dropout: float = 0.0
    output_dropout: float = 0.0
    norm: str = "none"
    epsilon: float = 1e-5
    tied: bool = False
    bias: bool = True

    def setup(self):
        dtype = jnp.result_type(float)
        self.embedding = nn.Embed(self.rows, self.width, param_dtype=dtype, embedding_init=nn.initializers.normal(1.0))
        self.dropped = nn.Dropout(self.dropout)
        self.output_dropped = nn.Dropout(self.output_dropout)
        if self.norm == "layer":
            self.last_norm = nn.LayerNorm(epsilon=self.epsilon, param_dtype=dtype, use_fast_variance=False)
        if self.norm == "rms":
            self.last_norm = nn.RMSNorm(epsilon=self.epsilon, param_dtype=dtype)
        if self.norm == "residual":
            self.last_norm = ResidualNorm()
        if not self.tied:
            self.head = torch_linear(self.rows, dtype, self.features, use_bias=self.bias)

    def embed(self, tokens, positions, train=False):
        x = self.embedding(none_from_the_end(tokens, self.rows)) * (self.width**0.5 if self.scaled else 1.0)
        if self.encoding == "batch_index":
            positions = jnp.broadcast_to(jnp.arange(len(tokens))[:, None], tokens.shape)
        if self.encoding != "none":
            x = x + sinusoids(positions, self.width, x.dtype)
        return self.dropped(x, deterministic=not train)

    def logits(self, x, train=False):
        x = self.output_dropped(x, deterministic=not train)
        if self.norm != "none":
            x = self.last_norm(x)
        return self.embedding.attend(x) if self.tied else self.head(x)

    def __call__(self, tokens, positions):
        x = self.embed(tokens, positions)
        return self.logits(jnp.zeros((*tokens.shape, self.features), x.dtype))
