"""The benchmark of kernel tests runs at a tiny size and agrees with itself; the program of its soak ends."""

import pytest

from benchmarks import independence
from benchmarks.hanging import kernel_tests

pytestmark = pytest.mark.slow


def test_both_solvers_are_timed():
    found = independence.measure((160,), num=2, rounds=1)
    assert {"n 160 auto", "n 160 cholesky"} <= set(found["timings"])
    assert found["derived"]["n 160: largest difference of p between solvers"] < 1e-8
    assert found["derived"]["n 160 auto: data sets per second"] > 0


def test_vmapped_kernel_tests_end():
    kernel_tests(1, num=2, samples=40)
