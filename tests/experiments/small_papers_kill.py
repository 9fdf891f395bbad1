"""Runs an arm of `smallpapers/independence` in this process and kills it in the block after so many.

`python small_papers_kill.py ARM BLOCKS WORKDIR`
"""

import os
import signal
import sys
from pathlib import Path

import experiments
from experiments import registry
from experiments.__main__ import main
from identax.run.trial_records import TrialRecords

HERE = Path(__file__).parent


def run_and_die(arm: str, blocks: int, workdir: str) -> None:
    """No handler runs and nothing is tidied up: a row of the unfinished block is left behind."""
    commits = []
    commit, append = TrialRecords.commit, TrialRecords.append

    def counted(self, **what):
        commit(self, **what)
        commits.append(1)

    def appended(self, row):
        append(self, row)
        if len(commits) == blocks:
            os.kill(os.getpid(), signal.SIGKILL)

    TrialRecords.commit, TrialRecords.append = counted, appended  # pyright: ignore[reportAttributeAccessIssue]
    experiments.__path__ = [*experiments.__path__, str(HERE)]
    registry.ROOTS.append(HERE)
    words = ["run", "smallpapers/independence", "--preset", "smoke", "--no-progress"]
    main([*words, "--arm", arm, "--workdir", workdir])


if __name__ == "__main__":
    run_and_die(sys.argv[1], int(sys.argv[2]), sys.argv[3])
