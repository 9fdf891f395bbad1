"""A series of three sums of sines to forecast, clean or with mixed targets: on the host, in float64."""

from typing import Any

import numpy as np
from jaxtyping import Float

from identax.checks import check_choice
from identax.data._checks import whole
from identax.data.windows import Windows, windows

MIXINGS = ("none", "shared", "per_set")
_CHANNELS = 3


def sine_series(num: Any) -> Float[np.ndarray, "num 3"]:
    """The series at `num` points t, evenly spaced from -num pi/100 to num pi/100, in float64.

        3 sin t + cos 2t + 1.5 sin(pi/2 + 4t) + log|t|
        cos t + 2 + cos(exp(floor(t/10) - 5))
        sin(t cos t) + 2 cos(5 (t - 2) + pi/2)

    The exponential reaches 1e93 at the published length, and its cosine is noise that only exact reduction of the
    argument gives: not a thing for float32, nor for a compiled program.
    Raises `ValueError` for num < 2, and for an odd one, whose middle point is t = 0, where the logarithm is infinite.
    Source: Reizinger & Gyires-Toth 2019, code ("sin").
    """
    num = whole("sine_series", "num", num, 2, 2**31 - 1)
    if num % 2:
        raise ValueError(f"sine_series: found num={num}, wanted an even number: log|t| is infinite at the middle point")
    t = sine_times(num)
    with np.errstate(over="ignore"):
        growing = np.exp(np.floor(t / 10) - 5)
    return np.stack(
        [
            3 * np.sin(t) + np.cos(2 * t) + 1.5 * np.sin(np.pi / 2 + 4 * t) + np.log(np.abs(t)),
            np.cos(t) + 2 + np.cos(growing),
            np.sin(t * np.cos(t)) + 2 * np.cos(5 * (t - 2) + np.pi / 2),
        ],
        axis=1,
    )


def sine_times(num: int) -> Float[np.ndarray, "num"]:
    """The points t of `sine_series`, float64."""
    end = num * np.pi / 100
    return np.linspace(-end, end, num)


def sine_mixings(seed: Any = 1) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"]]:
    """Two matrices I + U(0, 1)^(3 x 3), drawn one after the other from NumPy's `RandomState(seed)`.

    Those that the published training and test targets are multiplied with. Raises `ValueError` for a seed outside
    0 ... 2^32 - 1. Source: Reizinger & Gyires-Toth 2019, code.
    """
    rng = np.random.RandomState(whole("sine_mixings", "seed", seed, 0, 2**32 - 1))
    first, second = (np.eye(_CHANNELS) + rng.rand(_CHANNELS, _CHANNELS) for _ in range(2))
    return first, second


def sine_forecasts(
    *, mixing: str = "none", num_train: Any = 60_000, num_test: Any = 10_000, window: Any = 50, seed: Any = 1
) -> tuple[Windows, Windows]:
    """(train, test) windows [N, window, 3] of `sine_series` and the entry behind each [N, 3], float32.

    The series has num_train + num_test + 2 window points; training windows lie in its first num_train + window rows,
    test windows in the last num_test + window: no row is in both.
    `mixing` "none" is "sin". In "sin-noise" the targets, not the inputs, are y n with n of `sine_mixings(seed)`:
    "shared" has the first n for both sets; "per_set", as published, one n for training and another for testing, so
    that the test error of a perfect predictor is the distance of the two (31.11 summed over channels) and lower
    values are worse predictors that err in a lucky direction.
    Raises `ValueError` for another mixing, sizes below 1, and an odd sum of the sizes.
    Source: Reizinger & Gyires-Toth 2019, code; "shared" is the reading meant.
    """
    where = "sine_forecasts"
    check_choice(where, "mixing", mixing, MIXINGS)
    sizes = {"num_train": num_train, "num_test": num_test, "window": window}
    num_train, num_test, window = (whole(where, name, size, 1, 2**28) for name, size in sizes.items())
    if (num_train + num_test) % 2:
        raise ValueError(f"{where}: found num_train={num_train} and num_test={num_test}, wanted an even sum")
    series = sine_series(num_train + num_test + 2 * window)
    matrices = sine_mixings(seed)
    parts = []
    for number, rows in enumerate((slice(0, num_train + window), slice(num_train + window, None))):
        clean = series[rows]
        found = windows(clean.astype(np.float32), window)
        if mixing != "none":
            mixed = clean[window:] @ matrices[number if mixing == "per_set" else 0]
            found = found._replace(targets=mixed.astype(np.float32))
        parts.append(found)
    return parts[0], parts[1]
