"""The published training of linear systems in eager PyTorch: the other side of the comparison.

As lean as the same step gets in eager code: no trainer, no data loader, the diagonal Gaussian written out, one gather
per epoch. The original adds a trainer, a loader, a dense-covariance normal and an MCC at every step.
"""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Trainer:
    """W and the pairs, in float32: z [N, p], means and variances [N, k] of the control at each pair."""

    def __init__(
        self, start: Any, z: Any, means: Any, variances: Any, *, batch_size: int, learning_rate: float, max_norm: float
    ) -> None:
        self.unmixing = nn.Parameter(_tensor(start))
        self.data = [_tensor(z), _tensor(means), _tensor(1 / np.asarray(variances))]
        self.batch_size, self.max_norm = batch_size, max_norm
        self.optimizer = torch.optim.SGD([self.unmixing], lr=learning_rate)

    def epochs(self, count: int, orders: Any = None) -> None:
        """Goes `count` times over all pairs, in random orders or the given ones."""
        for number in range(count):
            num = len(self.data[0])
            order = torch.randperm(num) if orders is None else torch.as_tensor(np.array(orders[number]))
            batches = [values[order].split(self.batch_size) for values in self.data]
            for z, means, precisions in zip(*batches, strict=True):
                self.optimizer.zero_grad(set_to_none=True)
                residual = nn.functional.linear(z, self.unmixing) - means
                (0.5 * (residual.square() * precisions).sum(dim=1)).mean().backward()
                nn.utils.clip_grad_norm_([self.unmixing], self.max_norm)
                self.optimizer.step()


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float32))
