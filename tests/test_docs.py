"""The documentation names nothing that does not exist, and its example runs."""

import dataclasses
import functools
import importlib
import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import registry
from experiments.cli import Machine, Reproduce, Run
from identax.dgp.languages import LANGUAGES, language

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PICTURE = "docs/images/report.png"
_FOLDERS = "identax|experiments|tests|docs|benchmarks|\\.ci"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def _options(*kinds) -> set[str]:
    return {f"--{field.name.replace('_', '-')}" for kind in kinds for field in dataclasses.fields(kind)}


KNOWN_OPTIONS = {
    "run": _options(Run, Machine) - {"--config", "--machine"} | {"--preset", "--debug", "--help"},
    "reproduce": _options(Reproduce, Machine) - {"--names", "--machine"} | {"--debug", "--help"},
    "list": {"--help"},
    "report": {"--help"},
}


def _commands(text: str) -> list[list[str]]:
    found = re.findall(r"python -m experiments ([^`\n]+)", text)
    return [shlex.split(line.strip().rstrip(".")) for line in found]


def test_there_are_pages():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in PAGES}
    assert {ROOT / "docs/design.md", ROOT / "docs/papers/aninfonce.md"} <= set(PAGES)
    assert _commands((ROOT / "README.md").read_text())


@pages
def test_files_exist(page):
    named = set(re.findall(rf"[`(]((?:{_FOLDERS})/[\w./-]*)[`)]", page.read_text())) - {PICTURE}
    named |= set(re.findall(r"`([\w.-]+\.(?:toml|txt|md))`", page.read_text()))
    missing = [name for name in sorted(named) if not (ROOT / name).exists()]
    assert not missing


def test_the_picture_of_the_report_is_there():
    assert PICTURE in (ROOT / "README.md").read_text()
    assert (ROOT / PICTURE).read_bytes().startswith(b"\x89PNG")


@pages
def test_python_names_exist(page):
    for name in re.findall(r"`(identax(?:\.\w+)+)`", page.read_text()):
        module, _, attribute = name.rpartition(".")
        found = importlib.import_module(module)
        is_module = hasattr(found, "__path__") and importlib.util.find_spec(name) is not None
        assert is_module or hasattr(found, attribute), name


@pages
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)`", page.read_text())) <= targets


@pages
def test_experiments_exist(page):
    papers = {name.split("/")[0] for name in registry.discover()}
    named = set(re.findall(rf"`((?:{'|'.join(papers)})/\w+)`", page.read_text()))
    assert named <= set(registry.discover())


@pages
def test_commands_are_understood(page):
    for command, *words in _commands(page.read_text()):
        assert command in KNOWN_OPTIONS
        options = [word.split("=")[0] for word in words if word.startswith("--")]
        assert {one for one in options if not one.startswith("--config.")} <= KNOWN_OPTIONS[command], words
        if command != "run" or words[0] == "...":
            continue
        module = registry.load(words[0])
        preset = words[words.index("--preset") + 1] if "--preset" in words else "quick"
        config = module.PRESETS[preset]
        fields = {field.name for field in dataclasses.fields(config)}
        assert {one.removeprefix("--config.").replace("-", "_") for one in options if "." in one} <= fields
        for option, value in itertools.pairwise(words):
            if option == "--arm":
                assert value in {arm.name for arm in module.arms(config)}
            if option == "--sweep":
                assert value.split("=")[0] in module.TRACED


@pages
def test_options_named_in_the_text_exist(page):
    assert set(re.findall(r"`(--[\w.-]+)", page.read_text())) <= _all_options()


@functools.cache
def _all_options():
    presets = [registry.load(name).PRESETS for name in registry.discover()]
    fields = {field for one in presets for field in _options(type(next(iter(one.values()))))}
    return set.union(*KNOWN_OPTIONS.values()) | {f"--config.{field[2:]}" for field in fields} | {"--config.FIELD"}


@pages
def test_no_machine_paths_and_no_addresses(page):
    assert not re.findall(r"(?<![\w.~$}])/(?:work|home|root|tmp|mnt|Users|opt|var)\b|https?://", page.read_text())


def test_every_experiment_is_in_the_readme_and_every_exit_code_on_its_page():
    readme, running = (ROOT / "README.md").read_text(), (ROOT / "docs/running.md").read_text()
    missing = [name for name in registry.discover() if f"| `{name}` |" not in readme]
    assert not missing, f"README.md: no row for {missing}"
    assert all(f"\n| {code} |" in running for code in (0, 1, 2, 75))


def _example(page: str, number: int) -> str:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[number]


def _run_example(page: str, number: int, **replaced: str) -> dict:
    scope, text = {}, _example(page, number)
    for old, new in replaced.items():
        assert text.count(f"{old}=") == 1
        text = re.sub(rf"{old}=\w+", f"{old}={new}", text)
    exec(compile(text, page, "exec"), scope)
    return scope


def test_the_example_of_the_readme_runs():
    r2 = _run_example("README.md", 0)["results"].final("R2")
    assert r2.shape == (8,)
    assert np.isfinite(r2).all()


