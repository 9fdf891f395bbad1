"""Counts what calls outside `jit` compile, for the tests that walk the public functions."""

import contextlib
from collections.abc import Iterator

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """A list that grows by an entry for every program compiled inside the block."""
    found: list[str] = []

    def listen(event: str, duration: float, **_) -> None:
        if event == _EVENT:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def compiled_by_second_call(function, first, second) -> int:
    """How many programs `function(*second)` compiles after `function(*first)`; arguments of the same shapes."""
    jax.block_until_ready(function(*first))
    with compilations() as found:
        jax.block_until_ready(function(*second))
    return len(found)
