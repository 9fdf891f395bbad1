"""The parts of the step, timed alone: its matrix products, sampler, encoder, loss and optimiser.

Each part is a scan like the step itself. A `zero` that only the running program knows is added to a small input, and
every output leaves the loop, so that nothing is computed once for all rounds or left out.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.settings import world_of
from identax.losses import aninfonce
from identax.models import mlp
from identax.rng import step_key
from identax.transforms import per_group


def matrix_products(config: Any) -> tuple[list[tuple[int, int, int]], float]:
    """Shapes (rows, inner, columns) of every matrix product of one step, and their floating-point operations."""
    n, num = config.dim, config.batch_size
    widths = (n, *config.hidden, n)
    shapes = []
    for _ in range(2):  # views
        shapes += [(num, n, n)] * 3
        for index, (a, b) in enumerate(itertools.pairwise(widths)):
            shapes += [(num, a, b), (a, num, b)]  # forward, gradient of the weights
            shapes += [(num, b, a)] if index else []  # gradient of the input
    shapes += 3 * [(num, n, num), (num, num, n), (num, num, n)]  # a block of similarities, its two gradients
    return shapes, float(sum(2 * a * b * c for a, b, c in shapes))


def parts(config: Any, state: Any) -> dict[str, Callable[[Any, int], Any]]:
    """Functions `(zero [], num) -> outputs` that do the part `num` times; `state` is one trial's."""
    dgp = world_of(config)
    encoder = mlp((*config.hidden, config.dim), head="sphere")
    x, x_pos = dgp.sample(state.truth, state.key, config.batch_size).observations
    variables = encoder.init(state.key, x)
    z, z_pos = (encoder.apply(variables, view)[0] for view in (x, x_pos))
    precision = jax.nn.softplus(state.params["raw_precision"])
    optimizer = _optimizer(config)
    operands = _operands(config)

    def sampler(zero, step, _):
        return dgp.sample(state.truth, step_key(state.key, step), config.batch_size).observations

    def encode(zero, step, _):
        def value(variables):
            return [encoder.apply(variables, view + zero)[0] for view in (x, x_pos)]

        return jax.vjp(value, variables)[1]([z_pos + zero, z + zero])

    def contrast(zero, step, _):
        return jax.grad(lambda *args: aninfonce(*args).mean(), argnums=(0, 1, 2))(z + zero, z_pos + zero, precision)

    def update(zero, step, previous):
        params, opt_state = previous
        updates, opt_state = optimizer.update(state.params, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def products(zero, step, _):
        mixing, kernels, views = operands
        return _chain(mixing, kernels, [view + zero for view in views])

    work = {"matrix products": products, "sampler and mixing": sampler, "encoder": encode, "loss": contrast}
    repeated = {name: _repeated(part) for name, part in work.items()}
    return {**repeated, "optimiser": _repeated(update, (state.params, optimizer.init(state.params)))}


def _optimizer(config):
    rates = {"encoder": config.learning_rate, "raw_precision": config.precision_learning_rate}
    return per_group({name: optax.adam(rate) for name, rate in rates.items()})


def _repeated(part: Callable, start: Any = None) -> Callable[[Any, int], Any]:
    def repeat(zero, num):
        def body(carry, step):
            zero, outputs = carry
            return (0.5 * zero, part(zero, step, outputs)), None

        outputs = start
        if start is None:
            shapes = jax.eval_shape(part, zero, jnp.zeros((), jnp.int32), None)
            outputs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(body, (zero, outputs), jnp.arange(num))[0]

    return repeat


def _operands(config):
    """Mixing layers, kernels and two views, all different: equal products would be computed once."""
    n, num = config.dim, config.batch_size
    widths = (n, *config.hidden, n)
    numbers = itertools.count()

    def draw(*shape):
        return jax.random.normal(jax.random.fold_in(jax.random.key(0), next(numbers)), shape) / shape[1] ** 0.5

    kernels = [draw(*shape) for shape in itertools.pairwise(widths)]
    return [draw(n, n) for _ in range(3)], kernels, [draw(num, n) for _ in range(2)]


def _chain(mixing, kernels, views):
    """The products of `matrix_products`, forwards and backwards, with nothing between them."""
    results, embeddings = [], []
    for x in views:
        for weight in mixing:
            x = x @ weight.T
        inputs = [x]
        for kernel in kernels:
            inputs.append(inputs[-1] @ kernel)
        embeddings.append(gradient := inputs.pop())
        for index, (kernel, layer_input) in reversed(list(enumerate(zip(kernels, inputs, strict=True)))):
            results.append(layer_input.T @ gradient)
            if index:
                gradient = gradient @ kernel.T
    a, b = embeddings
    for left, right in ((a, a), (b, b), (a, b)):
        similarity = left @ right.T
        results += [similarity @ right, similarity.T @ left]
    return results
