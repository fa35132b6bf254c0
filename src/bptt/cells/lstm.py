"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000).

    a = x W + h' U + b                  blocks i f g o; ' = previous step  (made by the unroll)

forward                                 backward                           (dh, dc: errors of h, c)
    i f o = s(a_i) s(a_f) s(a_o)            dc  += dh o (1 - tanh^2 c)
    g     = tanh(a_g)                       da_o = dh tanh(c) o (1 - o)
    c     = f c' + i g                      da_i = dc g i (1 - i)          da_f = dc c' f (1 - f)
    h     = o tanh(c)                       da_g = dc i (1 - g^2)          dc'  = dc f
                                            dh'  = da U^T                   (made by the unroll)

Where they come from: h = o tanh(c) passes dh to o as dh tanh(c) and to c as dh o tanh'(c), on top of the dc that the
step after sent back; c = f c' + i g passes dc to each factor times the other one; and the gates' own slopes, written
with their outputs, are s' = s (1 - s) and tanh' = 1 - tanh^2. h' enters only through the product, so dh is left at 0
for the unroll to add da U^T to.
"""

from bptt.numerics.activations import sigmoid, tanh
from bptt.numerics.jit import kernel
from bptt.numerics.simd import zero


@kernel(strict=True)
def gates(a):
    a_i, a_f, a_g, a_o = a
    return sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)


@kernel(strict=True)
def states(gates, s_prev):
    i, f, g, o = gates
    _, c_prev = s_prev
    c = f * c_prev + i * g
    h = o * tanh(c)
    return h, c


@kernel(strict=True)
def whole_errors(ds, s, gates):
    """dL/dh and the whole of dL/dc, what comes through h included."""
    dh, dc = ds
    _, c = s
    _, _, _, o = gates
    tanh_c = tanh(c)
    return dh, dc + dh * o * (1 - tanh_c * tanh_c)


@kernel(strict=True)
def backward(ds, s_prev, s, gates):
    dh, dc = ds
    _, c_prev = s_prev
    _, c = s
    i, f, g, o = gates
    tanh_c = tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    da_o = dh * tanh_c * o * (1 - o)
    da_i = dc * g * i * (1 - i)
    da_f = dc * c_prev * f * (1 - f)
    da_g = dc * i * (1 - g * g)
    return (zero(dh), dc * f), (da_i, da_f, da_g, da_o)
