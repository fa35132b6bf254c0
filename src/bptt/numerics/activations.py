"""The nonlinearities of the cells, for float32 and float64 alike, written so that LLVM turns loops over them into vectors.

No call to a mathematics library, no branch and no table: a loop `for j in range(n): y[j] = tanh(x[j])` becomes
straight vector code. Everything stands on one exponential, reduced in the manner of Cody & Waite:

    e^y = 2^n e^r,    n = round(y / ln 2),    r = y - n ln 2,    |r| <= ln(2) / 2

    e^r - 1 = r + r^2 P(r)      P by Remez' algorithm, of the least error relative to e^r:
                                1.1e-7 in float32 (P of degree 3), 3.7e-18 in float64 (degree 9)
    n       by adding 1.5 * 2^(p-1), p the bits of the significand, which leaves no room for a fraction: the sum's low
            bits are n in binary. With the exponent's bias added as well, shifting them up to the exponent makes 2^n,
            with the two ends for free: exponent field 0 is the number 0, a full field is infinity.

`exp` subtracts n ln 2 in two parts, the first of few bits so that its product with n is exact, and multiplies by 2^n in
two halves, since the result may be representable where 2^n is not. The other two need neither, as their slope
dies out faster than the error of r grows with n:

    sigmoid(x) = 1 / (1 + e^-x)             e^-x may end at 0 or infinity, which are the right limits
    tanh(x)    = -m / (2 + m),              m = e^(-2|x|) - 1 = 2^n (e^r - 1) + (2^n - 1);  the sign of x is put back
    softplus(x) = max(x, 0) + log(1 + e^-|x|),  log(1 + e) = 2 artanh(s),  s = e / (2 + e)

so tanh is odd bit for bit, and for small x (n = 0) m = r + r^2 P(r) keeps its relative accuracy down to the
smallest denormal. Clamps are written `bound if x > bound else x`, which hands a NaN through.

Sources: Cody & Waite, Software Manual for the Elementary Functions (1980), chapters 6 and 13; Muller, Elementary
Functions: Algorithms and Implementation (3rd ed. 2016), chapters 3 and 11.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from bptt.numerics.jit import EXACT, kernel

__all__ = ["exp", "log_sum_exp", "relu", "sigmoid", "softplus", "tanh"]


class Format(NamedTuple):
    """The constants of a floating-point format: a bare `1` would turn float32 into float64."""

    zero: Any
    half: Any
    one: Any
    two: Any
    round_and_bias: Any  # 1.5 * 2^(p-1) + bias
    bias: Any  # of the exponent field
    position: Any  # of the exponent field, in bits from the lowest
    log2_e: Any
    ln2: Any
    ln2_high: Any  # few enough bits that n ln2_high is exact
    ln2_low: Any
    lowest: Any  # e^lowest is 0 with exponent field 0: lowest = -bias ln 2
    highest: Any  # e^highest is infinity with a full field: highest = (bias + 1) ln 2
    one_from: Any  # tanh is 1 from here on


FLOAT32 = Format(
    zero=np.float32(0.0),
    half=np.float32(0.5),
    one=np.float32(1.0),
    two=np.float32(2.0),
    round_and_bias=np.float32(1.5 * 2**23 + 127),
    bias=np.float32(127),
    position=np.int32(23),
    log2_e=np.float32(1.4426950408889634),
    ln2=np.float32(0.6931471805599453),
    ln2_high=np.float32(0.693359375),
    ln2_low=np.float32(-2.12194440054690583e-4),
    lowest=np.float32(-127 * 0.6931471805599453),
    highest=np.float32(128 * 0.6931471805599453),
    one_from=np.float32(10.0),
)

FLOAT64 = Format(
    zero=np.float64(0.0),
    half=np.float64(0.5),
    one=np.float64(1.0),
    two=np.float64(2.0),
    round_and_bias=np.float64(1.5 * 2**52 + 1023),
    bias=np.float64(1023),
    position=np.int64(52),
    log2_e=np.float64(1.4426950408889634),
    ln2=np.float64(0.6931471805599453),
    ln2_high=np.float64(0.6931471803691238),
    ln2_low=np.float64(1.9082149292705877e-10),
    lowest=np.float64(-1023 * 0.6931471805599453),
    highest=np.float64(1024 * 0.6931471805599453),
    one_from=np.float64(20.0),
)


def format_of(x: Any) -> Format:
    """The constants of the type of `x`."""
    return FLOAT32 if x.dtype == np.float32 else FLOAT64


@overload(format_of, inline="always")
def _compiled_format_of(x):
    if x == types.float32:
        return lambda x: FLOAT32
    return lambda x: FLOAT64


def power_of_two(shifted: Any) -> Any:
    """2^n from the sum of n and `round_and_bias`."""
    if shifted.dtype == np.float32:
        return np.int32(np.float32(shifted).view(np.int32) << FLOAT32.position).view(np.float32)
    return np.int64(np.float64(shifted).view(np.int64) << FLOAT64.position).view(np.float64)


@overload(power_of_two, jit_options={"fastmath": EXACT, "error_model": "numpy"})
def _compiled_power_of_two(shifted):
    if shifted == types.float32:
        return lambda shifted: np.int32(np.float32(shifted).view(np.int32) << FLOAT32.position).view(
            np.float32
        )
    return lambda shifted: np.int64(np.float64(shifted).view(np.int64) << FLOAT64.position).view(np.float64)


def expm1_reduced_32(r):
    p = np.float32(0.0083124869508685552802)
    p = p * r + np.float32(0.041890150388387763482)
    p = p * r + np.float32(0.16667115055079407015)
    p = p * r + np.float32(0.49999231579148145931)
    return r * r * p + r


def expm1_reduced_64(r):
    p = 2.5000061625531291802e-8
    p = p * r + 2.7630248385323020453e-7
    p = p * r + 2.7557586373785180918e-6
    p = p * r + 0.000024801493098887391545
    p = p * r + 0.00019841269506578723932
    p = p * r + 0.0013888888943630134161
    p = p * r + 0.0083333333334944616639
    p = p * r + 0.041666666666530158494
    p = p * r + 0.16666666666666412523
    p = p * r + 0.50000000000000106271
    return r * r * p + r


def expm1_reduced(r: Any) -> Any:
    """e^r - 1 for |r| <= ln(2)/2."""
    return expm1_reduced_32(r) if r.dtype == np.float32 else expm1_reduced_64(r)


@overload(expm1_reduced, jit_options={"fastmath": EXACT, "error_model": "numpy"})
def _compiled_expm1_reduced(r):
    return expm1_reduced_32 if r == types.float32 else expm1_reduced_64


@kernel(exact=True)
def exp(x: Any) -> Any:
    f = format_of(x)
    y = f.lowest + f.lowest if x < f.lowest + f.lowest else x
    y = f.highest + f.highest if y > f.highest + f.highest else y
    n = (y * f.log2_e + f.round_and_bias) - f.round_and_bias
    r = (y - n * f.ln2_high) - n * f.ln2_low
    half = (n * f.half + f.round_and_bias) - f.round_and_bias
    e = f.one + expm1_reduced(r)
    return e * power_of_two(half + f.round_and_bias) * power_of_two((n - half) + f.round_and_bias)


@kernel(exact=True)
def sigmoid(x: Any) -> Any:
    f = format_of(x)
    y = -f.lowest if x > -f.lowest else x
    y = -f.highest if y < -f.highest else y
    shifted = f.round_and_bias - y * f.log2_e
    n = shifted - f.round_and_bias
    r = -y - n * f.ln2
    e = f.one + expm1_reduced(r)
    return f.one / (f.one + e * power_of_two(shifted))


@kernel(exact=True)
def tanh(x: Any) -> Any:
    f = format_of(x)
    magnitude = abs(x)
    magnitude = f.one_from if magnitude > f.one_from else magnitude
    y = -f.two * magnitude
    shifted = y * f.log2_e + f.round_and_bias
    n = shifted - f.round_and_bias
    r = y - n * f.ln2
    scale = power_of_two(shifted)
    minus_m = (f.one - scale) - scale * expm1_reduced(r)
    return np.copysign(minus_m / (f.two - minus_m), x)


@kernel
def relu(x: Any) -> Any:
    f = format_of(x)
    return f.zero if x < f.zero else x


@kernel
def log_sum_exp(row: Any) -> Any:
    """log of the sum of e^x over a row, safe from overflow; NaN stays NaN."""
    highest = row[0]
    for v in range(row.size):
        highest = row[v] if row[v] > highest else highest
    total = row.dtype.type(0)
    for v in range(row.size):
        total += exp(row[v] - highest)
    return highest + np.log(total)
