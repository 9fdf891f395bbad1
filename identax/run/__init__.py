"""The runner: the only part of identax that touches devices, disk, clock and terminal."""

from identax.run.environment import avoid_cpu_hang
from identax.run.interrupt import EXIT_INTERRUPTED, Interrupted
from identax.run.mesh import make_mesh, map_trials
from identax.run.results import Results, final_values
from identax.run.runner import run

avoid_cpu_hang(warn=False)  # here, because JAX reads its flags when the first device is asked for

__all__ = [
    "EXIT_INTERRUPTED",
    "Interrupted",
    "Results",
    "avoid_cpu_hang",
    "final_values",
    "make_mesh",
    "map_trials",
    "run",
]
