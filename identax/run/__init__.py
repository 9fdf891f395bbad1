"""The runner: the only part of identax that touches devices, disk, clock and terminal."""

from identax.run.interrupt import EXIT_INTERRUPTED, Interrupted
from identax.run.mesh import make_mesh, map_trials
from identax.run.results import Results, final_values
from identax.run.runner import run

__all__ = ["EXIT_INTERRUPTED", "Interrupted", "Results", "final_values", "make_mesh", "map_trials", "run"]
