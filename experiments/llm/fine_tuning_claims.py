"""What `llm/fine_tuning` compares: losses of one function at several scales of its weights, and where they start."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.llm.shared_claims import JUDGED
from identax.assumptions import Prediction, Premise, Report, rescaling_report
from identax.checks import check_count, check_nonnegative, check_positive
from identax.dgp.languages import Language, language
from identax.experiment import Arm, Reference
from identax.points import cells
from identax.run import Results

FIRST, SECOND = "a^n b^n", "a^n b^n a^n"
PRE = "pre-training"
SGD, ADAMW, INSIDE, RANDOM = "SGD", "AdamW", "SGD, alpha in the activation", "SGD from random weights"
BY_ROW = "codes by row: "
PUBLISHED = "as published: SGD"
LOSS = f"loss on {SECOND}"
DECREASE = "decrease of the first step"
STEPS = (0, 1, 10, 50, 60, 100, 200)
"""after how many steps the loss is reported, where it was evaluated"""
NEAR = 0.1
"""nats per token above the floor"""
NEARBY = f"steps to {NEAR:g} above the floor"
START = "largest difference of losses at the start"
EVER = "largest difference of losses at any step"
SPREAD = "largest difference of losses after 10 steps"
PARTS = ("W1", "W2")


def languages(config: Any) -> tuple[Language, Language]:
    """What is learned first, and what then."""
    return language(FIRST, config.max_length), language(SECOND, config.fine_length)


def arms(config: Any) -> Sequence[Arm]:
    """Pre-training, and from there every optimiser at every alpha; controls; the same with codes by row, if asked for.

    Raises `ValueError` for scales that are not positive, fewer than two or equal ones, rates and decays that are
    negative or not finite, and a pre-training of no steps.
    """
    for field in ("alphas", "activation_alphas"):
        _check_scales(field, getattr(config, field))
    for field in ("sgd_rate", "adamw_rate", "random_rate", "pre_rate", "weight_decay"):
        check_nonnegative("llm/fine_tuning", field, getattr(config, field), ())
    for field in ("pre_steps", "pre_every", "warmup"):
        check_count("llm/fine_tuning", field, getattr(config, field))
    check_positive("llm/fine_tuning", "fine_epsilon", config.fine_epsilon, ())
    # What an arm owns is said by each: a default that another config has changed would be another arm's.
    plain = dataclasses.replace(
        config, phase="fine-tuning", optimizer="SGD", by_row=False, inside=False, alpha=1.0,
        learning_rate=config.sgd_rate,
    )  # fmt: skip
    found = _after_one(plain, "", (SGD, ADAMW, INSIDE))
    random = dataclasses.replace(plain, learning_rate=config.random_rate)
    found.append(Arm(RANDOM, random, {"alpha": config.alphas}))
    if config.as_published:
        by_row = dataclasses.replace(plain, by_row=True)
        found += _after_one(by_row, BY_ROW, (SGD, ADAMW))
        own = dataclasses.replace(by_row, inside=True, epsilon=config.fine_epsilon)
        scales = {"alpha": config.activation_alphas}
        found.append(Arm(PUBLISHED, own, scales, after=BY_ROW + PRE, after_state="best"))
    return found


def _after_one(plain: Any, prefix: str, names: Sequence[str]) -> list[Arm]:
    """A pre-training, and what starts after it: `plain` is fine-tuning by SGD."""
    every = plain.pre_every
    before = dataclasses.replace(
        plain, phase="pre-training", optimizer=plain.pre_optimizer, learning_rate=plain.pre_rate,
        num_steps=plain.pre_steps, log_every=every, evaluate_every=every, checkpoint_every=plain.pre_steps,
    )  # fmt: skip
    found = [Arm(prefix + PRE, before, fixed=("learning_rate", "alpha", "inside"))]
    changes = {SGD: {}, ADAMW: {"optimizer": "AdamW", "learning_rate": plain.adamw_rate}, INSIDE: {"inside": True}}
    for name in names:
        arm = dataclasses.replace(plain, **changes[name])
        scales = plain.activation_alphas if arm.inside else plain.alphas
        found.append(Arm(prefix + name, arm, {"alpha": scales}, after=prefix + PRE, after_state="best"))
    return found


def _check_scales(field: str, scales: Any) -> None:
    if len(scales) < 2 or len(set(scales)) < len(scales):
        raise ValueError(f"llm/fine_tuning: {field}: found {scales!r}, wanted at least two different numbers")
    for value in scales:
        check_positive("llm/fine_tuning", field, value, ())


def premises(config: Any) -> dict[str, Report]:
    """Of every arm that fine-tunes: do alphas give one function, and what do they do to the first step?"""
    return {arm.name: _report(arm) for arm in arms(config) if arm.config.phase == "fine-tuning"}


def _report(arm: Arm) -> Report:
    base, *others = arm.sweep["alpha"]
    if arm.config.inside:
        premise = Premise(
            "alpha rescales weights", False, "phi(alpha x) / alpha", "a factor that cancels changes no gradient either"
        )
        why = "function and gradient are those of any other alpha"
        alike = [Prediction(_factor(part, alpha), 1.0, why) for alpha in others for part in PARTS]
        return Report([premise], [Prediction(EVER, 0.0, why), *alike])
    kind = "sgd" if arm.config.optimizer == "SGD" else "adam"
    reports = {alpha: rescaling_report(alpha / base, optimizer=kind) for alpha in others}
    predicted = [Prediction(START, 0.0, "the functions are equal")]
    for alpha, report in reports.items():
        for part in PARTS:
            known = report.prediction(f"first step through {part}, factor")
            predicted.append(dataclasses.replace(known, quantity=_factor(part, alpha)))
    return Report(next(iter(reports.values())).premises, predicted)


def _factor(part: str, alpha: float) -> str:
    return f"first step through {part}, factor, alpha = {alpha:g}"


def row_name(arm: str, alpha: float, what: str) -> str:
    """How a quantity of one arm and scale is called."""
    return f"{arm}, alpha = {alpha:g}: {what}"


def after(steps: int) -> str:
    """The loss on the second language after so many steps."""
    return f"loss after {steps} steps"


def curves(config: Any, results: Mapping[str, Results]) -> Iterator[tuple[str, Any, dict[float, np.ndarray], Any]]:
    """Per arm that fine-tuned: its name, steps [S], alpha -> losses [seeds, S], alpha -> first decreases [seeds, 2]."""
    for arm in arms(config):
        if arm.config.phase == "pre-training" or arm.name not in results:
            continue
        steps, all_losses = _curve(arm.config, results[arm.name])
        losses, first = {}, {}
        for point, result, mask in cells([arm], results):
            losses[point["alpha"]] = all_losses[mask]
            first[point["alpha"]] = result.final(DECREASE)[mask]
        yield arm.name, steps, losses, first


def _curve(config: Any, result: Results) -> tuple[np.ndarray, np.ndarray]:
    """After how many updates, and the loss then, [T, S].

    Without dropout and with one batch the loss of a step is that of the weights before it: where every step is logged,
    nothing has to be evaluated between.
    """
    if config.log_every > 1:
        return result.evaluation_steps, result.evaluation[LOSS]
    steps = np.append(result.train_steps - 1, result.evaluation_steps[-1])
    return steps, np.concatenate([result.train["loss"], result.final(LOSS)[:, None]], axis=1)


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Losses at some steps per scale and seed, how far scales are apart, and by what the first steps differ."""
    found: dict[str, np.ndarray] = {}
    for name, result in results.items():
        if name.endswith(PRE):
            found[f"{name}: loss on {FIRST}"] = result.at_best(f"loss on {FIRST}")
            found[f"{name}: {LOSS}"] = result.at_best(LOSS)
    goal = languages(config)[1].entropy_floor() + NEAR
    for arm, steps, losses, first in curves(config, results):
        for alpha, values in losses.items():
            for step in STEPS:
                if step in steps:
                    found[row_name(arm, alpha, after(step))] = values[:, list(steps).index(step)]
            found[row_name(arm, alpha, NEARBY)] = _first_below(steps, values, goal)
        apart = np.ptp(np.stack(list(losses.values())), axis=0)
        found[f"{arm}: {START}"] = apart[:, 0]
        found[f"{arm}: {EVER}"] = apart.max(axis=1)
        if 10 in steps:
            found[f"{arm}: {SPREAD}"] = apart[:, list(steps).index(10)]
        base, *others = losses
        for alpha in others:
            factors = first[alpha] / first[base]
            found |= {f"{arm}: {_factor(part, alpha)}": factors[:, number] for number, part in enumerate(PARTS)}
            if 10 in steps:
                differ = found[row_name(arm, alpha, after(10))] - found[row_name(arm, base, after(10))]
                found[f"{row_name(arm, alpha, after(10))} less that of {base:g}"] = differ
    for row in [f"{prefix}%s: {SPREAD}" for prefix in ("", BY_ROW)]:
        if row % SGD in found and row % ADAMW in found:
            found[f"{row % ADAMW} less that of {SGD}"] = found[row % ADAMW] - found[row % SGD]
    return found


