"""The AnInfoNCE training step in eager PyTorch: the other side of the comparison.

Written for speed as far as eager code goes: both views in one pass through the encoder, one matrix of similarities
for all 2N anchors, a sampler that proposes several times per row, the fused Adam. Same law of the data, same encoder,
same negatives ("two_view"), same optimiser with two learning rates, float32.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

PROPOSALS = 16


def sample_pairs(
    weights: Sequence[Tensor], precision: Tensor, threshold: float, num: int, *, generator: torch.Generator
) -> Tensor:
    """Draws z uniform on the sphere and z+ of the shell-projected normal around it; returns g(z), g(z+) as [2N, n].

    m ~ N(z, 1/precision) until | |m| - 1 | < threshold, then z+ = m / |m|: the first accepted of `PROPOSALS` draws,
    again for the rows that have none. Source: Rusak et al. 2025, code.
    """
    n = precision.shape[0]
    z = nn.functional.normalize(torch.randn(num, n, generator=generator, dtype=precision.dtype), dim=1)
    z_pos = torch.empty_like(z)
    std = precision.rsqrt()
    missing = torch.arange(num)
    while missing.numel():
        noise = torch.randn(missing.numel(), PROPOSALS, n, generator=generator, dtype=precision.dtype)
        proposals = torch.addcmul(z[missing, None], std, noise)
        lengths = torch.linalg.vector_norm(proposals, dim=2)
        accepted = (lengths - 1).abs_() < threshold
        found, first = accepted.any(dim=1), accepted.to(torch.uint8).argmax(dim=1)
        rows = found.nonzero().squeeze(1)
        chosen = first[rows]
        z_pos[missing[rows]] = proposals[rows, chosen] / lengths[rows, chosen, None]
        missing = missing[~found]
    x = torch.cat([z, z_pos])
    for weight in weights[:-1]:
        x = nn.functional.leaky_relu(x @ weight.T, 0.2)
    return x @ weights[-1].T


def aninfonce(z: Tensor, z_pos: Tensor, precision: Tensor) -> Tensor:
    """Mean AnInfoNCE loss with the "two_view" negatives: the 2N-1 other embeddings of either view, positive included.

    s(u, v) = -1/2 sum_j precision_j (u_j - v_j)^2, expanded into one matrix product.
    """
    both = torch.cat([z, z_pos])
    weighted = both * precision
    half = 0.5 * (weighted * both).sum(dim=1)
    similarity = torch.addmm(-half[None, :], weighted, both.T)  # the anchor's own term follows after logsumexp
    similarity.fill_diagonal_(-torch.inf)
    positive = -0.5 * (precision * (z - z_pos).square()).sum(dim=1)
    return (torch.logsumexp(similarity, dim=1) - half).mean() - positive.mean()


class Trainer:
    """Encoder, precision, optimiser and world of one trial, started from the arrays of an identax trial."""

    def __init__(self, config: Any, truth: Any, params: Any, *, seed: int = 0) -> None:
        self.config = config
        self.weights = [_tensor(weight) for weight in truth["mixing"]]
        self.precision = _tensor(truth["precision"])
        layers: list[nn.Module] = []
        for layer in (*_layers(params["encoder"]["backbone"]), *_layers(params["encoder"]["last"])):
            kernel, bias = _tensor(layer["kernel"]), _tensor(layer["bias"])
            linear = nn.Linear(kernel.shape[0], kernel.shape[1], dtype=kernel.dtype)
            linear.weight.data, linear.bias.data = kernel.T.contiguous(), bias
            layers += [linear, nn.LeakyReLU(0.01)]
        self.encoder = nn.Sequential(*layers[:-1])
        self.raw = nn.Parameter(_tensor(params["raw_precision"]))
        groups = [
            {"params": list(self.encoder.parameters()), "lr": config.learning_rate},
            {"params": [self.raw], "lr": config.precision_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self) -> Tensor:
        """Both views of a fresh batch, [2N, n]."""
        with torch.no_grad():
            return sample_pairs(
                self.weights,
                self.precision,
                self.config.threshold,
                self.config.batch_size,
                generator=self.generator,
            )

    def loss(self, views: Tensor) -> Tensor:
        """Mean loss of both views [2N, n]."""
        z, z_pos = nn.functional.normalize(self.encoder(views), dim=1).chunk(2)
        return aninfonce(z, z_pos, nn.functional.softplus(self.raw))

    def step(self) -> Tensor:
        """One update on a fresh batch; returns the loss before it."""
        return self.update(self.batch())

    def update(self, views: Tensor) -> Tensor:
        """One update on both views [2N, n]; returns the loss before it."""
        loss = self.loss(views)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()


def _layers(params: Any) -> list[Any]:
    return [params[f"Dense_{index}"] for index in range(len(params))]


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))
