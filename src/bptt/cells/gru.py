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
def forward(a, s_prev, s):
    h_prev, h = s_prev, s
    n = h.size
    n_x, r, z, n_h = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
    one = h.dtype.type(1)
    for j in range(n):
        r[j] = sigmoid(r[j])
        z[j] = sigmoid(z[j])
        n_x[j] = tanh(n_x[j] + r[j] * n_h[j])
        h[j] = (one - z[j]) * n_x[j] + z[j] * h_prev[j]


@kernel(strict=True)
def backward(ds, s_prev, s, a):
    dh, h_prev = ds, s_prev
    n = dh.size
    n_x, r, z, n_h = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
    one = dh.dtype.type(1)
    for j in range(n):
        dn_x = dh[j] * (one - z[j]) * (one - n_x[j] * n_x[j])
        dz = dh[j] * (h_prev[j] - n_x[j])
        dh[j] = dh[j] * z[j]
        da_r = dn_x * n_h[j] * r[j] * (one - r[j])
        z[j] = dz * z[j] * (one - z[j])
        n_h[j] = dn_x * r[j]
        r[j] = da_r
        n_x[j] = dn_x
