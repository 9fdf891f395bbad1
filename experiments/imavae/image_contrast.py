"""The IMA contrast of true image generators, and whether the recovery of their factors by a VAE follows it.

Rendered worlds have exact Jacobians, so that what the theory of Reizinger et al. (NeurIPS 2022) asks of a generator can
be measured: c_IMA at sampled factors of sprites, polygons under warps of the image, and scenes, and which pairs of
factors it comes from. Warps of an image hardly change it; oblique coordinates of the place do, by a known amount, and
an autoencoder is trained on each of those worlds (from `medium` on: what `quick` has time for tells nothing).

    python -m experiments run imavae/image_contrast --preset quick
"""

import dataclasses

from experiments.imavae import image_contrast_claims as claims
from experiments.imavae import vae
from experiments.imavae.config import ImageConfig
from experiments.imavae.images import image_parts, shown, triangles
from experiments.imavae.presets import longer, small_images, smoke_images
from identax.study import Study

TRACED = (*vae.TRACED, "oblique")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """Generators whose contrast is measured, and autoencoders on worlds of chosen contrast."""

    generator: str = ""
    """of an arm that trains nothing: whose contrast it measures, one of `claims.GENERATORS`"""
    generators: tuple[str, ...] = tuple(claims.GENERATORS)
    num_factors: int = 512
    """sampled factors at which a generator is differentiated"""
    oblique: float = 0.0
    """how oblique the coordinates of the place are, from 0 to below 1 (`images.oblique_world`)"""
    obliques: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6)
    """worlds of the autoencoder; none: it is left out"""


_QUICK = small_images(
    Config, num_steps=6000, num_factors=64, obliques=(), evaluate_every=3000, seed=1,
    generators=("triangles", "oblique triangles"),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": smoke_images(
        _QUICK, evaluate_every=4, num_factors=4, obliques=(0.0, 0.6), generators=("triangles", "oblique triangles")
    ),
    "quick": _QUICK,
    "medium": longer(
        _QUICK, 12_000, batch_size=128, obliques=(0.0, 0.2, 0.4, 0.6), num_factors=256, num_seeds=3,
        generators=tuple(claims.GENERATORS),
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config):
    """The contrast of one generator, or the autoencoder on triangles in oblique coordinates."""
    return claims.contrast(config) if config.generator else _training(config)


def _training(config: Config) -> Study:
    parts = image_parts(config, triangles(config.size))
    parts = parts._replace(truth=lambda key, hparams: {"oblique": hparams["oblique"]})
    return vae.vae_study(config, parts, shown=shown(parts))
