"""What `aninfonce/synthetic` compares, and what it is held against: the paper's numbers, the theory's predictions."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.aninfonce import spectra
from identax.assumptions import (
    ContrastiveObjective,
    ContrastiveWorld,
    Report,
    collapse_thresholds,
    contrastive_report,
    oracle_precision,
    pair_correlations,
)
from identax.dgp import anisotropic_pairs, identity
from identax.experiment import Arm, Reference
from identax.run import Results


def arms(config: Any) -> Sequence[Arm]:
    """AnInfoNCE on two spectra, on a hard one with and without the cure; InfoNCE where it keeps and loses style.

    The last one trains nothing: it records what theory says of these worlds.
    """
    uncured = dataclasses.replace(config, warm_starts=(), spare_dims=0)
    # No warm start to wait for, so half the steps do; whatever the preset, a whole number of chunks.
    chunks = config.num_steps // config.log_every
    shorter = config.num_steps if not config.warm_starts else max(chunks // 2, 1) * config.log_every
    infonce_config = dataclasses.replace(uncured, objective="infonce", num_steps=shorter)
    hard = {"high": 50.0, "low": 2.0}
    found = [
        Arm("bimodal", config),
        Arm("linear", dataclasses.replace(config, spectrum="linear")),
        Arm("hard", dataclasses.replace(config, **hard)),
        Arm("hard, no cure", dataclasses.replace(uncured, **hard)),
        Arm("infonce", infonce_config, {"temperature": config.temperatures}),
        Arm("infonce hard", dataclasses.replace(infonce_config, **hard), {"temperature": config.temperatures}),
    ]
    theory = dataclasses.replace(config, objective=THEORY, num_steps=0, num_seeds=1)
    found.append(Arm(THEORY, theory, fixed=("high", "low", "temperature", "learning_rate", "precision_learning_rate")))
    return [arm for arm in found if config.control or arm.name != "hard, no cure"]


THEORY = "theory"
"""the arm that trains nothing: `of_theory`"""


def of_theory(config: Any) -> dict[str, np.ndarray]:
    """What a perfect encoder would learn in the world of every arm, as `arm: quantity`: numbers, on the host."""
    found = {}
    for arm in arms(dataclasses.replace(config, objective="aninfonce")):
        if arm.config.objective == "aninfonce":
            found[f"{arm.name}: precision"] = np.array(oracle_of(arm.config))
            found[f"{arm.name}: truth"] = np.asarray(_true(*_world(arm.config)))
        elif arm.config.objective == "infonce":
            threshold = collapse_thresholds(correlations_of(arm.config)).max()
            found[f"{arm.name}: collapse threshold"] = np.asarray(threshold)
    return found


_SITE = "project page, n=10, one run"
_LOG = "shipped log, n=10, one run"
REFERENCES = (
    Reference("bimodal: content R2", f"0.9934 ± 0.0011 ({_SITE})", {"quick": (0.98, None)}),
    Reference("bimodal: style R2", f"0.9909 ± 0.0016 ({_SITE})", {"quick": (0.98, None)}),
    Reference(
        "bimodal: MCC",
        f"0.685 ({_LOG}); random rotation in two blocks of 3: 0.83 ± 0.06 per trial",
        {"quick": (0.74, 0.92)},
        "Blocks of equal precision are identified up to a rotation, so no MCC of 1 is claimed.",
    ),
    Reference(
        "bimodal: precision error",
        f"0.076 and 0.12 in the two blocks ({_LOG})",
        {"quick": (None, 0.05)},
        "Largest relative error over all entries, estimates and truth sorted.",
    ),
    Reference("bimodal: R2 lost within blocks", "about 0.01 (derived)", {"quick": (None, 0.01)}),
    Reference("linear: R2", f"0.9976 ({_LOG})", {"quick": (0.99, None)}),
    Reference("linear: MCC", f"0.990 ({_LOG})", {"quick": (0.95, None)}),
    Reference("linear: rank-matched MCC", "equal to MCC where theory holds (derived)", {"quick": (0.95, None)}),
    Reference(
        "linear: precision error against oracle",
        "",
        {"quick": (None, 0.10)},
        "Largest relative error over all entries against the optimum of a perfect encoder.",
    ),
    Reference("linear: worst seed's precision error against oracle", "", {"quick": (None, 0.10)}),
    Reference(
        "hard: style R2",
        "above 0.5, one latent found late (authors' code, n=6)",
        {"quick": (0.95, None)},
        "Precision 50/2. With the warm start; without it the arm `hard, no cure` shows what happens.",
    ),
    Reference("hard: content R2", "≥ 0.97 (authors' code, n=6)", {"quick": (0.97, None)}),
    Reference("hard, no cure: style R2", "about 0.66: one of three latents missing (authors' code, n=6)"),
    Reference("infonce: content R2", "0.949 (authors' code, n=6)", {"quick": (0.88, None)}),
    Reference(
        "infonce: style R2",
        "0.856 after 4000 steps (authors' code, n=6)",
        {"quick": (0.5, None)},
        "Precision 25/5, temperature 1. Linear R2 of a noise-free embedding forgives a small share of the moment.",
    ),
    Reference("infonce hard: content R2", f"0.9462 ± 0.0045 ({_SITE})", {"quick": (0.88, None)}),
    Reference("infonce hard: style R2", f"0.0093 ± 0.0025 ({_SITE})", {"quick": (None, 0.05)}),
)


def premises(config: Any) -> Mapping[str, Report]:
    """Which theorem applies to each arm, and what it predicts."""
    return {arm.name: _report(arm.config) for arm in arms(config) if arm.name != THEORY}


def _report(config: Any) -> Report:
    true = _true(*_world(config))
    world = ContrastiveWorld("sphere", config.dim, precision=tuple(np.asarray(true).tolist()), exact=False)
    infonce = config.objective == "infonce"
    objective = ContrastiveObjective(
        config.objective, "sphere", config.batch_size, config.temperature if infonce else 1.0, scheme=config.scheme
    )
    rho = correlations_of(config) if infonce else None
    oracle = None if infonce else jnp.array(oracle_of(config))
    return contrastive_report(world, objective, rho=rho, oracle=oracle)


def _world(config: Any) -> tuple:
    return config.spectrum, config.dim, config.high, config.low, config.threshold


def _true(spectrum_name: str, dim: int, high: float, low: float, threshold: float) -> jax.Array:
    return spectra.precision(spectrum_name, dim, high=high, low=low)


def _pairs(spectrum_name: str, dim: int, high: float, low: float, threshold: float):
    """The world without its mixing: the theory speaks about latents."""
    true = _true(spectrum_name, dim, high, low, threshold)
    dgp = anisotropic_pairs(dim, mixing=identity(), precision=true, threshold=threshold)
    truth = dgp.init(jax.random.key(0))
    return lambda key, num: dgp.sample(truth, key, num).latents


def correlations_of(config: Any) -> jax.Array:
    """Correlation of every latent with its positive's."""
    return _rho(*_world(config))


