"""The presets that both tables share: cells of one shape are then one compiled program across the tables too."""

import dataclasses

from experiments.contrastive_ica.matrix import Config

_QUICK = Config(
    dim=5,
    sphere_dim=4,
    rotation_dim=6,
    batch_size=256,
    weak_batch_size=512,
    hidden=(64, 64, 64),
    box_head="box",
    temperatures="fast",
    learning_rate=5e-3,
    schedule="cosine",
    num_steps=2500,
    num_long_steps=4000,
    num_pressed_steps=8000,
    num_supervised_steps=1000,
    evaluate_every=500,
    checkpoint_every=2500,
    num_seeds=4,
)
SHARED: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK,
        pool_size=100,
        batch_size=32,
        weak_batch_size=32,
        hidden=(16,),
        num_steps=20,
        num_long_steps=20,
        num_pressed_steps=20,
        num_supervised_steps=20,
        log_every=10,
        evaluate_every=20,
        checkpoint_every=20,
        num_evaluate=128,
        num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK,
        dim=6,
        sphere_dim=5,
        rotation_dim=8,
        batch_size=512,
        weak_batch_size=1024,
        hidden=(64, 128, 128, 64),
        # Cooled to 1/80 in five dims and more, hundreds of pairs no longer hold the embedding: its R2 falls again.
        sphere_press=1.0,
        # Slower, folded latents stay folded; faster, vMF 1 does not leave its start (one seed of four already here).
        learning_rate=4e-3,
        num_steps=5000,
        num_long_steps=7000,
        num_pressed_steps=10_000,
        num_supervised_steps=2000,
        evaluate_every=1000,
        checkpoint_every=5000,
    ),
    "paper": Config(),
}
