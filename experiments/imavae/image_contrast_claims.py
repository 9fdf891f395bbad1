"""What `imavae/image_contrast` compares, predicts and measures."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.imavae import relations
from experiments.imavae.config import check_config
from experiments.imavae.images import oblique_world
from experiments.imavae.published_factors import published_factors
from experiments.imavae.sprites_claims import pictures
from experiments.imavae.true_contrast import QUANTILES, contrast_metrics, generator_jacobians
from identax.assumptions import Prediction, Premise, Report
from identax.checks import check_choice
from identax.dgp import POLYGONS, ImageWorld, polygon_sprites, scenes, sprites
from identax.experiment import Arm, Reference
from identax.points import points
from identax.report import Figure, figure_png
from identax.report.figures import bars
from identax.report.grids import over_parameter, tiles
from identax.rng import stream
from identax.run import Results

ARM = "vae"
RELATION = "MCC and obliqueness: Spearman"
STRONG = 0.6
"""how oblique the strongest of the quick worlds is"""
GENERATORS: dict[str, Callable[[int], ImageWorld]] = {
    "triangles": lambda size: polygon_sprites(size=size),
    "oblique triangles": lambda size: oblique_world(STRONG, size),
    "triangles, affine warp": lambda size: polygon_sprites(size=size, warp="affine"),
    "triangles, projective warp": lambda size: polygon_sprites(size=size, warp="projective"),
    "polygons with angle": lambda size: polygon_sprites(size=size, shapes=POLYGONS, angle=True),
    "grid sprites": lambda size: sprites(size=size, num_hues=10),
    "scenes": lambda size: scenes(size=size),
}
"""true generators by name; those with the factors of the published set have its Beta laws, others are uniform"""
_SHOWN = 7


def arms(config: Any) -> Sequence[Arm]:
    """One trial for each generator; the autoencoder on triangles of every obliqueness, if there is one."""
    check_config(config)
    for name in config.generators:
        check_choice("image_contrast", "generators", name, tuple(GENERATORS))
    if not config.generators and not config.obliques:
        raise ValueError("image_contrast: found neither generators nor obliques, wanted some of either")
    still = {"num_seeds": 1, "num_steps": 0}
    return (
        *(Arm(name, dataclasses.replace(config, generator=name, **still)) for name in config.generators),
        *([Arm(ARM, config, {"oblique": config.obliques})] if config.obliques else []),
    )


def contrast(config: Any):
    """A trial that differentiates a true generator at sampled factors, and keeps what each of its factors does."""
    world = GENERATORS[config.generator](config.size)
    published = world.factor_names == ("x", "y", "scale", "hue")
    own = world.dgp()

    def trial(key, hparams):
        within = stream(key, "factors")
        if published:
            factors = published_factors()(within, config.num_factors)
        else:
            factors = own.sample(own.init(stream(key, "truth")), within, config.num_factors).latents
        return contrast_metrics(generator_jacobians(world, factors)), {"traversals": _traversals(world, factors[0])}

    return trial


def _traversals(world: ImageWorld, factors: Any) -> Any:
    """Rows of images [k, _SHOWN, H, W, C] that move one continuous factor through its range."""
    rows = []
    for k, factor in _varied(world):
        low, high = factor.bounds or (0.0, 1.0)
        rows.append(jnp.stack([factors.at[k].set(value) for value in np.linspace(low, high, _SHOWN)]))
    moved = jnp.stack(rows)
    images = world.render_batch(moved.reshape(-1, moved.shape[-1]))
    return images.reshape(len(rows), _SHOWN, *world.image_shape)


def _varied(world: ImageWorld) -> list[tuple[int, Any]]:
    return [(k, factor) for k, factor in enumerate(world.grid.factors) if factor.continuous and factor.size > 1]


def expected(oblique: float) -> float:
    """The contrast that oblique coordinates of orthogonal axes have, log((1 + t^2) / (1 - t^2))."""
    return float(np.log1p(oblique**2) - np.log1p(-(oblique**2)))


def _vae(oblique: float, name: str) -> str:
    return f"{ARM}, oblique {oblique:g}: {name}"


_FIRST = "not in the paper: no image set's true contrast was known"
REFERENCES = (
    *(Reference(f"{name}: c_IMA", _FIRST) for name in GENERATORS),
    *(
        Reference(_vae(t, name), f"not in the paper; true contrast at least {expected(t):.3f}")
        for t in (0.0, 0.2, 0.4, STRONG)
        for name in ("MCC", "c_IMA", "dead dims")
    ),
    Reference(RELATION, "negative (theory; own experiment)"),
)


def premises(config: Any) -> dict[str, Report]:
    """Of the autoencoder: mechanisms are independent at obliqueness 0 alone, and by how much they are not."""
    if not config.obliques:
        return {}
    most = max(config.obliques)
    held = [
        Premise(
            "independent mechanisms", most == 0, f"obliqueness up to {most:g}", "recovery of the factors rests on it"
        ),
        Premise("independent factors", True, "drawn so", "the prior factorises"),
    ]
    predictions = [
        Prediction(
            f"contrast from x and y, oblique {t:g}", expected(t), "log((1 + t^2) / (1 - t^2)); scale and hue add to it"
        )
        for t in config.obliques
    ]
    return {ARM: Report(held, predictions)}


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Contrasts of generators; the autoencoder's metrics at every obliqueness, and the rank correlation with MCC."""
    found, recovered = {}, []
    for at, metrics in points(arms(config), results):
        scalars = {name: values for name, values in metrics.items() if values.ndim == 1}
        if at["generator"]:
            found |= {f"{at['arm']}: {name}": values for name, values in scalars.items()}
            shares = zip(QUANTILES, metrics["c_IMA quantiles"].T, strict=True)
            found |= {f"{at['arm']}: c_IMA, quantile {share:g}": values for share, values in shares}
        else:
            found |= {_vae(at["oblique"], name): values for name, values in scalars.items()}
            recovered += [(at["oblique"], value) for value in metrics["MCC"]]
    if not recovered:
        return found
    oblique, scores = np.asarray(recovered).T
    return found | relations.spearman(RELATION, oblique, scores, worlds=oblique)


