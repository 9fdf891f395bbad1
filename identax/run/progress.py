"""What a person sees while a run goes on: a live display in a terminal, plain lines in a log file."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, SupportsInt

import jax
import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

COMPILING, RUNNING, SAVING = "compiling", "running", "saving"


class Progress:
    """Shows step, speed, time left and the metrics of all trials; a context manager.

    `with Progress(1000, title="aninfonce") as bar: bar.phase("compiling"); ...; bar.update(step, metrics)`

    * `total_steps`: the last step; `start_step`: where this run began (a resumed run's first step)
    * `enabled`: None shows on process 0, False never; other processes stay silent in any case
    * `unit`: what is counted, "step" of all trials at once or "trial" of those without steps
    * `interval`: in a log file (stdout is no terminal) at most one plain ASCII line per so many seconds
    Speed and time left count the steps since `start_step` and the time outside the phase "compiling".
    A broken output (closed pipe, full disk) silences the display and leaves the run alone.
    Raises `ValueError` unless 0 <= start_step <= total_steps.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        title: str,
        enabled: bool | None = None,
        start_step: int = 0,
        unit: str = "step",
        interval: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        if not 0 <= start_step <= total_steps:
            raise ValueError(
                f"Progress: found start_step={start_step} and total_steps={total_steps}, "
                "wanted 0 <= start_step <= total_steps"
            )
        self.total_steps, self.start_step, self.title, self.unit = total_steps, start_step, title, unit
        self._step, self._note, self._phase = start_step, "", "starting"
        self._metrics: Mapping[str, Any] = {}
        self._trials = 0
        self._interval, self._clock = interval, clock
        self._enabled, self._console = enabled is not False, console
        self._live: Live | None = None
        self._began = self._began_steps = self._phase_began = self._step_at = clock()
        self._compiling = self._compiling_at_step = 0.0
        self._last_line = -math.inf

    def __enter__(self) -> "Progress":
        self._began = self._began_steps = self._phase_began = self._step_at = self._clock()
        self._enabled = self._enabled and jax.process_index() == 0
        if not self._enabled:
            return self
        self._console = self._console or Console(file=sys.stdout)
        # Asked of the stream, not of rich: FORCE_COLOR must not put control characters into a log file.
        if self._console.file.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
            with self._guarded():
                self._live.start()
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        if not self._enabled:
            return
        with self._guarded():
            if error_type is not None:
                self.phase(f"stopped by {error_type.__name__}")
            elif self._step >= self.total_steps:
                self.phase("finished")
            if self._live is not None:
                self._live.stop()
            else:
                self._print_line()

    def start_at(self, step: SupportsInt) -> None:
        """Says that the run goes on from a checkpoint at `step`; speed counts from here."""
        self.start_step = self._step = int(step)
        self._began_steps = self._step_at = self._clock()
        self._compiling = self._compiling_at_step = 0.0
        self._phase_began = self._began_steps
        self._refresh()

    @contextlib.contextmanager
    def during(self, text: str):
        """Shows the phase `text` inside a `with` block and the one before it afterwards."""
        before = self._phase
        self.phase(text)
        try:
            yield
        finally:
            self.phase(before)

    def phase(self, text: str) -> None:
        """Names what goes on: "compiling", "running", "saving", ...; time in "compiling" is no run time."""
        now = self._clock()
        self._compiling = self._compiling_until(now)
        self._phase, self._phase_began = text, now
        self._refresh()

    def update(self, step: SupportsInt, metrics: Mapping[str, Any], *, note: str = "") -> None:
        """Reports that `step` steps are done; `metrics` name -> [T], one value per trial.

        Larger arrays are left out. Non-finite entries count as failed: mean and sd are over the others.
        """
        if self._phase == "starting":  # a caller that names no phases
            self.phase(RUNNING)
        self._step, self._note = int(step), note
        self._step_at = self._clock()
        self._compiling_at_step = self._compiling_until(self._step_at)
        arrays = {name: np.atleast_1d(np.asarray(value)) for name, value in metrics.items()}
        self._metrics = {name: value for name, value in arrays.items() if value.ndim == 1}
        self._trials = max((len(value) for value in self._metrics.values()), default=self._trials)
        self._refresh()

    @property
    def steps_per_second(self) -> float:
        """Steps of this run per second of run time; NaN before the first update."""
        seconds = self._step_at - self._began_steps - self._compiling_at_step
        done = self._step - self.start_step
        return done / seconds if done > 0 and seconds > 0 else math.nan

    @property
    def seconds_left(self) -> float:
        """Time to the last step at the present speed; NaN before the first update."""
        return max(self.total_steps - self._step, 0) / self.steps_per_second

    def _compiling_until(self, now: float) -> float:
        return self._compiling + (now - self._phase_began if self._phase == COMPILING else 0.0)

    def _refresh(self) -> None:
        if not self._enabled or self._live is not None or self._console is None:
            return
        if self._clock() - self._last_line >= self._interval:
            with self._guarded():
                self._print_line()

    def _print_line(self) -> None:
        assert self._console is not None
        self._last_line = self._clock()
        line = " | ".join(_plain(part) for part in self._line_parts())
        self._console.file.write(line + "\n")
        self._console.file.flush()

    def _line_parts(self) -> list[str]:
        parts = [self.title, f"{self._phase}", f"{self.unit} {self._step}/{self.total_steps}"]
        if math.isfinite(self.steps_per_second):
            parts += [self._speed(), f"elapsed {_duration(self._elapsed())}"]
            if self._step < self.total_steps:
                parts.append(f"left {_duration(self.seconds_left)}")
        for name, value in self._metrics.items():
            n = mean_sd(value)[2]
            failed = "" if n == len(value) else f" ({n} of {len(value)} trials)"
            parts.append(f"{name} {format_mean_sd(value)}{failed}")
        return [*parts, self._note] if self._note else parts

    def _speed(self) -> str:
        rate = self.steps_per_second
        several = self.unit == "step" and self._trials > 1
        trials = f" ({_number(rate * self._trials)} trial-steps/s)" if several else ""
        return f"{_number(rate)} {self.unit}s/s{trials}"

    def _elapsed(self) -> float:
        return self._clock() - self._began

    def _render(self) -> Group:
        head = Text.assemble((_plain(self.title, ascii_only=False), "bold"), "  ", (self._phase, "cyan"))
        bar = Table.grid(padding=(0, 1))
        share = Text(f"{self._step:,} / {self.total_steps:,} {self.unit}s")
        bar.add_row(ProgressBar(total=max(self.total_steps, 1), completed=self._step, width=40), share)
        numbers = [f"elapsed {_duration(self._elapsed())}"]
        if math.isfinite(self.steps_per_second):
            numbers = [self._speed(), *numbers, f"left {_duration(self.seconds_left)}"]
        rows: list[Any] = [head, bar, Text("  ".join(numbers), style="dim")]
        if self._metrics:
            rows.append(self._metric_table())
        if self._note:
            rows.append(Text(_plain(self._note, ascii_only=False), style="yellow"))
        return Group(*rows)

    def _metric_table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("metric")
        for heading in ("mean", "+- sd", "min", "max", "trials"):
            table.add_column(heading, justify="right")
        for name, value in self._metrics.items():
            mean, sd, n = mean_sd(value)
            spread = f"{sd:.2g}" if n > 1 else "-"
            good = value[np.isfinite(value)]
            ends = (f"{good.min():.4g}", f"{good.max():.4g}") if n else ("-", "-")
            count = Text(f"{n}/{len(value)}", style="" if n == len(value) else "bold red")
            table.add_row(Text(_plain(name, ascii_only=False)), f"{mean:.4g}", spread, *ends, count)
        return table

    @contextlib.contextmanager
    def _guarded(self):
        try:
            yield
        except (OSError, ValueError):  # a closed file raises ValueError
            self._enabled = False


def mean_sd(values: Any) -> tuple[float, float, int]:
    """Mean, sample sd (divisor n - 1) and number n of the finite entries of `values` [T].

    One finite entry has the sd 0; none give (NaN, NaN, 0).
    """
    if np.iscomplexobj(values):
        raise ValueError("mean_sd: found complex values, wanted real ones")
    values = np.asarray(values, dtype=np.float64)
    good = values[np.isfinite(values)]
    if not len(good):
        return math.nan, math.nan, 0
    return float(good.mean()), float(good.std(ddof=1)) if len(good) > 1 else 0.0, len(good)


def format_mean_sd(values: Any) -> str:
    """`0.9934 +- 0.0011` of the finite entries of `values` [T]; one entry has no sd, none give "nan"."""
    mean, sd, n = mean_sd(values)
    return f"{mean:.4g} +- {sd:.2g}" if n > 1 else f"{mean:.4g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _plain(text: str, *, ascii_only: bool = True) -> str:
    """One line without control characters; in a log file also pure ASCII, whatever its encoding is."""
    text = " ".join(str(text).split())
    text = "".join(character for character in text if character.isprintable())
    return text.encode("ascii", "replace").decode() if ascii_only else text
