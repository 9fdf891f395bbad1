"""The chorale LSTM's step in eager PyTorch, with the operators as Python loops over weights, as published.

The step is written for speed as far as eager code goes; the operators are of the published kind: a mask of the size of
the matrix, and swaps of single weights. "released shuffle" reads through views, so that each swap copies.
"""

import math
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]


class Trainer:
    """One trial, started from the arrays of an identax trial, with an operator after every step."""

    def __init__(self, setting: Any, params: Any, xs: Any, ys: Any, *, operator: str | None, p: float, c: float):
        self.keys, self.p, self.c = setting.keys, p, c
        self.lstm = nn.LSTM(setting.keys, setting.keys, batch_first=True)
        for name in ("ih", "hh"):
            getattr(self.lstm, f"weight_{name}_l0").data = _tensor(params[f"{name}_kernel"].T)
            getattr(self.lstm, f"bias_{name}_l0").data = _tensor(params[f"{name}_bias"])
        self.batches = list(zip(_tensor(xs), _tensor(ys), strict=True))
        self.optimizer = torch.optim.SGD(
            self.lstm.parameters(),
            setting.learning_rate,
            momentum=setting.momentum,
            nesterov=True,
            weight_decay=setting.weight_decay,
        )
        acts = {"reinitialise": self._redraw, "released shuffle": self._shuffle, "permutation": self._shuffle}
        self.act = acts[operator] if operator else None
        self.copies = operator == "released shuffle"
        self.rng = np.random.default_rng(0)
        self.count = 0

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy with the last h as the logit."""
        h, _ = self.lstm(x)
        return nn.functional.binary_cross_entropy_with_logits(h[:, -1], y)

    def step(self) -> Tensor:
        """One update, and the operator on every gate of both matrices, each without its last row."""
        loss = self.loss(*self.batches[self.count % len(self.batches)])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.count += 1
        if self.act is not None:
            for name in ("weight_ih_l0", "weight_hh_l0"):
                weight = self.lstm.get_parameter(name).data
                for gate in range(4):
                    self.act(weight[gate * self.keys : (gate + 1) * self.keys - 1])
        return loss.detach()

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()

    def _redraw(self, w: Tensor) -> None:
        mask = torch.zeros(w.shape, dtype=torch.bool)
        (rows, columns), (height, width) = zip(*(self._window(size) for size in w.shape), strict=True)
        mask[rows : rows + height + 1, columns : columns + width + 1] = True
        mask &= torch.rand(w.shape) < self.p
        bound = 1 / math.sqrt(w.shape[1])
        w.masked_scatter_(mask, torch.empty(w.shape).uniform_(-bound, bound))

    def _shuffle(self, w: Tensor) -> None:
        if self.rng.random() >= self.p:
            return
        start, length = self._window(w.numel())
        window = w.view(-1)[start : start + length]
        for i in range(len(window) - 1, 0, -1):
            j = int(self.rng.integers(i + 1))
            held = window[i] if self.copies else window[i].clone()
            window[i], window[j] = window[j], held

    def _window(self, size: int) -> tuple[int, int]:
        return int(self.rng.integers(size)), int(self.rng.integers(1, max(2, math.floor(self.c * size))))


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))
