"""Runs the run of `test_resume.py` once per scenario, in a forked process that is killed on the way.

`python kill_scenarios.py '["term", "a_row"]' FOLDER` prints the exit codes as JSON. It forks before JAX starts its
threads, so that a scenario costs about a second.
"""

import json
import os
import signal
import sys
import threading
import traceback

import jax  # noqa: F401 - loaded once, for all forks
import pytest  # noqa: F401
import regression  # noqa: F401

import identax.run.checkpoint as checkpoint
import identax.run.records as records


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(module, name, number, action, after=False):
    # Replaces module.name by a version that acts at its number-th call.
    function, calls = getattr(module, name), []

    def replaced(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and not after:
            action(*args)
        result = function(*args, **kwargs)
        if len(calls) == number and after:
            action(*args)
        return result

    setattr(module, name, replaced)


def half_a_row(self, row):
    self._file.write(self._line(row)[:30])
    self._file.flush()
    die()


def remove_some(path, **_):
    os.unlink(os.path.join(path, "manifest.json"))
    die()


def soon(seconds):
    return lambda *_: threading.Timer(seconds, die).start()


SCENARIOS = dict(
    term=lambda: on_call(records.Records, "append", 6, lambda *_: os.kill(os.getpid(), signal.SIGTERM)),
    first_row=lambda: on_call(records.Records, "append", 1, half_a_row),
    a_row=lambda: on_call(records.Records, "append", 9, half_a_row),
    before_save=lambda: on_call(checkpoint.ocp, "save", 2, lambda *_: die()),
    in_save_1=lambda: on_call(checkpoint.ocp, "save", 2, soon(0.004)),
    in_save_2=lambda: on_call(checkpoint.ocp, "save", 2, soon(0.012)),
    before_manifest=lambda: on_call(checkpoint.ocp, "save", 2, lambda *_: die(), after=True),
    in_manifest=lambda: on_call(checkpoint.os, "replace", 6, lambda *_: die()),
    while_removing=lambda: on_call(checkpoint.shutil, "rmtree", 4, remove_some),
    any_moment=lambda: on_call(records.Records, "append", 7, soon(0.02)),
    resumed=lambda: None,
)


def scenario(name, workdir):
    import test_resume

    SCENARIOS[name]()
    test_resume.train(workdir, mesh=test_resume.MESH, resume=True)


if __name__ == "__main__":
    report = {}
    for name in json.loads(sys.argv[1]):
        codes = []
        for attempt in (name, "resumed") if name == "term" else (name,):
            pid = os.fork()
            if pid == 0:
                with open(f"{sys.argv[2]}/{name}.{attempt}.log", "w") as log:
                    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
                    code = 1
                    try:
                        scenario(attempt, f"{sys.argv[2]}/{name}")
                        code = 0
                    except SystemExit as error:
                        code = error.code
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        sys.stderr.flush()
                        os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        report[name] = codes
    print(json.dumps(report))
