"""A DC motor: one control, two observed states, three environments; noise-free and with a sensor's noise.

Rajendran et al. 2024, section 4. The paper's .999 is one seed; its authors' own five seeds average .855 (zero mean).
Closed form on the range of the residual, and the direction in which the published training ends.

    python -m experiments run lti/dc_motor --preset quick
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from matplotlib.figure import Figure as Canvas

from experiments.lti.worlds import draw_motor, motor_environments
from identax.assumptions.lti import lti_report
from identax.dgp.lti_plants import dc_motor
from identax.experiment import Arm, Reference, RunConfig
from identax.lti import identify_lti, kalman_smoother
from identax.lti.closed_form import closed_form_unmixing, innovation_regression
from identax.lti.moments import pair_moments
from identax.lti.published import decay_limit
from identax.metrics import chance_mcc, mcc, relative_error, within_mcc
from identax.points import points
from identax.report import Figure, figure_png
from identax.run import Results
from identax.study import HostTrial, Trials

FLOAT64 = True
"""without noise the second moments are singular"""
TRACED = ("noise_sd", "zero_means")
KALMAN = "Kalman"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """The defaults are the paper's setting."""

    dt: float = 0.01
    """sampling interval, seconds"""
    num_environments: int = 3
    num_samples: int = 5000
    noise_sd: float = 0.0
    """standard deviation of the noise of both observations (ampere, rad/s)"""
    levels: tuple[float, ...] = (0.0, 1e-3, 1e-2)
    """0.001 is a good current sensor and tachometer: a twentieth of what one control step moves"""
    zero_means: float = 1.0
    stride: int = 2
    method: Literal["pairs", "Kalman"] = "pairs"
    """of one arm: estimators for pairs of observations, or the Kalman likelihood of whole trajectories"""
    kalman_systems: int = 0
    """of every noise level above 0, fitted by the Kalman likelihood of whole trajectories: 2 seconds each"""


PRESETS: dict[str, Config] = {
    "smoke": Config(num_samples=200, num_seeds=2),
    "quick": Config(num_seeds=20, kalman_systems=4),
    "medium": Config(num_seeds=64, kalman_systems=8),
    "paper": Config(),
}
REFERENCES = (
    Reference(
        "noise 0: closed form, MCC", "0.999 (text, one seed)", {"quick": (0.9995, None), "medium": (0.9995, None)}
    ),
    Reference("noise 0: published limit, MCC", ".855 (authors' notebook, n=5: val, zero mean)"),
    Reference("noise 0.001: closed form, MCC", "none published"),
    Reference("noise 0.01: closed form, MCC", "none published"),
    Reference("noise 0: closed form, error of F", "0 (theory)"),
    Reference("noise 0.001: closed form, error of F", "biased (theory)"),
    Reference("noise 0.01: closed form, error of F", "biased (theory)"),
    Reference(
        "noise 0.001: Kalman, error of F below pairs'",
        "above 0 (theory)",
        {"quick": (0.0, None), "medium": (0.0, None)},
    ),
    Reference(
        "noise 0.01: Kalman, error of F below pairs'", "above 0 (theory)", {"quick": (0.1, None), "medium": (0.1, None)}
    ),
    Reference(
        "noise 0.01: Kalman, MCC above pairs'", "above 0 (theory)", {"quick": (0.0, None), "medium": (0.0, None)}
    ),
)


def arms(config: Config) -> Sequence[Arm]:
    """All noise levels in one program; Kalman fits of the first systems, where there is noise."""
    made = [Arm("motor", config, {"noise_sd": config.levels})]
    noisy = tuple(level for level in config.levels if level > 0)
    if config.kalman_systems and noisy:
        few = dataclasses.replace(config, method=KALMAN, num_seeds=min(config.kalman_systems, config.num_seeds))
        made.append(Arm(KALMAN, few, {"noise_sd": noisy}))
    return made


def build(config: Config):
    """One set of environments, and on it both estimators for pairs, or the Kalman likelihood of trajectories."""
    return _kalman(config) if config.method == KALMAN else _of_pairs(config)


