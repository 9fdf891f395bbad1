"""Programs that may stop for ever on the CPU backend of XLA; `benchmarks.soak` starts them. Most import JAX only."""

import jax
import jax.numpy as jnp

_POSITIONS, _GOAL = 12, 11
_DISCOUNT, _RATE, _ENTROPY = 0.95, 1e-2, 1e-2


def qr_svd(calls: int = 30) -> None:
    """Two independent chains of a batched QR and an SVD in one program, called again and again."""
    x, y = (jax.random.normal(key, (4, 4096, 6)) for key in jax.random.split(jax.random.key(0)))
    program = jax.jit(jax.vmap(lambda a, b: (_chain(a), _chain(b)))).lower(x, y).compile()
    for _ in range(calls):
        jax.block_until_ready(program(x, y))


def one_each(calls: int = 30) -> None:
    """One chain on each of the devices at the same time; for `--devices 8`."""
    mesh = jax.make_mesh((jax.device_count(),), ("trial",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("trial"))
    x = jax.device_put(jax.random.normal(jax.random.key(0), (4 * jax.device_count(), 4096, 6)), spread)
    mapped = jax.shard_map(jax.vmap(_chain), mesh=mesh, in_specs=spread.spec, out_specs=spread.spec)
    program = jax.jit(mapped).lower(x).compile()
    for _ in range(calls):
        jax.block_until_ready(program(x))


def actor_critic(calls: int = 3, *, seeds: int = 16, envs: int = 32, length: int = 16, updates: int = 20) -> None:
    """Advantage actor-critic of `seeds` seeds, nothing factorised: a scan of updates, in it a scan of steps."""
    options = {"xla_backend_optimization_level": 1}  # as identax.run compiles
    program = jax.jit(jax.vmap(lambda key: _train(key, envs, length, updates)), compiler_options=options)
    for call in range(calls):
        jax.block_until_ready(program(jax.random.split(jax.random.key(call), seeds)))


def kernel_tests(calls: int = 2, *, num: int = 8, samples: int = 500) -> None:
    """Two vmapped conditional kernel tests of `num` data sets in one program, each with a batched Cholesky chain."""
    from identax.causal import kci_test

    with jax.enable_x64(True):
        x, y, z = jax.random.normal(jax.random.key(0), (3, num, samples))
        both = jax.vmap(lambda a, b, c: (_p_value(kci_test, a, b, c), _p_value(kci_test, b, a, c)))
        program = jax.jit(both).lower(x, y, z).compile()
        for _ in range(calls):
            jax.block_until_ready(program(x, y, z))


PROGRAMS = {"kernel_tests": kernel_tests, "qr_svd": qr_svd, "one_each": one_each, "actor_critic": actor_critic}


def _p_value(test, x, y, z):
    return test(x, y, z, solver="cholesky").p_value


def _chain(x):
    q, r = jnp.linalg.qr(x)
    return (q @ jnp.linalg.svd(r, full_matrices=False)[0]).sum()


def _layers(key, width, out):
    sizes = (_POSITIONS, width, width, out)
    keys = jax.random.split(key, 3)
    return [
        (jax.random.normal(k, (i, o)) / i**0.5, jnp.zeros((1, o)))
        for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def _apply(layers, x):
    for weight, bias in layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def _train(key, envs, length, updates, width=64):
    """Returns in each update, of walkers that step left or right on a line and are put back at random from the goal."""

    def act(params, carry, key):
        place = carry
        for_action, for_start = jax.random.split(key)
        action = jax.random.categorical(for_action, _apply(params["actor"], jax.nn.one_hot(place, _POSITIONS)))
        moved = jnp.clip(place + action - 1, 0, _GOAL)
        there = moved == _GOAL
        return jnp.where(there, jax.random.randint(for_start, place.shape, 0, _GOAL), moved), (place, action, there)

    def loss(params, path, last):
        places, actions, there = path

        def back(value, arrived):
            value = arrived + _DISCOUNT * jnp.where(arrived, 0.0, value)
            return value, value

        bootstrap = _apply(params["critic"], jax.nn.one_hot(last, _POSITIONS))[:, 0]
        _, wanted = jax.lax.scan(back, jax.lax.stop_gradient(bootstrap), there, reverse=True)
        seen = jax.nn.one_hot(places.reshape(-1), _POSITIONS)
        values = _apply(params["critic"], seen)[:, 0]
        logs = jax.nn.log_softmax(_apply(params["actor"], seen))
        chosen = jnp.take_along_axis(logs, actions.reshape(-1, 1), axis=1)[:, 0]
        gap = wanted.reshape(-1) - values
        return jnp.mean(gap**2 - chosen * jax.lax.stop_gradient(gap) + _ENTROPY * (jnp.exp(logs) * logs).sum(axis=1))

    def update(carry, key):
        params, places = carry
        last, path = jax.lax.scan(lambda c, k: act(params, c, k), places, jax.random.split(key, length))
        gradient = jax.grad(loss)(params, path, last)
        return (jax.tree.map(lambda p, g: p - _RATE * g, params, gradient), last), path[2].mean()

    for_actor, for_critic, for_steps = jax.random.split(key, 3)
    start = {"actor": _layers(for_actor, width, 3), "critic": _layers(for_critic, width, 1)}
    carry = start, jnp.zeros(envs, jnp.int32)
    return jax.lax.scan(update, carry, jax.random.split(for_steps, updates))[1]
