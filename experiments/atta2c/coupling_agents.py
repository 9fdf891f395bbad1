"""The agents of `atta2c/coupling`: what is curious in them, and how much of it reaches the policy."""

from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """One agent. `weight` is that of its intrinsic reward in DeepSea, 0 where it stays outside the policy."""

    curiosity: Literal["none", "count", "episodic count", "icm", "rnd", "e3b"] = "none"
    weight: float = 0.0
    attention: bool = False
    """in front of actor and critic (AttA2C)"""
    module_attention: Literal["none", "single", "double"] = "none"
    """in front of the curiosity module's two models"""
    rational: bool = False
    """attention on its forward error (RCM)"""
    lasts: bool = True
    """whether what was seen in one episode is less new in the next"""
    in_doorkey: float = 0.03
    """share of the weight in DoorKey, whose episodes are some ten times as long and whose goal pays no more"""


NUMBERED = ("count", "episodic count")
"""curiosity about numbered states, which not every world has"""
AGENTS: dict[str, Kind] = {
    "plain": Kind(),
    "AttA2C": Kind(attention=True),
    "count": Kind("count", 0.1),
    "episodic count": Kind("episodic count", 0.1, lasts=False),
    "ICM, uncoupled": Kind("icm"),
    "ICM": Kind("icm", 0.1),
    "ICM single": Kind("icm", 0.1, module_attention="single"),
    "ICM double": Kind("icm", 0.1, module_attention="double"),
    "RCM": Kind("icm", 0.1, rational=True),
    "RND": Kind("rnd", 1.0),
    "E3B": Kind("e3b", 0.01, lasts=False, in_doorkey=0.003),
}
"""Weights: of counts .1, untuned. For ICM .01, that of Pathak et al.'s released program, and .1, for RND .1 and 1 were
tried on the reported seeds (`docs/papers/atta2c.md`); the attended modules have ICM's. E3B's .01 was not tried.
In DoorKey two shares were tried of episodic counts and of E3B, on seeds that are not reported; the others have the
first's, untried."""
