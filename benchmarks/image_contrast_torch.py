"""The published Jacobian of an image decoder in eager PyTorch: a backward pass for each pixel and channel."""

from collections.abc import Sequence

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]


class Contrast:
    """A decoder with the layers of `models.conv_autoencoder`, weights of its own, and rows of its Jacobian."""

    def __init__(self, dim: int, size: int, num: int, *, channels: int = 32, features: int = 256) -> None:
        halvings = size.bit_length() - 3
        widths = [channels] * halvings + [3]
        layers = [nn.Linear(dim, features), nn.ReLU(), nn.Linear(features, features), nn.ReLU()]
        layers += [nn.Linear(features, 16 * channels), nn.ReLU(), nn.Unflatten(1, (channels, 4, 4))]
        for number in range(halvings):
            layers += [nn.ReLU()] if number else []
            layers.append(nn.ConvTranspose2d(widths[number], widths[number + 1], 4, stride=2, padding=1))
        torch.manual_seed(0)
        self.decoder = nn.Sequential(*layers, nn.Flatten())
        self.z = torch.rand(num, dim, requires_grad=True)

    def rows(self, pixels: Sequence[int]) -> Tensor:
        """dx_p/dz of every code, p in `pixels`: [num, len(pixels), dim]."""
        x = self.decoder(self.z)
        rows = [torch.autograd.grad(x[:, pixel].sum(), self.z, retain_graph=True)[0] for pixel in pixels]
        return torch.stack(rows, dim=1)
