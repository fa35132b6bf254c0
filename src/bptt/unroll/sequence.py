"""One layer through time, for any cell: T steps up, T steps back down.

    forward     a = x W + b                             backward    for t = T-1 ... 0:
                for t = 0 ... T-1:                                      ds_h += dy_t
                    a_t += h_t U                                        cell: ds, a_t -> ds', da_t
                    cell: a_t, s_t -> s_{t+1}                           ds_h += da_t U^T
                                                                    dW = x^T da, dU = h^T da, db = sum of da,
                                                                    dx = da W^T

The rows of a batch never meet, so each thread takes a share of them through all T steps without waiting for another.
Where there are too few rows for that, or weights too large for a thread's own cache, the threads share the hidden
units instead and meet at each step. Either way an element's sum is one chain over k, and has the same bits.

The way back goes in chunks of steps: the error da of a chunk is kept just as long as its products are made, while it
is in the cache. Sums over the batch are made chunk after chunk, in an order that no number of threads changes. Every
function here is run by all members of a team (`numerics.threads`); where one needs what another wrote, its caller
puts a barrier between.

T, B, H, I: steps, rows, hidden units, inputs; S states and A blocks a unit (see `cells.table`).
    x (T*B, >= I)   inputs, its first I columns        s (T+1, B, S*H)     states, slot 0 the initial one
    a (T, B, A*H)   pre-activations, then gates        da (2, chunk, B, A*H)   two chunks in turns
    W, U, WT, UT    packed weights (`numerics.matmul`)  b (A*H)
    x_order, h_order (A)    the row block of weight_ih and weight_hh that makes each block of a, or -1
"""

import numpy as np

from bptt.cells import table
from bptt.numerics.jit import apart, borrow, kernel
from bptt.numerics.lanes import count, read, write
from bptt.numerics.matmul import block_stride, pack, product, shared_product, transposed_products
from bptt.numerics.random import dropout
from bptt.numerics.threads import barrier, share

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)
ONE = (0,)
# Rows of a chunk on the way back: enough for one product, few enough for the cache.
CHUNK = 384
# Fewer rows than this for each thread, and so many multiply-adds a step: enough to pay for meeting at each.
FEW_ROWS = 4
WORTH_A_MEETING = 30_000
# Bytes of packed weights up to which a thread's own cache holds them, whatever else goes through it; and the rows for
# each thread with which larger ones may stream through it, the next panel fetched while one is multiplied.
CACHED = 1_500_000
MANY_ROWS = 24


