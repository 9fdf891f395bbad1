"""The best a precision vector can do when the encoder is perfect."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from identax.checks import check_nonnegative
from identax.losses import aninfonce
from identax.rng import step_key

PairSampler = Callable[[Key[Array, ""], int], tuple[Array, ...]]


def optimal_precision(
    precision,
    negative_precision=None,
    *,
    reweighting: float | int = 0.0,
    signed: bool = False,
) -> np.ndarray:
    """The precision at which AnInfoNCE is minimal in theory: (Lambda - Lambda-) / (1 + beta), [n].

    Logits at the optimum are log p(z+|z) - log q(z-|z) + c(z), q the law of the negatives: uniform ones give
    Lambda = `precision`, ones from a conditional of precision Lambda- = `negative_precision` (a number or [n]) the
    difference. In-batch weights ~ exp(beta s) make q ~ p- exp(beta s) with s the logits themselves, hence the factor
    (many negatives). With an exact conditional; see `oracle_precision` for what a sampler adds.
    Raises `ValueError` unless the precisions are finite and of one length, beta >= 0, and all differences positive, as
    softplus(raw) can only represent those; with `signed` any difference is permitted.
    Source: Rusak et al. 2025 (negatives from a conditional); reweighting derived from Robinson et al. 2021, eq. 4.
    """
    ours = np.asarray(precision, dtype=float)
    theirs = np.zeros_like(ours) if negative_precision is None else np.asarray(negative_precision, dtype=float)
    if ours.ndim != 1 or theirs.shape not in ((), ours.shape) or not np.all(np.isfinite(ours - theirs)):
        raise ValueError(
            f"optimal_precision: found precision {ours}, negative_precision {theirs}, wanted finite entries, [n] both"
        )
    check_nonnegative("optimal_precision", "reweighting", reweighting, ())
    difference = ours - theirs
    if not signed and not np.all(difference > 0):
        raise ValueError(
            f"optimal_precision: found precision {ours}, negative_precision {theirs}, wanted Lambda - Lambda- > 0 in "
            "every entry: a positive precision cannot represent the optimum (signed=True can)"
        )
    return difference / (1.0 + reweighting)


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
    signed: bool = False,
    reweighting: float | int = 0.0,
) -> Float[Array, " n"]:
    """The precision that AnInfoNCE settles on when the embedding is the latent itself: [dim].

    argmin over Lambda = softplus(raw), or raw itself if `signed`, of E[aninfonce(z, z+, Lambda)], by Adam on fresh
    pairs, learning rate decayed exponentially between `learning_rates`; returned is Lambda averaged over the last
    third of the steps. It differs from the true precision where the sampler is not the theorem's conditional (the
    shell-projected normal: 1.5 to 2.5 % above at 25, 3 to 5 % above at 5, n = 10), so a trained model
    should be judged against it.
    Args: `sample_pairs(key, num) -> (z, z_pos)`, both [num, dim], e.g.
    `lambda key, num: dgp.sample(truth, key, num).latents`, or (z, z_pos, z_neg) with explicit negatives
    [num, M, dim], e.g. hard ones (then `scheme` plays no part); `init`, the start of raw, one
    number or [dim]; far from the optimum (above 25 or so) start near the truth or take more steps;
    `reweighting` as in `infonce`.
    Jittable; vmap over keys.
    Raises `ValueError` for num_steps < 3, learning rates <= 0 and what `aninfonce` refuses.
    Source: Rusak et al. 2025 (joint minimiser, h = identity).
    """
    if num_steps < 3 or min(learning_rates) <= 0:
        raise ValueError(
            f"oracle_precision: found num_steps={num_steps}, learning_rates={learning_rates}, "
            "wanted at least 3 steps and positive rates"
        )
    loss = _Loss(scheme, signed, float(reweighting))
    return _optimise(key, sample_pairs, dim, num_pairs, num_steps, init, tuple(learning_rates), loss)


class _Loss(NamedTuple):
    scheme: str
    signed: bool
    reweighting: float

    def precision(self, raw):
        return raw if self.signed else jax.nn.softplus(raw)

    def value(self, raw, z, z_pos, negatives=None):
        values = aninfonce(
            z,
            z_pos,
            self.precision(raw),
            scheme=self.scheme,
            negatives=negatives,
            reweighting=self.reweighting,
            signed=self.signed,
        )
        return jnp.mean(values)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 6, 7))
def _optimise(key, sample_pairs, dim, num_pairs, num_steps, init, learning_rates, loss):
    start, end = learning_rates
    optimizer = optax.adam(optax.schedules.exponential_decay(start, num_steps, end / start))
    first_averaged = num_steps - num_steps // 3

    def update(carry, step):
        raw, state, total = carry
        sample = [x.astype(raw.dtype) for x in sample_pairs(step_key(key, step), num_pairs)]
        grad = jax.grad(loss.value)(raw, *sample)
        updates, state = optimizer.update(grad, state, raw)
        raw = raw + updates
        total = total + jnp.where(step >= first_averaged, loss.precision(raw), 0.0)
        return (raw, state, total), None

    raw = jnp.broadcast_to(jnp.asarray(init, jnp.result_type(float)), (dim,))
    carry = (raw, optimizer.init(raw), jnp.zeros_like(raw))
    (_, _, total), _ = jax.lax.scan(update, carry, jnp.arange(num_steps))
    return total / (num_steps // 3)
