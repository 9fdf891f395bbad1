"""The run directory while a run holds it: claimed by one process, given up where nothing was begun, continued."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from identax.run import guard
from identax.run.checkpoint import Checkpoints
from identax.run.environment import describe_environment
from identax.run.folder import REFUSALS
from identax.run.mesh import agree, exchange
from identax.run.records import write_json
from identax.run.saved import RECORDS, begin_over, holds_work, newest
from identax.run.trials_file import FILE as TRIALS
from identax.run.trials_file import describe_trials, differences, write_trials
from identax.study import Trials


@contextlib.contextmanager
def opened(
    folder: Path | None,
    settings: dict[str, Any],
    trials: Trials,
    check_disk: Callable[[Path], None],
    *,
    resume: bool,
) -> Iterator[Path | None]:
    """Holds the run directory and writes `trials.npz` and `config.json`, unless they are there already.

    What is refused before a row was written leaves no config behind, so that the corrected run may have the folder.
    Raises `OSError` where the folder is deleted or moved meanwhile.
    """
    if folder is None:
        if resume:
            raise ValueError("run: found resume without a workdir, wanted the folder of the run to continue")
        yield None
        return
    written, locks = False, []
    with contextlib.ExitStack() as held:

        def still_there():
            for lock in locks:
                lock.check()

        def claim():
            nonlocal written
            if jax.process_index() == 0:  # alone: the others would find what it just wrote
                different = functools.partial(differences, folder, trials)
                locks.append(held.enter_context(guard.claimed(folder, settings, resume=resume, differs=different)))
                check_disk(folder)
                if resume and "cadence" not in settings:  # trials without steps
                    begin_over(folder)
                if not (folder / guard.CONFIG).exists():
                    write_trials(folder, trials)  # first: a folder with a config has everything
                    recorded = {"config": settings, "trials": describe_trials(trials)}
                    write_json(folder / guard.CONFIG, {**recorded, "environment": describe_environment()})
                    written = True

        agree(claim)
        try:
            yield folder
        except Exception as error:
            still_there()  # says more than what a library makes of a folder that is gone
            if written and isinstance(error, REFUSALS) and not holds_work(folder):
                for name in (guard.CONFIG, TRIALS, RECORDS):
                    (folder / name).unlink(missing_ok=True)
            raise
        agree(still_there)


def newest_of_all(checkpoints: Checkpoints | None, folder: Path | None) -> tuple[int, dict[str, Any]] | None:
    """Where to go on, as process 0 sees it; raises like `newest`."""
    if checkpoints is None or folder is None:
        return None

    def look():
        return json.dumps(newest(folder, checkpoints) if jax.process_index() == 0 else None)

    found = json.loads(exchange(agree(look))[0])
    return None if found is None else (found[0], found[1])
