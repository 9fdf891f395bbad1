"""Scores that hold one factor fixed: which one it was must show in the representation (BetaVAE, FactorVAE)."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from identax.checks import check_nonnegative, concrete, shape_of
from identax.indices import index_list
from identax.metrics.disentanglement._inputs import check_varying
from identax.metrics.disentanglement._programs import kept_program
from identax.metrics.readout import linear_readout_accuracy
from identax.rng import stream

Represent = Callable[..., Any]
"""(key, factors [B, K]) -> representations [B, m], a pure function"""
SampleFactors = Callable[..., Any]
"""(key, num) -> factors [num, K], a pure function, e.g. `FactorGrid.sample_codes`"""


def beta_vae_score(
    key: Key[Array, ""],
    represent: Represent,
    sample_factors: SampleFactors,
    *,
    num_train: int = 10000,
    num_eval: int = 5000,
    group_size: int = 64,
    factor_indices: Sequence[int] | None = None,
    l2: float | int = 1e-4,
) -> Float[Array, ""]:
    """Accuracy with which a linear classifier tells the fixed factor from the mean difference of pairs.

    A point: a factor k, drawn evenly; `group_size` pairs of factor vectors, the two of a pair with one value of factor
    k; x = mean over pairs of |z(first) - z(second)|, label k. Trained on `num_train` points, scored on `num_eval` fresh
    ones; chance is 1 / number of factors. The classifier is `linear_readout_accuracy` (x z-scored, so the scale of the
    estimates does not matter).
    Args: `represent` and `sample_factors` as `Represent` and `SampleFactors` say; `factor_indices`: the factors that
    are held fixed, all by default. The program is kept for calls with
    the same functions (`kept_program`), and the score may be jitted over `key`.
    Raises `ValueError` for sizes < 1, fewer than two factors, factors constant in all of 1024 draws, representations
    of another shape or not finite (inside compiled programs: NaN).
    Source: Higgins et al. 2017, section 3; 64 pairs and numbers of points as in Locatello et al. 2019, appendix C.
    """
    chosen = _check("beta_vae_score", key, represent, sample_factors, factor_indices, (num_train, num_eval, group_size))

    def point(key):
        which = jax.random.randint(stream(key, "factor"), (), 0, len(chosen))
        fixed = jnp.asarray(chosen)[which]
        first, second = (sample_factors(stream(key, name), group_size) for name in ("first", "second"))
        second = second.at[:, fixed].set(first[:, fixed])
        z = [represent(stream(key, f"represent {i}"), part) for i, part in enumerate((first, second))]
        return jnp.mean(jnp.abs(z[0] - z[1]), axis=0), which.astype(jnp.int32)

    def score(key):
        x, labels = _points(point, key, num_train, num_eval)
        test = {"test_features": x[num_train:], "test_labels": labels[num_train:]}
        return linear_readout_accuracy(x[:num_train], labels[:num_train], len(chosen), **test, l2=l2)

    static = "beta_vae_score", num_train, num_eval, group_size, tuple(chosen.tolist())
    program = kept_program(score, (represent, sample_factors, l2), static)
    return _require_finite("beta_vae_score", program(key))


def factor_vae_score(
    key: Key[Array, ""],
    represent: Represent,
    sample_factors: SampleFactors,
    *,
    num_train: int = 10000,
    num_eval: int = 5000,
    group_size: int = 64,
    num_variance: int = 10000,
    factor_indices: Sequence[int] | None = None,
    min_std: float | int = 0.0,
) -> Float[Array, ""]:
    """Accuracy with which the dim of least relative variance tells the fixed factor, by majority vote.

    A point: a factor k, drawn evenly; `group_size` factor vectors with one value of factor k; its vote is the dim
    d = argmin_i Var_group(z_i) / Var(z_i), Var from `num_variance` samples (whole groups). Dim d stands for
    the factor that it got most of the `num_train` votes with; the score is the share of right votes among `num_eval`
    fresh ones. Dims with a standard deviation of at most `min_std` are left out; without any left the score is 0.
    Args and errors as `beta_vae_score`, and `ValueError` for group_size < 2, num_variance < 2 or min_std < 0.
    Source: Kim & Mnih 2018, section 4; sizes as in Locatello et al. 2019, appendix C.
    """
    sizes = (num_train, num_eval, group_size - 1, num_variance - 1)
    chosen = _check("factor_vae_score", key, represent, sample_factors, factor_indices, sizes)
    check_nonnegative("factor_vae_score", "min_std", min_std, ())

    def sample(key):
        return represent(stream(key, "represent"), sample_factors(stream(key, "factors"), group_size))

    def vote(key, deviation, active):
        which = jax.random.randint(stream(key, "factor"), (), 0, len(chosen))
        factors = sample_factors(stream(key, "group"), group_size)
        fixed = jnp.asarray(chosen)[which]
        factors = factors.at[:, fixed].set(factors[0, fixed])
        spread = jnp.std(represent(stream(key, "represent"), factors), axis=0, ddof=1)
        relative = jnp.where(active, spread / jnp.where(active, deviation, 1.0), jnp.inf)
        return which, jnp.argmin(relative), jnp.all(jnp.isfinite(spread))

    def score(key):
        z = _points(sample, stream(key, "variance"), -(-num_variance // group_size))
        z = z.reshape(-1, z.shape[-1])
        deviation = jnp.std(z, axis=0, ddof=1)
        rounding = 4 * jnp.finfo(deviation.dtype).eps * jnp.max(jnp.abs(z), axis=0)
        active = deviation > jnp.maximum(rounding, min_std)
        which, dim, finite = _points(lambda key: vote(key, deviation, active), key, num_train, num_eval)
        counts = jnp.zeros((2, len(chosen), z.shape[1]), jnp.int32)
        counts = counts.at[(jnp.arange(num_train + num_eval) >= num_train).astype(jnp.int32), which, dim].add(1)
        accuracy = jnp.where(jnp.any(active), _majority_accuracy(counts[0], counts[1], z.dtype), 0.0)
        return jnp.where(jnp.all(finite) & jnp.all(jnp.isfinite(z)), accuracy, jnp.nan)

    static = "factor_vae_score", num_train, num_eval, group_size, num_variance, tuple(chosen.tolist())
    program = kept_program(score, (represent, sample_factors, min_std), static)
    return _require_finite("factor_vae_score", program(key))


def _majority_accuracy(train: Int[Array, "K m"], test: Int[Array, "K m"], dtype) -> Float[Array, ""]:
    winner = jnp.argmax(train, axis=0)
    right = jnp.take_along_axis(test, winner[None, :], axis=0)
    return jnp.sum(right).astype(dtype) / jnp.sum(test).astype(dtype)


# Points computed at once: bounds the representations, and images, that are in memory together.
_POINTS_AT_ONCE = 16


def _points(function, key, *nums):
    """Returns the function at `nums[0]` keys, then at `nums[1]` others, ...: in one loop, compiled once."""
    keys = jnp.concatenate([jax.random.split(stream(key, f"part {i}"), num) for i, num in enumerate(nums)])
    return jax.lax.map(function, keys, batch_size=min(sum(nums), _POINTS_AT_ONCE))


def _check(where, key, represent, sample_factors, factor_indices, sizes) -> Int[np.ndarray, " k"]:
    """Returns the factors to hold fixed."""
    if min(sizes) < 1:
        raise ValueError(f"{where}: found numbers of samples that are too small, wanted points >= 1 and groups >= 2")
    factors = sample_factors(stream(key, "check"), 1024)
    shape = shape_of(factors)
    if len(shape) != 2 or shape[0] != 1024:
        raise ValueError(f"{where}: found factors of shape {shape} for 1024 samples, wanted [1024, K]")
    chosen = np.arange(shape[1])
    if factor_indices is not None:
        try:
            chosen = index_list(where, "factor_indices", factor_indices, shape[1])
        except ValueError as error:
            raise ValueError(f"{error}, at least two different ones") from None
    if len(set(chosen.tolist())) != len(chosen) or len(chosen) < 2:
        raise ValueError(f"{where}: found factors {chosen.tolist()} of {shape[1]}, wanted at least two different ones")
    check_varying(where, factors[:, chosen])
    found = jax.eval_shape(represent, stream(key, "check"), factors)
    if not hasattr(found, "shape") or len(found.shape) != 2 or found.shape[0] != 1024 or found.shape[1] < 1:
        raise ValueError(f"{where}: found representations {found} of 1024 factor vectors, wanted one array [1024, m]")
    return chosen


def _require_finite(where, score):
    # One check at the end of the compiled program, in which nothing can be raised.
    known = concrete(score)
    if known is not None and not np.isfinite(known):
        raise ValueError(f"{where}: found representations that are not finite, wanted numbers")
    return score
