"""The nonlinearities of the cells, in loops that LLVM vectorizes, for float32 and float64.

No call to a mathematics library, no branch and no table: a loop `for j in range(n): y[j] = tanh(x[j])` turns
into straight vector code. Everything uses one exponential, with the range reduction of Cody & Waite:

    e^y = 2^n e^r,    n = round(y / ln 2),    r = y - n ln 2,    |r| <= ln(2) / 2

    e^r = 1 + r + r^2 P(r)    P by Remez' algorithm with the least error relative to e^r:
                              1.1e-7 in float32 (P of degree 3), 3.7e-18 in float64 (degree 9)
    n     by adding 1.5 * 2^(p-1), p the bits of the significand: no room is left for a fraction, and the
          sum's low bits are n in binary. The exponent's bias is added as well, so that shifting the bits up
          to the exponent makes 2^n, with both ends: field 0 is the number 0, a full field is infinity.

`exp` subtracts n ln 2 in two parts, the first of so few bits that its product with n is exact, and multiplies
by 2^n in two halves, since the result may be representable where 2^n is not. The others need neither: their
slope dies out faster than the error of r grows with n.

    sigmoid(x)  = 1 / (1 + e),  e = e^-x, which ends at 0 and at infinity
    tanh(x)     = w / (1 - w), w = (1 - e^(-2|x|)) / 2, and the sign of x is put back
                  With r = -2q:  w = (1 - 2^n) / 2 + 2^n (q - q^2 2P(-2q)),  the coefficients of 2P(-2q)
                  being those of P times powers of two
    softplus(x) = max(x, 0) + log(1 + e^-|x|)
                  log(1 + e) = 2 artanh(s) = 2s + s^3 A(s^2),  s = e / (2 + e) <= 1/3,  A by Remez as well

So tanh is odd bit for bit, and as n = 0 for small x, w = q - q^2 2P keeps its relative accuracy (9e-7 in
float32) down to the smallest denormal. sigmoid falls to 0 where e^-x passes 2^bias, near x = -88 (-709 in
float64). Clamps are `minimum` and `maximum`, which hand a NaN through. Derivatives are taken
from the outputs: s (1 - s) and 1 - t^2; that of softplus is sigmoid.

Largest absolute errors in float32 (float64), found by sweeps: tanh 1.8e-7 (3.4e-16), sigmoid 1.0e-7
(1.7e-16); relative ones of exp 1.8e-7 (1.3e-16), of softplus 2.9e-7 (3.4e-16).

Sources: Cody & Waite, Software Manual for the Elementary Functions (1980), chapters 6 and 13; Muller,
Elementary Functions: Algorithms and Implementation (3rd ed. 2016), chapters 3 and 11.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types
from numba.extending import overload

from bptt.numerics.jit import EXACT, instructions, kernel
from bptt.numerics.numba_internals import signature
from bptt.numerics.simd import absolute, copysign, fma, maximum, minimum, power_of_two

__all__ = ["exp", "log_sum_exp", "relu", "sigmoid", "softplus", "tanh"]


class Format(NamedTuple):
    """The constants in one floating-point type: a bare `1` would turn float32 into float64."""

    zero: Any
    half: Any
    one: Any
    two: Any
    round_and_bias: Any  # 1.5 * 2^(p-1) + bias of the exponent
    magnitude: Any  # all bits but the sign
    log2_e: Any
    ln2: Any
    ln2_high: Any  # few enough bits that n ln2_high is exact
    ln2_low: Any
    zero_from: Any  # n = -bias: 2^n has exponent field 0
    infinity_from: Any  # n = bias + 1: 2^n has a full field
    tanh_one_from: Any  # w is 1/2 in this format
    P: Any  # highest power first
    P_of_minus_2q: Any  # 2P(-2q)
    A: Any


def make_format(
    real: Any,
    integer: Any,
    fraction_bits: int,
    ln2_high: float,
    ln2_low: float,
    P: tuple[float, ...],
    A: tuple[float, ...],
) -> Format:
    """Round the constants to the type `real`, whose bits are read as `integer`."""
    ln2 = 0.6931471805599453
    bits = np.dtype(real).itemsize * 8
    bias = 2 ** (bits - fraction_bits - 2) - 1
    degree = len(P) - 1
    return Format(
        zero=real(0.0),
        half=real(0.5),
        one=real(1.0),
        two=real(2.0),
        round_and_bias=real(1.5 * 2.0**fraction_bits + bias),
        magnitude=integer(2 ** (bits - 1) - 1),
        log2_e=real(1 / ln2),
        ln2=real(ln2),
        ln2_high=real(ln2_high),
        ln2_low=real(ln2_low),
        zero_from=real(-bias * ln2),
        infinity_from=real((bias + 1) * ln2),
        tanh_one_from=real((fraction_bits + 6) * ln2 / 2),
        P=tuple(real(p) for p in P),
        P_of_minus_2q=tuple(real(2 * (-2) ** (degree - k) * p) for k, p in enumerate(P)),
        A=tuple(real(a) for a in A),
    )


FLOAT32 = make_format(
    np.float32,
    np.int32,
    fraction_bits=23,
    ln2_high=0.693359375,
    ln2_low=-2.1219444005469057e-4,
    P=(0.008312486950868555, 0.041890150388387763, 0.16667115055079407, 0.49999231579148146),
    A=(0.28012663135064157, 0.28001678949570596, 0.40021534214832181, 0.66666416179223083),
)

FLOAT64 = make_format(
    np.float64,
    np.int64,
    fraction_bits=52,
    ln2_high=0.6931471803691238,
    ln2_low=1.9082149292705877e-10,
    P=(
        2.5000061625531292e-8,
        2.7630248385323020e-7,
        2.7557586373785181e-6,
        2.4801493098887392e-5,
        1.9841269506578724e-4,
        1.3888888943630134e-3,
        8.3333333334944617e-3,
        4.1666666666530158e-2,
        0.16666666666666412,
        0.50000000000000106,
    ),
    A=(
        0.1701078572047379,
        0.083444315369322082,
        0.12105064814966638,
        0.13301106710184599,
        0.15386549470291298,
        0.18181744430484277,
        0.22222223954964498,
        0.28571428548097859,
        0.40000000000155267,
        0.66666666666666309,
    ),
)


def format_of(x: Any) -> Format:
    """The constants in the type of `x`."""
    return FLOAT32 if x.dtype == np.float32 else FLOAT64


@instructions(format_of)
def _format_of(x: Any) -> Any:
    constants = FLOAT32 if getattr(x, "element", x) == types.float32 else FLOAT64
    type_ = typeof(constants)
    return signature(type_, x), lambda context, builder, *_: context.get_constant_generic(builder, type_, constants)


def bits(x: Any) -> Any:
    """The bits of `x` as a signed integer."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@overload(bits, jit_options={"fastmath": EXACT})
