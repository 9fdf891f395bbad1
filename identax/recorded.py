"""A finished run directory read again: its table and page without computing anything."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from identax.assumptions import Prediction, Premise, Report
from identax.experiment import ExperimentModule
from identax.report.outcome import EXPERIMENT, SUMMARY, Outcome, summarise
from identax.run.arrays import KeptArrays
from identax.run.folder import local_folder
from identax.run.guard import CONFIG
from identax.run.records import AGAIN, naming_damage, read_json
from identax.run.results import Results
from identax.run.saved import ARRAYS, finished_rows
from identax.run.trials_file import read_trials

PREMISES = "premises.json"


def load_outcome(
    load: Callable[[str], ExperimentModule], workdir: Path, make_config: Callable[[ExperimentModule, dict], Any]
) -> Outcome:
    """Rebuilds table and page of a finished run directory from what it recorded, without computing anything anew.

    `load(name)` returns the experiment's module, `make_config(module, values)` its config. Raises `ValueError` when
    the directory holds no finished experiment, and for a file that is damaged or lacks rows, with what to do about it.
    """
    workdir = local_folder("report", workdir)
    if not (workdir / EXPERIMENT).exists() or not (workdir / SUMMARY).exists():
        raise ValueError(f"report: {workdir} lacks {EXPERIMENT} or {SUMMARY}, wanted the folder of a finished run")
    with naming_damage(workdir / EXPERIMENT, AGAIN):
        settings = read_json(workdir / EXPERIMENT)["config"]
        for field, kind in {"experiment": str, "preset": str, "unchanged": bool, "config": dict}.items():
            if not isinstance(settings[field], kind):
                raise ValueError(f"found {field}={settings[field]!r}")
    module = load(settings["experiment"])
    config = make_config(module, settings["config"])
    with naming_damage(workdir / EXPERIMENT, AGAIN):
        names = [arm.name for arm in module.arms(config)]
    with naming_damage(workdir / SUMMARY, AGAIN):
        summary = read_json(workdir / SUMMARY)
        known = {
            arm: {"failed_at": np.array(failed_at, int), "seconds": {k: float(v) for k, v in seconds.items()}}
            | {name: np.array(values, int) for name, values in summary.get("best", {}).get(arm, {}).items()}
            for arm, failed_at in summary["failed_at"].items()
            for seconds in [summary["seconds"][arm]]
        }
        arms = [name for name in names if name in known]
        if not arms:
            raise ValueError("it names no arm of the experiment")
    results = {arm: _recorded(workdir / arm, known[arm]) for arm in arms}
    said = load_reports(workdir)
    with naming_damage(workdir / PREMISES, AGAIN):
        reports = {arm: _report(saved) for arm, saved in said.items() if arm in results}
    return summarise(module, settings, config, results, reports, workdir)


def _recorded(folder: Path, known: dict[str, Any]) -> Results:
    """The results of one arm out of its files and of what the summary knows of it."""
    with naming_damage(folder / CONFIG, AGAIN):
        num_steps = int(read_json(folder / CONFIG)["config"]["num_steps"])
    trials = read_trials(folder, wrap_keys=False)
    with naming_damage(folder.parent / SUMMARY, AGAIN):
        for name in known.keys() - {"seconds"}:
            if known[name].shape != (len(trials),):
                raise ValueError(f"{name} of {folder.name} has the shape {known[name].shape} for {len(trials)} trials")
    stopped = (known["stopped_at"], known["failed_at"]) if "stopped_at" in known else None
    rows = finished_rows(folder, num_steps, len(trials), stopped)
    arrays = KeptArrays(folder / ARRAYS).load()
    return Results.from_rows(
        rows, trials=trials, num_steps=num_steps, state=None, workdir=folder, arrays=arrays, **known
    )


def load_reports(workdir: Path) -> dict[str, Any]:
    """What the module's premises said of every arm, as it was written; nothing without the file."""
    path = workdir / PREMISES
    if not path.exists():
        return {}
    with naming_damage(path, AGAIN):
        return read_json(path)


def _report(saved: Mapping[str, Any]) -> Report:
    premises = [Premise(**one) for one in saved["premises"]]
    return Report(premises, [Prediction(**one) for one in saved["predictions"]])
