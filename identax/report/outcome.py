"""From the results of all arms to the table "paper | ours", the figures, `summary.json` and the page."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from identax.report.page import MOST_FAILED, Comparison, Section, Table, trials_table, write_report
from identax.run.progress import mean_sd
from identax.run.records import AGAIN, naming_damage, read_json, write_json
from identax.run.results import Results

EXPERIMENT, SUMMARY = "experiment.json", "summary.json"


@dataclasses.dataclass(frozen=True)
class Reference:
    """A published or derived number for one measured quantity.

    `paper` is its text with table or figure and provenance. `bands` maps a preset to (low, high), None open.
    Raises `ValueError` for a recollected number with a band: such a number is shown, never tested against.
    """

    quantity: str
    paper: str
    bands: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(default_factory=dict)
    note: str = ""
    recollected: bool = False

    def __post_init__(self) -> None:
        if self.recollected and self.bands:
            raise ValueError(f"Reference {self.quantity!r}: found bands on a recollected number, wanted none")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `run_experiment` returns: results per arm, one value per seed for each quantity, the table, the page."""

    results: Mapping[str, Results]
    measured: Mapping[str, np.ndarray]
    comparisons: Sequence[Comparison]
    report: Path | None
    lost: Sequence[str] = ()
    """arms of which every trial failed"""


def summarise(
    module: Any,
    settings: Mapping[str, Any],
    config: Any,
    results: Mapping[str, Results],
    reports: Mapping[str, Any],
    workdir: Path | None,
) -> Outcome:
    """Turns results into the comparison table and, with a `workdir`, into figures, `summary.json` and the page.

    `module` is an `ExperimentModule`, `reports` has what its `premises` said of each arm.
    """
    measured = module.measure(config, results)
    for name, values in measured.items():
        if np.iscomplexobj(values):
            raise ValueError(f"measure: {name!r}: found complex values, wanted real ones")
    comparisons = compare(module.REFERENCES, measured, settings["preset"] if settings["unchanged"] else None)
    if workdir is None or jax.process_index() != 0:
        return Outcome(results, measured, comparisons, None, _lost(results))
    with naming_damage(workdir / EXPERIMENT, AGAIN):
        environment = dict(read_json(workdir / EXPERIMENT)["environment"])  # before anything is overwritten
    figures = list(module.figures(config, results))
    (workdir / "figures").mkdir(exist_ok=True)
    for number, figure in enumerate(figures, 1):
        (workdir / "figures" / f"{number:02d}.png").write_bytes(figure.png)
    summary = {
        "measured": {name: np.asarray(values, float).tolist() for name, values in measured.items()},
        "comparisons": [dataclasses.asdict(row) | {"in_band": row.in_band} for row in comparisons],
        "lost": _lost(results),
        "failed_at": {arm: result.failed_at.tolist() for arm, result in results.items()},
        "seconds": {arm: result.seconds for arm, result in results.items()},
        "best": {
            arm: {name: values.tolist() for name, values in _choices(result).items()}
            for arm, result in results.items()
            if _choices(result)
        },
    }
    write_json(workdir / SUMMARY, _without_nan(summary))
    phases = [result.seconds for result in results.values()]
    page = write_report(
        workdir / "report.html",
        title=settings["experiment"],
        subtitle=_subtitle(module, settings, config, results),
        sections=[
            Section("Figures", figures=figures),
            *_premise_sections(reports, measured),
            *_beside_the_table(module.REFERENCES, measured),
        ],
        comparisons=comparisons,
        config=config,
        environment=environment,
        timing={name: sum(seconds.get(name, 0.0) for seconds in phases) for name in max(phases, key=len)},
        trials_table=_all_trials(results),
    )
    return Outcome(results, measured, comparisons, page, _lost(results))


def _subtitle(module: Any, settings: Mapping[str, Any], config: Any, results: Mapping[str, Results]) -> str:
    """What the page is about, and what a reader of its rows would not expect."""
    found = [(module.__doc__ or "").strip().splitlines()[0], f"Preset: {settings['preset']}."]
    if sweep := settings.get("sweep"):
        values = "; ".join(f"{name} = {', '.join(map(str, chosen))}" for name, chosen in sweep.items())
        found.append(
            f"Swept: {values}. Rows, intervals and curves pool all of these trials, the table of all trials has them "
            "apart, and premises are those of the config without the sweep."
        )
    if absent := [arm.name for arm in module.arms(config) if arm.name not in results]:
        found.append(f"Not on this page, as it was asked for other arms alone: {', '.join(absent)}.")
    return " ".join(found)


def read_outcome(workdir: Path) -> Outcome:
    """Table and measurements of a finished run directory as its `summary.json` has them, without results or figures.

    Raises `ValueError` when the directory holds no finished experiment.
    """
    if not (workdir / SUMMARY).exists():
        raise ValueError(f"found no {SUMMARY} in {workdir}, wanted the folder of a finished run")
    rows = []
    with naming_damage(workdir / SUMMARY, AGAIN):
        summary = read_json(workdir / SUMMARY)
        measured = {name: np.array(values, float) for name, values in summary["measured"].items()}  # None becomes NaN
        for row in summary["comparisons"]:
            known: dict[str, Any] = {name: value for name, value in row.items() if name != "in_band"}
            known |= {name: np.nan for name in ("mean", "sd") if known[name] is None}
            rows.append(Comparison(**known))
    return Outcome({}, measured, rows, workdir / "report.html", summary.get("lost", ()))