def chunk_steps(T: int, B: int) -> int:
    """Steps of a chunk on the way back."""
    return min(T, max(1, CHUNK // B))


@kernel
def copy(source, target):
    for j in range(target.size):
        target[j] = source[j]


@kernel(inner=True)
def copy_units(source, target, first, last):
    """Columns first to last - 1 of all rows."""
    for row in range(target.shape[0]):
        for j in range(first, last, count(target)):
            write(target, row, read(source, row, ONE, ZERO, j, last - j), ZERO, j, last - j)


@kernel(strict=True, inner=True)
def add_units(source, target, first, last):
    """target += source in columns first to last - 1 of all rows."""
    for row in range(target.shape[0]):
        for j in range(first, last, count(target)):
            (new,), (old,) = read(source, row, ONE, ZERO, j, last - j), read(target, row, ONE, ZERO, j, last - j)
            write(target, row, (old + new,), ZERO, j, last - j)


@kernel(inner=True, glue=True)
def by_units(team, B, U):
    """Whether the threads share the hidden units instead of the rows."""
    few = B < FEW_ROWS * team.size and U.size * B > WORTH_A_MEETING
    return team.size > 1 and (few or streams(team, B, U.size * U.itemsize))


@kernel(inner=True, glue=True)
def streams(team, B, weights):
    """Whether so many bytes of weights come anew from memory at each step, for too few rows to be worth it."""
    return weights > CACHED and B < MANY_ROWS * team.size


@kernel(inner=True, glue=True)
def my_share(team, B, H, units, like):
    """First and last row, first and last unit that are this member's."""
    if units:
        n = block_stride(1, like)
        first, last = share((H + n - 1) // n, team)
        return ZERO, B, min(H, first * n), min(H, last * n)
    first, last = share(B, team)
    return first, last, ZERO, H


@kernel(glue=True)
def pack_forward(team, cell, x_order, h_order, weight_ih, weight_hh, bias_ih, bias_hh, W, U, b):
    """Lay one layer's parameters, in the users' layout, ready for `forward`."""
    H = weight_hh.shape[1]
    stride = block_stride(H, weight_hh)
    for j in range(cell.A):
        x, h = x_order[j], h_order[j]
        if x >= 0:
            pack(team, weight_ih[x * H : (x + 1) * H].T, W, ZERO, (j - cell.x0) * H)
        if h >= 0:
            pack(team, weight_hh[h * H : (h + 1) * H].T, U, ZERO, (j - cell.h0) * stride)
        if team.index == 0:
            for unit in range(H):
                b[j * H + unit] = 0
                if x >= 0:
                    b[j * H + unit] += bias_ih[x * H + unit]
                if h >= 0:
                    b[j * H + unit] += bias_hh[h * H + unit]


@kernel(glue=True)
def pack_backward(team, cell, x_order, h_order, weight_ih, weight_hh, WT, UT):
    """Lay the same weights, transposed, ready for `backward` and `input_error`."""
    H = weight_hh.shape[1]
    for j in range(cell.A):
        x, h = x_order[j], h_order[j]
        if x >= 0:
            pack(team, weight_ih[x * H : (x + 1) * H], WT, (j - cell.x0) * H, ZERO)
        if h >= 0:
            pack(team, weight_hh[h * H : (h + 1) * H], UT, (j - cell.h0) * H, ZERO)


@kernel(glue=True)
def project(team, cell, x, W, b, a):
    """a = x W + b for all T in one product."""
    T, B, width = a.shape
    H = width // cell.A
    rows = a.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    bias = b.reshape(1, width)[:, cell.x0 * H : cell.x1 * H]
    shared_product(team, x[:, : W.shape[1]], W, bias, rows)


@kernel(inner=True)
def recur(cell, h, U, b, a, first, last):
    """a += h U for units first to last - 1, in the blocks that h feeds; those that x does not feed start from b."""
    width = a.shape[1]
    H = width // cell.A
    stride, bias = block_stride(H, a), b.reshape(1, width)
    if last - first == stride:
        # No gap between the packed blocks: as one product.
        x1 = min(cell.x1, cell.h1)
        fed = a[:, cell.h0 * H : x1 * H]
        product(h, U, fed, fed, ZERO)
        if x1 < cell.h1:
            product(h, U, bias[:, x1 * H : cell.h1 * H], a[:, x1 * H : cell.h1 * H], (x1 - cell.h0) * stride)
    else:
        for block in range(cell.h0, cell.h1):
            part, column = a[:, block * H + first : block * H + last], (block - cell.h0) * stride + first
            if block < cell.x1:
                product(h, U, part, part, column)
            else:
                product(h, U, bias[:, block * H + first : block * H + last], part, column)


@apart()
def forward(team, cell, x, W, U, b, s, a, y):
    """From x (or, where it has no rows, from the projected inputs in `a`) and s[0] to all states and gates.

    x has rows only where members share the rows of the batch (see `by_units`): each makes all columns of its own.
    y (T, B, H), or empty: a copy of the outputs.
    """
    T, B, width = a.shape
    H = width // cell.A
    units = by_units(team, B, U)
    first, last, unit, end = my_share(team, B, H, units, a)
    x, W, U, s, a, y = borrow(x), borrow(W), borrow(U), borrow(s), borrow(a), borrow(y)
    bias = b.reshape(1, width)[:, cell.x0 * H : cell.x1 * H]
    for t in range(T):
        a_t, s_t, s_next = a[t, first:last], s[t, first:last], s[t + 1, first:last]
        if x.shape[0] > 0:
            product(x[t * B + first : t * B + last, : W.shape[1]], W, bias, a_t[:, cell.x0 * H : cell.x1 * H], ZERO)
        recur(cell, s_t[:, :H], U, b, a_t, unit, end)
        table.forward(cell.kind, H, unit, end, a_t, s_t, s_next)
        if y.shape[0] > 0:
            copy_units(s_next, y[t, first:last], unit, end)
        if units:
            barrier(team)


@apart()
def backward(team, cell, UT, s, a, da, ds, dy, errors):
    """From the outputs' errors to da and the error of the initial state: `forward` read from the bottom up.

    ds (B, S*H): in error of the final state, out that of the initial one. dy (<= T, B, H): errors of the last outputs
    from outside. errors (T, B, H), or empty: on return the whole dL/dh of every output. `a` stays as it is.
    """
    T, B, width = a.shape
    H = width // cell.A
    units = by_units(team, B, UT)
    first, last, unit, end = my_share(team, B, H, units, a)
    without_dy = T - dy.shape[0]
    s, a, da, ds, dy, errors = borrow(s), borrow(a), borrow(da), borrow(ds), borrow(dy), borrow(errors)
    ds_rows = ds[first:last]
    dh = ds_rows[:, unit:end]
    for t in range(T - 1, -1, -1):
        a_t, da_t, s_t, s_next = a[t, first:last], da[t, first:last], s[t, first:last], s[t + 1, first:last]
        if t >= without_dy:
            add_units(dy[t - without_dy, first:last], ds_rows, unit, end)
        if errors.shape[0] > 0:
            copy_units(ds_rows, errors[t, first:last], unit, end)
        table.backward(cell.kind, H, unit, end, ds_rows, s_t, s_next, a_t, da_t)
        if units:
            barrier(team)
        product(da_t[:, cell.h0 * H : cell.h1 * H], UT, dh, dh, unit)


@kernel(glue=True)
def weight_gradients(team, cell, x_order, h_order, x, s, da, scratch, total, dweight_ih, dweight_hh, fresh):
    """dW += x^T da, dU += h^T da, total += sums of da, over the rows of a chunk."""
    T, B, width = da.shape
    h = s[:T].reshape(T * B, s.shape[2])[:, : dweight_hh.shape[1]]
    transposed_products(team, da.reshape(T * B, width), h, dweight_hh, h_order,
                        x[:, : dweight_ih.shape[1]], dweight_ih, x_order, scratch, total, fresh)  # fmt: skip


@kernel(glue=True)
def bias_gradients(team, x_order, h_order, total, dbias_ih, dbias_hh):
    """The sums of da in the users' layout."""
    if team.index == 0:
        H = total.size // x_order.size
        for j in range(x_order.size):
            x, h = x_order[j], h_order[j]
            if x >= 0:
                copy(total[j * H : (j + 1) * H], dbias_ih[x * H : (x + 1) * H])
            if h >= 0:
                copy(total[j * H : (j + 1) * H], dbias_hh[h * H : (h + 1) * H])


@kernel(glue=True)
def input_error(team, cell, WT, da, nothing, dx):
    """dx = da W^T over the rows of a chunk; dx (chunk*B, I), nothing (1, >= I) zeros."""
    T, B, width = da.shape
    H = width // cell.A
    rows = da.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    shared_product(team, rows, WT, nothing[:, : dx.shape[1]], dx[:, : nothing.shape[1]])


@kernel(glue=True)
def sequence_dropout(team, x, out, seed, layer, t0, rate):
    """out (T, B, n) = x (T, B, >= n) with the mask addressed by (seed, layer, t0 + t, row, unit); its own backward."""
    first, last = share(out.shape[0], team)
    for t in range(first, last):
        dropout(x[t], out[t], seed, layer, t0 + t, ZERO, rate)


@kernel(inner=True, glue=True)
def layer_forward(team, cell, x_order, h_order, weight_ih, weight_hh, bias_ih, bias_hh, x, W, U, b, s, a, y):
    """One layer up, from the users' parameters to the tape.

    s and a have room for all steps, or for fewer: then they are used again and again, and only y is complete.
    """
    pack_forward(team, cell, x_order, h_order, weight_ih, weight_hh, bias_ih, bias_hh, W, U, b)
    barrier(team)
    # Step by step where that costs no time for the weights, so that `a` is in the cache; else all at once.
    weights = (W.size + U.size) * U.itemsize
    on_the_way = not by_units(team, a.shape[1], U) and not streams(team, a.shape[1], weights)
    room, B, _ = a.shape
    T = x.shape[0] // B
    for first in range(0, T, room):
        n = min(room, T - first)
        rows = x[first * B : (first + n) * B]
        if first > 0:
            barrier(team)
            row, last = share(B, team)
            copy_units(s[room, row:last], s[0, row:last], ZERO, s.shape[2])
            barrier(team)
        if not on_the_way:
            project(team, cell, rows, W, b, a[:n])
            barrier(team)
        forward(team, cell, rows if on_the_way else rows[:0], W, U, b, s[: n + 1], a[:n], y[first : first + n])


@kernel(inner=True, glue=True)
def layer_backward(team, cell, x_order, h_order, weight_ih, weight_hh, x, s, a, da, scratch, total, ds, dy, errors,
                   WT, UT, nothing, dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh):  # fmt: skip
    """One layer down, chunk after chunk from the end: all gradients. The tape stays as it is."""
    pack_backward(team, cell, x_order, h_order, weight_ih, weight_hh, WT, UT)
    barrier(team)
    T, B, _ = a.shape
    last, half = T, 0
    while last > 0:
        first = max(0, last - da.shape[1])
        chunk = da[half, : last - first]
        backward(team, cell, UT, s[first : last + 1], a[first:last], chunk, ds, dy[first:last], errors[first:last])
        barrier(team)
        rows = x[first * B : last * B]
        weight_gradients(team, cell, x_order, h_order, rows, s[first:last], chunk, scratch, total,
                         dweight_ih, dweight_hh, last == T)  # fmt: skip
        input_error(team, cell, WT, chunk, nothing, dx[first * B : last * B])
        last, half = first, 1 - half
    barrier(team)
    bias_gradients(team, x_order, h_order, total, dbias_ih, dbias_hh)
