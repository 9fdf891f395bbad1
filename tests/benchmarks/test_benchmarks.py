"""The benchmarks run at a tiny size, compare the same step on both sides, and their files can be read back."""

import dataclasses
import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import catalogue, devices, losses, overhead, results, settings, step, trials
from benchmarks.step_parts import matrix_products
from benchmarks.timing import Measurement, alternate, excess
from identax.losses import aninfonce
from identax.rng import step_key, stream

pytestmark = pytest.mark.slow


def _check(found, rows):
    assert set(rows) <= set(found["timings"])
    for timing in found["timings"].values():
        assert 0 < timing["fastest"] <= timing["low"] <= timing["median"] <= timing["high"] <= timing["slowest"]
    assert all(seconds > 0 for seconds in found["compile_seconds"].values())
    assert all(np.isfinite(value) for value in found["derived"].values())
    json.dumps(found)


@pytest.mark.slow
def test_step_names_all_its_parts():
    found = step.measure("tiny", rounds=2, num_steps=2, torch=False)
    _check(found, ["identax", "matrix products", "sampler and mixing", "encoder", "loss", "optimiser"])
    assert found["derived"]["matmul_share"] > 0


@pytest.mark.slow
def test_trials_together_and_separate():
    found = trials.measure("tiny", counts=(1, 2), rounds=2, num_steps=2)
    _check(found, ["1 together", "1 separate", "2 together", "2 separate"])


@pytest.mark.slow
def test_overhead_of_the_runner():
    found = overhead.measure("tiny", num_trials=2, rounds=1, num_steps=4, log_every=2)
    _check(found, ["one scan", "by hand", "runner", "runner with workdir", "step by hand", "step of the runner"])
    assert set(found["derived"]) >= {"runner over one scan (%)", "runner with workdir over by hand (%)"}
    assert set(found["derived"]) >= set(catalogue.FULL["overhead"].limits)


@pytest.mark.slow
def test_devices_agree_and_exchange_nothing():
    found = devices.measure("tiny", rounds=1, num_steps=3)
    _check(found, ["1 devices", "8 devices"])
    assert found["derived"]["devices"] == 8
    assert found["derived"]["largest difference in float64"] < 1e-9
    assert devices.COLLECTIVE.search("%x = f32[8] all-reduce(%y)")


def test_losses_dense_in_tiles_and_compiled_only(monkeypatch):
    found = losses.measure(sizes=(32, 64), dim=4, blocks=(16,), rounds=2)
    _check(found, ["dense N=32", "block 16 N=32", "dense N=64", "block 16 N=64"])
    assert found["derived"]["block 16 N=64: memory of dense (%)"] < 100
    monkeypatch.setattr(losses, "LARGEST", 0)
    compiled_only = losses.measure(sizes=(32,), dim=4, blocks=(16,), rounds=2)
    assert not compiled_only["timings"] and compiled_only["derived"]["dense N=32: MiB"] > 0


def test_ring_of_losses_agrees_with_one_device():
    found = losses.ring(num=32, dim=4, block_size=2, rounds=1)
    _check(found, ["one device", "8 devices", "8 devices, block 2"])
    assert found["derived"]["8 devices: largest relative difference"] < 1e-4


def test_alternate_takes_turns_after_one_untimed_call_each():
    calls = []
    found = alternate({name: lambda name=name: calls.append(name) for name in "AB"}, rounds=2, units={"A": 1, "B": 2})
    assert "".join(calls) == "ABABAB"
    assert found["A"].rounds == 2
    assert Measurement.of([3.0, 1.0, 2.0]) == Measurement(2.0, 1.5, 2.5, 1.0, 3.0, 3)


def test_excess_takes_what_two_estimates_agree_on():
    assert excess([1.06, 1.06, 1.06], [1.0, 1.0, 1.0]) == pytest.approx((6, 6))
    # load that comes and goes lifts neither the fastest round ...
    assert excess([1.01, 1.5, 1.5], [1.0, 1.0, 1.0]) == pytest.approx((50, 1))
    # ... nor, where it spared one round of the base, the ratio of most rounds
    assert excess([1.01, 1.01, 1.01], [1.0, 1.0, 0.5]) == pytest.approx((1, 1))


def test_matrix_products_of_the_paper_setting():
    shapes, flops = matrix_products(settings.PAPER)
    # 852,000 weights: forward, weight gradient and input gradient (not of the first layer) for 2 x 1000 rows
    encoder = 2 * 2000 * (3 * 852_000 - 1000)
    assert flops == encoder + 2 * 2000 * 3 * 100 + 3 * 3 * 2 * 1000 * 1000 * 10
    assert len(shapes) == 2 * 3 + 2 * (3 * 7 - 1) + 9


