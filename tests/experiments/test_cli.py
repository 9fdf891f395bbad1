"""The words of the command line: what it lists, suggests and refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import registry
from experiments.__main__ import main
from experiments.cli import Run, check_options, make_config, options_of, parse_sweep

NAME = "fakepaper/line"
ANINFONCE = {
    f"aninfonce/{name}" for name in ("synthetic", "decoder", "hard_negatives", "ensembles", "dimensions", "images")
}
FAKE_PAPERS = ("fakepaper", "fedpaper", "smallpapers")
CONTRASTIVE_ICA = {f"contrastive_ica/{name}" for name in ("table1", "table2", "sweeps", "kitti", "three_d_ident")}
CSI = {f"csi/{name}" for name in ("simulation", "tables", "sweeps", "regimes", "dislib", "imagenetx")}
LTI = {
    f"lti/{name}"
    for name in ("table1", "table2", "dc_motor", "design_sweep", "published_training", "causal_de_finetti", "baselines")
}
IMAVAE = {
    f"imavae/{name}"
    for name in (
        "self_consistency", "elbo_gap", "moebius", "linear_map", "flow", "priors", "sprites", "image_contrast",
        "penalties", "support",
    )
}  # fmt: skip
IEM = {
    f"iem/{name}"
    for name in (
        "bivariate", "independence_tests", "multivariate", "real_data", "structure_baselines", "tcl_duality",
        "variability", "zoo",
    )
}  # fmt: skip
WMM = {
    f"wmm/{name}"
    for name in (
        "sin", "sin_noise", "chorales", "digits", "sequential_digits", "search",
        "operators", "slow_regression", "permuted_digits", "warm_start",
    )
}  # fmt: skip
LLM = {f"llm/{name}" for name in ("in_context", "rule_extrapolation", "fine_tuning", "scaling", "languages")}
ATTA2C = {f"atta2c/{name}" for name in ("square84", "variants", "coupling", "atari")}
REAL = ANINFONCE | CONTRASTIVE_ICA | CSI | LTI | IMAVAE | IEM | WMM | LLM | ATTA2C
pytestmark = pytest.mark.usefixtures("line")


# ---- finding experiments


def test_list_shows_every_experiment_without_importing_it(capsys, monkeypatch):
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in [*REAL, NAME]:
        assert name in shown
    assert "smoke, quick" in shown and "A line is fitted" in shown


def test_entries_of_the_real_tree_agree_with_the_modules():
    found = registry.discover()
    assert found.keys() >= REAL and "aninfonce/spectra" not in found and "aninfonce/synthetic_claims" not in found
    for name in REAL:
        module = registry.load(name)
        assert found[name].presets == tuple(module.PRESETS)
        assert found[name].line == module.__doc__.splitlines()[0]
        for arm in module.arms(module.PRESETS["smoke"]):
            assert set(module.TRACED) <= arm.config.__dataclass_fields__.keys()


def test_matching_takes_names_and_papers():
    assert set(registry.matching(["aninfonce"])) == ANINFONCE
    assert registry.matching([NAME, "fakepaper"]) == [NAME]
    everything = set(registry.matching([]))
    assert NAME in everything and {one for one in everything if one.split("/")[0] not in FAKE_PAPERS} == REAL


# ---- help and typos


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--help", "reproduce"),
        ("list --help", "Exit codes"),
        ("run --help", "run NAME --help"),
        ("report -h", "report DIR"),
        (f"run {NAME} --help", "--config.learning-rate"),
        ("run contrastive_ica/kitti --help", "Presets: --preset smoke, --preset paper"),
        ("reproduce --help", "--tier"),
    ],
)
def test_help_says_what_there_is(words, part, capsys):
    try:
        code = main(words.split())
    except SystemExit as stopped:
        code = stopped.code
    assert code == 0
    assert part in capsys.readouterr().out


def test_no_command_prints_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "python -m experiments list" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("rum", "did you mean 'run'?"),
        ("list all", "wanted no arguments"),
        ("run", "found no experiment"),
        ("run fakepaper/lime", f"did you mean '{NAME}'?"),
        ("run aninfonce/sythetic", "did you mean 'aninfonce/synthetic'?"),
        (f"run {NAME} --preset smok", "did you mean 'smoke'?"),
        ("run contrastive_ica/kitti", "found preset 'quick', wanted one of ['smoke', 'paper']"),
        ("run contrastive_ica/kitti --preset paper --config.data no.pickle", "run: curl -L -o no.pickle"),
        ("run contrastive_ica/three_d_ident --preset paper --config.train no", "zenodo_get 4502485"),
        (f"run {NAME} --preset", "--preset without a name"),
        (f"run {NAME} --arm frist", "did you mean 'first'?"),
        (f"run {NAME} --arm", "found --arm without a value"),
        (f"run {NAME} --sweep", "found --sweep without a value"),
        (f"run {NAME} --seed 3 --config.seed 4", "found --seed 3 and --config.seed 4, wanted one of the two"),
        (f"run {NAME} --num-seeds 3 --config.num-seeds 4", "found --num-seeds 3 and --config.num-seeds 4"),
        (f"run {NAME} --config.num-steps 10000000000", "found num_steps=10000000000, wanted at most 2147483647"),
        (f"run {NAME} --sweep learning_rat=1", "did you mean 'learning_rate'?"),
        (f"run {NAME} --sweep dim=1,2", "found sweep over 'dim'"),
        (f"run {NAME} --sweep learning_rate=fast", "wanted FIELD=V1,V2,... with finite numbers"),
        (f"run {NAME} --sweep learning_rate", "wanted FIELD=V1,V2,..."),
        (f"run {NAME} --sweep learning_rate=nan", "finite numbers"),
        (f"run {NAME} --sweep learning_rate=1 --sweep learning_rate=2", "twice"),
        (f"run {NAME} --sweep learning_rate=-1", "found learning_rate down to -1"),
        (f"run {NAME} --config.learning-rate -1", "arm 'first': found learning_rate=-1.0, wanted a non-negative"),
        ("run llm/rule_extrapolation --preset smoke --sweep learning_rate=1,-1", "found learning_rate down to -1"),
        (f"run {NAME} --resume", "--resume without --workdir"),
        (f"run {NAME} --num-seeds 0", "num_seeds: found 0"),
        (f"run {NAME} --config.num-steps 12 --config.evaluate-every 5", "arm 'first': run: found evaluate_every=5"),
        (f"run {NAME} --data-devices 3", "data=3"),
        (f"run {NAME} --config.dim 4", "found 3 scales, wanted dim=4"),
        ("reproduce fakepapr", "did you mean 'fakepaper'?"),
        ("reproduce fakepaper --tier paper", "found no preset 'paper'"),
        ("report nowhere", "wanted the folder of a finished run"),
        ("report", "wanted one run directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, part, capsys):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert part in error


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--config.dimm 4", "--config.dim"),
        ("--config.noise gaussian", "normal"),
        ("--config.dim three", "INT"),
        ("--nun-seeds 3", "--num-seeds"),
        ("--trial-map loop", "vmap"),
        ("--presett smoke", "did you mean '--preset'?"),
        ("--debgu", "did you mean '--debug'?"),
        ("--config.num_stepps=3", "did you mean '--config.num-steps'?"),
        ("--learning-rate .1", "did you mean '--config.learning-rate'?"),
        ("--no-progres", "did you mean '--no-progress'?"),
        ("--config.no-centered", "did you mean '--config.no-centred'?"),
        ("--swep learning_rate=1", "did you mean '--sweep'?"),
    ],
)
def test_options_of_the_wrong_name_or_type_are_refused(words, part, run_line, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_line(*words.split(), workdir=tmp_path / "w")
    assert stopped.value.code == 2
    assert part in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            "reproduce --teir smoke",
            "error: reproduce: found option '--teir', wanted one that --help lists; did you mean",
        ),
        ("reproduce --jbos 2", "did you mean '--jobs'?"),
        ("reproduce --qqqqqqqq", "found option '--qqqqqqqq', wanted one that --help lists\n"),
    ],
)
def test_so_are_those_of_reproduce(words, part, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2 and part in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_every_option_that_the_parser_takes_is_known(line):
    config = line.PRESETS["smoke"]
    known = {*options_of(Run), *options_of(config, "config.")}
    wanted = {f"--config.{field.replace('_', '-')}" for field in config.__dict__}
    assert known - wanted == {
        "--num-seeds", "--seed", "--sweep", "--arm", "--workdir", "--resume", "--no-resume", "--tracker",
        "--data-devices", "--trial-map", "--precision", "--distributed", "--no-distributed", "--runs-root",
        "--progress", "--no-progress", "--config.no-centred",
    }  # fmt: skip
    check_options("run", ["--num_seeds=3", "--config.dim.x", "3", "-1", "--preset", "a"], [*known, "--preset"])


@pytest.mark.parametrize(
    ("experiment", "words", "field"),
    [
        ("aninfonce/dimensions", ["--config.embedding-dim", "7"], "embedding_dim"),
        ("lti/table1", ["--config.dim", "4"], "dim"),
        ("wmm/digits", ["--config.p", ".2", "--config.batch-size", "16"], "p"),
    ],
)
def test_a_field_that_every_arm_sets_itself_is_refused(experiment, words, field, tmp_path, capsys):
    assert main(["run", experiment, *words, "--workdir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert f"found {field}=" in said and "reaches no arm" in said
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="did you mean"):
        main(["run", "fakepaper/lime", "--debug"])


def test_the_process_exits_with_the_code():
    command = [sys.executable, "-m", "experiments", "rum"]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: found command 'rum'") and "Traceback" not in ended.stderr


# ---- parsing


def test_parse_sweep_takes_several_fields():
    assert parse_sweep(["a=1e-3,2", "b-c=0"], ["a", "b_c"]) == {"a": [1e-3, 2.0], "b_c": [0.0]}


def test_report_of_a_record_with_other_fields_names_them(line):
    values = {**line.PRESETS["smoke"].__dict__, "scales": [1.0, 2.0, 3.0]}
    assert make_config(line, values) == line.PRESETS["smoke"]
    with pytest.raises(ValueError, match=r"\['dim', 'width'\]"):
        make_config(line, {"width" if name == "dim" else name: value for name, value in values.items()})