def _first_below(steps: np.ndarray, losses: np.ndarray, goal: float) -> np.ndarray:
    """After how many steps a loss [seeds, E] first is at the goal; one more than all of them if it never is."""
    there = losses <= goal
    return np.where(there.any(axis=1), steps[there.argmax(axis=1)], steps[-1] + 1).astype(float)


TABLE = {
    SGD: {
        0.1: {1: 0.5945, 10: 0.2348, 50: 0.1735, 100: 0.1568, 200: 0.1480},
        1.0: {1: 0.6243, 10: 0.5794, 50: 0.3485, 100: 0.2666, 200: 0.1659},
        10.0: {1: 0.5944, 10: 2.992, 50: 0.2610, 100: 0.2226, 200: 0.1884},
    },
    ADAMW: {
        0.1: {1: 0.564, 10: 0.174, 50: 0.083, 100: 0.058, 200: 0.071},
        1.0: {1: 0.604, 10: 0.326, 50: 0.124, 100: 0.071, 200: 0.020},
        10.0: {1: 0.558, 10: 0.233, 50: 0.109, 100: 0.125, 200: 0.041},
    },
}
"""losses of one checkpoint of the authors' code, codes of positions by row of the batch, fixed order: optimiser,
alpha, steps"""
START_LOSS = 0.6296
_RANDOM = {0.1: 0.391, 1.0: 0.505, 10.0: 1.204}
"""of one draw of random weights after 60 steps, true positions"""
_TENTH = 0.1
_CHECKPOINT = "one checkpoint of the authors' code, codes by row (independent run)"


