"""Schedules against optax' own and their formula; one optimiser per group against two apart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identax.transforms import cosine, inverse_square_root, per_group


def test_cosine_without_a_flat_part_is_that_of_optax_and_a_traced_rate_scales_it():
    counts = jnp.arange(0, 121, 10)
    wanted = jax.vmap(optax.cosine_decay_schedule(0.3, 100))(counts)
    found = jax.jit(jax.vmap(lambda rate: cosine(rate, 100)(counts)))(jnp.array([0.3, 0.6]))
    np.testing.assert_allclose(found, [wanted, 2 * wanted], rtol=1e-6, atol=1e-8)


def test_flat_part_comes_first():
    at = cosine(2.0, 100, 0.4)
    np.testing.assert_allclose([at(t) for t in (0, 40, 70, 100, 500)], [2.0, 2.0, 1.0, 0.0, 0.0], atol=1e-6)
    assert at(41) < 2.0


def test_every_group_has_the_optimiser_of_its_name():
    params = {"encoder": jnp.array([1.0, -2.0]), "raw": jnp.array([3.0])}
    grads = {"encoder": jnp.array([0.5, 0.1]), "raw": jnp.array([-1.0])}
    apart = {"encoder": optax.adam(0.1), "raw": optax.sgd(2.0)}
    together = per_group(apart)
    updates, _ = together.update(grads, together.init(params), params)
    for name, transform in apart.items():
        wanted, _ = transform.update(grads[name], transform.init(params[name]), params[name])
        np.testing.assert_allclose(updates[name], wanted, rtol=1e-6)


def test_inverse_square_root_warms_up_and_falls():
    at = inverse_square_root(0.5, 100)
    found = [float(at(jnp.asarray(t))) for t in (0, 50, 99, 100, 400)]
    np.testing.assert_allclose(found, [0, 0.25, 0.495, 0.5, 0.25], rtol=1e-6)
    slopes = jax.grad(lambda rate: inverse_square_root(rate, 100)(0.0))(1.0)
    assert slopes == 0  # also there a number


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cosine(1.0, 0), "found num_steps=0"),
        (lambda: cosine(1.0, 10, 1.0), "found flat=1.0, wanted a share"),
        (lambda: inverse_square_root(1.0, 0), "found warmup=0"),
        (lambda: inverse_square_root(1.0, 10**12), "found warmup=1000000000000"),
        (lambda: per_group({"a": optax.sgd(1.0)}).init({"b": jnp.ones(1)}), r"found parameters \['b'\], wanted"),
        (lambda: per_group({"a": optax.sgd(1.0)}).init(jnp.ones(1)), "wanted a dict of"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_group_that_the_parameters_lack_is_left_out():
    params = {"a": jnp.ones(2)}
    both = per_group({"a": optax.sgd(0.5), "b": optax.adam(1.0)})
    updates, _ = both.update({"a": jnp.full(2, 2.0)}, both.init(params), params)
    np.testing.assert_array_equal(updates["a"], -1.0)
