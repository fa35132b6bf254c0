"""The decorator: what its flags keep, and what it refuses."""

import sys

import numba
import numpy as np
import pytest

from bptt.numerics import matmul
from bptt.numerics.jit import borrow, kernel

compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@compiled_only
def test_what_is_compiled_apart_has_no_entrance_for_python():
    with pytest.raises(TypeError, match="strips is compiled for other kernels only"):
        matmul.strips(1)


@pytest.mark.interpreted
@BOTH
@pytest.mark.parametrize("exact", [False, True])
def test_nan_and_infinity_are_not_assumed_away(dtype, exact):
    @kernel(exact=exact)
    def verdicts(x, out):
        for j in range(x.size):
            out[0, j] = x[j] != x[j]
            out[1, j] = np.isnan(x[j])
            out[2, j] = np.isinf(x[j])
            out[3, j] = x[j] * x.dtype.type(0) == x.dtype.type(0)

    x = np.array([1, np.nan, np.inf, -np.inf, -np.nan, 0] * 5, dtype)
    out = np.empty((4, x.size), bool)
    with np.errstate(invalid="ignore"):
        verdicts(x, out)
    expected = np.isnan(x), np.isnan(x), np.isinf(x), np.isfinite(x)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.interpreted
@BOTH
def test_exact_keeps_the_order_of_operations(dtype):
    """Fast kernels may cancel the two additions; the rounding by a large number lives on their order."""

    @kernel(exact=True)
    def rounded(x, large):
        return (x + large) - large

    large = dtype(1.5 / np.finfo(dtype).eps)
    assert [rounded(dtype(x), large) for x in (0.4, 0.6, 2.5, -1.2)] == [0, 1, 2, -1]


@pytest.mark.interpreted
def test_division_by_zero_is_that_of_numpy():
    @kernel
    def divide(x, y):
        return x / y

    with np.errstate(divide="ignore"):
        assert divide(np.float64(1), np.float64(0)) == np.inf


@pytest.mark.interpreted
def test_borrowed_array_is_the_same_memory():
    @kernel
    def fill(x):
        x = borrow(x)
        for row in range(x.shape[0]):
            x[row][1:] = row

    x = np.full((3, 4), 7.0)
    owners = sys.getrefcount(x)
    fill(x)
    np.testing.assert_array_equal(x, [[7, 0, 0, 0], [7, 1, 1, 1], [7, 2, 2, 2]])
    assert sys.getrefcount(x) == owners


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the interpreter calls every function")
def test_a_kernel_without_an_entrance_for_python_says_so():
    @kernel(internal=True)
    def inner(x):
        return x + 1

    @kernel
    def outer(x):
        return inner(x)

    assert outer(1) == 2
    with pytest.raises(TypeError, match="inner is compiled for other kernels only"):
        inner(1)
