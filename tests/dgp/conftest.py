import numpy as np
import pytest


@pytest.fixture
def assert_mean():
    """Returns the check |mean - expected| <= 6 standard errors over axis 0, entry by entry."""

    def check(samples, expected, sigmas=6.0):
        samples = np.asarray(samples, np.float64)
        error = samples.std(axis=0) / np.sqrt(samples.shape[0])
        z = (samples.mean(axis=0) - np.asarray(expected)) / np.maximum(error, 1e-12)
        assert np.all(np.abs(z) <= sigmas), (z, samples.mean(axis=0), expected)

    return check
