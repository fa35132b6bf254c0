"""The simple recurrent network (Elman 1990), with tanh or relu, and the linear one.

    a = x W + h' U + b                  one block; ' = previous step       (made by the unroll)

forward                                 backward                           (dh: error of h)
    h = tanh(a)                             da  = dh (1 - h^2)
    h = max(a, 0)                           da  = dh [h > 0]
    h = a                                   da  = dh
                                            dh' = da U^T                    (made by the unroll)

h' enters only through the product, so nothing of its error is pointwise: dh is left at 0 for the unroll
to add to. At a = 0 the derivative of relu is taken as 0, as PyTorch does; a NaN in h
is one in da, also where h is not needed for it.
"""

from bptt.numerics.activations import relu, tanh
from bptt.numerics.jit import kernel
from bptt.numerics.simd import select, zero


@kernel(strict=True)
def states_tanh(a):
    (a,) = a
    return (tanh(a),)


@kernel(strict=True)
def backward_tanh(ds, s_prev, s, gates):
    (dh,), (h,) = ds, s
    da = dh * (1 - h * h)
    return (zero(dh),), (da,)


@kernel(strict=True)
def states_relu(a):
    (a,) = a
    return (relu(a),)


@kernel(strict=True)
def backward_relu(ds, s_prev, s, gates):
    (dh,), (h,) = ds, s
    da = select(h <= 0, zero(dh), dh + 0 * h)
    return (zero(dh),), (da,)


@kernel(strict=True)
def states_identity(a):
    return a


@kernel(strict=True)
def backward_identity(ds, s_prev, s, gates):
    (dh,), (h,) = ds, s
    return (zero(dh),), (dh + 0 * h,)
