"""Dense layers on rows, for the compiled steps: forward and backward side by side.

    y = x W^T + b               dW = dy^T x,  db = sum of dy,  dx = dy W
    e = relu(x)                 dx = de where e > 0
    v = x times a mask          dx = dv times the same mask (Srivastava et al. 2014)

Every function is run by all members of a team; the caller sets the barriers. x (R, K), y (R, N), W (N, K).
"""

import numpy as np

from bptt.numerics.activations import relu
from bptt.numerics.jit import kernel
from bptt.numerics.matmul import pack, shared_product, transposed_products
from bptt.numerics.random import dropout
from bptt.numerics.team import share
from bptt.unroll.units import copy_units

__all__ = [
    "dense_backward",
    "dense_forward",
    "drop",
    "drop_rows",
    "pack_dense",
    "plain_gradient",
    "relu_backward",
    "relu_forward",
]

ZERO = np.int64(0)
YES = np.bool_(True)


@kernel(internal=True, low_opt=True)
def pack_dense(team, weight, panels, transposed, backward):
    """Pack weight (N, K) for `dense_forward`, and with `backward` for `dense_backward`."""
    pack(team, weight.T, panels, ZERO, ZERO)
    if backward:
        pack(team, weight, transposed, ZERO, ZERO)


@kernel(internal=True, low_opt=True)
def dense_forward(team, x, panels, bias, y):
    """y (R, N) = x (R, K) W^T + bias (N)."""
    shared_product(team, x, panels, bias.reshape(1, bias.size), y)


@kernel(internal=True, low_opt=True)
def plain_gradient(team, A, B, C, order, no_order, scratch, total):
    """C = A^T B, total = sums of the rows of A, by the function that makes two of them."""
    nowhere = no_order[: order.size]
    transposed_products(team, A, B, C, order, B[:, :0], C[:, :0], nowhere, scratch, total, YES)


@kernel(internal=True, low_opt=True)
def dense_backward(team, x, dy, transposed, scratch, dweight, dbias, dx):
    """dW (N, K) = dy^T x, db (N) = sum of dy, dx (R, K) = dy W; with dx of no rows the first two only."""
    plain_gradient(team, dy, x, dweight, scratch.one_block, scratch.nowhere, scratch.strips, dbias)
    if dx.shape[0] > 0:
        shared_product(team, dy, transposed, scratch.nothing[:, : dx.shape[1]], dx)


@kernel(internal=True)
def relu_forward(team, x):
    """x = relu(x)."""
    first, last = share(x.shape[0], team)
    for r in range(first, last):
        row = x[r]
        for j in range(row.size):
            row[j] = relu(row[j])


@kernel(internal=True)
def relu_backward(team, e, de):
    """de where e > 0, else 0."""
    zero = e.dtype.type(0)
    first, last = share(e.shape[0], team)
    for r in range(first, last):
        row, error = e[r], de[r]
        for j in range(row.size):
            error[j] = error[j] if row[j] > zero else zero


@kernel(internal=True)
def drop(team, x, out, seed, layer, step, rate):
    """out (R, n) = x (R, >= n) with the mask addressed by (seed, layer, step, row, unit)."""
    first, last = share(out.shape[0], team)
    if rate > 0:
        dropout(x[first:last, : out.shape[1]], out[first:last], seed, layer, step, first, rate)
    else:
        copy_units(x[first:last], out[first:last], ZERO, out.shape[1])


@kernel
def drop_rows(team, x, out, seed, layer, step, rate):
    """`drop` for Python."""
    drop(team, x, out, seed, layer, step, rate)
