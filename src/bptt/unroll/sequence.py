"""One layer through time, for any cell: T steps up, T steps back down.

    forward     a = x W + b, all T in one product       backward    for t = T-1 ... 0:
                for t = 0 ... T-1:                                      ds_h += dy_t
                    a_t += h_t U                                        cell: ds, a_t -> ds', da_t
                    cell: a_t, s_t -> s_{t+1}                           ds_h += da_t U^T
                                                                    dW = x^T da, dU = h^T da, db = sum of da,
                                                                    dx = da W^T, each one product over all T

The rows of a batch never meet, so each thread takes a share of them through all T steps without waiting for another.
Sums over the batch are made after the loop, in an order that no number of threads changes. Every function here is run
by all members of a team (`numerics.threads`); where one needs what another wrote, its caller puts a barrier between.

T, B, H, I: steps, rows, hidden units, inputs; S states and A blocks a unit (see `cells.table`).
    x (T*B, >= I)   inputs, its first I columns        s (T+1, B, S*H)     states, slot 0 the initial one
    a (T, B, A*H)   pre-activations, then gates        da like a, may be a itself where the tape is not needed again
    W, U, WT, UT    packed weights (`numerics.matmul`)  b (A*H)
"""

import numpy as np

from bptt.cells import table
from bptt.numerics.jit import borrow, kernel
from bptt.numerics.matmul import pack, product, shared_product, transposed_product
from bptt.numerics.random import dropout
from bptt.numerics.threads import barrier, share

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO, YES = np.int64(0), np.bool_(True)


@kernel
def copy(source, target):
    for j in range(target.size):
        target[j] = source[j]


@kernel
def pack_forward(team, cell, x_rows, h_rows, weight_ih, weight_hh, bias_ih, bias_hh, W, U, b):
    """Lay one layer's parameters, in the users' layout, ready for `forward`."""
    H = weight_hh.shape[1]
    for j in range(x_rows.size):
        pack(team, weight_ih[x_rows[j] * H : (x_rows[j] + 1) * H].T, W, ZERO, j * H)
    for j in range(h_rows.size):
        pack(team, weight_hh[h_rows[j] * H : (h_rows[j] + 1) * H].T, U, ZERO, j * H)
    if team.index == 0:
        for column in range(b.size):
            b[column] = 0
        for j in range(x_rows.size):
            for unit in range(H):
                b[(cell.x0 + j) * H + unit] += bias_ih[x_rows[j] * H + unit]
        for j in range(h_rows.size):
            for unit in range(H):
                b[(cell.h0 + j) * H + unit] += bias_hh[h_rows[j] * H + unit]


@kernel
def pack_backward(team, x_rows, h_rows, weight_ih, weight_hh, WT, UT):
    """Lay the same weights, transposed, ready for `backward` and `input_error`."""
    H = weight_hh.shape[1]
    for j in range(x_rows.size):
        pack(team, weight_ih[x_rows[j] * H : (x_rows[j] + 1) * H], WT, j * H, ZERO)
    for j in range(h_rows.size):
        pack(team, weight_hh[h_rows[j] * H : (h_rows[j] + 1) * H], UT, j * H, ZERO)


@kernel
def project(team, cell, x, W, b, a):
    """a = x W + b for all T in one product."""
    T, B, width = a.shape
    H = width // cell.A
    rows = a.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    bias = b.reshape(1, width)[:, cell.x0 * H : cell.x1 * H]
    shared_product(team, x[:, : W.shape[1]], W, bias, rows)


@kernel(inner=True)
def forward(team, cell, U, b, s, a):
    """From the projected inputs in `a` and the initial state in s[0] to all states and gates.

    Each member takes its share of the batch through all steps.
    """
    T, B, width = a.shape
    H = width // cell.A
    s, a = borrow(s), borrow(a)
    first, last = share(B, team)
    for t in range(T):
        a_t, s_t, s_next = a[t, first:last], s[t, first:last], s[t + 1, first:last]
        from_h = a_t[:, cell.h0 * H : cell.h1 * H]
        for row in range(last - first):
            # Blocks that x does not feed start from their bias.
            for column in range(cell.x1 * H, width):
                a_t[row, column] = b[column]
        product(s_t[:, :H], U, from_h, from_h)
        for row in range(last - first):
            table.forward(cell.kind, a_t[row], s_t[row], s_next[row])


