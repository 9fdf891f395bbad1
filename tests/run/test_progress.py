"""The progress display: what it counts, what it prints where, and that it never harms a run."""

import io
import math

import jax
import numpy as np
import pytest
from rich.console import Console

from identax.run.progress import Progress, format_mean_sd, mean_sd


class Clock:
    """Time that passes only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def progress(total, stream, clock, **options):
    return Progress(total, title="study", console=Console(file=stream, width=100), clock=clock, **options)


def lines(stream):
    return stream.getvalue().splitlines()


def test_speed_leaves_out_compilation_and_the_steps_before_a_resume():
    clock = Clock()
    with progress(1000, io.StringIO(), clock, start_step=400) as bar:
        bar.phase("compiling")
        clock.now += 50
        bar.phase("running")
        assert math.isnan(bar.steps_per_second) and math.isnan(bar.seconds_left)
        clock.now += 4
        bar.update(600, {})
        assert bar.steps_per_second == pytest.approx(200 / 4)
        assert bar.seconds_left == pytest.approx(400 / 50)
        bar.phase("compiling")  # e.g. the evaluation
        clock.now += 30
        bar.phase("saving")
        clock.now += 1
        bar.update(800, {})
        assert bar.steps_per_second == pytest.approx(400 / 5)
        clock.now += 1000
        assert bar.steps_per_second == pytest.approx(400 / 5), "measured at the last update"


def test_a_run_resumed_inside_the_display_counts_from_there():
    clock = Clock()
    with progress(100, io.StringIO(), clock) as bar:
        clock.now += 7  # restoring
        bar.start_at(50)
        with bar.during("compiling"):
            clock.now += 3
        clock.now += 2
        bar.update(60, {})
        assert bar.steps_per_second == pytest.approx(10 / 2) and bar.seconds_left == pytest.approx(8)


def test_an_update_during_compilation_does_not_count_it():
    clock = Clock()
    with progress(10, io.StringIO(), clock) as bar:
        clock.now += 2
        bar.phase("compiling")
        clock.now += 8
        bar.update(4, {})
        assert bar.steps_per_second == pytest.approx(2.0)


def test_log_file_gets_a_line_at_most_every_interval_and_one_at_the_end():
    stream, clock = io.StringIO(), Clock()
    with progress(100, stream, clock) as bar:
        bar.phase("running")
        for step in range(1, 101):
            clock.now += 0.5
            bar.update(step, {"loss": np.array([1.0, 3.0])})
    found = lines(stream)
    assert len(found) == 1 + 5 + 1, "at 0, 10, 20, 30, 40 and 50 s, and at the end"
    assert found[0] == "study | running | step 0/100"
    speed = "2 steps/s (4 trial-steps/s) | elapsed 10s | left 40s"
    assert found[1].startswith(f"study | running | step 20/100 | {speed}")
    assert found[-1].startswith("study | finished | step 100/100") and "loss 2 +- 1.4" in found[-1]


def test_trials_without_steps_are_counted_as_such():
    stream, clock = io.StringIO(), Clock()
    with progress(100, stream, clock, unit="trial") as bar:
        bar.phase("running")
        clock.now += 10
        bar.update(20, {"error": np.array([1.0, 3.0])})
    assert lines(stream)[1].startswith("study | running | trial 20/100 | 2 trials/s | elapsed 10s | left 40s | error 2")


def test_log_file_is_plain_ascii_even_under_force_color(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    bar = Progress(3, title="Λ\x1b[31m[bold]\nstudy", console=Console(file=stream), clock=Clock())
    with bar:
        bar.update(1, {"R²": np.array([0.5])}, note="a\x07b")
    text = raw.getvalue().decode("ascii")
    assert all(character.isprintable() for line in text.splitlines() for character in line)
    assert text.startswith("?[31m[bold] study | ") and text.rstrip().endswith("| ab")


def test_failed_trials_are_left_out_and_counted():
    stream = io.StringIO()
    with progress(5, stream, Clock()) as bar:
        bar.update(5, {"loss": np.array([1.0, np.nan, 3.0, np.inf]), "dead": np.full(4, np.nan)})
    assert "loss 2 +- 1.4 (2 of 4 trials)" in lines(stream)[-1]
    assert "dead nan (0 of 4 trials)" in lines(stream)[-1]


def test_larger_arrays_are_left_out_and_scalars_count_as_one_trial():
    stream = io.StringIO()
    with progress(5, stream, Clock()) as bar:
        bar.update(5, {"precision": np.ones((4, 6)), "loss": np.float32(2.0)})
    assert "precision" not in stream.getvalue() and lines(stream)[-1].endswith("loss 2")


def test_an_error_is_named_and_not_swallowed():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), progress(5, stream, Clock()) as bar:
        bar.update(2, {})
        raise KeyboardInterrupt
    assert "stopped by KeyboardInterrupt | step 2/5" in lines(stream)[-1]


def test_silent_when_disabled_and_on_other_processes(monkeypatch):
    for enabled, index in ((False, 0), (None, 1), (True, 1)):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        stream = Terminal()
        with progress(5, stream, Clock(), enabled=enabled) as bar:
            bar.phase("running")
            bar.update(5, {"loss": np.ones(2)})
        assert stream.getvalue() == ""


def test_terminal_shows_everything_and_takes_titles_literally(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream, clock = Terminal(), Clock()
    console = Console(file=stream, width=100, force_terminal=True)
    with Progress(2000, title="[red]study", console=console, clock=clock) as bar:
        clock.now += 10
        bar.update(1500, {"loss": np.array([1.0, 2.0, np.nan])}, note="saved [link]")
    text = stream.getvalue()
    speeds = ("150 steps/s", "450 trial-steps/s")
    for part in ("[red]study", "1,500 / 2,000", *speeds, "loss", "2/3", "saved [link]"):
        assert part in text, part


def test_broken_output_leaves_the_run_alone():
    stream = io.StringIO()
    with progress(5, stream, Clock()) as bar:
        stream.close()
        bar.phase("running")
        bar.update(5, {"loss": np.ones(2)})


@pytest.mark.parametrize("start, total", [(-1, 5), (6, 5)])
def test_impossible_steps_are_refused(start, total):
    with pytest.raises(ValueError, match=f"start_step={start}.*total_steps={total}"):
        Progress(total, title="study", start_step=start)


def test_mean_sd_is_numpys_over_the_finite_entries():
    values = np.array([0.3, np.nan, 1.7, -2.0])
    good = values[np.isfinite(values)]
    assert mean_sd(values) == pytest.approx((good.mean(), np.std(good, ddof=1), 3))
    assert mean_sd([4.0]) == (4.0, 0.0, 1) and math.isnan(mean_sd([np.nan])[0])
    assert format_mean_sd([4.0]) == "4" and format_mean_sd([1.0, 3.0]) == "2 +- 1.4"
