"""What the oracle says of a pair under every combination of what varies, in one report."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from identax.assumptions import Report, structure_report

EDGE = np.array([[0, 1], [0, 0]])
"""X -> Y"""


def of_condition(condition: str, what: str) -> str:
    """The name of a premise or a prediction where that varies."""
    return f"{condition} vary: {what}"


def report_by_condition(conditions: Mapping[str, Sequence[float]], num_environments: int) -> Report:
    """`structure_report` of X -> Y for every condition, its premises and predictions named by `of_condition`.

    `conditions`: by name whether the cause's parameter, and the mechanism's, varies: a number above 0 where it does.
    """
    premises, predictions = [], []
    for condition, varies in conditions.items():
        report = structure_report(EDGE, [flag > 0 for flag in varies], num_environments=num_environments)
        premises += [dataclasses.replace(one, name=of_condition(condition, one.name)) for one in report.premises]
        predictions += [
            dataclasses.replace(one, quantity=of_condition(condition, one.quantity)) for one in report.predictions
        ]
    return Report(premises, predictions)
