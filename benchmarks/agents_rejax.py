"""PPO of rejax 0.1.3, in a process and an environment of its own: `PYTHON -m benchmarks.agents_rejax SETTINGS`.

rejax wants gymnax < 1, so it does not import beside our games. `SETTINGS` is JSON; the program says {"ready": seconds
that compiling took}, then answers each line of its input with the seconds of the processor of so many updates.
"""

import json
import sys
import time

import jax
from rejax import PPO  # pyright: ignore[reportMissingImports]


def main(settings: dict) -> None:
    """Compiles, and plays and learns once for every line that comes."""
    algorithm = PPO.create(
        env=settings["game"],
        agent_kwargs={"hidden_layer_sizes": tuple(settings["widths"]), "activation": "tanh"},
        num_envs=settings["environments"],
        num_steps=settings["rollout"],
        num_epochs=settings["epochs"],
        num_minibatches=settings["minibatches"],
        learning_rate=settings["learning_rate"],
        max_grad_norm=settings["max_norm"],
        ent_coef=settings["entropy_weight"],
        gamma=settings["discount"],
        gae_lambda=settings["gae_lambda"],
    )

    def updates(states):
        def one(state):
            step = lambda state, _: (algorithm.train_iteration(state), None)  # noqa: E731
            return jax.lax.scan(step, state, None, length=settings["updates"])[0]

        return jax.vmap(one)(states)

    begin = time.perf_counter()
    states = jax.jit(jax.vmap(algorithm.init_state))(jax.random.split(jax.random.key(0), settings["seeds"]))
    program = jax.jit(updates).lower(states).compile()
    jax.block_until_ready(program(states))
    print(json.dumps({"ready": time.perf_counter() - begin}), flush=True)
    for _ in sys.stdin:
        begin = time.process_time()
        jax.block_until_ready(program(states))
        print(json.dumps({"seconds": time.process_time() - begin}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
