"""Vectors as values: the same numbers as NumPy's, at every place of a row, and no more of the row than asked for."""

import numba
import numpy as np
import pytest

from bptt.numerics.jit import kernel
from bptt.numerics.simd import (
    absolute,
    copysign,
    fma,
    lane_count,
    load,
    maximum,
    minimum,
    power_of_two,
    select,
    store,
    zero,
)

pytestmark = pytest.mark.interpreted

JIT = not numba.config.DISABLE_JIT
TWO, MANY = (0, 0), 14
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel(strict=True)
def results(a, b):
    """MANY values of two, each operation in both orders of lanes and numbers."""
    return (
        a + b, a - 2, 3 * a, 1 / b, -a, fma(a, b, 0.5), minimum(a, 0.25), maximum(a, b),
        absolute(a), copysign(a, b), select(a > b, a, 7), select(a <= 0.5, zero(a), b), zero(a), a / b,
    )  # fmt: skip


@kernel(strict=True)
def in_vectors(x, out, n):
    for row in range(x.shape[0]):
        for j in range(0, n, lane_count(x)):
            a, b = load(x, row, TWO, n, j, n - j)
            store(out, row, results(a, b), n, j, n - j)


@kernel(strict=True)
def shifted(x, out, n):
    for j in range(0, n, lane_count(x)):
        (a,) = load(x, 0, (0,), n, j, n - j)
        store(out, 0, (power_of_two(a),), n, j, n - j)


@BOTH
def test_every_operation_at_every_length(dtype):
    for n in range(1, 41 if JIT else 4):
        rng = np.random.default_rng(n)
        x = rng.normal(size=(3, 2 * n)).astype(dtype)
        whole = np.full((3, MANY * n + 40), np.nan, dtype)
        out = whole[:, 20 : 20 + MANY * n]
        in_vectors(x, out, n)
        a, b = x[:, :n], x[:, n:]
        expected = (
            a + b, a - 2, 3 * a, 1 / b, -a, a * b + dtype(0.5), np.minimum(a, dtype(0.25)), np.maximum(a, b),
            abs(a), np.copysign(a, b), np.where(a > b, a, dtype(7)), np.where(a <= 0.5, dtype(0), b), 0 * a, a / b,
        )  # fmt: skip
        for k, value in enumerate(expected):
            got = out[:, k * n : (k + 1) * n]
            # The fused one is rounded once.
            np.testing.assert_allclose(got, value, rtol=0, atol=4 * np.finfo(dtype).eps if k == 5 else 0)
        out[...] = np.nan
        assert np.isnan(whole).all()


@BOTH
def test_nan_comes_through_where_it_must(dtype):
    x = np.full((1, 2), np.nan, dtype)
    out = np.zeros((1, MANY), dtype)
    in_vectors(x, out, 1)
    numbers = [10, 11, 12]  # the conditions are false, and a zero is a zero
    assert np.isnan(np.delete(out[0], numbers)).all()
    assert out[0, 10] == 7


@BOTH
def test_powers_of_two(dtype):
    fraction, bias = (23, 127) if dtype == np.float32 else (52, 1023)
    n = np.arange(-bias, bias + 2)
    x = (dtype(1.5 * 2.0**fraction + bias) + n.astype(dtype)).reshape(1, -1)
    out = np.empty_like(x)
    shifted(x, out, n.size)
    with np.errstate(over="ignore"):
        expected = np.ldexp(dtype(1), n)
    expected[0] = 0
    np.testing.assert_array_equal(out[0], expected)