def compare(
    references: Sequence[Reference], measured: Mapping[str, np.ndarray], preset: str | None
) -> list[Comparison]:
    """One row per reference that was measured: mean, sample sd and n over finite trials; bands of `preset` only.

    A row says how many failed; with more than `MOST_FAILED` of them it is out of its band.
    """
    rows = []
    for reference in references:
        if reference.quantity not in measured:
            continue
        values = np.asarray(measured[reference.quantity], float).ravel()
        mean, sd, n = mean_sd(values)
        low, high = reference.bands.get(preset, (None, None)) if preset is not None else (None, None)
        failed = len(values) - n
        rows.append(
            Comparison(
                quantity=reference.quantity,
                paper=reference.paper,
                mean=mean,
                sd=sd if n > 1 else np.nan,
                n=n,
                low=low,
                high=high,
                note=" ".join(filter(None, [reference.note, _failures(failed, len(values))])),
                failed=failed,
            )
        )
    return rows


def _failures(failed: int, total: int) -> str:
    many = f", more than the {MOST_FAILED:.0%} that a band allows" if failed > MOST_FAILED * total else ""
    return f"{failed} of {total} trials failed{many}." if failed else ""


def _lost(results: Mapping[str, Results]) -> list[str]:
    """Arms of which no trial is left: all failed, or nothing that was measured last is finite."""
    return [arm for arm, result in results.items() if (result.failed_at > 0).all() or not _measured_last(result)]


def _measured_last(result: Results) -> bool:
    last = [values[:, -1] for values in result.evaluation.values() if values.shape[1]]
    return not last or any(np.isfinite(values).any() for values in last)


def _premise_sections(reports: Mapping[str, Any], measured: Mapping[str, np.ndarray]) -> list[Section]:
    tables = []
    for arm, report in reports.items():
        rows = [(premise.name, premise.holds, premise.found, premise.why) for premise in report.premises]
        if rows:
            header = "premise", "holds", "found", "why it matters"
            tables.append(Table(f"{arm}: do the premises hold?", header, rows))
        rows = []
        for prediction in report.predictions:
            values = measured.get(f"{arm}: {prediction.quantity}")
            seen = None if values is None else _mean_text(values)
            rows.append((prediction.quantity, prediction.value, seen, prediction.why))
        if rows:
            header = "quantity", "predicted", "measured", "from"
            tables.append(Table(f"{arm}: predicted and measured", header, rows))
    return [Section("Premises and predictions", tables=tables)] if tables else []


def _beside_the_table(references: Sequence[Reference], measured: Mapping[str, np.ndarray]) -> list[Section]:
    """What was measured and has no row of its own, so that a new quantity is seen before anybody gives it one."""
    known = {reference.quantity for reference in references}
    rows = []
    for name, values in measured.items():
        if name not in known:
            _, sd, n = mean_sd(np.asarray(values, float).ravel())
            rows.append((name, _mean_text(values), sd if np.ndim(values) == 1 and n > 1 else None, n))
    return [Section("Measured besides", tables=[Table("", ("quantity", "mean", "sd", "n"), rows)])] if rows else []


def _mean_text(values: np.ndarray) -> float | str:
    """Mean over trials: a number, or for [T, k] the k means as text; trials of a kind may have been none."""
    values = np.asarray(values, float)
    if not len(values):
        return "no trial"
    good = values[np.isfinite(values).reshape(len(values), -1).all(axis=1)]
    if not len(good):
        return "nothing finite"
    means = good.mean(axis=0)
    return float(means) if means.ndim == 0 else ", ".join(f"{mean:.3g}" for mean in means)


def _all_trials(results: Mapping[str, Results]) -> Table:
    tables = []
    for arm, result in results.items():
        final = {name: result.final(name) for name, values in result.evaluation.items() if values.ndim == 2}
        varying = {
            name: np.asarray(values)
            for name, values in result.trials.hparams.items()
            if np.ndim(values) == 1 and len(np.unique(values)) > 1
        }
        final |= {name.replace("_", " "): values for name, values in _choices(result).items()}
        tables.append((arm, trials_table(np.asarray(result.trials.seeds), varying, final, result.failed_at)))
    header = list(dict.fromkeys(column for _, table in tables for column in table.header))
    rows = [
        (arm, *(dict(zip(table.header, row, strict=True)).get(column) for column in header))
        for arm, table in tables
        for row in table.rows
    ]
    return Table("", ("arm", *header), rows)


def _choices(result: Results) -> dict[str, np.ndarray]:
    """Where the best state of every trial is and where it stopped early, for studies that say so."""
    found = {"best_step": result.best_step, "stopped_at": result.stopped_at}
    return {name: values for name, values in found.items() if values is not None}


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
