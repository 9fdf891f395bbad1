"""The best a precision vector can do when the encoder is perfect."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.losses import aninfonce
from identax.rng import step_key

PairSampler = Callable[[Key[Array, ""], int], tuple[Array, Array]]


def oracle_precision(
    key: Key[Array, ""],
    sample_pairs: PairSampler,
    dim: int,
    *,
    num_pairs: int = 256,
    num_steps: int = 900,
    init: ArrayLike = 12.0,
    learning_rates: tuple[float | int, float | int] = (0.2, 0.05),
    scheme: str = "two_view",
) -> Float[Array, " n"]:
    """The precision that AnInfoNCE settles on when the embedding is the latent itself: [dim].

    argmin over Lambda = softplus(raw) of E[aninfonce(z, z+, Lambda)], by Adam on fresh pairs, learning rate
    decayed exponentially between `learning_rates`; returned is Lambda averaged over the last third of the
    steps. It differs from the true precision where the sampler is not the theorem's conditional (the
    shell-projected normal: 1.5 to 2.5 % above at 25, 3 to 5 % above at 5, n = 10), so a trained model
    should be judged against it.
    Args: `sample_pairs(key, num) -> (z, z_pos)`, both [num, dim], e.g.
    `lambda key, num: dgp.sample(truth, key, num).latents`; `init`, the start of raw, one
    number or [dim]; far from the optimum (above 25 or so) start near the truth or take more steps.
    Jittable; vmap over keys.
    Raises `ValueError` for num_steps < 3, learning rates <= 0 and what `aninfonce` refuses.
    Source: Rusak et al. 2025 (joint minimiser, h = identity).
    """
    if num_steps < 3 or min(learning_rates) <= 0:
        raise ValueError(
            f"oracle_precision: found num_steps={num_steps}, learning_rates={learning_rates}, "
            "wanted at least 3 steps and positive rates"
        )
    return _optimise(key, sample_pairs, dim, num_pairs, num_steps, init, tuple(learning_rates), scheme)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 6, 7))
def _optimise(key, sample_pairs, dim, num_pairs, num_steps, init, learning_rates, scheme):
    start, end = learning_rates
    optimizer = optax.adam(optax.schedules.exponential_decay(start, num_steps, end / start))
    first_averaged = num_steps - num_steps // 3

    def objective(raw, z, z_pos):
        return jnp.mean(aninfonce(z, z_pos, jax.nn.softplus(raw), scheme=scheme))

    def update(carry, step):
        raw, state, total = carry
        z, z_pos = sample_pairs(step_key(key, step), num_pairs)
        grad = jax.grad(objective)(raw, z.astype(raw.dtype), z_pos.astype(raw.dtype))
        updates, state = optimizer.update(grad, state, raw)
        raw = raw + updates
        total = total + jnp.where(step >= first_averaged, jax.nn.softplus(raw), 0.0)
        return (raw, state, total), None

    raw = jnp.broadcast_to(jnp.asarray(init, jnp.result_type(float)), (dim,))
    carry = (raw, optimizer.init(raw), jnp.zeros_like(raw))
    (_, _, total), _ = jax.lax.scan(update, carry, jnp.arange(num_steps))
    return total / (num_steps // 3)