@functools.lru_cache
def _rho(*world: Any) -> jax.Array:
    return pair_correlations(*_pairs(*world)(jax.random.key(1), 100_000))


def oracle_of(config: Any) -> tuple[float, ...]:
    """Precision that a perfect encoder would learn in this world with this batch and scheme."""
    return _oracle(_world(config), config.batch_size, config.scheme)


@functools.lru_cache
def _oracle(world: tuple, num_pairs: int, scheme: str) -> tuple[float, ...]:
    found = oracle_precision(
        jax.random.key(2), _pairs(*world), world[1], num_pairs=num_pairs, scheme=scheme, init=_true(*world)
    )
    return tuple(np.asarray(found).tolist())


def measure(config: Any, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed for every quantity, as `arm: quantity`; of a temperature sweep, the config's own."""
    measured: dict[str, np.ndarray] = {}
    for arm in arms(config):
        if arm.name not in results or arm.name == THEORY:
            continue
        result = results[arm.name]
        mask = result.where(temperature=arm.config.temperature)
        final = {name: result.final(name)[mask] for name in result.evaluation}
        measured |= {f"{arm.name}: {name}": values for name, values in final.items() if values.ndim == 1}
        measured[f"{arm.name}: linear R2"] = final["R2"]
        measured[f"{arm.name}: collapsed loss"] = result.train["loss"][mask, 0]
        if "precision" in final:
            errors = _precision_errors(final, theory_of(arm.name, "precision", results))
            measured |= {f"{arm.name}: {name}": values for name, values in errors.items()}
    return measured


def theory_of(arm: str, quantity: str, results: Mapping[str, Results]) -> np.ndarray | None:
    """What the arm `theory` recorded of the world of `arm`; None where it did not run."""
    return results[THEORY].final(f"{arm}: {quantity}")[0] if THEORY in results else None


def _precision_errors(final: Mapping[str, np.ndarray], oracle: np.ndarray | None) -> dict[str, np.ndarray]:
    lost = np.abs(np.stack([final[f"{b} R2"] - final[f"{b} R2 within block"] for b in ("content", "style")])).max(
        axis=0
    )
    found = {"oracle precision": final["precision"][:, ::-1], "R2 lost within blocks": lost}
    if oracle is None:
        return found
    error = np.abs(final["precision"] / np.sort(oracle) - 1).max(axis=1)
    return found | {
        "precision error against oracle": error,
        "worst seed's precision error against oracle": error.max(keepdims=True),
    }
