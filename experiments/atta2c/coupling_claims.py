"""What `atta2c/coupling` compares: the same agents with and without a bonus that reaches the policy."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.atta2c.coupling_agents import AGENTS
from experiments.atta2c.coupling_worlds import BREAKOUT, DEEP_SEA, DOORKEYS
from identax.agents import check_settings
from identax.assumptions import Prediction, Premise, Report
from identax.checks import check_choice, check_count
from identax.experiment import Arm, Reference
from identax.points import cells
from identax.run import Results

TRACED = ("learning_rate", "bonus_weight", "entropy_weight", "discount")
CHANNELS = 64
TELEVISION, REMOTE = "N = 20, television", "N = 20, television on demand"
LATE = 0.5
"""of the episodes of the last chunk that succeed: then a seed has solved its world"""
_KNOWN = {
    6: ("16 of 16", "16 of 16"), 8: ("16 of 16", "16 of 16"), 10: ("16 of 16", "16 of 16"),
    12: ("14 of 16", "16 of 16"), 14: ("0 of 16", "16 of 16"), 16: ("0 of 16", "16 of 16"),
    30: ("0 of 16", "15 of 16"),
}  # fmt: skip
"""size: seeds that plain A2C and a count bonus solve in 24,000 episodes (an independent program)"""
_PRESETS = ("quick", "medium", "paper")
_FAILS, _SOLVES = (None, 0.1), (0.8, None)


def world_name(config: Any) -> str:
    """How the world of an arm is called."""
    if config.world == DEEP_SEA:
        more = {
            ", summed losses": config.loss == "sum", ", mixed actions": config.mixed_actions,
            ", television": config.channels > 0, " on demand": config.channels > 0 and config.remote,
        }  # fmt: skip
        return f"N = {config.size}" + "".join(name for name, there in more.items() if there)
    return config.world + (", delayed" if config.delayed else "")


def _check(config: Any) -> None:
    check_settings(**{name: getattr(config, name) for name in TRACED})
    for name in ("agents", "television", "remotes", "breakout", "walkers"):
        for agent in getattr(config, name):
            check_choice("atta2c/coupling", f"agent of {name}", agent, tuple(AGENTS))
    check_settings(entropy_weight=config.doorkey_entropy_weight)
    for name in ("summed_sizes", "other_sizes", "mixed_sizes"):
        for size in getattr(config, name):
            check_count("atta2c/coupling", name, size)
    # What is measured is recorded while an agent trains: there is nothing to report of one that does not.
    for name in ("num_steps", "breakout_steps", "doorkey_steps", "doorkey_environments", "fewer_seeds"):
        check_count("atta2c/coupling", name, getattr(config, name))


def arms(config: Any) -> Sequence[Arm]:
    """Every agent in its worlds, each with the weight of its bonus; all on the same seeds.

    Raises `ValueError` for an unknown agent, numbers that `check_settings` refuses, and counts < 1.
    """
    _check(config)
    both, fewer = ("plain", "count"), min(config.num_seeds, config.fewer_seeds)
    watched = dataclasses.replace(config, channels=CHANNELS)
    drawn = config.size if config.world == DEEP_SEA else 0
    worlds = [
        (dataclasses.replace(config, frames=drawn), config.agents), (watched, config.television),
        (dataclasses.replace(watched, remote=True), config.remotes),
    ]  # fmt: skip
    for world in config.doorkeys:
        walked = dataclasses.replace(
            config, world=world, num_environments=config.doorkey_environments, rollout_length=20, threshold=0.0,
            entropy_weight=config.doorkey_entropy_weight, num_steps=config.doorkey_steps, num_seeds=fewer,
            log_every=50, evaluate_every=200, checkpoint_every=200,
        )  # fmt: skip
        worlds.append((walked, config.walkers))
    for delayed in (False, True):
        played = dataclasses.replace(
            config, world=BREAKOUT, delayed=delayed, num_environments=64, rollout_length=5, num_seeds=fewer,
            num_steps=config.breakout_steps, evaluate_every=300, checkpoint_every=600, frames=12,
        )  # fmt: skip
        worlds.append((played, config.breakout))
    for size in config.summed_sizes:
        worlds.append((dataclasses.replace(config, size=size, loss="sum"), both))
    for size in config.other_sizes:
        worlds.append((dataclasses.replace(config, size=size), both))
    for size in config.mixed_sizes:
        worlds.append((dataclasses.replace(config, size=size, mixed_actions=True), both))
    return [_agent_arm(world, agent) for world, agents in worlds for agent in agents]


def _agent_arm(config: Any, agent: str) -> Arm:
    kind = AGENTS[agent]
    weight = kind.weight * (kind.in_doorkey if config.world in config.doorkeys else 1.0)
    return Arm(
        f"{agent}, {world_name(config)}",
        dataclasses.replace(config, agent=agent, bonus_weight=weight),
        fixed=() if weight else ("bonus_weight",),
    )


def _solved(agent: str, where: str) -> str:
    return f"{agent}, {where}: solved"


_PLAIN = {6: _SOLVES, 8: _SOLVES, 10: _SOLVES, 14: _FAILS, 16: _FAILS, 30: _FAILS}
"""size 12, 14 of 16, is on neither side"""
_SUM = "The loss is a sum over all transitions of an update, its gradient clipped at the same norm."
_SUMMED = {10: (_SOLVES, _SOLVES), 12: (None, _SOLVES), 14: (_FAILS, _SOLVES), 16: (_FAILS, _SOLVES)}
_LUCK = "Chance sees the goal in 1 - exp(-24,000 / 2^N) of the seeds: .77 at N = 14, .31 at N = 16."
_IDLE = "A size that nobody learns without a bonus compares nothing."
_RARE = "a goal that a search at random sees in 1 of 44 seeds"
REFERENCES = (
    Reference(_solved("plain", "N = 20"), f"0 of 16 (independent program); {_RARE}", dict.fromkeys(_PRESETS, _FAILS)),
    Reference(_solved("count", "N = 20"), "16 of 16 (independent program)", dict.fromkeys(_PRESETS, _SOLVES)),
    Reference("plain, N = 20: goal seen", "0 of 16 (independent program)", dict.fromkeys(_PRESETS, _FAILS)),
    Reference(
        _solved("ICM, uncoupled", "N = 20"), "as plain: its curiosity does not reach the policy",
        dict.fromkeys(_PRESETS, _FAILS),
    ),
    *(
        Reference(_solved(agent, "N = 20"), "not in the paper")
        for agent in AGENTS if agent not in ("plain", "count", "ICM, uncoupled")
    ),
    *(
        Reference(
            _solved(agent, f"N = {size}"), f"{known} (independent program)",
            dict.fromkeys(_PRESETS, band) if band else {}, _LUCK if agent == "plain" and size in (14, 16) else "",
        )
        for size, row in _KNOWN.items()
        for agent, known, band in zip(("plain", "count"), row, (_PLAIN.get(size), _SOLVES), strict=True)
    ),
    *(
        Reference(
            _solved(agent, f"N = {size}, summed losses"), f"{known} (independent program)",
            dict.fromkeys(_PRESETS, band) if band else {}, _SUM,
        )
        for size, bands in _SUMMED.items()
        for agent, known, band in zip(("plain", "count"), _KNOWN[size], bands, strict=True)
    ),
    *(
        Reference(_solved(agent, f"N = {size}, mixed actions"), "not in the paper")
        for size in (14, 20) for agent in ("plain", "count")
    ),
    *(Reference(_solved(agent, where), "not in the paper") for where in (TELEVISION, REMOTE) for agent in AGENTS),
    *(
        Reference(
            f"{agent}, {world}: late success", "not in the paper",
            dict.fromkeys(_PRESETS, (LATE, None)) if agent == "plain" else {}, _IDLE if agent == "plain" else "",
        )
        for world in DOORKEYS for agent in AGENTS
    ),
    *(
        Reference(f"{agent}, {world}: success over training", "not in the paper")
        for world in DOORKEYS for agent in AGENTS
    ),
    Reference(f"plain, {BREAKOUT}: return", ".41 at random; 3.4 after 192,000 steps (independent program, 1 seed)"),
    *(
        Reference(f"{agent}, {world}: return", "not in the paper")
        for world in (BREAKOUT, f"{BREAKOUT}, delayed") for agent in AGENTS
        if (agent, world) != ("plain", BREAKOUT)
    ),
)  # fmt: skip


def premises(config: Any) -> dict[str, Report]:
    """Whether the bonus reaches the policy, tells states of one episode apart, and is needed at all."""
    return {arm.name: _report(arm.config) for arm in arms(config) if arm.config.world == DEEP_SEA}


def _report(config: Any) -> Report:
    kind, episodes = AGENTS[config.agent], config.num_environments * config.num_steps
    hits = episodes / 2**config.size
    reached = Premise(
        "a bonus reaches the policy", config.bonus_weight > 0, f"weight {config.bonus_weight:g}",
        "a loss of its own with an encoder of its own changes what acts by the common clipping alone",
    )  # fmt: skip
    found = [reached]
    if kind.curiosity != "none":
        found.append(
            Premise(
                "the bonus lasts beyond an episode", kind.lasts, kind.curiosity,
                "a state of DeepSea comes at most once in an episode: counts of one episode are 1 everywhere",
            )
        )  # fmt: skip
    curious = Report(found, []).covered
    needed = Premise(
        "random search is too slow", hits < 1, f"{hits:.3g} successes in {episodes:,} episodes at random",
        "a uniform policy succeeds once in 2^N episodes; what is seen often needs no bonus",
    )  # fmt: skip
    works = "by most seeds" if curious or not needed.holds else "by few or none"
    why = "a bonus that reaches the policy and lasts, or a goal that is found without"
    return Report([*found, needed], [Prediction("solved", works, why)])


def measure(config: Any, results: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Per seed: solved or not, success late in training and as a mean over it, goal ever seen, share of states visited;
    returns elsewhere.
    """
    found = {}
    for at, result, mask in cells(arms(config), results):
        name = at["arm"]
        if at["world"] == BREAKOUT:
            found[f"{name}: return"] = result.train["recent return"][mask, -1]
            continue
        success = result.train["success"][mask]
        found[f"{name}: solved"] = np.where(np.isnan(success[:, -1]), np.nan, success[:, -1] > LATE)
        found[f"{name}: late success"] = success[:, -1]
        # Before the first episode has ended there is no share.
        found[f"{name}: success over training"] = np.where(
            np.isnan(success[:, -1]), np.nan, np.nan_to_num(success).mean(axis=1)
        )
        found[f"{name}: goal seen"] = (np.nan_to_num(success) > 0).any(axis=1).astype(float)
        found[f"{name}: states visited"] = result.final("states visited")[mask]
    return found