def figures(config: Any, results: Mapping[str, Results]) -> list[Figure]:
    """Contrast of every generator, which pair it comes from, pictures; MCC over the true contrast."""
    still, recovered, learned = {}, {}, {}
    drawn: list[Figure] = []
    for at, metrics in points(arms(config), results):
        if at["generator"]:
            still[at["arm"]] = {"c_IMA": metrics["c_IMA"]}
            drawn += _generator(at["arm"], config.size, metrics, results[at["arm"]])
        else:
            recovered[expected(at["oblique"])] = metrics["MCC"]
            learned[expected(at["oblique"])] = metrics["c_IMA"]
    if still:
        caption = "Contrast of true generators at sampled factors (nats; mean over factors)."
        drawn.insert(0, Figure(caption, figure_png(bars(still, "c_IMA (nats)"))))
    if recovered:
        xlabel = "contrast of x and y in the true generator (nats)"
        for name, values in (("MCC", recovered), ("c_IMA of the decoder", learned)):
            picture = over_parameter({"VAE": values}, xlabel, name, log_x=False)
            drawn.append(Figure(f"{name} on triangles in oblique coordinates.", figure_png(picture)))
        drawn += pictures(results[ARM], 0)
    return drawn


def _generator(name: str, size: int, metrics: Mapping[str, np.ndarray], result: Results) -> list[Figure]:
    """What the factors of one generator do, and the pair of columns that is farthest from orthogonal."""
    names = [factor.name for _, factor in _varied(GENERATORS[name](size))]
    squares = metrics["squared cosines"][0]
    i, j = np.unravel_index(np.argmax(np.triu(squares, 1)), squares.shape)
    caption = (
        f"{name}: each row moves one factor through its range. Largest mean squared cosine between columns: "
        f"{names[i]} and {names[j]}, {squares[i, j]:.3f}."
    )
    return [Figure(caption, figure_png(tiles(np.asarray(result.kept("traversals")[0]), rows=names)))]
