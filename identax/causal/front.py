"""One front door for all independence tests, of one data set or of many in bounded memory."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.causal._samples import Data, Prepared
from identax.causal.fisher import fisher_of, prepared_fisher
from identax.causal.g_test import g_of, prepared_g
from identax.causal.hsic import hsic_of, prepared_hsic
from identax.causal.kci import kci_of, prepared_kci
from identax.causal.outcomes import IndependenceTest
from identax.causal.rcit import prepared_rcit, rcit_of
from identax.checks import check_choice, check_count


class _Method(NamedTuple):
    prepared: Callable[..., Prepared]
    of: Callable[..., IndependenceTest]
    options: tuple[str, ...]


def _prepared_unconditional(where, x, y, z, **options):
    if z is not None:
        raise ValueError(f"{where}: found z with method='hsic', wanted z=None, or 'kci' or 'rcit', which condition")
    return prepared_hsic(where, x, y, **options)


_METHODS = {
    "g": _Method(prepared_g, g_of, ("levels", "degrees")),
    "fisher_z": _Method(prepared_fisher, fisher_of, ()),
    "kci": _Method(prepared_kci, kci_of, ("bandwidth", "ridge", "solver")),
    "hsic": _Method(_prepared_unconditional, hsic_of, ("bandwidth",)),
    "rcit": _Method(prepared_rcit, rcit_of, ("key", "num_features", "num_features_z")),
}


def independence_test(
    x: Data, y: Data, z: Data | None = None, *, method: str = "kci", **options: Any
) -> IndependenceTest:
    """Is x independent of y given z? One test of one data set; small p-values speak against independence.

    `method`: "g" (categories, `g_test`), "fisher_z" (Gaussian: `fisher_z_test` of a `partial_correlation`, p = 1 where
    nothing is left of a column), "kci" (`kci_test`), "hsic" (`hsic_test`, z None), "rcit" (`rcit_test`, wants `key`).
    `options` are those of the method's own function, where its formula, shapes and source stand. A constant z gives the
    unconditional test (with "g" and "fisher_z" by their formulas).
    Args: `x` [n] or [n, p], `y` [n] or [n, q], `z` [n] or [n, k], one row per independent sample.
    Raises `ValueError` for an unknown method or option, and as the method's function.
    """
    chosen = chosen_method("independence_test", method, options)
    return chosen.of(*chosen.prepared("independence_test", x, y, z, **options))


def independence_tests(
    x: Data, y: Data, z: Data | None = None, *, method: str = "kci", chunk_size: int = 1, **options: Any
) -> IndependenceTest:
    """`independence_test` of every one of B data sets of one size, `chunk_size` of them at a time in one program.

    Args: `x` [B, n] or [B, n, p], `y` [B, n] or [B, n, q], `z` None, [B, n] or [B, n, k]; others as there. Returns [B]
    of everything. Memory beyond the data is that of `chunk_size` tests, six n x n arrays each for "kci"; chunks follow
    each other in a loop, the last one filled up with its last data set. On a CPU one at a time is about as fast for
    kernels (their matrix products use all cores; conditional "kci" then decides per data set which solver is exact);
    "g" and "fisher_z" want hundreds. With "rcit" every data set has a key of its own; `levels` are common to all.
    Raises `ValueError` as `independence_test`, and for chunk_size < 1.
    """
    chosen = chosen_method("independence_tests", method, options)
    check_count("independence_tests", "chunk_size", chunk_size)
    samples, shared, static = chosen.prepared("independence_tests", x, y, z, batched=True, **options)
    return by_chunks(chosen.of, static, chunk_size, samples, shared)


@partial(jax.jit, static_argnums=(0, 1, 2))
def by_chunks(of, static, chunk_size, samples, shared):
    """of(sample, shared, static) of every data set of `samples`, arrays [B, ...], `chunk_size` of them at a time."""
    num = samples[0].shape[0]
    size = min(chunk_size, num)

    def one(sample):
        return of(sample, shared, static)

    if size == 1:
        return jax.lax.map(one, samples)
    # Not lax.map's own batches: their rest is a second batched factorisation in the program (docs/reliability.md).
    chunks = -(-num // size)
    filled = jnp.minimum(jnp.arange(chunks * size), num - 1).reshape(chunks, size)
    found = jax.lax.map(lambda rows: jax.vmap(one)([sample[rows] for sample in samples]), filled)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num], found)


def chosen_method(where: str, method: str, options: dict[str, Any]) -> _Method:
    """What a method is made of; raises `ValueError` for an unknown one and for options that it does not have."""
    check_choice(where, "method", method, tuple(_METHODS))
    chosen = _METHODS[method]
    for name in options:
        if name not in chosen.options:
            wanted = f"one of {list(chosen.options)}" if chosen.options else "none"
            raise ValueError(f"{where}: found the option {name!r} with method={method!r}, wanted {wanted}")
    return chosen
