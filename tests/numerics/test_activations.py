"""The nonlinearities against NumPy in float64, and in float64 against 40 decimal digits."""

import decimal
import re

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics import activations
from bptt.numerics.jit import FASTMATH

pytestmark = pytest.mark.interpreted

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
JIT = not numba.config.DISABLE_JIT


def loop_of(function):
    """A loop over a row with the flags of the library's own kernels."""

    @numba.njit(fastmath=FASTMATH, error_model="numpy")
    def loop(x, y):
        for j in range(x.size):
            y[j] = function(x[j])

    return loop


LOOPS = {name: loop_of(getattr(activations, name)) for name in ("exp", "relu", "sigmoid", "softplus", "tanh")}


def apply(name, x):
    y = np.full_like(x, 7)
    LOOPS[name](x, y)
    return y


def every_so_many_floats(stride):
    """All finite float32 numbers, of both signs, by bit pattern, each `stride`-th one."""
    bits = np.arange(0, 2**31, stride, dtype=np.int64).astype(np.uint32)
    x = np.concatenate([bits, bits | np.uint32(2**31)]).view(np.float32)
    return x[np.isfinite(x)]


# Some 2000 numbers between each power of two and the next.
ALL = every_so_many_floats(4001 if JIT else 2_000_003)


def reference(name, x):
    with np.errstate(over="ignore"):
        if name == "tanh":
            return np.tanh(x)
        if name == "sigmoid":
            return np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x.clip(None, 0))))
        if name == "softplus":
            return np.logaddexp(0, x)
        return np.exp(x)


@pytest.mark.parametrize(("name", "bound"), [("tanh", 2e-7), ("sigmoid", 1.5e-7)])
def test_float32_bounded_ones_at_all_finite_inputs(name, bound):
    y = apply(name, ALL)
    assert y.dtype == np.float32
    assert np.abs(y - reference(name, ALL.astype(np.float64))).max() <= bound


@pytest.mark.parametrize("name", ["exp", "softplus"])
def test_float32_unbounded_ones_at_all_finite_inputs(name):
    x = ALL if name == "softplus" else ALL[ALL < 88.7]
    y, expected = apply(name, x), reference(name, x.astype(np.float64))
    denormal = float(np.finfo(np.float32).smallest_subnormal)
    assert np.all(np.abs(y - expected) <= 4e-7 * expected + 2 * denormal)


DIGITS = decimal.Context(prec=40, Emin=-(10**6), Emax=10**6)


def exactly(name, x):
    """The same to 40 digits, from Python's own decimal exponential and logarithm."""
    x, one = decimal.Decimal(float(x)), decimal.Decimal(1)
    with decimal.localcontext(DIGITS):
        if name == "exp":
            return x.exp()
        if name == "sigmoid":
            return one / (one + (-x).exp())
        if name == "softplus":
            return (one + x.exp()).ln() if x > -40 else x.exp()
        if abs(x) < decimal.Decimal("1e-14"):
            return x
        e = (2 * x).exp()
        return (e - one) / (e + one)


@pytest.mark.parametrize(
    ("name", "absolute", "relative"),
    [("tanh", 4e-16, 0), ("sigmoid", 3e-16, 0), ("exp", 1e-323, 4e-16), ("softplus", 1e-323, 8e-16)],
)
def test_float64_to_forty_digits(name, absolute, relative):
    rng, n = np.random.default_rng(0), 600 if JIT else 60
    spread = 10.0 ** rng.uniform(-300, 2, n) * rng.choice([-1, 1], n)
    x = np.concatenate([rng.normal(0, 2, 2 * n), rng.uniform(-700, 700, n), spread, [5e-324, -5e-324, 0]])
    for value, y in zip(x, apply(name, x), strict=True):
        expected = exactly(name, value)
        error = abs(decimal.Decimal(float(y)) - expected)
        assert error <= decimal.Decimal(absolute) + decimal.Decimal(relative) * abs(expected), value


@BOTH
@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("tanh", {np.inf: 1, -np.inf: -1, 1e30: 1, -1e30: -1, 0: 0}),
        ("sigmoid", {np.inf: 1, -np.inf: 0, 1e30: 1, -1e30: 0, 0: 0.5}),
        ("exp", {np.inf: np.inf, -np.inf: 0, -1e30: 0, 0: 1}),
        ("softplus", {np.inf: np.inf, -np.inf: 0, 1e30: 1e30, -1e30: 0}),
        ("relu", {np.inf: np.inf, -np.inf: 0, 1e30: 1e30, -1e30: 0, 0: 0}),
    ],
)
def test_limits_are_exact(name, limits, dtype):
    # A whole row of each: both the vectors and the scalar rest of the loop.
    for x, expected in limits.items():
        np.testing.assert_array_equal(apply(name, np.full(37, x, dtype)), dtype(expected))


