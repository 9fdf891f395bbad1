"""The csi training step in eager PyTorch: the other side of the comparison.

Written for speed as far as eager code goes: one Gaussian vector per proposal of the sampler and several proposals per
row, the library's own cross-entropy, the fused Adam, no number read back inside the loop. Same law of the data, same
encoder with batch statistics and running ones, same head, same optimiser, float32.
"""

import math
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

PROPOSALS = 6


def sample_vmf(mean: Tensor, kappa: float, *, generator: torch.Generator) -> Tensor:
    """Draws from the von Mises-Fisher law around every row of `mean` [B, d], rows of norm 1: [B, d].

    Wood's (1994) rejection. (1 + cosine)/2 of a Gaussian vector to the mean is the Beta proposal, the rest of the
    vector an independent tangent. The first accepted of `PROPOSALS`, again for the rows that have none.
    """
    m = mean.shape[1] - 1
    b = m / (math.sqrt(4 * kappa**2 + m**2) + 2 * kappa)
    x0, rest = (1 - b) / (1 + b), 2 * b / (1 + b)  # rest = 1 - x0; in terms of 1 - w nothing cancels for large kappa
    drawn = torch.empty_like(mean)
    missing = torch.arange(mean.shape[0])
    while missing.numel():
        around = mean[missing]
        shape = (missing.numel(), PROPOSALS)
        noise = torch.randn(*shape, mean.shape[1], generator=generator, dtype=mean.dtype)
        along = (noise * around[:, None]).sum(dim=2)
        t = (along / torch.linalg.vector_norm(noise, dim=2)).add_(1).mul_(0.5)
        gap = 2 * b * t / (1 - (1 - b) * t)  # 1 - w, w the proposed cosine to the mean
        level = torch.rand(shape, generator=generator, dtype=mean.dtype)
        log_ratio = kappa * (rest - gap) + m * torch.log((1 + (x0 / rest) * gap).div_(1 + x0))
        accepted = log_ratio >= level.log_()
        found, first = accepted.any(dim=1), accepted.to(torch.uint8).argmax(dim=1)
        rows = found.nonzero().squeeze(1)
        chosen, center = first[rows], around[rows]
        tangent = torch.addcmul(noise[rows, chosen], along[rows, chosen, None], center, value=-1)
        tangent = nn.functional.normalize(tangent, dim=1)
        gap = gap[rows, chosen, None]
        drawn[missing[rows]] = (1 - gap) * center + (gap * (2 - gap)).clamp_(min=0).sqrt_() * tangent
        missing = missing[~found]
    return drawn


class Trainer:
    """Encoder, head, optimiser and world of one trial, started from the arrays of an identax trial."""

    def __init__(self, config: Any, truth: Any, params: Any, *, seed: int = 0) -> None:
        self.config = config
        self.mixing = [_tensor(weight) for weight in truth["mixing"]]
        self.vectors = _tensor(truth["vectors"])
        layers: list[nn.Module] = []
        for number in range(len(config.hidden) + 1):
            layers.append(_linear(params["encoder"][f"Dense_{number}"]))
            if number < len(config.hidden):
                norm = params["encoder"].get(f"BatchNorm_{number}")
                layers += [] if norm is None else [_batch_norm(norm)]
                layers.append(nn.LeakyReLU(0.01))
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Parameter(_tensor(params["head"]))
        self.optimizer = torch.optim.Adam([*self.encoder.parameters(), self.head], config.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Observations [B, d] and labels [B] of a fresh batch."""
        config = self.config
        with torch.no_grad():
            labels = torch.randint(config.num_labels, (config.batch_size,), generator=self.generator)
            clusters = labels % config.num_clusters
            x = sample_vmf(self.vectors[clusters], config.kappa, generator=self.generator)
            for weight in self.mixing[:-1]:
                x = nn.functional.leaky_relu_(nn.functional.linear(x, weight), 0.2)
            x = nn.functional.linear(x, self.mixing[-1])
        return x, labels if config.targets == "instance" else clusters

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch: log sum_j exp(<w_j, f(x)>) - <w_i, f(x)>."""
        return nn.functional.cross_entropy(nn.functional.linear(self.encoder(x), self.head), labels)

    def update(self, x: Tensor, labels: Tensor) -> Tensor:
        """One update on a batch; returns the loss before it."""
        loss = self.loss(x, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def step(self) -> Tensor:
        """One update on a fresh batch; returns the loss before it."""
        return self.update(*self.batch())

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()


def _linear(layer: Any) -> nn.Linear:
    kernel = _tensor(layer["kernel"])
    linear = nn.Linear(kernel.shape[0], kernel.shape[1], dtype=kernel.dtype)
    linear.weight.data, linear.bias.data = kernel.T.contiguous(), _tensor(layer["bias"])
    return linear


def _batch_norm(layer: Any) -> nn.BatchNorm1d:
    scale = _tensor(layer["scale"])
    norm = nn.BatchNorm1d(scale.shape[0], dtype=scale.dtype)
    norm.weight.data, norm.bias.data = scale, _tensor(layer["bias"])
    return norm


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))
