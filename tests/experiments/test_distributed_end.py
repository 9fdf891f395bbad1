"""A process of a distributed run that dies ends the other one, with one line and a code."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_CHILD = """
import functools, sys
address, me, scenario, *rest = sys.argv[1:]
sys.argv = [sys.argv[0], "--distributed"]
from experiments import program
program.listen()
from pathlib import Path
import jax, experiments
from experiments import registry
from experiments.__main__ import main
from identax.run import peers
from identax.run.records import Records
experiments.__path__.append({here!r})
registry.ROOTS.append(Path({here!r}))
jax.distributed.initialize = functools.partial(
    jax.distributed.initialize, address, num_processes=2, process_id=int(me), initialization_timeout=60
)
append = Records.append


def full(self, row):
    if row["step"] >= 8:
        raise OSError(28, "No space left on device")
    append(self, row)


if scenario == "full" and me == "0":
    Records.append = full
if scenario == "unwatched":
    peers.watch = lambda on_loss: None
words = "run fakepaper/line --preset smoke --arm first --distributed --no-progress --config.num-steps 40000000"
program.finish(main([*words.split(), "--workdir", "w"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "victim", "codes", "said"),
    [
        ("killed", 1, [76, -9], ["error: process 1 died; what was saved is intact", ""]),
        ("killed", 0, [-9, 76], ["", "error: process 0 died; what was saved is intact"]),
        ("unwatched", 0, [-9, 76], ["", "error: JAX lost another process"]),
        ("full", None, [70, 76], ["error: OSError: [Errno 28] No", "error: process 0 ended: OSError: [Errno 28] No"]),
    ],
)
def test_a_process_that_dies_ends_the_other_with_one_line(scenario, victim, codes, said, tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1", "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    command = [sys.executable, "-c", _CHILD.format(here=str(HERE)), address]
    how = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, str(me), scenario], **how) for me in (0, 1)]
    try:
        records, end = tmp_path / "w/first/records.jsonl", time.monotonic() + 120
        while victim is not None and not (records.exists() and records.stat().st_size) and time.monotonic() < end:
            time.sleep(0.1)
        if victim is not None:
            children[victim].send_signal(signal.SIGKILL)
        began = time.monotonic()
        told = [child.communicate(timeout=120)[1] for child in children]
        assert victim is None or time.monotonic() - began < 30
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == codes, told
    for text, start in zip(told, said, strict=True):
        assert text.startswith(start) and text.count("\n") == bool(start), told
        assert "--resume" in text or not text or "70" in start or "OSError" in start
