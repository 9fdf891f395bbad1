"""The training step of the transformer in eager PyTorch: the other side of the comparison.

PyTorch's own encoder layers, their fused attention where it is taken, AdamW over all parameters at once, no number read
back inside the loop.
"""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Trainer:
    """Model, optimiser and data of one trial, started from the arrays of an identax trial."""

    def __init__(self, params: Any, inputs: Any, targets: Any, *, heads: int, pad: int) -> None:
        ends, blocks = params["ends"], params["blocks_0"]
        table = _tensor(ends["embedding"]["embedding"])
        width, hidden = table.shape[1], blocks["linear1"]["kernel"].shape[2]
        self.inputs, self.targets = (torch.from_numpy(np.array(one)).long() for one in (inputs, targets))
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, hidden, 0.1, layer_norm_eps=6e-3, batch_first=True)
            for _ in range(len(blocks["linear1"]["kernel"]))
        )
        for number, layer in enumerate(self.layers):
            _fill(layer, blocks, number)
        self.head = nn.Linear(width, len(table))
        self.dropout = nn.Dropout(0.1)
        length = self.inputs.shape[1]
        angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
        codes = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :width]
        self.codes = torch.tensor(codes, dtype=torch.float32)[None]
        self.causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        self.padding = self.inputs == pad
        modules = (self.embedding, self.layers, self.head)
        self.optimizer = torch.optim.AdamW([one for module in modules for one in module.parameters()], 5e-3, fused=True)

    def step(self) -> Any:
        """One update; returns the loss before it."""
        x = self.dropout(self.embedding(self.inputs) * self.embedding.embedding_dim**0.5 + self.codes)
        for layer in self.layers:
            x = layer(x, src_mask=self.causal, src_key_padding_mask=self.padding)
        loss = nn.functional.cross_entropy(self.head(x).flatten(0, 1), self.targets.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()


def _fill(layer: Any, blocks: Any, number: int) -> None:
    names = {
        "self_attn.in_proj_": blocks["attention"]["in_proj"],
        "self_attn.out_proj.": blocks["attention"]["out_proj"],
        **{f"{name}.": blocks[name] for name in ("linear1", "linear2", "norm1", "norm2")},
    }
    state = {}
    for name, leaves in names.items():
        kernel = leaves.get("scale", leaves.get("kernel"))[number]
        state |= {f"{name}weight": _tensor(kernel.T), f"{name}bias": _tensor(leaves["bias"][number])}
    layer.load_state_dict(state)


def _tensor(array: Any) -> Any:
    return torch.from_numpy(np.array(array))
