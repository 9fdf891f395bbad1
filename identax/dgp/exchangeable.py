"""Exchangeable mechanisms: sources, causal variables and observations, each with a prior over environments.

One model for causal discovery, nonlinear ICA and causal representation learning. Which prior is no point mass and which
layers there are selects the special case; `exchangeable_cases` builds them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from identax.checks import check_count, check_shape, concrete, is_integer, shape_of
from identax.dgp.parameter_priors import ParameterPrior, constant_prior
from identax.rng import stream


class SourceMechanism(NamedTuple):
    """p(s_i | theta^s_i): `draw(key, theta, E, N) -> [E, N]`, leaves of theta are [E, ...]."""

    prior: ParameterPrior
    draw: Callable[[Key[Array, ""], Any, int, int], Array]


class CausalMechanism(NamedTuple):
    """p(z_j | z_pa(j), s_j, theta^z_j) as an assignment, the only chance being the source's.

    `assign(theta, parents [E, N, p], present [p], source [E, N]) -> [E, N]`, leaves of theta are [E, ...]. `present`:
    which parents act; the others' columns are to be ignored. `parents`: numbers of causal variables.
    """

    prior: ParameterPrior
    assign: Callable[[Any, Array, Array, Array], Array]
    parents: Sequence[int] = ()


class ObservationMechanism(NamedTuple):
    """p(o | z, theta^g) without noise: `mix(theta, z [E, N, d]) -> [E, N, m]`, leaves of theta are [E, ...]."""

    prior: ParameterPrior
    mix: Callable[[Any, Array], Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExchangeableSample:
    """E environments of N samples: `sources` [E, N, n], `variables` [E, N, d] and `observations` [E, N, m].

    `parameters`: {"sources": n pytrees, "variables": d pytrees, "observation": a pytree}, leaves [E, ...].
    """

    sources: Any
    variables: Any
    observations: Any
    parameters: Any


@dataclasses.dataclass(frozen=True)
class ExchangeableMechanisms:
    """p(s, z, o)_1..N = int prod_n p(s^n | theta^s) p(z^n | s^n, theta^z) p(o^n | z^n, theta^g) dmu(theta).

    mu is a product of one prior per mechanism (independent causal mechanisms); parameters are drawn once per
    environment. `sources`: n `SourceMechanism`; `variables`: one `CausalMechanism` for every source, or none, and then
    z = s; `observation`: None for o = z.
    Raises `ValueError` for no source, another number of variables, parents that do not exist, and cyclic graphs.
    Source: Reizinger et al. 2025.
    """

    sources: Sequence[SourceMechanism]
    variables: Sequence[CausalMechanism] = ()
    observation: ObservationMechanism | None = None

    def __post_init__(self):
        count = len(self.sources)
        if not count or len(self.variables) not in (0, count):
            raise ValueError(
                f"ExchangeableMechanisms: found {count} sources and {len(self.variables)} causal variables, wanted a "
                "source or more, and one for every causal variable if there are any"
            )
        topological_order(self.adjacency)

    @property
    def adjacency(self) -> np.ndarray:
        """The graph of the causal variables, bool [d, d]: entry (i, j) is i -> j; empty where z = s."""
        graph = np.zeros((len(self.sources),) * 2, bool)
        for child, mechanism in enumerate(self.variables):
            for parent in mechanism.parents:
                if not is_integer(parent) or not 0 <= parent < len(self.variables) or graph[parent, child]:
                    raise ValueError(
                        f"ExchangeableMechanisms: found parents {tuple(mechanism.parents)} of variable {child}, wanted "
                        f"different numbers from 0 to {len(self.variables) - 1}"
                    )
                graph[parent, child] = True
        return graph

    @property
    def varies(self) -> tuple[bool | None, ...]:
        """For every causal variable, whether its source's or its own parameter varies over environments."""
        own = [mechanism.prior.varies for mechanism in self.variables] or [False] * len(self.sources)
        return tuple(_either(source.prior.varies, other) for source, other in zip(self.sources, own, strict=True))

    def sample(
        self, key: Key[Array, ""], num_environments: int, num_samples: int, *, edges: Bool[Array, "d d"] | None = None
    ) -> ExchangeableSample:
        """Draws parameters for every environment, then `num_samples` samples given them.

        `edges`: which edges of the graph act, possibly traced (None: all): one program for many graphs.
        Raises `ValueError` for numbers < 1, edges of another shape or without causal variables.
        """
        check_count("ExchangeableMechanisms.sample", "num_environments", num_environments)
        check_count("ExchangeableMechanisms.sample", "num_samples", num_samples)
        if edges is not None:
            check_shape("ExchangeableMechanisms.sample", "edges", edges, (len(self.variables),) * 2)
            edges = jnp.asarray(edges, bool)
        sources, of_sources = [], []
        for number, mechanism in enumerate(self.sources):
            theta = mechanism.prior.sample(stream(key, f"parameter of source {number}"), num_environments)
            of_sources.append(theta)
            sources.append(mechanism.draw(stream(key, f"source {number}"), theta, num_environments, num_samples))
        variables, of_variables = self._assigned(key, sources, edges)
        s, z = jnp.stack(sources, axis=-1), jnp.stack(variables, axis=-1)
        observed, of_observation = z, None
        if self.observation is not None:
            of_observation = self.observation.prior.sample(stream(key, "parameter of observation"), num_environments)
            observed = self.observation.mix(of_observation, z)
        parameters = {
            "sources": tuple(of_sources),
            "variables": tuple(of_variables),
            "observation": of_observation,
        }
        return ExchangeableSample(s, z, observed, parameters)

    def fixed(
        self,
        key: Key[Array, ""],
        *,
        sources: Sequence[int] | None = None,
        variables: Sequence[int] | None = None,
        observation: bool = True,
    ) -> "ExchangeableMechanisms":
        """The same world with point masses at one draw of the priors: of all of them, data are i.i.d. then, or of some.

        `sources`, `variables`: numbers of mechanisms (None: all). Raises `ValueError` for others than there are.
        """
        for name, chosen, mechanisms in (
            ("sources", sources, self.sources), ("variables", variables, self.variables)
        ):  # fmt: skip
            if chosen is not None and not set(chosen) <= set(range(len(mechanisms))):
                raise ValueError(
                    f"ExchangeableMechanisms.fixed: found {name}={chosen}, wanted numbers below {len(mechanisms)}"
                )

        def at_a_draw(prior, name):
            return constant_prior(jax.tree.map(lambda leaf: leaf[0], prior.sample(stream(key, name), 1)))

        def some(mechanisms, chosen, name):
            return tuple(
                mechanism._replace(prior=at_a_draw(mechanism.prior, f"{name} {number}"))
                if chosen is None or number in chosen
                else mechanism
                for number, mechanism in enumerate(mechanisms)
            )

        mixing = self.observation
        if mixing is not None and observation:
            mixing = mixing._replace(prior=at_a_draw(mixing.prior, "observation"))
        return ExchangeableMechanisms(
            some(self.sources, sources, "source"), some(self.variables, variables, "variable"), mixing
        )

    def _assigned(self, key, sources, edges):
        """The causal variables in their own order, and their parameters."""
        if not self.variables:
            return sources, []
        num_environments, num_samples = sources[0].shape
        found: list[Any] = [None] * len(sources)
        parameters: list[Any] = [None] * len(sources)
        for number in topological_order(self.adjacency):
            mechanism = self.variables[number]
            parents = tuple(mechanism.parents)
            values = [found[parent] for parent in parents]
            columns = jnp.stack(values, axis=-1) if values else jnp.zeros((num_environments, num_samples, 0))
            present = jnp.ones(len(parents), bool) if edges is None else edges[np.array(parents, int), number]
            theta = mechanism.prior.sample(stream(key, f"parameter of variable {number}"), num_environments)
            parameters[number] = theta
            found[number] = mechanism.assign(theta, columns, present, sources[number])
        return found, parameters


def topological_order(adjacency: Any) -> tuple[int, ...]:
    """Variables with parents before children, the smallest number first among those that may come.

    `adjacency` [d, d]: entry (i, j) is i -> j. Raises `ValueError` unless it is square, of known entries 0 and 1, and
    acyclic.
    """
    shape, graph = shape_of(adjacency), concrete(adjacency)
    if graph is None:
        raise ValueError(f"topological_order: found an adjacency of shape {shape} that is traced, wanted it known")
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1] or not np.isin(graph, (0, 1)).all():
        raise ValueError(f"topological_order: found adjacency of shape {graph.shape}, wanted 0 and 1 in [d, d]")
    order, left = [], list(range(len(graph)))
    while left:
        free = [number for number in left if not graph[left, number].any()]
        if not free:
            raise ValueError(f"topological_order: found a cycle among the variables {left}, wanted an acyclic graph")
        order.append(free[0])
        left.remove(free[0])
    return tuple(order)


def _either(one, other):
    """Whether one of two is true, None where it is not known."""
    if one or other:
        return True
    return None if one is None or other is None else False
