"""The ground truth of the simulations: clusters on a sphere under the laws that the paper compares."""

from collections.abc import Mapping
from typing import Any

from identax.dgp import (
    GeneralizedNormal,
    Laplace,
    Normal,
    TruncatedLaplace,
    Uniform,
    VonMisesFisher,
    sphere_clusters,
)
from identax.rng import stream


def law(config: Any, hparams: Mapping[str, Any]) -> Any:
    """The conditional around a cluster's vector; parameters may be traced."""
    scale, shape = hparams["scale"], hparams["shape"]
    return {
        "vmf": lambda: VonMisesFisher(hparams["kappa"]),
        "laplace": lambda: Laplace(scale),
        "normal": lambda: Normal(scale),
        "generalized_normal": lambda: GeneralizedNormal(shape, scale),
        "truncated_laplace": lambda: TruncatedLaplace(scale, shape),
    }[config.conditional]()


def world(config: Any, mixing: Any):
    """The clusters of a config under a mixing; the concentration is `init`'s to take."""
    return sphere_clusters(
        config.dim,
        config.num_clusters,
        law(config, {"kappa": 1.0, "scale": 1.0, "shape": 2.0}),
        mixing,
        num_labels=config.num_labels,
        marginal={"uniform": Uniform(), "laplace": Laplace(1.0), "normal": Normal(1.0)}[config.marginal],
        imbalance=None if config.balanced else 0.0,
    )


def init_world(config: Any, dgp: Any, key: Any, hparams: Mapping[str, Any]) -> Any:
    """The ground truth of one trial."""
    extra = {} if config.balanced else {"imbalance": hparams["imbalance"]}
    return dgp.init(stream(key, "truth"), conditional=law(config, hparams), **extra)