@kernel(inner=True)
def backward(team, cell, UT, s, a, da, keep, ds, dy, errors):
    """From the outputs' errors to da and the error of the initial state: `forward` read from the bottom up.

    ds (B, S*H): in error of the final state, out that of the initial one. dy (<= T, B, H): errors of the last outputs
    from outside. errors (T, B, H), or empty: on return the whole dL/dh of every output. `keep` leaves the gates in
    `a` as they are (da is then another array); without it da and `a` are the same array.
    """
    T, B, width = a.shape
    H = width // cell.A
    first, last = share(B, team)
    without_dy = T - dy.shape[0]
    s, a, da, ds, dy, errors = borrow(s), borrow(a), borrow(da), borrow(ds), borrow(dy), borrow(errors)
    ds_rows = ds[first:last]
    ds_h = ds_rows[:, :H]
    for t in range(T - 1, -1, -1):
        a_t, da_t, s_t, s_next = a[t, first:last], da[t, first:last], s[t, first:last], s[t + 1, first:last]
        for row in range(last - first):
            if t >= without_dy:
                dh, dy_row = ds_h[row], dy[t - without_dy, first + row]
                for j in range(H):
                    dh[j] += dy_row[j]
            if errors.shape[0] > 0:
                copy(ds_h[row], errors[t, first + row])
            if keep:
                copy(a_t[row], da_t[row])
            table.backward(cell.kind, ds_rows[row], s_t[row], s_next[row], da_t[row])
        product(da_t[:, cell.h0 * H : cell.h1 * H], UT, ds_h, ds_h)


@kernel
def recurrent_gradient(team, cell, h_rows, s, da, dweight_hh, dbias_hh):
    """dU = h^T da, db = sum of da, over all T*B rows at once."""
    T, B, width = da.shape
    H = width // cell.A
    rows = da.reshape(T * B, width)[:, cell.h0 * H : cell.h1 * H]
    h = s[:T].reshape(T * B, s.shape[2])[:, :H]
    transposed_product(team, rows, h, dweight_hh, h_rows, dbias_hh)


@kernel
def input_gradient(team, cell, x_rows, x, da, dweight_ih, dbias_ih):
    """dW = x^T da, db = sum of da, over all T*B rows at once."""
    T, B, width = da.shape
    H = width // cell.A
    rows = da.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    transposed_product(team, rows, x[:, : dweight_ih.shape[1]], dweight_ih, x_rows, dbias_ih)


@kernel
def input_error(team, cell, WT, da, nothing, dx):
    """dx = da W^T; dx (T*B, I), nothing (1, >= I) zeros."""
    T, B, width = da.shape
    H = width // cell.A
    rows = da.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    shared_product(team, rows, WT, nothing[:, : dx.shape[1]], dx[:, : nothing.shape[1]])


@kernel
def sequence_dropout(team, x, out, seed, layer, t0, rate):
    """out (T, B, n) = x (T, B, >= n) with the mask addressed by (seed, layer, t0 + t, row, unit); its own backward."""
    first, last = share(out.shape[0], team)
    for t in range(first, last):
        dropout(x[t], out[t], seed, layer, t0 + t, ZERO, rate)


@kernel
def layer_forward(team, cell, x_rows, h_rows, weight_ih, weight_hh, bias_ih, bias_hh, x, W, U, b, s, a):
    """One layer up, from the users' parameters to the tape."""
    pack_forward(team, cell, x_rows, h_rows, weight_ih, weight_hh, bias_ih, bias_hh, W, U, b)
    barrier(team)
    project(team, cell, x, W, b, a)
    barrier(team)
    forward(team, cell, U, b, s, a)


@kernel
def layer_backward(team, cell, x_rows, h_rows, weight_ih, weight_hh, x, s, a, da, ds, dy, errors, WT, UT, nothing,
                   dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh):  # fmt: skip
    """One layer down, the tape left as it is: all gradients."""
    pack_backward(team, x_rows, h_rows, weight_ih, weight_hh, WT, UT)
    barrier(team)
    backward(team, cell, UT, s, a, da, YES, ds, dy, errors)
    barrier(team)
    recurrent_gradient(team, cell, h_rows, s, da, dweight_hh, dbias_hh)
    input_gradient(team, cell, x_rows, x, da, dweight_ih, dbias_ih)
    input_error(team, cell, WT, da, nothing, dx)
