"""What the configs of these experiments must be, refused before anything is drawn."""

from typing import Any

from identax.checks import check_between


def check_cells(where: str, config: Any, *fields: str) -> None:
    """Raises `ValueError` unless the fields, tuples that arms are made of, hold different values, and one at least.

    The level of the config, if it has one, must be in [0, 1]: tests at another one are decided before they are made.
    """
    for field in fields:
        values = getattr(config, field)
        if len(set(values)) < len(values):
            raise ValueError(f"{where}: found {field}={values}, wanted different ones: every one has an arm of its own")
    if not any(getattr(config, field) for field in fields):
        raise ValueError(f"{where}: found no {' and no '.join(fields)}, wanted at least one")
    if hasattr(config, "level"):
        check_between(where, "level", config.level, 0, 1, ())
