"""Data sets of a seeded generator of NumPy, those that the stored p-values of other packages were made from."""

import numpy as np


def samples(seed, n, law, k=1):
    """x [n, 1], y [n, 1] and z [n, k]: both depend on z, y a little on x."""
    draw = getattr(np.random.default_rng(seed), law)
    z = draw(size=(n, k))
    x = z[:, :1] + draw(size=(n, 1))
    return x, np.sin(z[:, -1:]) + 0.1 * x + draw(size=(n, 1)), z


def binned(*columns):
    """Codes 0, 1, 2 of the first column of each."""
    return [np.digitize(column[:, 0], [-0.5, 0.7]) for column in columns]


def chains(seed, num, n, strength=0.0):
    """x, y, z [num, n] with x <- z -> y, y = ... + strength x."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num, n))
    x = z + rng.normal(size=(num, n))
    return x, np.tanh(z) + strength * x + rng.normal(size=(num, n)), z
