"""The gated recurrent unit (Cho et al. 2014), reset after the product, as in PyTorch and cuDNN.

    n_x         = x W_n + b             four blocks n_x | r z | n_h: x feeds the first three, h' the last three
    a_r, a_z    = x W + h' U + b        (made by the unroll; ' = previous step)
    n_h         = h' U_n + b

forward                                 backward                           (dh: error of h)
    r z = s(a_r), s(a_z)                    dz   = dh (h' - n)             da_z = dz z (1 - z)
    n   = tanh(n_x + r n_h)                 dn_x = dh (1 - z) (1 - n^2)    since dtanh = 1 - n^2
    h   = (1 - z) n + z h'                  dn_h = dn_x r
                                            da_r = dn_x n_h r (1 - r)
                                            dh'  = dh z + (da_r, da_z, dn_h) U^T

The product is made by the unroll and added to dh z, which is left in dh. Two errors leave the candidate,
dn_x for x and dn_h = dn_x r for h': with both kept, dW and dU are one product each over all steps.
"""

from bptt.numerics.activations import sigmoid, tanh
from bptt.numerics.jit import kernel


@kernel(strict=True)
def gates(a):
    a_r, a_z = a
    return sigmoid(a_r), sigmoid(a_z)


@kernel(strict=True)
def states(a, s_prev):
    n_x, r, z, n_h = a
    (h_prev,) = s_prev
    n = tanh(n_x + r * n_h)
    h = (1 - z) * n + z * h_prev
    return (n,), (h,)


@kernel(strict=True)
def backward(ds, s_prev, s, gates):
    (dh,), (h_prev,) = ds, s_prev
    n, r, z, n_h = gates
    dn_x = dh * (1 - z) * (1 - n * n)
    dz = dh * (h_prev - n)
    da_r = dn_x * n_h * r * (1 - r)
    da_z = dz * z * (1 - z)
    dn_h = dn_x * r
    return (dh * z,), (dn_x, da_r, da_z, dn_h)
