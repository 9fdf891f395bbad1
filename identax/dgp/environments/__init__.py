"""Worlds to act in: one protocol, pure wrappers, and adapters of the libraries that have the games."""

from identax.dgp.environments.protocol import Environment, Timestep, Transition, auto_reset, side_by_side

__all__ = ["Environment", "Timestep", "Transition", "auto_reset", "side_by_side"]
