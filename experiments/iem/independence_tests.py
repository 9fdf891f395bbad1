"""Are the independence tests calibrated, and what do they see? Rejections under independence and over its strength.

What the identification of structure in `iem/variability` and its relatives stands on: under independence p-values are
uniform, and the share that falls below the level grows with the dependence and with n. A data set is one trial; x and y
stand alone, or depend on a common z and on each other by a strength that is swept, 0 being independence.

    python -m experiments run iem/independence_tests --preset quick
"""

import dataclasses
import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import jax
import jax.numpy as jnp

from experiments.iem import independence_tests_claims as claims
from identax.causal import independence_test
from identax.experiment import RunConfig
from identax.rng import stream

World = Literal["gaussian", "nonlinear", "categorical", "sparse"]
TRACED = ("strength",)
FLOAT64 = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Data sets of one law and one number of samples; seeds are data sets."""

    world: World = "gaussian"
    num_samples: int = 200
    samples: tuple[int, ...] = (50, 100)
    """two arms of every world each; `world` and `num_samples` are not read"""
    worlds: tuple[World, ...] = ("gaussian", "nonlinear", "categorical", "sparse")
    strength: float = 0.0
    """of the dependence; 0 is independence"""
    strengths: tuple[float, ...] = (0.2, 0.4)
    """of the arms of power, crossed with their data sets"""
    level: float = 0.05
    num_features_z: int = 25
    """of z in the randomised test"""
    num_seeds: int = 300
    """independent data sets"""
    power_seeds: int = 100
    """data sets of every strength"""
    block_size: int | None = 100


PRESETS: dict[str, Config] = {
    "smoke": Config(samples=(30,), strengths=(0.4,), num_features_z=5, num_seeds=4, power_seeds=2),
    "quick": Config(worlds=("gaussian", "nonlinear", "categorical")),  # no row of the sparse law could be judged
    "medium": Config(num_seeds=2000, power_seeds=1000),
    "paper": Config(samples=(100, 200, 500), strengths=(0.1, 0.2, 0.4), num_features_z=100, num_seeds=1000),
}

arms = claims.arms
REFERENCES = claims.REFERENCES
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Callable[..., dict[str, jax.Array]]:
    """One data set, without and with z: the p-value of every test that is run on its law."""
    return _tested(config.world, config.num_samples, config.num_features_z)


@lru_cache(maxsize=32)  # arms of one law and size, which differ in their numbers of data sets, have one program
def _tested(world, num, num_features_z):
    # One after the other: mapped, kernels of a hundred data sets at once fall out of the cache.
    @jax.custom_batching.sequential_vmap
    def trial(key, strength):
        found = {}
        for given in (False, True):
            x, y, z = draw(world, stream(key, "given z" if given else "alone"), num, strength, given)
            for method in claims.TESTS[world]:
                if not given or method != "hsic":
                    options = _options(world, method, stream(key, "features"), given, num_features_z)
                    p = independence_test(x, y, z, method=method, **options).p_value
                    found[claims.label(method, given)] = p
        return found

    return lambda key, hparams: trial(key, hparams["strength"])


@partial(jax.jit, static_argnums=(0, 2, 4))
def draw(world: str, key, num: int, strength, given: bool):
    """x, y and z [num] (z None unless `given`); x is independent of y (given z) at strength 0.

        gaussian:    x = z + u,  y = z + v,                (u, v) normal of correlation `strength`
        nonlinear:   x = tanh(z + u),  y = sin(z + v),     v = a w + strength (u^2 - 1) / sqrt 2 of unit variance
        categorical: x, y in 0 .. L-1 by P(. | z), L = 2 (sparse: 4); y becomes x with probability `strength`

    u, w, z normal; without `given` z = 0 there, and categories are uniform.
    """
    keys = [stream(key, name) for name in ("z", "x", "y", "copies")]
    if world in claims.LEVELS:
        laws = [jnp.asarray(law) for law in claims.laws(world, given)]
        z = jax.random.randint(keys[0], (num,), 0, len(laws[0]))
        x, y = (jax.random.categorical(each, jnp.log(law)[z]) for each, law in zip(keys[1:3], laws, strict=True))
        y = jnp.where(jax.random.bernoulli(keys[3], strength, (num,)), x, y)
        return x, y, z if given else None
    z, u, w = (jax.random.normal(each, (num,)) for each in keys[:3])
    common = z if given else jnp.zeros(num)
    rest = jnp.sqrt(1 - strength**2) * w
    if world == "gaussian":
        x, y = common + u, common + rest + strength * u
    else:
        x, y = jnp.tanh(common + u), jnp.sin(common + rest + strength * (u * u - 1) / math.sqrt(2))
    return x, y, z if given else None


def _options(world, method, key, given, num_features_z):
    """What a test is told besides the data; by Cholesky, which is faster for so few samples."""
    return {
        "g": {"levels": claims.LEVELS.get(world)},
        "rcit": {"key": key, "num_features_z": num_features_z},
        "kci": {"solver": "cholesky"} if given else {},
    }.get(method, {})
