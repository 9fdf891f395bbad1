"""The transformer in eager PyTorch, its training step and its completions: the other side of the comparison.

PyTorch's own encoder layers, their fused attention where it is taken, AdamW over all parameters at once, no number read
back inside the loop.
"""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Net(nn.Module):
    """Post-norm encoder layers under a causal mask, started from the arrays of an identax trial; dropout .1."""

    def __init__(self, params: Any, *, heads: int, pad: int) -> None:
        super().__init__()
        ends, blocks = params["ends"], params["blocks_0"]
        table = _tensor(ends["embedding"]["embedding"])
        width, hidden = table.shape[1], blocks["linear1"]["kernel"].shape[2]
        self.pad = pad
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, hidden, 0.1, layer_norm_eps=6e-3, batch_first=True)
            for _ in range(len(blocks["linear1"]["kernel"]))
        )
        for number, layer in enumerate(self.layers):
            _fill(layer, blocks, number)
        self.head = nn.Linear(width, len(table))
        self.head.load_state_dict({"weight": _tensor(ends["head"]["kernel"].T), "bias": _tensor(ends["head"]["bias"])})
        self.dropout = nn.Dropout(0.1)

    def forward(self, tokens: Any) -> Any:
        """Logits of all columns."""
        length, width = tokens.shape[1], self.embedding.embedding_dim
        angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
        codes = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :width]
        causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        x = self.dropout(self.embedding(tokens) * width**0.5 + torch.tensor(codes, dtype=torch.float32)[None])
        for layer in self.layers:
            x = layer(x, src_mask=causal, src_key_padding_mask=tokens == self.pad)
        return self.head(x)


class Trainer:
    """Model, optimiser and data of one trial."""

    def __init__(self, params: Any, inputs: Any, targets: Any, *, heads: int, pad: int) -> None:
        self.inputs, self.targets = (torch.from_numpy(np.array(one)).long() for one in (inputs, targets))
        self.net = Net(params, heads=heads, pad=pad)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), 5e-3, fused=True)

    def step(self) -> Any:
        """One update; returns the loss before it."""
        loss = nn.functional.cross_entropy(self.net(self.inputs).flatten(0, 1), self.targets.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()


class Completer:
    """The published loop: all that is there goes through the model again for every token, without a cache."""

    def __init__(self, params: Any, prompts: Any, *, heads: int, pad: int) -> None:
        self.prompts = torch.from_numpy(np.array(prompts)).long()
        self.net = Net(params, heads=heads, pad=pad).eval()

    def complete(self, num_tokens: int) -> np.ndarray:
        """Prompts and their likeliest completions."""
        tokens = self.prompts
        with torch.no_grad():
            for _ in range(num_tokens):
                tokens = torch.cat([tokens, self.net(tokens)[:, -1:].argmax(dim=-1)], dim=1)
        return tokens.numpy()


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