def _of_pairs(config: Config):
    def trial(key, hparams):
        world = draw_motor(key, config, hparams)
        moments = pair_moments(world.pairs)
        closed = closed_form_unmixing(moments, world.environments.means, world.environments.variances)
        limit = decay_limit(moments, world.environments.variances)
        z = world.pairs.reshape(*world.pairs.shape[:2], -1)
        measured = {}
        for name, unmixing in (("closed form", closed), ("published limit", limit)):
            found = z @ unmixing.T
            measured[f"{name}: MCC"] = mcc(world.controls.reshape(-1, 1), found.reshape(-1, 1))
            measured[f"{name}: within MCC"] = within_mcc(world.controls, found)
        transition = innovation_regression(moments).transition
        measured["closed form: error of F"] = relative_error(transition, world.system.A)
        measured["chance: MCC"] = chance_mcc(key, 1, 8)[0]
        return measured, {name: getattr(world.system, name) for name in "ABC"}

    return trial


def _kalman(config: Config) -> HostTrial:
    """The Kalman likelihood of all trajectories of one trial against regression on pairs.

    On the host, as its optimiser is; on the world that the compiled trial draws from the same key.
    """
    draw = jax.jit(lambda key, hparams: draw_motor(key, config, hparams))

    def trial(key, hparams):
        world = draw(key, hparams)
        environments, moments = world.environments, pair_moments(world.pairs)
        closed = np.asarray(closed_form_unmixing(moments, environments.means, environments.variances))
        transition = np.asarray(innovation_regression(moments).transition)
        y = np.asarray(world.pairs).reshape(config.num_environments, -1, 2)
        labels = np.repeat(np.arange(len(y)), y.shape[1])
        fit = identify_lti(y.reshape(-1, 2), labels, environments.variances, environments.means, method="kalman")
        F, G, noise = fit.system.A, fit.system.B, fit.noise_variance or 0.0
        controls = [
            kalman_smoother(
                y[e], F, G, np.eye(2), control_mean=environments.means[e],
                control_variance=environments.variances[e], observation_covariance=noise,
            ).controls[::2]
            for e in range(config.num_environments)
        ]  # fmt: skip
        truth, pairs = world.controls.reshape(-1, 1), np.asarray(world.pairs).reshape(-1, 4) @ closed.T
        scores = {"error of F": float(relative_error(F, world.system.A))}
        scores["MCC"] = float(mcc(truth, np.concatenate(controls)))
        scores["error of F below pairs'"] = float(relative_error(transition, world.system.A)) - scores["error of F"]
        scores["MCC above pairs'"] = scores["MCC"] - float(mcc(truth, pairs))
        return scores

    return HostTrial(trial)


def premises(config: Config) -> Mapping[str, Any]:
    """Reports on the motor and the first seed's environments."""

    def report():
        with jax.enable_x64(True):
            environments = motor_environments(Trials.grid(1, seed=config.seed).keys[0], config, config.zero_means)
            return lti_report(dc_motor(config.dt), environments, num_samples=config.num_samples)

    return {"motor": report}


def measure(config: Config, results: Mapping[str, Results]) -> Mapping[str, np.ndarray]:
    """One value per seed, as `noise: estimator, quantity`."""
    measured = {}
    for at, final in points(arms(config), results):
        named = {f"{KALMAN}, {name}" if at["method"] == KALMAN else name.replace(": ", ", "): name for name in final}
        measured |= {f"noise {at['noise_sd']:g}: {shown}": final[name] for shown, name in named.items()}
    return measured


def figures(config: Config, results: Mapping[str, Results]) -> Sequence[Figure]:
    """Bode magnitude and poles of the motor."""
    if "motor" not in results:
        return []
    A, B, C = (results["motor"].kept(name)[0] for name in "ABC")
    grid = np.exp(1j * np.pi * (np.arange(256) + 0.5) / 256)
    response = C @ np.linalg.solve(grid[:, None, None] * np.eye(len(A)) - A, B)
    canvas = Canvas(figsize=(8, 3.2), layout="constrained")
    left, right = canvas.subplots(1, 2)
    for output, name in enumerate(("current", "speed")):
        left.loglog(np.angle(grid) / config.dt, np.abs(response[:, output, 0]), label=name)
    left.set(xlabel="rad/s", ylabel="|H|, per volt")
    left.legend(frameon=False)
    poles = np.linalg.eigvals(A)
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    right.plot(np.real(circle), np.imag(circle), lw=0.8)
    right.plot(np.real(poles), np.imag(poles), "x")
    right.set(aspect="equal", xlabel="Re z", ylabel="Im z")
    return [Figure("The motor: magnitude of its transfer function, and its poles.", figure_png(canvas))]