def _compiled_bits(x):
    if x == types.float32:
        return lambda x: np.float32(x).view(np.int32)
    return lambda x: np.float64(x).view(np.int64)


def from_bits(integer: Any, x: Any) -> Any:
    """The number of the type of `x` that has these bits."""
    return integer.view(x.dtype)


@overload(from_bits, jit_options={"fastmath": EXACT})
def _compiled_from_bits(integer, x):
    # Numba makes int64 of every integer expression; the cast drops the upper half again.
    if x == types.float32:
        return lambda integer, x: np.int32(integer).view(np.float32)
    return lambda integer, x: np.int64(integer).view(np.float64)


@kernel(exact=True)
def polynomial(coefficients: Any, x: Any) -> Any:
    """Horner's rule; the length is known when it is compiled, and LLVM unrolls the loop."""
    p = fma(x, coefficients[0], coefficients[1])
    for k in range(2, len(coefficients)):
        p = fma(p, x, coefficients[k])
    return p


@kernel(exact=True)
def exp(x: Any) -> Any:
    """e^x within 3 ulp, denormal results included."""
    f = format_of(x)
    # Twice as far as the limits of `power_of_two`, as it is called for the two halves of n.
    y = minimum(maximum(x, f.two * f.zero_from), f.two * f.infinity_from)
    n = fma(y, f.log2_e, f.round_and_bias) - f.round_and_bias
    r = fma(n, -f.ln2_low, fma(n, -f.ln2_high, y))
    e = fma(fma(polynomial(f.P, r), r, f.one), r, f.one)
    shifted = fma(n, f.half, f.round_and_bias)
    rest = n - (shifted - f.round_and_bias)
    return e * power_of_two(shifted) * power_of_two(rest + f.round_and_bias)


@kernel(exact=True)
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    f = format_of(x)
    y = minimum(maximum(x, -f.infinity_from), -f.zero_from)
    shifted = fma(y, -f.log2_e, f.round_and_bias)
    n = shifted - f.round_and_bias
    r = fma(n, -f.ln2, -y)
    e = fma(fma(polynomial(f.P, r), r, f.one), r, f.one) * power_of_two(shifted)
    return f.one / (f.one + e)


@kernel(exact=True)
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    f = format_of(x)
    y = minimum(absolute(x), f.tanh_one_from)
    shifted = fma(y, -(f.two * f.log2_e), f.round_and_bias)
    n = shifted - f.round_and_bias
    q = fma(n, f.half * f.ln2, y)
    scale = power_of_two(shifted)
    w = fma(scale, fma(-(q * q), polynomial(f.P_of_minus_2q, q), q), fma(-f.half, scale, f.half))
    return copysign(w / (f.one - w), x)


@kernel(exact=True)
def softplus(x: Any) -> Any:
    """log(1 + e^x), relatively accurate on both sides."""
    f = format_of(x)
    e = exp(-abs(x))
    s = e / (f.two + e)
    z = s * s
    positive_part = f.zero if x < f.zero else x
    return positive_part + (f.two * s + s * z * polynomial(f.A, z))


@kernel
def relu(x: Any) -> Any:
    """max(x, 0), NaN for NaN."""
    return maximum(x, format_of(x).zero)


@kernel
def ordered(integer: Any, like: Any) -> Any:
    """Bits of a float to an integer of the same order, and back; those of negative numbers run backwards."""
    return integer ^ format_of(like).magnitude if integer < 0 else integer


@kernel
def log_sum_exp(row: Any) -> Any:
    """log(sum_j e^row[j]) of a row of one or more numbers, NaN if one of them is.

    The largest is found among integers: LLVM makes vectors of that loop, and of a floating-point maximum
    only if it may forget about NaN.
    """
    first = row[0]
    top = ordered(bits(first), first)
    for j in range(1, row.shape[0]):
        key = ordered(bits(row[j]), first)
        top = key if key > top else top
    largest = from_bits(ordered(top, first), first)
    zero = format_of(first).zero
    # An infinite one is not subtracted: inf - inf is NaN.
    shift = zero if np.isinf(largest) else largest
    total = zero
    for j in range(row.shape[0]):
        total += exp(row[j] - shift)
    return largest if total == zero else shift + np.log(total)
