"""How large the noise of generalised normal clusters is: the panel of Fig. 4 beside the heat maps of recovery.

R2 falls as the scale alpha grows and as p goes from 2 (Normal) to 1 (Laplace). Both make the noise larger:

    E|x| = alpha Gamma(2/p) / Gamma(1/p),    density of x prop. to exp(-|x/alpha|^p)

alpha at p = 1 and alpha/sqrt(pi) at p = 2: what looks like an effect of the law's shape is partly one of its size.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from identax.dgp import Euclidean, GeneralizedNormal
from identax.report import Figure, figure_png
from identax.report.style import canvas, legend, series_style
from identax.rng import stream

_DRAWS = 20_000


def mean_size(p: float | Float[np.ndarray, "..."], scale: float) -> Float[np.ndarray, "..."]:
    """E|x| of the one-dimensional generalised normal law with power `p` > 0: alpha Gamma(2/p) / Gamma(1/p)."""
    p = np.asarray(p, float)
    return np.asarray(scale * np.exp(gammaln(2 / p) - gammaln(1 / p)))


def drawn_sizes(powers: Sequence[float], scales: Sequence[float], seed: int) -> Float[Array, "S P"]:
    """Mean |x| of 20,000 draws of the sampler that the clusters use, in one dimension, for every scale and power."""
    space, center = Euclidean(1), jnp.zeros((_DRAWS, 1))
    cells = jnp.asarray([(p, scale) for scale in scales for p in powers])

    def cell(key, pair):
        return jnp.abs(GeneralizedNormal(pair[0], pair[1]).sample(key, center, space)).mean()

    keys = jax.random.split(stream(jax.random.key(seed), "noise sizes"), len(cells))
    return jax.lax.map(lambda one: cell(*one), (keys, cells)).reshape(len(scales), len(powers))


def noise_sizes(powers: Sequence[float], scales: Sequence[float], sizes: Float[np.ndarray, "S P"]) -> Figure:
    """Drawn mean sizes, as of `drawn_sizes`, as points on the closed form's lines, one line a scale."""
    figure, axes = canvas((4.6, 3.8), "size of the noise")
    line = np.linspace(min(powers), max(powers), 101)
    for number, (scale, drawn) in enumerate(zip(scales, sizes, strict=True)):
        color, _ = series_style(number)
        axes.plot(line, mean_size(line, scale), "-", color=color, lw=1)
        axes.plot(powers, drawn, "o", color=color, ms=5, label=f"scale {scale:g}")
    axes.set(xlabel="p (1: Laplace, 2: Normal)", ylabel="mean |noise| of one dimension", ylim=(0, None))
    legend(figure, axes)
    caption = f"Generalised normal: mean size of the noise in one dimension, {_DRAWS:,} draws; lines: its expectation."
    return Figure(caption, figure_png(figure))