def test_every_benchmark_exists_and_its_quick_form_is_smaller():
    assert set(catalogue.QUICK) <= set(catalogue.FULL)
    for name, quick in catalogue.QUICK.items():
        assert callable(catalogue.function(quick))
        full = catalogue.FULL[name].arguments
        assert quick.arguments != full
        for size in ("num_steps", "num", "sizes", "rounds"):
            assert size not in full or quick.arguments[size] <= full[size]
    variables, words = catalogue.FULL["step-paper"].process()
    assert "--xla_cpu_multi_thread_eigen=false" in variables["XLA_FLAGS"] and words == "one thread on one core"


def _file(median, device="a cpu"):
    timing = Measurement(median, 0.9 * median, 1.1 * median, 0.8 * median, 2 * median, 3)
    found = {
        "settings": {"n": 1},
        "threads": "all cores",
        "load": {"before": [0.0], "after": [0.0]},
        "compile_seconds": {"identax": 1.0},
        "timings": {"identax": dataclasses.asdict(timing)},
        "derived": {"speedup": 5.0},
    }
    return {"device": device, "benchmarks": {"step": found}}


def test_compare_tells_slower_faster_and_neither():
    assert "slower" in results.compare(_file(1.0), _file(2.0))
    assert "0.50  faster" in results.compare(_file(1.0), _file(0.5))
    assert "slower" not in results.compare(_file(1.0), _file(1.1))
    assert "Devices differ" in results.compare(_file(1.0), _file(1.0, "another"))
    other = _file(1.0)
    other["benchmarks"]["step"]["settings"]["n"] = 2
    assert "not compared" in results.compare(_file(1.0), other)
    assert "speedup" in results.table(_file(1.0))


def test_compare_command_and_bad_files(tmp_path, capsys):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, median in zip(paths, (1.0, 3.0), strict=True):
        path.write_text(json.dumps(_file(median)))
    assert command.main(["compare", *map(str, paths)]) == 0
    assert "3.00  slower" in capsys.readouterr().out
    paths[1].write_text("[]")
    for wrong in (paths[1], tmp_path / "none.json"):
        with pytest.raises(SystemExit):
            command.main(["compare", str(paths[0]), str(wrong)])
        assert str(wrong) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["step-papper"])
    assert "step-paper" in capsys.readouterr().err


def test_result_files_are_named_by_commit_and_device(tmp_path):
    environment = {"commit": "0123456789abcdef", "dirty": False, "cpu_count": 2}
    assert results.path_of(environment, "AMD EPYC (x)", tmp_path).name == "0123456789-amd-epyc-x-2-cores.json"
    dirty = results.path_of({**environment, "dirty": True}, "cpu", tmp_path)
    assert dirty.name == "0123456789-dirty-cpu-2-cores.json"


def test_one_failure_keeps_the_other_results(tmp_path, monkeypatch, capsys):
    def measured(name, *_):
        if name == "trials":
            raise subprocess.CalledProcessError(1, name)
        return _file(1.0)["benchmarks"]["step"]

    monkeypatch.setattr(command, "_in_process", measured)
    assert command.main(["--out", str(tmp_path), "trials", "devices"]) == 1
    (path,) = tmp_path.glob("*.json")
    found = results.read(path)
    assert found["failed"] == ["trials"] and list(found["benchmarks"]) == ["devices"]
    assert "trials failed" in capsys.readouterr().err


def _overheads(tmp_path, monkeypatch, *arguments, **changed):
    """Exit code and result file of `benchmarks overhead` that found its limits less a half, but for `changed`."""
    limits = catalogue.FULL["overhead"].limits
    found = {**_file(1.0)["benchmarks"]["step"], "derived": {row: limit - 0.5 for row, limit in limits.items()}}
    found["derived"] = {row: value for row, value in (found["derived"] | changed).items() if value is not None}
    monkeypatch.setattr(command, "_in_process", lambda *_: found)
    code = command.main(["--out", str(tmp_path), *arguments, "overhead"])
    (path,) = tmp_path.glob("*.json")
    return code, results.read(path)


def test_the_runners_cost_is_within_its_limits(tmp_path, monkeypatch, capsys):
    assert sorted(catalogue.FULL["overhead"].limits.values()) == [2.0, 2.0, 4.0]
    code, written = _overheads(tmp_path, monkeypatch)
    assert code == 0 and written["exceeded"] == []
    assert "DRIFTED" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "says"),
    [(6.04, "is 6.04, 4.04 above; limit 2"), (float("nan"), "was not measured; limit 2"), (None, "was not measured")],
)
def test_a_runner_that_costs_more_fails_and_says_by_how_much(tmp_path, monkeypatch, capsys, value, says):
    row = "runner over by hand, at least (%)"
    code, written = _overheads(tmp_path, monkeypatch, **{row: value})
    (line,) = written["exceeded"]
    assert code == 1 and line.startswith(f"overhead: {row} {says}")
    assert f"DRIFTED  {line}" in capsys.readouterr().err