def test_the_readme_s_example_of_own_data_is_short_and_learns():
    assert len([line for line in _example("README.md", 1).splitlines() if line.strip()]) <= 12
    results = _run_example("README.md", 1, num_steps="20")["results"]
    assert np.isfinite(results.final("MCC")).all()
    assert (results.final("R2") > results.evaluation["R2"][:, 0]).all()


@pytest.mark.slow
def test_the_readme_s_example_of_own_data_recovers_the_latents():
    results = _run_example("README.md", 1)["results"]
    assert (results.final("MCC") > 0.99).all() and (results.final("R2") > 0.99).all()


def test_the_readme_s_optimiser_shuffles_kernels():
    """In the five lines it promises; over some updates of zero gradients only kernels move, to values they had."""
    assert len(_example("README.md", 2).splitlines()) <= 5
    optimizer = _run_example("README.md", 2)["optimizer"]
    before = {"kernel": np.arange(1.0, 61, dtype=np.float32).reshape(6, 10), "bias": np.ones(10, np.float32)}
    update, params, state = jax.jit(optimizer.update), before, optimizer.init(before)
    for _ in range(50):
        updates, state = update(jax.tree.map(np.zeros_like, params), state, params)
        params = jax.tree.map(np.add, params, updates)
    assert (params["kernel"] != before["kernel"]).any() and (params["bias"] == 1).all()
    np.testing.assert_allclose(np.sort(params["kernel"], axis=None), before["kernel"].ravel(), rtol=1e-6)


def test_the_language_of_one_s_own_is_trained_by_name(monkeypatch):
    monkeypatch.setitem(LANGUAGES, "a^n b^2n", None)  # so that it is forgotten again
    scope = _run_example("docs/own_data.md", 2)
    experiment, smoke = scope["experiment"], scope["experiment"].PRESETS["smoke"]
    config = dataclasses.replace(
        smoke, languages=scope["config"].languages, architectures=("linear",), sampled=False, max_length=9
    )
    (arm,) = experiment.arms(config)
    study = experiment.build(arm.config)

    @jax.jit
    def trained(key):
        start = study.init(key, {"learning_rate": 1e-2, "place": np.int32(1)})
        # Two steps: the rate rises from 0.
        state, metrics = jax.lax.scan(lambda state, _: study.step(state, None), start, None, length=2)
        moved = [abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (state.params, start.params)), strict=True)]
        return moved, metrics, study.evaluate(state, key), start.truth["train"]

    moved, metrics, scores, (rows, count) = trained(jax.random.key(0))
    words = [language("a^n b^2n", 9).alphabet.text(row) for row in np.asarray(rows)[:count]]
    assert words == ["abb", "aabbbb", "aaabbbbbb"]
    assert np.isfinite(metrics["loss"]).all() and min(moved) > 0
    said = experiment.premises(config)[arm.name].prediction("a^n b^2n: OOD rule1 by chance").value
    assert np.isnan(scores["OOD rule1 by chance"]) and said == "no closed form"
    assert 0 < scores["OOD completion by chance"] < 1


@pytest.mark.slow
def test_the_examples_of_own_data_run():
    results = _run_example("docs/own_data.md", 0)["results"]
    assert (results.final("R2") > results.evaluation["R2"][:, 0]).all()
    study = _run_example("docs/own_data.md", 1)["study"]
    batch = {"x": np.zeros((8, 12, 12, 1), np.float32)}

    def trained(key, batch):
        state, metrics = study.step(study.init(key, {}), batch)
        return {**metrics, **study.evaluate(state, key)}

    assert jax.eval_shape(trained, jax.random.key(0), batch).keys() == {"loss", "spread"}


@pytest.mark.slow
def test_the_example_of_an_environment_and_an_agent_of_one_s_own_learns():
    scope = {}
    for number in range(3):
        exec(compile(_example("docs/new_paper.md", number), "docs/new_paper.md", "exec"), scope)
    results = scope["results"]
    # At random the end is reached every 4 * 5 steps, at best every 4.
    assert not results.failed_at.any() and (results.train["reward"][:, -1] > 2 / 20).all()
    assert scope["longer"].state.step.tolist() == [300] * 8


def test_the_sequence_model_of_one_s_own_steps_as_it_reads_whole_rows():
    scope = _run_example("docs/new_paper.md", 3)
    model, variables = scope["model"], scope["variables"]
    rows, lengths = np.array([[0, 3, 4, 4, 1], [0, 4, 3, 2, 2]]), np.array([3, 1])
    whole, _ = model.apply(variables, rows)
    logits, state = model.prefill(variables, rows[:, :4], lengths, size=6)
    np.testing.assert_allclose(logits, whole[np.arange(2), lengths - 1], rtol=1e-5, atol=1e-6)
    for more in range(2):
        logits, state = model.step(variables, state, rows[np.arange(2), lengths + more])
        np.testing.assert_allclose(logits, whole[np.arange(2), lengths + more], rtol=1e-5, atol=1e-6)
    assert scope["logits"].shape == (1, 4, 5)