def _tenth(value: float) -> dict[str, tuple[float, float]]:
    return {"medium": ((1 - _TENTH) * value, (1 + _TENTH) * value)}


def _of_table(arm: str, kind: str, judged: bool) -> Iterator[Reference]:
    for alpha, losses in TABLE[kind].items():
        for step, value in losses.items():
            bands = _tenth(value) if judged else {}
            note = "Ten per cent around it." if judged else ""
            yield Reference(row_name(arm, alpha, after(step)), f"{value:g}: {_CHECKPOINT}", bands, note)


def _of_first_step(arm: str, power: int) -> Iterator[Reference]:
    for alpha in (0.1, 10.0):
        for part, value in zip(PARTS, (alpha**-power, alpha**power), strict=True):
            yield Reference(
                f"{arm}: {_factor(part, alpha)}", f"{value:g} (theory)",
                {preset: (0.999 * value, 1.001 * value) for preset in JUDGED}, "To first order; float32.",
            )  # fmt: skip


_EQUAL = {preset: (0.0, 1e-6) for preset in JUDGED}
REFERENCES = (
    *(
        Reference(f"{arm}: {START}", "0 (theory: one function)", _EQUAL, "Over alphas, per seed.")
        for arm in (SGD, ADAMW, RANDOM, BY_ROW + SGD, BY_ROW + ADAMW)
    ),
    *(
        Reference(
            f"{arm}: {EVER}", "0 (theory: neither function nor gradient changes)", _EQUAL,
            "The published place of alpha, by powers of two.",
        )
        for arm in (INSIDE, PUBLISHED)
    ),
    *(row for prefix in ("", BY_ROW) for row in _of_first_step(prefix + SGD, 2)),
    *(row for prefix in ("", BY_ROW) for row in _of_first_step(prefix + ADAMW, 1)),
    Reference(
        f"{row_name(SGD, 0.1, after(10))} less that of 1", f"{0.2348 - 0.5794:.3f}: {_CHECKPOINT}",
        {preset: (None, 0.0) for preset in JUDGED}, "Sign alone: alpha decides how soon it is learned.",
    ),
    Reference(
        f"{row_name(SGD, 10.0, after(10))} less that of 1", f"{2.992 - 0.5794:.3f}: {_CHECKPOINT}",
        {}, "The checkpoint has codes by row; when a trial jumps decides the sign.",
    ),
    Reference(
        f"{row_name(BY_ROW + SGD, 10.0, after(10))} less that of 1", f"{2.992 - 0.5794:.3f}: {_CHECKPOINT}",
        {"medium": (0.0, None)}, "Sign alone.",
    ),
    Reference(
        f"{ADAMW}: {SPREAD} less that of {SGD}", f"{0.152 - 2.7572:.3f}: {_CHECKPOINT}",
        {preset: (None, 0.0) for preset in JUDGED}, "Sign alone: AdamW depends less on the scale.",
    ),
    *(Reference(f"{prefix}{PRE}: loss on {FIRST}", ".0840 is the floor at M = 32") for prefix in ("", BY_ROW)),
    Reference(f"{PRE}: {LOSS}", f"{START_LOSS}: {_CHECKPOINT}"),
    Reference(f"{BY_ROW}{PRE}: {LOSS}", f"{START_LOSS}: {_CHECKPOINT}"),
    *_of_table(BY_ROW + SGD, SGD, True),
    *_of_table(BY_ROW + ADAMW, ADAMW, False),
    *_of_table(SGD, SGD, False),
    *_of_table(ADAMW, ADAMW, False),
    *(
        Reference(
            row_name(RANDOM, alpha, after(60)),
            f"{value:g}: one draw, authors' code, true positions (independent run)",
        )
        for alpha, value in _RANDOM.items()
    ),
    *(
        Reference(row_name(arm, alpha, NEARBY), "not published", {}, "One more than all steps: never.")
        for arm in (SGD, ADAMW) for alpha in (0.1, 1.0, 10.0)
    ),
)  # fmt: skip
