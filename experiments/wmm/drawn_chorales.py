"""Piano rolls of four voices that wander at random: a stand-in that shows that code runs, and says nothing of Bach."""

import numpy as np

from identax.data import Chorales

DRAWN = "drawn"
"""in the place of a path"""
_LOWEST, _HIGHEST = np.array([27, 36, 42, 48]), np.array([43, 48, 53, 60])
_STAYS = 0.5


def drawn_chorales(num: int = 48, length: int = 40, seed: int = 0) -> Chorales:
    """`num` rolls [length, 88] of four voices, split 60 / 20 / 20 %: each voice stays or moves by up to two steps.

    Voices move on a scale of seven tones within a range of their own, with probability 1/2 in every quarter.
    """
    rng = np.random.RandomState(seed)
    scale = np.array([key for key in range(88) if (key - 3) % 12 in (0, 2, 4, 5, 7, 9, 11)])
    low, high = np.searchsorted(scale, _LOWEST), np.searchsorted(scale, _HIGHEST)
    rolls = []
    for _ in range(num):
        place = rng.randint(low, high)
        roll = np.zeros((length, 88), np.uint8)
        for quarter in range(length):
            roll[quarter, scale[place]] = 1
            place = np.clip(place + (rng.rand(4) > _STAYS) * rng.randint(-2, 3, 4), low, high - 1)
        rolls.append(roll)
    fifth = num // 5
    parts = rolls[: num - 2 * fifth], rolls[num - 2 * fifth : num - fifth], rolls[num - fifth :]
    return Chorales(*(tuple(part) for part in parts))
