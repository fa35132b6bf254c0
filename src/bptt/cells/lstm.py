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


@kernel(strict=True)
def forward(a, s_prev, s):
    n = s.size // 2
    i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
    h, c, c_prev = s[:n], s[n:], s_prev[n:]
    for j in range(n):
        i[j] = sigmoid(i[j])
        f[j] = sigmoid(f[j])
        g[j] = tanh(g[j])
        o[j] = sigmoid(o[j])
        c[j] = f[j] * c_prev[j] + i[j] * g[j]
        h[j] = o[j] * tanh(c[j])


@kernel(strict=True)
def backward(ds, s_prev, s, a):
    n = s.size // 2
    i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
    dh, dc, c, c_prev = ds[:n], ds[n:], s[n:], s_prev[n:]
    zero, one = s.dtype.type(0), s.dtype.type(1)
    for j in range(n):
        tanh_c = tanh(c[j])
        dc_j = dc[j] + dh[j] * o[j] * (one - tanh_c * tanh_c)
        da_o = dh[j] * tanh_c * o[j] * (one - o[j])
        da_i = dc_j * g[j] * i[j] * (one - i[j])
        da_f = dc_j * c_prev[j] * f[j] * (one - f[j])
        da_g = dc_j * i[j] * (one - g[j] * g[j])
        dc[j] = dc_j * f[j]
        dh[j] = zero
        i[j], f[j], g[j], o[j] = da_i, da_f, da_g, da_o
