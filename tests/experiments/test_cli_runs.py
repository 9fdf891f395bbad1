"""Runs by the command line: overrides, sweeps, verdicts and exit codes, run directories, several processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import registry
from experiments.__main__ import main
from identax.run.trials_file import read_trials

HERE = Path(__file__).parent
NAME = "fakepaper/line"
pytestmark = pytest.mark.usefixtures("line")


def settings_of(workdir):
    return json.loads((workdir / "experiment.json").read_text())["config"]


def recorded(workdir, arm):
    return read_trials(workdir / arm)


def test_run_writes_everything_and_is_in_band(run_line, tmp_path, capsys):
    assert run_line(workdir=tmp_path / "w") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 rows in band" in shown and str(tmp_path / "w" / "report.html") in shown
    assert shown.index("Premises") < shown.index("rows in band")
    assert {path.name for path in (tmp_path / "w").iterdir()} == {
        "experiment.json", "premises.json", "summary.json", "figures", "report.html", "first", "second", "third"
    }  # fmt: skip
    # The third arm's error has no reference: no row of the table, but the page has it.
    besides = (tmp_path / "w" / "report.html").read_text().rpartition("Measured besides")[2]
    assert "third: error" in besides and "second: error" not in besides
    assert settings_of(tmp_path / "w")["unchanged"]
    assert jax.config.jax_default_matmul_precision == "highest"


def test_typed_overrides_reach_the_study(run_line, tmp_path, capsys):
    words = "--config.dim 2 --config.scales 1 -1 --config.no-centred --config.noise normal".split()
    words += "--seed 7 --num-seeds 3 --precision default --arm third --arm first".split()
    assert run_line(*words, workdir=tmp_path / "w") == 0
    config = settings_of(tmp_path / "w")["config"]
    assert (config["dim"], config["scales"], config["centred"], config["noise"]) == (2, [1.0, -1.0], False, "normal")
    assert (config["seed"], config["num_seeds"]) == (7, 3)
    assert recorded(tmp_path / "w", "first").seeds.tolist() == [0, 1, 2]
    assert not (tmp_path / "w" / "second").exists() and (tmp_path / "w" / "third").exists()
    assert "no row was judged" in capsys.readouterr().out  # a changed config is not the reference's
    assert jax.config.jax_default_matmul_precision == "default"


def test_a_sweep_crosses_the_seeds_and_compiles_once(line, run_line, tmp_path):
    rates = [0.01, 0.02, 0.04]
    line.TRACES.clear()
    assert run_line("--sweep", "learning-rate=0.01,0.02,0.04", "--config.scales", "5", "6", "7") == 0
    swept = len(line.TRACES)
    assert {config.scales for config in line.TRACES} == {(5.0, 6.0, 7.0)}
    (workdir,) = (tmp_path / "runs" / NAME).glob("smoke-*")  # the default place
    assert recorded(workdir, "second").hparams["learning_rate"] == pytest.approx([r for r in rates for _ in (0, 1)])
    assert not settings_of(workdir)["unchanged"]
    page = (workdir / "report.html").read_text()
    assert "Swept: learning_rate = 0.01, 0.02, 0.04. Rows, intervals and curves pool all" in page
    line.TRACES.clear()
    assert run_line("--config.scales", "8", "6", "7", "--arm", "first", workdir=tmp_path / "one") == 0
    assert swept == len(line.TRACES) > 0  # three arms of three values trace as often as one arm of one value
    one, absent = (tmp_path / "one" / "report.html").read_text(), "Not on this page, as it was asked for other arms"
    assert f"{absent} alone: second, third." in one and "Swept" not in one and absent not in page


def test_reproduce_judges_the_tier_and_prints_one_table(tmp_path, capsys):
    assert main("reproduce fakepaper --tier smoke --no-progress".split()) == 0
    assert "1 of 1 rows in band" in capsys.readouterr().out
    assert main("reproduce --tier quick fakepaper --no-progress --runs-root other".split()) == 1
    shown = capsys.readouterr().out
    assert "0 of 1 rows in band; out of band: first: error" in shown
    assert "✗ NO" in shown and "0 (derived)" in shown
    (workdir,) = (tmp_path / "other" / NAME).glob("quick-*")
    assert f"report: other/{NAME}/{workdir.name}/report.html" in shown


def test_reproduce_names_the_experiment_where_there_are_several(line, monkeypatch, capsys):
    load = registry.load
    monkeypatch.setattr(registry, "matching", lambda names: [NAME, "fakepaper/again", "fakepaper/without"])
    without = type("Module", (), {"PRESETS": {}})
    others = {"fakepaper/again": line, "fakepaper/without": without}
    monkeypatch.setattr(registry, "load", lambda name: others.get(name) or load(name))
    assert main("reproduce --tier quick --jobs 1 --no-progress".split()) == 1
    shown = capsys.readouterr().out
    assert "left out: fakepaper/without" in shown and "0 of 2 rows in band" in shown
    assert f"{NAME}: first: error, fakepaper/again: first: error" in shown
    assert shown.count("report: ") == 2


def test_reproduce_goes_on_without_what_cannot_be_run(line, monkeypatch, capsys):
    def no_data(config, shard):
        raise ValueError("letters: found nothing prepared; run: make it")

    load = registry.load
    lacking = type("Module", (), {**vars(line), "batches": staticmethod(no_data)})
    monkeypatch.setattr(registry, "matching", lambda names: ["fakepaper/fed", NAME])
    monkeypatch.setattr(registry, "load", lambda name: lacking if name == "fakepaper/fed" else load(name))
    assert main("reproduce --tier smoke --jobs 1 --no-progress".split()) == 2
    shown = capsys.readouterr()
    assert "1 of 1 rows in band" in shown.out and shown.out.count("report: ") == 1
    assert "not run: fakepaper/fed: letters: found nothing prepared; run: make it" in shown.err
    monkeypatch.setattr(registry, "matching", lambda names: ["fakepaper/fed"])
    assert main("reproduce --tier smoke --jobs 1 --no-progress".split()) == 2
    assert capsys.readouterr().err == "error: letters: found nothing prepared; run: make it\n"


def test_report_rebuilds_the_same_page(run_line, tmp_path, capsys):
    folder = tmp_path / "w"
    assert run_line("--sweep", "learning_rate=0.1,0.2", workdir=folder) == 0
    table = capsys.readouterr().out.split("quantity")[1]
    page, summary = (folder / "report.html").read_text(), (folder / "summary.json").read_text()
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.split("quantity")[1] == table
    assert (folder / "report.html").read_text() == page
    assert (folder / "summary.json").read_text() == summary


# ---- run directories


def test_a_finished_run_is_not_run_again(run_line, tmp_path, advances, capsys):
    folder = tmp_path / "w"
    assert run_line(workdir=folder) == 0
    done, records = len(advances), (folder / "second" / "records.jsonl").read_bytes()
    assert done == 9  # three arms of three chunks
    assert run_line(workdir=folder) == 2
    assert "holds a run already; continue it with resume (--resume)" in capsys.readouterr().err
    assert run_line("--resume", workdir=folder) == 0
    assert len(advances) == done
    assert (folder / "second" / "records.jsonl").read_bytes() == records


def test_resume_of_another_run_is_refused_before_anything_runs(run_line, tmp_path, advances, capsys):
    folder = tmp_path / "w"
    assert run_line("--arm", "first", workdir=folder) == 0
    before = len(advances)
    capsys.readouterr()
    assert run_line("--resume", "--config.learning-rate", "0.2", "--seed", "1", workdir=folder) == 2
    error = capsys.readouterr().err
    assert "config.learning_rate: there 0.1, here 0.2" in error and "config.seed: there 0, here 1" in error
    assert main(["run", NAME, "--preset", "quick", "--resume", "--workdir", str(folder)]) == 2
    assert "preset: there 'smoke', here 'quick'" in capsys.readouterr().err
    assert run_line("--resume", "--sweep", "learning_rate=0.1", workdir=folder) == 2
    assert "sweep.learning_rate" in capsys.readouterr().err
    assert len(advances) == before and not (folder / "second").exists()


def test_a_folder_of_something_else_is_refused(run_line, tmp_path, capsys):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    assert run_line(workdir=folder) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_interrupted_in_the_second_arm_goes_on_there(run_line, tmp_path, advances, capsys):
    whole, folder = tmp_path / "whole", tmp_path / "w"
    assert run_line(workdir=whole) == 0
    advances.clear()
    advances.stop_at = 5  # the second of three chunks of the second of three arms
    assert run_line(workdir=folder) == 75
    stopped = capsys.readouterr()
    assert "interrupted at step 8: saved; continue with --resume" in stopped.err
    assert f"--preset smoke --workdir {folder} --resume" in stopped.err
    assert settings_of(folder) == settings_of(whole) and not (folder / "third").exists()
    assert main(["report", str(folder)]) == 2  # it is not finished
    assert len(advances) == 5
    assert run_line("--resume", workdir=folder) == 0
    assert len(advances) == 9  # one more chunk of the second arm, three of the third, none of the first
    for arm in ("first", "second", "third"):
        assert (folder / arm / "records.jsonl").read_bytes() == (whole / arm / "records.jsonl").read_bytes()


# ---- several processes

_CHILD = """
import functools, sys
from pathlib import Path
import jax, experiments
from experiments import registry
from experiments.__main__ import main
from identax.run.trials_file import read_trials
experiments.__path__.append({here!r})
registry.ROOTS.append(Path({here!r}))
jax.distributed.initialize = functools.partial(
    jax.distributed.initialize, sys.argv[1], num_processes=2, process_id=int(sys.argv[2]), initialization_timeout=60
)
sys.exit(main(["run", {name!r}, "--preset", "smoke", "--arm", "first", "--distributed", "--no-progress"]))
"""


def test_two_processes_share_one_run_directory_and_one_voice(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    command = [sys.executable, "-c", _CHILD.format(here=str(HERE), name=NAME), address]
    children = [
        subprocess.Popen([*command, str(i)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in (0, 1)
    ]
    try:
        said = [child.communicate(timeout=100) for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], said
    lines = [[line for line in out.splitlines() if not line.startswith("[Gloo]")] for out, _ in said]
    assert "1 of 1 rows in band" in lines[0] and lines[1] == []
    (workdir,) = (tmp_path / "runs" / NAME).iterdir()
    assert recorded(workdir, "first").seeds.tolist() == [0, 1]
    assert (workdir / "report.html").exists()
