"""Images of sprites: the recovery of their factors and the decoder's contrast over training.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, image experiment. One
coloured triangle on black; place, scale and hue follow Beta laws; the prior is a learned Beta law. A published
precision of 1 at 64 x 64 pixels is already large, as all pixels of an edge inform about a factor; smaller images take
more, (64 / size)^3, which about leaves gamma^2 ||J_k||^2 of place and scale as it is (hue grows as size^2).

    python -m experiments run imavae/sprites --preset quick
"""

import dataclasses

from experiments.imavae import sprites_claims as claims
from experiments.imavae.config import ImageConfig
from experiments.imavae.images import image_parts, shown, triangles
from experiments.imavae.presets import longer, small_images, smoke_images
from experiments.imavae.published_factors import coverage
from experiments.imavae.vae import TRACED, vae_study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One image set, its contrast and its autoencoders. The defaults are the authors' setting."""

    precisions: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    """what is swept; `precision` is not read"""
    oracle: bool = False
    """of the arm that trains nothing: contrast and bound of the true generator"""
    record_truth: bool = True
    """whether there is such an arm; premises state its numbers, at one draw of the factors, anyway"""
    dependence: float = 0.0
    """correlation of the copula in a further arm; 0: no such arm"""


_QUICK = small_images(
    Config, num_steps=6000, num_examples=42_000, evaluate_every=1000, precisions=(64.0,), record_truth=False, seed=1,
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke_images(_QUICK, num_examples=32, dependence=0.7, record_truth=True),
    "quick": _QUICK,
    "medium": longer(
        _QUICK, 12_000, num_examples=None, batch_size=128, log_every=500, evaluate_every=1000, num_seeds=5,
        dependence=0.7, record_truth=True,
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """The autoencoder on this image set, or the oracle of one trial."""
    if config.oracle:
        return claims.oracle(config)
    parts = image_parts(config, triangles(config.size, config.correlation))
    return vae_study(
        config, parts, shown=shown(parts), extra=lambda state, drawn, codes: {"coverage": coverage(drawn.latents)}
    )
