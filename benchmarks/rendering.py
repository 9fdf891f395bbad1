"""Rendered images per second: sprites and scenes, drawn from factors that are drawn too."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.timing import alternate, compiled, wait
from identax.dgp import beta_images, polygon_sprites, scenes, sprites


def measure(*, batch_size: int, rounds: int, num_steps: int, size: int = 64) -> dict[str, Any]:
    """Seconds per image of `size` x `size` pixels, in float32, over `num_steps` batches with keys of their own.

    Worlds: grey and coloured sprites, scenes, polygons; factors are continuous and drawn in the same program, those of
    polygons from Beta laws. "polygons, given": their factors are there already.
    Derived: images per second.
    """
    worlds = {
        "sprites": sprites(size=size),
        "coloured sprites": sprites(size=size, num_hues=10),
        "scenes": scenes(size=size),
    }
    dgps = {name: (world.dgp(), ()) for name, world in worlds.items()}
    polygons = polygon_sprites(size=size)
    triangles = beta_images(polygons)
    dgps["polygons"] = triangles, triangles.init(jax.random.key(2))
    programs, seconds = {}, {}
    for name, (dgp, truth) in dgps.items():
        programs[name], seconds[name] = compiled(
            lambda key, dgp=dgp, truth=truth: dgp.sample(truth, key, batch_size).observations, jax.random.key(0)
        )
    keys = list(jax.random.split(jax.random.key(1), num_steps))
    runs: dict[str, Callable[[], Any]]
    runs = {name: lambda program=program: [wait(program(key)) for key in keys] for name, program in programs.items()}
    given = [polygons.grid.sample(key, batch_size) for key in keys]
    draw, seconds["polygons, given"] = compiled(polygons.render_batch, given[0])
    runs["polygons, given"] = lambda: [wait(draw(factors)) for factors in given]
    timings = alternate(runs, rounds=rounds, units=num_steps * batch_size)
    return {
        "settings": {"batch_size": batch_size, "num_steps": num_steps, "size": size, "backend": jax.default_backend()},
        "unit": "seconds per image",
        "compile_seconds": seconds,
        "timings": {name: dataclasses.asdict(value) for name, value in timings.items()},
        "derived": {f"{name} (images/s)": 1 / timing.median for name, timing in timings.items()},
    }
