"""The training step of `imavae/moebius` in eager PyTorch: the other side of the comparison.

Written for speed as far as eager code goes: closed-form sampler, one pass, the fused Adam, no number read back inside
the loop. The same law of the data, networks, bound and optimiser, float32 throughout (the authors' loss is float64).
"""

import math
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]


class Trainer:
    """Encoder, decoder, optimiser and world of one trial, started from the arrays of an identax trial."""

    def __init__(self, config: Any, world: Any, params: Any, *, seed: int = 0) -> None:
        self.config = config
        mixing = world["mixing"]
        self.rotation, self.pole = _tensor(mixing.rotation), _tensor(mixing.pole)
        self.scale, self.shift = float(mixing.scale), _tensor(mixing.offset) - _tensor(world["mean"])
        self.encoder, self.decoder = _mlp(params["encoder"]), _mlp(params["decoder"])
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, config.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self) -> Tensor:
        """Observations [B, d] of fresh uniform sources."""
        with torch.no_grad():
            s = torch.rand(self.config.batch_size, self.config.dim, generator=self.generator) - 0.5
            away = s - self.pole
            return self.shift + self.scale * (away / away.square().sum(1, keepdim=True)) @ self.rotation.T

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """Mean of -ELBO with a uniform prior through a sigmoid, constants kept."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        u = mean + torch.exp(0.5 * log_variance) * noise
        found = self.decoder(torch.sigmoid(u))
        precision = self.config.precision
        fit = -0.5 * (precision * (x - found).square() + math.log(2 * math.pi / precision)).sum(1)
        log_q = -0.5 * (math.log(2 * math.pi) + log_variance + noise.square()).sum(1)
        log_p = (nn.functional.logsigmoid(u) + nn.functional.logsigmoid(-u)).sum(1)
        return -(fit + self.config.beta * (log_p - log_q)).mean()

    def step(self) -> Tensor:
        """One update on a fresh batch; returns the loss before it."""
        x = self.batch()
        noise = torch.randn(x.shape, generator=self.generator)
        loss = self.loss(x, noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def steps(self, num: int) -> float:
        """`num` updates; the last loss, read once at the end."""
        for _ in range(num - 1):
            self.step()
        return self.step().item()


def _mlp(params: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(len(params)):
        layers += [nn.LeakyReLU(0.2)] if number else []
        layers.append(_linear(params[f"Dense_{number}"]))
    return nn.Sequential(*layers)


def _linear(layer: Any) -> nn.Linear:
    kernel = _tensor(layer["kernel"])
    linear = nn.Linear(kernel.shape[0], kernel.shape[1])
    linear.weight.data, linear.bias.data = kernel.T.contiguous(), _tensor(layer["bias"])
    return linear


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))
