"""One refusal of unknown names for the whole library."""

import difflib
from collections.abc import Sequence


def check_choice(where: str, name: str, value: str, choices: Sequence[str]) -> None:
    """Raises `ValueError` with the nearest known spelling unless `value` is one of `choices`."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)
        raise ValueError(
            f"{where}: found {name}={value!r}, wanted one of {list(choices)}; did you mean {near[0]!r}?"
        )
