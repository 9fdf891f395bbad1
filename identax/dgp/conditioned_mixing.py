"""Random leaky-ReLU networks whose layers are redrawn until their condition number is below a percentile of its law."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from identax.checks import check_between, check_count, concrete
from identax.dgp.base import compiled
from identax.dgp.mixings import Mixing, column_normalized, condition_numbers, random_invertible_mlp
from identax.dgp.rejection import first_accepted
from identax.rng import stream

_POOL = 10_000


def conditioned_invertible_mlp(
    n: int, *, num_layers: int = 2, percentile: float | int = 25, activation: str = "leaky_relu"
) -> Mixing:
    """The network of `random_invertible_mlp`, every W_l the first draw with condition number <= a threshold.

        x = W_L s(W_{L-1} ... s(W_1 z)),    W_l entries U(-1, 1), columns divided by their Euclidean norm

    The threshold is `condition_threshold(n, percentile)`. One layer is linear ICA; n = 1 is x = W z with |W| = 1.
    Raises `ValueError` for n < 1, num_layers < 1, a percentile outside (0, 100], and an unknown activation.
    Source: Hyvarinen and Morioka 2016, code of time-contrastive learning.
    """
    check_count("conditioned_invertible_mlp", "num_layers", num_layers)
    base = random_invertible_mlp(n, num_layers=num_layers, activation=activation, pool_size=num_layers)
    threshold = condition_threshold(n, percentile)

    def init(key: Key[Array, ""]) -> tuple[Float[Array, "n n"], ...]:
        return tuple(_first_below(stream(key, "mixing"), n, num_layers, threshold))

    return base._replace(init=init)


def condition_threshold(n: int, percentile: float | int = 25) -> float:
    """That percentile of the 2-norm condition numbers of 10,000 matrices [n, n] with entries U(-1, 1) and unit columns.

    One fixed set of matrices per n: the same number in every call and process (about 1.49 for n = 2, 2.9 for 3, 6.5
    for 5, 16 for 10, 36 for 20 at the 25th).
    Raises `ValueError` for n < 1 and a percentile outside (0, 100].
    """
    check_count("condition_threshold", "n", n)
    check_between("condition_threshold", "percentile", percentile, 0, 100, ())
    known = concrete(percentile)
    if known is None or known == 0:
        raise ValueError(f"condition_threshold: found percentile={percentile}, wanted a number above 0")
    return float(np.percentile(_pool_conditions(int(n)), float(known)))


@functools.cache
def _pool_conditions(n: int) -> np.ndarray:
    """Of the pool, on the host: the threshold is then known while programs are traced."""
    matrices = np.random.default_rng(0).uniform(-1.0, 1.0, (_POOL, n, n))
    return np.linalg.cond(matrices / np.linalg.norm(matrices, axis=1, keepdims=True))


def _first_below_threshold(key, n, num_layers, threshold):
    """[num_layers, n, n]"""

    def propose(key, rows, num):
        count = num * rows.shape[-1]
        matrices = jax.vmap(lambda k: column_normalized(k, n))(jax.random.split(key, count))
        conditions = condition_numbers(matrices).reshape(num, -1)
        entries = jnp.moveaxis(matrices, 0, -1).reshape(n, n, num, -1)
        # n = 1, or a percentile of 100 met by rounding: nothing to wait for
        return entries, (conditions <= threshold * (1 + 1e-6)) | ~jnp.isfinite(conditions)

    found = first_accepted(propose, key, jnp.zeros(num_layers), num_proposals=8)
    return jnp.moveaxis(found, -1, 0)


_first_below = compiled(_first_below_threshold, static=(1, 2, 3))
