import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.dgp.rejection import first_accepted


def _below(key, rows, num):
    """Uniform proposals, accepted below the row's own bar: the law is U(0, bar)."""
    value = jax.random.uniform(key, (num, rows.shape[-1]))
    return value, (value < rows[None]) | jnp.isnan(rows)[None]


@pytest.mark.parametrize("num_proposals, refill", [(1, 8), (8, 8), (3, 40)])
def test_every_row_is_filled_with_its_own_law(getkey, assert_mean, num_proposals, refill):
    bars = jnp.tile(jnp.array([0.03, 0.2, 1.0]), 4000)
    draw = jax.jit(lambda key: first_accepted(_below, key, bars, num_proposals=num_proposals, refill=refill))
    key = getkey()
    drawn = draw(key)
    # what the first pass accepted is kept
    values, accepted = _below(jax.random.fold_in(key, 0), bars, num_proposals)
    first = jnp.take_along_axis(values, accepted.argmax(axis=0)[None], axis=0)[0]
    assert np.asarray((drawn == first) | ~accepted.any(axis=0)).all()
    relative = np.asarray(drawn / bars).reshape(-1, 3)
    assert (relative < 1).all()
    assert_mean(relative, 0.5)
    assert_mean(relative**2, 1 / 3)
    # no proposal is used twice: rows are uncorrelated
    assert_mean(12 * (relative - 0.5) * (np.roll(relative, 1, axis=1) - 0.5), 0.0)


def test_takes_the_first_in_order_not_the_best():
    def propose(key, rows, num):
        order = jnp.arange(num, dtype=float)[:, None] + 0 * rows[None]
        return order, order >= rows[None]

    got = first_accepted(propose, jax.random.key(0), jnp.array([0.0, 3.0, 7.0]), num_proposals=8)
    np.testing.assert_array_equal(got, [0.0, 3.0, 7.0])


def test_vmap_gives_what_each_key_gives_alone():
    bars = jnp.array([0.02, 0.5, 0.9])
    keys = jax.random.split(jax.random.key(3), 5)
    one = jax.jit(lambda key: first_accepted(_below, key, bars, num_proposals=4))
    np.testing.assert_array_equal(jax.vmap(one)(keys), jnp.stack([one(key) for key in keys]))


def test_nan_rows_end_and_stay_nan():
    values = first_accepted(
        lambda key, rows, num: (_below(key, rows, num)[0] + 0 * rows[None], _below(key, rows, num)[1]),
        jax.random.key(0),
        jnp.array([jnp.nan, 0.5]),
        num_proposals=2,
    )
    assert np.isnan(values).tolist() == [True, False]


def test_bad_num_proposals():
    with pytest.raises(ValueError, match="num_proposals=0"):
        first_accepted(_below, jax.random.key(0), jnp.ones(3), num_proposals=0)