@BOTH
@pytest.mark.parametrize("name", list(LOOPS))
def test_nan_stays_and_spoils_no_neighbour(name, dtype):
    x = np.linspace(-3, 3, 41, dtype=dtype)
    expected = np.isin(np.arange(x.size), [3, 40])
    x[3], x[40] = np.nan, -np.nan
    np.testing.assert_array_equal(np.isnan(apply(name, x)), expected)


@BOTH
def test_tanh_is_odd_and_relatively_accurate_near_zero(dtype):
    info = np.finfo(dtype)
    lowest = np.log10(float(info.smallest_normal)) - np.log10(1 / float(info.eps))
    absolute = 10 ** np.random.default_rng(1).uniform(lowest, 1, 20_000 if JIT else 500)
    x = np.append(absolute, info.smallest_subnormal).astype(dtype)
    y = apply("tanh", x)
    np.testing.assert_array_equal(apply("tanh", -x), -y)
    assert np.signbit(apply("tanh", np.array([-0.0], dtype)))[0]
    expected = np.tanh(x.astype(np.float64))
    assert np.all(np.abs(y - expected) <= 10 * info.eps * expected)
    assert y[-1] == info.smallest_subnormal


@BOTH
def test_relu(dtype):
    x = np.random.default_rng(2).normal(size=100).astype(dtype)
    np.testing.assert_array_equal(apply("relu", x), np.maximum(x, 0))


@BOTH
@pytest.mark.parametrize("name", list(LOOPS))
def test_type_is_kept(name, dtype):
    assert np.dtype(dtype) == apply(name, np.ones(1, dtype)).dtype
    if JIT:
        function = getattr(activations, name)
        function(dtype(1))
        scalar = numba.from_dtype(np.dtype(dtype))
        assert function.overloads[(scalar,)].signature.return_type == scalar


@pytest.mark.skipif(not JIT, reason="looks at the machine code's source")
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "tanh"])
def test_loops_become_vectors_without_calls_to_a_library(name):
    row = np.ones(1, np.float32)
    apply(name, row)
    code = LOOPS[name].inspect_llvm((numba.typeof(row),) * 2)
    assert re.search(r"f(div|mul|add) .*<\d+ x float>", code)
    assert not re.search(r"call [^\n]*@_*(llvm\.)?(exp|expm1|tanh|log|log1p)f?[(.]", code)


@BOTH
@given(
    values=st.lists(st.floats(-80, 80, width=32) | st.just(-np.inf), min_size=1, max_size=70),
    offset=st.sampled_from([0.0, 1000.0, -3000.0]),
)
def test_log_sum_exp(dtype, values, offset):
    row = np.array(values, dtype) + dtype(offset)
    expected = np.logaddexp.reduce(row.astype(np.float64))
    got = activations.log_sum_exp(row)
    # Rounding of the row's own numbers, of the sum, and of the shift put back.
    tolerance = np.finfo(dtype).eps * (4 * row.size + 2 * (abs(offset) + 80))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@BOTH
@pytest.mark.parametrize("size", [1, 2, 7, 8, 65])
def test_log_sum_exp_of_equal_numbers(dtype, size):
    row = np.full(size, -1.5, dtype)
    np.testing.assert_allclose(activations.log_sum_exp(row), -1.5 + np.log(size), rtol=0, atol=8 * np.finfo(dtype).eps)


@BOTH
def test_log_sum_exp_of_nan_and_infinity(dtype):
    row = np.linspace(-5, 5, 23, dtype=dtype)
    for place in (0, 11, 22):
        for nan in (np.nan, -np.nan):
            for other in (1.0, np.inf, -np.inf):
                spoilt = row.copy()
                spoilt[5], spoilt[place] = other, nan
                assert np.isnan(activations.log_sum_exp(spoilt))
        infinite = row.copy()
        infinite[place] = np.inf
        assert activations.log_sum_exp(infinite) == np.inf
    assert activations.log_sum_exp(np.full(9, -np.inf, dtype)) == -np.inf