def test_the_quick_form_has_no_limits(tmp_path, monkeypatch):
    assert _overheads(tmp_path, monkeypatch, "--quick", **{"runner over by hand, at least (%)": 50.0})[0] == 0


def test_flags_of_the_user_reach_the_benchmark(monkeypatch):
    class Seen(Exception):
        pass

    def child(command, *, env, **_):
        raise Seen(env["XLA_FLAGS"])

    monkeypatch.setattr(command.subprocess, "run", child)
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    with pytest.raises(Seen, match=r"^--xla_backend_optimization_level=3 --xla_cpu_multi_thread_eigen=false$"):
        command._in_process("overhead", catalogue.FULL["overhead"], "full")


class TestTorch:
    """The eager PyTorch step is the same step."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")
        self.torch.set_num_threads(1)

    def _trial(self):
        config = settings.TINY
        study = settings.study_of(config)
        trial = settings.trials_of(config, 1)[0]
        state = jax.jit(study.init)(trial.keys, trial.hparams)
        from benchmarks.step_torch import Trainer

        return config, study, state, Trainer(config, jax.device_get(state.truth), jax.device_get(state.params))

    def test_losses_and_gradients_agree_on_the_same_embeddings(self, x64, getkey):
        from benchmarks.step_torch import aninfonce as torch_aninfonce

        z, z_pos = (jax.random.normal(getkey(), (7, 4)) for _ in range(2))
        precision = jnp.array([0.5, 3.0, 10.0, 25.0])
        arguments = (z, z_pos, precision)
        ours = jax.value_and_grad(lambda *args: aninfonce(*args).mean(), argnums=(0, 1, 2))(*arguments)
        theirs = [self.torch.tensor(np.array(array), requires_grad=True) for array in arguments]
        loss = torch_aninfonce(*theirs)
        loss.backward()
        np.testing.assert_allclose(loss.item(), ours[0], rtol=1e-12)
        for tensor, gradient in zip(theirs, ours[1], strict=True):
            np.testing.assert_allclose(tensor.grad, gradient, rtol=1e-9, atol=1e-12)

    def test_pairs_have_the_same_law(self):
        from benchmarks.step_torch import sample_pairs
        from identax.dgp import ShellProjectedNormal, Sphere

        num, precision, torch = 300_000, np.array([25.0, 5.0, 5.0], np.float32), self.torch
        generator = torch.Generator().manual_seed(0)
        views = sample_pairs([torch.eye(3)], torch.tensor(precision), 0.1, num, generator=generator)
        theirs = [view.numpy() for view in views.chunk(2)]
        z = Sphere(3).uniform(jax.random.key(0), num)
        ours = [np.asarray(z), np.asarray(ShellProjectedNormal(precision, 0.1).sample(jax.random.key(1), z, Sphere(3)))]
        for a, b in ((0, 0), (0, 1), (1, 1)):
            products = [drawn[a] * drawn[b] for drawn in (theirs, ours)]
            spread = sum(product.var(axis=0) / num for product in products) ** 0.5
            assert (np.abs(products[0].mean(axis=0) - products[1].mean(axis=0)) < 6 * spread).all()

    def test_updates_on_the_same_batches_agree(self):
        config, study, state, trainer = self._trial()
        dgp, step = settings.world_of(config), jax.jit(study.step)
        for _ in range(3):
            key = stream(step_key(state.key, state.step), "data")
            x, x_pos = dgp.sample(state.truth, key, config.batch_size).observations
            state, metrics = step(state, None)
            loss = trainer.update(self.torch.tensor(np.concatenate([x, x_pos])))
            np.testing.assert_allclose(loss.item(), metrics["loss"], rtol=2e-5)
        np.testing.assert_allclose(trainer.raw.detach(), state.params["raw_precision"], rtol=1e-3)
        # three updates move every weight by about 9e-3
        first = state.params["encoder"]["backbone"]["Dense_0"]["kernel"]
        np.testing.assert_allclose(next(trainer.encoder.parameters()).detach().T, first, atol=1e-4)

    def test_training_lowers_the_loss(self):
        *_, trainer = self._trial()
        first = np.mean([trainer.step().item() for _ in range(20)])
        trainer.steps(150)
        assert np.mean([trainer.step().item() for _ in range(20)]) < first - 0.1
