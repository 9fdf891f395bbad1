"""A branch that is computed only where some trial takes it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun


def rarely(wanted: Any, act: Callable[[Any], Any], rest: Callable[[Any], Any], held: Any) -> Any:
    """act(held) where `wanted`, a boolean, else rest(held): `jax.lax.cond`, also for trials that are mapped.

    Under `jax.vmap` a `cond` whose predicate differs between trials computes both branches for all of them, at every
    step. Here `act` is computed in those steps in which a trial wants it, for all, and chosen for that one; the values
    are the same. Both return trees of equal shapes. There is no derivative backwards.
    """
    branches = [jax.make_jaxpr(branch, return_shape=True)(held) for branch in (act, rest)]
    (acts, shapes), (rests, _) = branches
    treedef = jax.tree.structure(shapes)
    # What a branch closes over may be mapped as well, so it becomes an argument.
    closed = tuple(list(program.consts) for program, _ in branches)
    flat = _either([_open(acts), _open(rests)], wanted, closed, jax.tree.leaves(held))
    return jax.tree.unflatten(treedef, flat)


def _open(program: Any) -> Callable[..., list[Any]]:
    """The program as a function of what it closes over and of its arguments."""

    def call(consts, args):
        return jaxpr_as_fun(program.replace(consts=consts))(*args)

    return call


def _either(branches: list[Callable], wanted: Any, closed: Any, held: Any) -> list[Any]:
    act, rest = branches

    @jax.custom_batching.custom_vmap
    def choose(wanted, closed, held):
        return jax.lax.cond(wanted, lambda: act(closed[0], held), lambda: rest(closed[1], held))

    @choose.def_vmap
    def of_trials(axis_size, batched, wanted, closed, held):
        axes = jax.tree.map(lambda mapped: 0 if mapped else None, tuple(batched))
        if axes[0] is None:
            both = [
                lambda consts, args, branch=branch, place=place: jax.vmap(
                    branch, (axes[1][place], axes[2]), axis_size=axis_size
                )(consts, args)
                for place, branch in enumerate(branches)
            ]
            out = _either(both, wanted, closed, held)
        else:

            def some(consts, args):
                def one(wanted, closed, held):
                    values = act(closed[0], held), rest(closed[1], held)
                    return [_where(wanted, *pair) for pair in zip(*values, strict=True)]

                wanted, closed = consts
                return jax.vmap(one, axes)(wanted, closed, args)

            def none(consts, args):
                return jax.vmap(rest, (axes[1][1], axes[2]), axis_size=axis_size)(consts, args)

            out = _either([some, none], jnp.any(wanted), ((wanted, closed), closed[1]), held)
        return out, [True] * len(out)

    return choose(wanted, closed, held)


def _where(wanted, new, old):
    return jnp.where(jnp.broadcast_to(wanted, new.shape), new, old)
