"""Conditional kernel tests of many data sets: identax's two solvers, and causal-learn's where it is installed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import alternate, compiled, result, wait
from identax.causal import independence_tests


def measure(sizes: tuple[int, ...], *, num: int, rounds: int, reference: bool = True) -> dict[str, Any]:
    """Times `num` conditional tests (one column each of x, y and z) per call, in float64, in turn with causal-learn's.

    Derived, per number of samples: data sets per second of both solvers, and, where causal-learn is installed and
    `reference`, its median time over that of "auto" and the largest difference of p-values; two of its tests a round.
    """
    package = _package() if reference else None
    timings, seconds, derived = {}, {}, {}
    with jax.enable_x64(True):
        for size in sizes:
            data = _chains(num, size)
            runs, units, found = {}, {}, {}
            for solver in ("auto", "cholesky"):
                name = f"n {size} {solver}"
                program, seconds[name] = compiled(_tests(solver), *data)
                found[solver] = np.asarray(program(*data))
                runs[name], units[name] = (lambda program=program, data=data: wait(program(*data))), num
            if package is not None:
                name, few = f"n {size} causal-learn", min(num, 2)
                columns = [[np.array(part[k])[:, None] for part in data] for k in range(few)]
                runs[name] = lambda columns=columns: [package().compute_pvalue(*_copies(each))[0] for each in columns]
                units[name] = few
                gap = np.abs(np.array(runs[name]()) - found["auto"][:few]).max()
                derived[f"n {size}: largest difference of p from causal-learn"] = float(gap)
            timings |= alternate(runs, rounds=rounds, units=units)
            for name in runs:
                derived[f"{name}: data sets per second"] = 1 / timings[name].median
            if package is not None:
                ratio = timings[f"n {size} causal-learn"].median / timings[f"n {size} auto"].median
                derived[f"n {size}: speedup over causal-learn"] = ratio
            derived[f"n {size}: largest difference of p between solvers"] = float(
                np.abs(found["auto"] - found["cholesky"]).max()
            )
    settings = {"sizes": list(sizes), "num": num, "causal_learn": package is not None}
    return result(settings, "seconds per test", seconds, timings, derived)


def _tests(solver):
    return lambda x, y, z: independence_tests(x, y, z, solver=solver).p_value


def _chains(num, size):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(num, size))
    x = z + rng.normal(size=(num, size))
    return [jnp.asarray(part) for part in (x, np.tanh(z) + rng.normal(size=(num, size)), z)]


def _copies(columns):
    return [column.copy() for column in columns]  # it writes into what it is given


def _package():
    try:
        from causallearn.utils.KCI.KCI import KCI_CInd  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return KCI_CInd
