"""The intrinsic curiosity module: an encoder, a model of what follows an action, and one of which action it was."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.checks import check_between, check_choice, check_count, check_flag, check_type
from identax.models import Model
from identax.models.agent_encoders import linear, linear_start
from identax.models.softmax_gate import gate_start, gate_weights, gated
from identax.rng import stream

ATTENTIONS = ("none", "single", "double")
WIRINGS = ("intended", "released")
_HIDDEN = 256


class CuriosityModule(NamedTuple):
    """Pure functions of features phi [..., m] and actions [...].

    * `init(key, observations [N, ...]) -> params`
    * `encode(params, observations [N, ...]) -> phi [N, m]`
    * `predict(params, phi, actions) -> [..., m]`, the features that follow
    * `infer(params, phi, phi_next) -> logits [..., A]` of the action between the two
    * `relevance(params, phi_next) -> [..., m]`, weights of the forward error, or None where all count alike
    * `num_actions` A of the worlds that it was made for
    """

    init: Callable[..., Any]
    encode: Callable[..., Any]
    predict: Callable[..., Any]
    infer: Callable[..., Any]
    relevance: Callable[..., Any]
    num_actions: int | None = None


def curiosity_module(
    num_actions: int,
    encoder: Model,
    *,
    attention: str = "none",
    rational: bool = False,
    wiring: str = "intended",
    hidden: int = _HIDDEN,
    slope: float | int = 1.0,
) -> CuriosityModule:
    """Pathak's module with attention in front of its two models, and the rational one's on the forward error.

        predict: Linear(m + A -> hidden) -> Linear(hidden -> m) of [phi, onehot a]
        infer: Linear(2 m -> hidden) -> Linear(hidden -> A) of [phi, phi']

    "single" gates the whole input of either model, "double" each of its two parts; `rational` weighs the forward error
    of every feature by a softmax over the true next features, through which the gradient flows. With
    wiring="intended" they are there as described; as the published program is wired, "released", none of the three is
    ever switched on: neither layers nor losses differ from "none".

    Args:
        num_actions: A.
        encoder: observations [N, ...] -> [N, m], of the module's own.
        attention, rational, wiring: see above. `attention` is that of this module; in front of actor and critic it is
            `policy_network(attention=True)`.
        hidden: width between the two maps; `slope`: of a LeakyReLU there, 1 being none, as published.
    All linear maps start orthogonal with gain 1 and biases 0.
    Raises `ValueError` for counts < 1, what is no `Model`, unknown choices and a slope outside [0, 1]; `predict` for
    actions that are no integers or of another shape than the features', `infer` for features of two shapes.
    Source: Pathak et al. 2017; Reizinger & Szemenyei 2020, code.
    """
    check_type("curiosity_module", "encoder", encoder, Model)
    check_count("curiosity_module", "num_actions", num_actions)
    check_count("curiosity_module", "hidden", hidden)
    check_choice("curiosity_module", "attention", attention, ATTENTIONS)
    check_choice("curiosity_module", "wiring", wiring, WIRINGS)
    check_flag("curiosity_module", "rational", rational)
    check_between("curiosity_module", "slope", slope, 0, 1, ())
    if wiring == "released":
        attention, rational = "none", False

    def init(key, observations):
        made = encoder.init(stream(key, "encoder"), observations)["params"]
        phi = jax.eval_shape(encode, {"encoder": made}, observations)
        size, dtype = phi.shape[-1], phi.dtype
        shapes: dict[str, tuple[int, int]] = {
            "forward_in": (size + num_actions, hidden), "forward_out": (hidden, size),
            "inverse_in": (2 * size, hidden), "inverse_out": (hidden, num_actions),
        }  # fmt: skip
        params = {"encoder": made}
        params |= {
            name: linear_start(stream(key, name), shape[0], shape[1], 1.0, dtype) for name, shape in shapes.items()
        }
        gates = {
            "none": {}, "single": {"forward_gate": size + num_actions, "inverse_gate": 2 * size},
            "double": {"forward_gate": size, "action_gate": num_actions, "inverse_gate": size, "next_gate": size},
        }[attention]  # fmt: skip
        gates |= {"relevance_gate": size} if rational else {}
        return params | {name: gate_start(stream(key, name), gate, dtype) for name, gate in gates.items()}

    def encode(params, observations):
        return encoder.apply({"params": params["encoder"]}, observations)[0]

    def joined(params, first, second, gates):
        if attention == "double":
            first, second = gated(params[gates[0]], first), gated(params[gates[1]], second)
        both = jnp.concatenate([first, second], axis=-1)
        return gated(params[gates[0]], both) if attention == "single" else both

    def mapped(params, name, x):
        return linear(params[f"{name}_out"], jax.nn.leaky_relu(linear(params[f"{name}_in"], x), slope))

    def predict(params, phi, actions):
        if jnp.shape(actions) != phi.shape[:-1] or not jnp.issubdtype(jnp.result_type(actions), jnp.integer):
            found = f"{jnp.result_type(actions)}{list(jnp.shape(actions))}"
            raise ValueError(f"curiosity_module: found actions {found}, wanted integers {list(phi.shape[:-1])}")
        taken = jax.nn.one_hot(actions, num_actions, dtype=phi.dtype)
        return mapped(params, "forward", joined(params, phi, taken, ("forward_gate", "action_gate")))

    def infer(params, phi, phi_next):
        if phi.shape != phi_next.shape:
            raise ValueError(f"curiosity_module: found features {phi.shape} and {phi_next.shape}, wanted equal shapes")
        return mapped(params, "inverse", joined(params, phi, phi_next, ("inverse_gate", "next_gate")))

    def relevance(params, phi_next):
        return gate_weights(params["relevance_gate"], phi_next) if rational else None

    return CuriosityModule(init, encode, predict, infer, relevance, num_actions)
