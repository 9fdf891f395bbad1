"""The worlds of the linear-system studies: a random system, its environments, and pairs of observations from both."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from experiments.lti import authors
from identax.dgp.lti import make_pairs, random_system, sample_trajectories
from identax.dgp.lti_environments import designed_environments, maximal_environments, random_environments
from identax.dgp.lti_plants import dc_motor
from identax.lti import Environments, LinearSystem
from identax.rng import stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class World:
    """One system under its environments: `pairs` [E, P, 2, d_y], the `controls` [E, P, d_u] that act in between."""

    system: LinearSystem
    environments: Environments
    pairs: Any
    controls: Any


def draw_system(key, config, hparams) -> LinearSystem:
    """A random system; where the switches `use_B`, `use_C` are 0, that matrix is the identity.

    Where `author` is 0 to 4 it is that of the published seed of this number.
    """
    drawn = random_system(stream(key, "system"), config.dim)
    eye = jnp.eye(config.dim)
    chosen = {name: jnp.where(hparams[f"use_{name}"] > 0, getattr(drawn, name), eye) for name in ("B", "C")}
    system = LinearSystem(drawn.A, chosen["B"], chosen["C"])
    if "author" not in hparams:
        return system
    theirs = _of_authors(config, hparams)
    return theirs_or_ours(hparams["author"], LinearSystem(*(theirs[name] for name in "ABC")), system)


def draw_environments(key, config, hparams) -> Environments:
    """Environments of `config.design`; where the switch `zero_means` is on, all means are zero.

    Where `author` is 0 to 4 they are those of the published seed of this number.
    """
    key = stream(key, "environments")
    if config.design == "maximal":
        drawn = maximal_environments(key, config.dim)
    elif config.design == "condition":
        drawn = designed_environments(key, config.dim, hparams["condition"])
    else:
        drawn = random_environments(key, config.dim, config.num_environments or None)
    if "author" in hparams:
        theirs = _of_authors(config, hparams)
        drawn = theirs_or_ours(hparams["author"], Environments(theirs["means"], theirs["variances"]), drawn)
    return Environments(jnp.where(hparams["zero_means"] > 0, 0.0, drawn.means), drawn.variances)


def theirs_or_ours(author, theirs, ours):
    """Where `author` is 0 to 4 the entry of this number of every array of `theirs` [5, ...], otherwise `ours`."""
    author = jnp.asarray(author)
    number = jnp.clip(author, 0).astype(int)
    return jax.tree.map(lambda stacked, one: jnp.where(author >= 0, jnp.asarray(stacked)[number], one), theirs, ours)


def _of_authors(config, hparams):
    """What all published seeds draw in the column of the switches, [5, ...]."""
    if config.num_environments not in (0, config.dim + 1):
        raise ValueError(
            f"author: found num_environments={config.num_environments}, wanted {config.dim + 1}, as theirs"
        )
    column = [(jnp.asarray(hparams[name]) > 0).astype(int) for name in ("use_B", "use_C")]
    found = authors.table(config.dim, config.design == "maximal")
    return {name: jnp.asarray(values)[:, column[0], column[1]] for name, values in found.items()}


def draw_world(key, config, hparams) -> World:
    """System, environments and pairs of one trial. Arms of one seed share the system, the environments' draws and the
    controls, as far as their sizes agree."""
    system, environments = draw_system(key, config, hparams), draw_environments(key, config, hparams)
    trajectories = sample_trajectories(
        stream(key, "trajectories"),
        system,
        environments,
        config.num_samples,
        observation_noise_variance=hparams.get("noise", 0.0),
        noise_convention="published",
    )
    pairs = make_pairs(trajectories, stride=config.stride)
    return World(system, environments, pairs.observations, pairs.controls)


def draw_motor(key, config, hparams) -> World:
    """The DC motor under random variances of its voltage; means are zero where the switch `zero_means` is on."""
    system = dc_motor(config.dt)
    environments = motor_environments(key, config, hparams["zero_means"], hparams.get("author"))
    trajectories = sample_trajectories(
        stream(key, "trajectories"),
        system,
        environments,
        config.num_samples,
        observation_noise_variance=hparams["noise_sd"] ** 2,
    )
    pairs = make_pairs(trajectories, stride=config.stride)
    return World(system, environments, pairs.observations, pairs.controls)


def motor_environments(key, config, zero_means, author=None) -> Environments:
    """Random variances of one control; where `author` is 0 to 4, those of the published seed of this number."""
    drawn = random_environments(stream(key, "environments"), 1, config.num_environments)
    if author is not None:
        theirs = authors.motor()
        drawn = theirs_or_ours(author, Environments(theirs["means"], theirs["variances"]), drawn)
    return Environments(jnp.where(zero_means > 0, 0.0, drawn.means), drawn.variances)


def flat_pairs(world: World):
    """z = [y_t, y_{t+1}] [N, 2 d_y] of all pairs, and the means and variances [N, d_u] of the control at each."""
    num, size = world.pairs.shape[:2]
    per_pair = [jnp.repeat(law, size, axis=0) for law in (world.environments.means, world.environments.variances)]
    return world.pairs.reshape(num * size, -1), *per_pair


def true_transition(system: LinearSystem):
    """F = C A C^-1, for square invertible C."""
    return system.C @ system.A @ jnp.linalg.inv(system.C)


def true_unmixing(system: LinearSystem):
    """(CB)^-1 [-F, I], for square invertible B and C."""
    transition = true_transition(system)
    return jnp.linalg.inv(system.C @ system.B) @ jnp.concatenate([-transition, jnp.eye(len(transition))], axis=1)
