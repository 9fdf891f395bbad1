"""A `ValueError` of ours refuses; one of a library, or of Python in a line of ours, is an error nobody foresaw."""

import json
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from identax.metrics import linear_r2
from identax.run import mesh
from identax.run.refusals import Unforeseen, is_refusal


def _own():
    raise ValueError("found 1, wanted 2")


def _again():
    try:
        int("x")
    except ValueError as error:
        raise ValueError("found 'x', wanted a number") from error


def _passed_on():
    try:
        int("x")
    except ValueError as error:
        raise error


OURS = {
    "our own": _own,
    "of the library": lambda: linear_r2([["a"]], [[1.0]]),
    "under jit": lambda: jax.jit(lambda x: _own())(1.0),
    "under vmap": lambda: jax.vmap(lambda x: _own())(jnp.ones(2)),
    "translated": _again,
    "from a thread": lambda: ThreadPoolExecutor(1).submit(_own).result(),
    "through a generator": lambda: list(_own() for _ in range(1)),
}
FOREIGN = {
    "Python": lambda: int("x"),
    "Python's library": lambda: json.loads("{"),
    "zip": lambda: list(zip([1], [1, 2], strict=True)),
    "NumPy, compiled": lambda: np.zeros((2, 3)) @ np.zeros((2, 3)),
    "NumPy": lambda: np.stack([np.zeros(1), np.zeros(2)]),
    "SciPy": lambda: scipy.linalg.solve(np.full((1, 1), np.nan), np.ones(1)),
    "JAX": lambda: jnp.ones(3) + jnp.ones(2),
    "JAX under jit": lambda: jax.jit(lambda x: jnp.concatenate([x, jnp.ones((2, 2))]))(jnp.ones(3)),
    "passed on": _passed_on,
}


def _error(act):
    with pytest.raises(ValueError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize("name", OURS)
def test_a_refusal(name):
    assert is_refusal(_error(OURS[name]))


@pytest.mark.parametrize("name", FOREIGN)
def test_no_refusal(name):
    error = FOREIGN[name]
    try:
        error()
    except (ValueError, TypeError) as caught:  # JAX's kind differs between versions
        assert not is_refusal(caught)
    else:
        raise AssertionError("nothing was raised")


def test_what_every_process_hears_of_one_keeps_its_kind(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(mesh, "exchange", lambda text: ["", text])
    for act, kind, refused in ((_own, ValueError, True), (lambda: int("x"), Unforeseen, False)):
        with pytest.raises(ValueError) as caught:
            mesh.agree(act)
        assert type(caught.value) is kind and is_refusal(caught.value) is refused
