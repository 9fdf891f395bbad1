"""Images of sprites: the recovery of their factors and the decoder's contrast over training.

Reizinger et al., "Embrace the Gap: VAEs Perform Independent Mechanism Analysis", NeurIPS 2022, image experiment. One
coloured triangle on black; place, scale and hue follow Beta laws; the prior is a learned Beta law. A published
precision of 1 at 64 x 64 pixels is already large, as all pixels of an edge inform about a factor; smaller images take
more, (64 / size)^3, which about leaves gamma^2 ||J_k||^2 of place and scale as it is (hue grows as size^2).

    python -m experiments run imavae/sprites --preset quick
"""

import dataclasses

from experiments.imavae import sprites_claims as claims
from experiments.imavae.images import ImageConfig, image_parts, shown, triangles
from experiments.imavae.vae import TRACED, vae_study

__all__ = ["TRACED"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One image set, its contrast and its autoencoders. The defaults are the authors' setting."""

    precisions: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    """what is swept; `precision` is not read"""
    oracle: bool = False
    """of the arm that trains nothing: contrast and bound of the true generator"""


_QUICK = Config(
    size=16,
    network="mlp",
    hidden=(128, 64),
    precisions=(64.0,),
    precision=64.0,
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=64,
    num_examples=None,
    num_steps=4000,
    log_every=200,
    evaluate_every=400,
    checkpoint_every=4000,
    num_evaluate=512,
    num_seeds=2,
)
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, size=8, hidden=(8,), batch_size=8, num_steps=8, log_every=4, evaluate_every=4, checkpoint_every=8,
        num_evaluate=64, num_seeds=2, num_examples=32,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, size=32, network="conv", hidden=(128,), channels=16, precisions=(8.0,), precision=8.0,
        learning_rate=1e-3, num_steps=8000, log_every=400, evaluate_every=800, checkpoint_every=2000,
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
    parts = image_parts(config, triangles(config.size))
    return vae_study(config, parts, shown=shown(parts))
