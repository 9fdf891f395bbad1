"""What a theorem asks for, what was found, and what follows: plain data for the terminal and the report page."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Premise:
    """One condition of a theorem: `holds` is None where it cannot be told; `found` says what is the case."""

    name: str
    holds: bool | None
    found: str
    why: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One consequence: `value` as a number where it can be measured, otherwise in words."""

    quantity: str
    value: float | int | str
    why: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The premises of one experiment and what is predicted before it is run."""

    premises: Sequence[Premise]
    predictions: Sequence[Prediction]

    @property
    def covered(self) -> bool:
        """Whether no premise is known to fail."""
        return all(premise.holds is not False for premise in self.premises)

    def premise(self, name: str) -> Premise:
        """Returns the premise called `name`; raises `KeyError` if there is none."""
        return _only(self.premises, "name", name)

    def prediction(self, quantity: str) -> Prediction:
        """Returns the prediction about `quantity`; raises `KeyError` if there is none."""
        return _only(self.predictions, "quantity", quantity)

    def premise_rows(self) -> list[tuple[str, str, str, str]]:
        """Returns rows (premise, holds, found, why) for a table."""
        words = {True: "yes", False: "no", None: "unknown"}
        return [(p.name, words[p.holds], p.found, p.why) for p in self.premises]

    def prediction_rows(self) -> list[tuple[str, str, str]]:
        """Returns rows (quantity, value, why) for a table."""
        return [(p.quantity, _as_text(p.value), p.why) for p in self.predictions]

    def lines(self) -> list[str]:
        """Returns the report as lines of text."""
        marks = {"yes": "holds", "no": "FAILS", "unknown": "unknown"}
        premises = [f"  {marks[holds]:<8} {name}: {found} ({why})" for name, holds, found, why in self.premise_rows()]
        predictions = [f"  {quantity}: {value} ({why})" for quantity, value, why in self.prediction_rows()]
        return ["Premises", *premises, "Predictions", *predictions]

    def as_text(self) -> str:
        """Returns the report as one string."""
        return "\n".join(self.lines())


def _only(items, field, wanted):
    for item in items:
        if getattr(item, field) == wanted:
            return item
    raise KeyError(f"found {[getattr(item, field) for item in items]}, wanted {wanted!r}")


def _as_text(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
